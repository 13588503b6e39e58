//! From what was asked to the knobs that would hold it: one set of final values for each container, in the words of
//! its cgroup's version, rounded as the kernel will round them. What only the present state can answer (the period that
//! a CPU limit is for, the swap that a memory limit leaves) is answered here.

mod cpu;
mod memory;

use std::collections::BTreeMap;

use super::amount::{Bytes, Limit};
use super::convert::cpu::CpuShares;
use super::convert::io::IoMax;
use super::knob::{CgroupVersion, Knob};
use super::knobs::Knobs;
use super::refusal::Refusal;
use super::request::{DiskWeight, Request};
use super::snapshot::{Above, Container, Facts, Snapshot};
use super::value::Value;

/// The final values of every container that is to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// By the container's name.
    pub containers: BTreeMap<String, Target>,
}

/// The final values of one container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Target {
    /// What was asked for, and what has to move with it.
    pub knobs: Knobs,
    /// The shares behind a weight, where they were asked for.
    pub shares: Option<CpuShares>,
}

/// Converts requests for containers of one pod.
///
/// # Errors
/// [`Refusal`] for an unknown container, and for what the kernel or the parent would not take.
pub fn desired<'a>(
    current: &Snapshot,
    asked: impl IntoIterator<Item = (&'a str, &'a Request)>,
    facts: &Facts,
) -> Result<Desired, Refusal> {
    let mut desired = Desired::default();
    let bound = current.bound();
    for (name, request) in asked {
        let Some(container) = current.container(name) else {
            let known = current.containers.iter().map(|container| container.name.clone()).collect();
            return Err(Refusal::UnknownContainer { name: name.to_owned(), known });
        };
        request.check().map_err(|error| Refusal::Request { container: name.to_owned(), error })?;
        let conversion = Conversion { version: current.version, container, request, bound: &bound, facts };
        desired.containers.insert(name.to_owned(), conversion.target()?);
    }
    Ok(desired)
}

/// One container's conversion.
struct Conversion<'a> {
    version: CgroupVersion,
    container: &'a Container,
    request: &'a Request,
    bound: &'a Above,
    facts: &'a Facts,
}

impl Conversion<'_> {
    fn target(&self) -> Result<Target, Refusal> {
        let mut target = Target::default();
        self.unified(&mut target.knobs)?;
        self.memory(&mut target.knobs)?;
        self.shares(&mut target)?;
        self.bandwidth(&mut target.knobs)?;
        self.cpuset(&mut target.knobs)?;
        self.rest(&mut target.knobs)?;
        let page = self.facts.page;
        let rounded = target.knobs.iter().map(|(knob, value)| match (value, knob.grain(page)) {
            (Value::Bytes(Limit::At(bytes)), Some(grain)) => {
                (knob.clone(), Value::Bytes(Limit::At(bytes.floor_to(grain))))
            }
            _ => (knob.clone(), value.clone()),
        });
        target.knobs = rounded.collect();
        for (knob, value) in target.knobs.iter() {
            self.exists(knob)?;
            let limit = [Knob::MemoryMax, Knob::MemoryLimit].contains(knob);
            if limit && *value == Value::Bytes(Limit::At(Bytes::ZERO)) {
                return Err(self.unfit(knob, value, "it is less than one page; no process can run in that"));
            }
        }
        Ok(target)
    }

    fn now(&self) -> &Knobs {
        &self.container.cgroup.knobs
    }

    fn name(&self) -> String {
        self.container.name.clone()
    }

    fn exists(&self, knob: &Knob) -> Result<(), Refusal> {
        // a device without a limit has no line
        if self.now().has(knob) || knob.device().is_some() {
            return Ok(());
        }
        Err(Refusal::Missing { container: self.name(), knob: knob.clone() })
    }

    fn unfit(&self, knob: &Knob, value: &Value, why: impl Into<String>) -> Refusal {
        Refusal::Unfit {
            container: self.name(),
            knob: knob.clone(),
            value: value.to_string(),
            why: why.into(),
        }
    }

    /// Refuses what only the other version has.
    fn needs(&self, version: CgroupVersion, what: &'static str, asked: bool) -> Result<(), Refusal> {
        if asked && self.version != version {
            return Err(Refusal::OtherVersion { container: self.name(), what, needs: version });
        }
        Ok(())
    }

    fn unified(&self, knobs: &mut Knobs) -> Result<(), Refusal> {
        self.needs(CgroupVersion::V2, "unified", !self.request.unified.is_empty())?;
        knobs.extend(self.request.unified.clone());
        Ok(())
    }

    fn rest(&self, knobs: &mut Knobs) -> Result<(), Refusal> {
        if let Some(pids) = self.request.pids {
            knobs.insert(Knob::PidsMax, Value::Count(pids));
        }
        for (size, limit) in &self.request.hugepages {
            let knob = match self.version {
                CgroupVersion::V1 => Knob::HugetlbLimit(*size),
                CgroupVersion::V2 => Knob::HugetlbMax(*size),
            };
            if let Limit::At(bytes) = limit
                && bytes.floor_to(size.bytes()) != *bytes
            {
                let why = format!("it must be a multiple of the page size {}", size.bytes());
                return Err(self.unfit(&knob, &Value::Bytes(*limit), why));
            }
            knobs.insert(knob, Value::Bytes(*limit));
        }
        if let Some(weight) = self.request.io_weight {
            let (knob, value) = self.disk_weight(weight);
            knobs.insert(knob, value);
        }
        for (device, rates) in &self.request.io_max {
            match self.version {
                CgroupVersion::V1 => {
                    knobs.extend(
                        rates
                            .iter()
                            .map(|(rate, limit)| (Knob::Throttle(*rate, *device), Value::Count(*limit))),
                    );
                }
                CgroupVersion::V2 => {
                    let knob = Knob::IoMax(*device);
                    let mut limits = match self.now().get(&knob) {
                        Some(Value::Io(limits)) => *limits,
                        _ => IoMax::UNLIMITED,
                    };
                    for (rate, limit) in rates {
                        *limits.get_mut(*rate) = *limit;
                    }
                    knobs.insert(knob, Value::Io(limits));
                }
            }
        }
        Ok(())
    }

    /// The file that the disk scheduler reads: BFQ's where there is one, as runtimes do.
    fn disk_weight(&self, weight: DiskWeight) -> (Knob, Value) {
        let blkio = match weight {
            DiskWeight::Io(weight) => weight.to_blkio(),
            DiskWeight::Blkio(weight) => weight,
        };
        match self.version {
            CgroupVersion::V1
                if self.now().has(&Knob::BlkioBfqWeight) && !self.now().has(&Knob::BlkioWeight) =>
            {
                (Knob::BlkioBfqWeight, Value::BlkioWeight(blkio))
            }
            CgroupVersion::V1 => (Knob::BlkioWeight, Value::BlkioWeight(blkio)),
            CgroupVersion::V2 if self.now().has(&Knob::IoBfqWeight) => {
                (Knob::IoBfqWeight, Value::BlkioWeight(blkio))
            }
            CgroupVersion::V2 => match weight {
                DiskWeight::Io(weight) => (Knob::IoWeight, Value::IoWeight(weight)),
                DiskWeight::Blkio(weight) => (Knob::IoWeight, Value::IoWeight(weight.to_io())),
            },
        }
    }
}
