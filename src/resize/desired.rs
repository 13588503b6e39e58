//! From what was asked to the knobs that would hold it: one set of final values for each container, in the words of
//! its cgroup's version, rounded as the kernel will round them. What only the present state can answer (the period that
//! a CPU limit is for, the swap that a memory limit leaves) is answered here.

use std::collections::BTreeMap;

use super::amount::{Bytes, Limit};
use super::convert::cpu::{CpuBurst, CpuMax, CpuPeriod, CpuShares};
use super::convert::cpuset::Cpuset;
use super::convert::weight::CpuWeight;
use super::convert::{memory, systemd};
use super::knob::{CgroupVersion, Knob};
use super::knobs::Knobs;
use super::refusal::Refusal;
use super::request::{DiskWeight, MemoryHigh, Request};
use super::snapshot::{Above, Container, Facts, Mode, Snapshot};
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

    fn memory(&self, knobs: &mut Knobs) -> Result<(), Refusal> {
        let (request, now) = (self.request, self.now());
        let knob = self.version.memory_limit();
        if let Some(limit) = request.memory_limit {
            self.exists(&knob)?;
            knobs.insert(knob.clone(), Value::Bytes(limit));
        }
        let limit = knobs.bytes(&knob).or_else(|| now.memory_limit());
        self.swap(knobs, limit)?;
        self.needs(CgroupVersion::V2, "memory-high", request.memory_high.is_some())?;
        self.needs(CgroupVersion::V2, "memory-min", request.memory_min.is_some())?;
        match request.memory_high {
            Some(MemoryHigh::Fixed(high)) => {
                knobs.insert(Knob::MemoryHigh, Value::Bytes(high));
            }
            Some(MemoryHigh::Auto) => {
                let (Some(asked), Some(Limit::At(limit))) = (request.memory_request, limit) else {
                    let why =
                        "auto lies between request and limit; give --memory-request, and a memory limit";
                    return Err(self.unfit(&Knob::MemoryHigh, &Value::Text("auto".to_owned()), why));
                };
                let high = memory::high(asked, limit, self.facts.throttling, self.facts.page);
                knobs.insert(Knob::MemoryHigh, Value::Bytes(high));
            }
            None => {}
        }
        let low = match self.version {
            CgroupVersion::V1 => Knob::SoftLimit,
            CgroupVersion::V2 => Knob::MemoryLow,
        };
        for (knob, amount) in [(low, request.memory_low), (Knob::MemoryMin, request.memory_min)] {
            if let Some(amount) = amount {
                knobs.insert(knob, Value::Bytes(amount));
            }
        }
        Ok(())
    }

    /// Swap beside the memory limit. Version 1's sum follows a limit that moves, so that the allowance stays.
    fn swap(&self, knobs: &mut Knobs, limit: Option<Limit<Bytes>>) -> Result<(), Refusal> {
        let (request, now) = (self.request, self.now());
        let knob = match self.version {
            CgroupVersion::V1 => Knob::MemswLimit,
            CgroupVersion::V2 => Knob::SwapMax,
        };
        let limit = limit.unwrap_or(Limit::Max);
        if let Some(sum) = request.memsw.filter(|sum| *sum < limit && *sum != Limit::Max) {
            let why = format!("memory and swap together can't be below the memory limit {limit}; raise it");
            return Err(self.unfit(&Knob::MemswLimit, &Value::Bytes(sum), why));
        }
        let swap = request.swap.or_else(|| request.memsw.map(|sum| memory::swap(limit, sum)));
        // a kernel without swap accounting has nothing to bound, and needs no bound for nothing
        let nothing = request.swap.is_none() && matches!(swap, Some(Limit::Max | Limit::At(Bytes::ZERO)));
        if !now.has(&knob) && (nothing || swap.is_none()) {
            return Ok(());
        }
        match self.version {
            CgroupVersion::V2 => {
                if let Some(swap) = swap {
                    knobs.insert(knob, Value::Bytes(swap));
                }
            }
            CgroupVersion::V1 => {
                if swap.is_none() && request.memory_limit.is_none() {
                    return Ok(());
                }
                self.exists(&knob)?;
                let swap = swap.or_else(|| now.swap()).unwrap_or(Limit::Max);
                // the kernel rounds both terms to pages: so does the sum
                let round = |limit: Limit<Bytes>| limit.map(|bytes| bytes.floor_to(self.facts.page));
                let sum = memory::memsw(round(limit), round(swap));
                let too_large =
                    || self.unfit(&knob, &Value::Bytes(swap), "it is too large; lower it or write none");
                knobs.insert(knob.clone(), Value::Bytes(sum.ok_or_else(too_large)?));
            }
        }
        Ok(())
    }

    fn shares(&self, target: &mut Target) -> Result<(), Refusal> {
        let formula = self.container.cgroup.formula;
        let shares = self.request.cpu_shares.or_else(|| self.request.cpu_request.map(CpuShares::from_milli));
        let weight = self.request.cpu_weight;
        let (knob, value) = match (self.version, shares, weight) {
            (_, None, None) => return Ok(()),
            (CgroupVersion::V1, Some(shares), _) => (Knob::CpuShares, Value::Shares(shares)),
            (CgroupVersion::V1, None, Some(weight)) => {
                (Knob::CpuShares, Value::Shares(weight.to_shares(formula)))
            }
            (CgroupVersion::V2, _, Some(weight)) => (Knob::CpuWeight, Value::Weight(weight)),
            (CgroupVersion::V2, Some(shares), None) => {
                target.shares = Some(shares);
                (Knob::CpuWeight, Value::Weight(CpuWeight::from_shares(shares, formula)))
            }
        };
        target.knobs.insert(knob, value);
        Ok(())
    }

    fn bandwidth(&self, knobs: &mut Knobs) -> Result<(), Refusal> {
        let (request, quota) = (self.request, self.version.quota());
        let missing = || Refusal::Missing { container: self.name(), knob: quota.clone() };
        let asked =
            request.cpu_limit.is_some() || request.cpu_quota.is_some() || request.cpu_period.is_some();
        if asked {
            let now = knobs.bandwidth().or_else(|| self.now().bandwidth()).ok_or_else(missing)?;
            let period = request.cpu_period.unwrap_or(now.period);
            if request.cpu_limit.is_none() && request.cpu_quota.is_none() && period == now.period {
                return self.burst(knobs);
            }
            let cpu = match (request.cpu_limit, request.cpu_quota) {
                (Some(Limit::At(limit)), _) => CpuMax::from_milli(limit, period),
                (Some(Limit::Max), _) => Some(CpuMax { quota: Limit::Max, period }),
                (None, Some(quota)) => Some(CpuMax { quota, period }),
                (None, None) => now.at_period(period),
            };
            let too_large = || {
                let limit = request.cpu_limit.map_or_else(String::new, |limit| limit.to_string());
                self.unfit(
                    &quota,
                    &Value::Text(limit),
                    "it is beyond the kernel's range; lower it or write none",
                )
            };
            knobs.set_bandwidth(self.version, cpu.ok_or_else(too_large)?);
        }
        self.as_systemd_will(knobs)?;
        self.burst(knobs)
    }

    /// systemd knows whole percents only, and its word lasts longer than a file's.
    fn as_systemd_will(&self, knobs: &mut Knobs) -> Result<(), Refusal> {
        let direct = self.facts.mode == Mode::Direct && self.container.cgroup.unit.is_some();
        let Some(cpu) = knobs.bandwidth().filter(|_| direct) else { return Ok(()) };
        let kept = if systemd::keeps_period(self.facts.systemd) {
            Some(cpu)
        } else {
            cpu.at_period(CpuPeriod::DEFAULT)
        };
        let mut cpu = kept.unwrap_or(CpuMax::UNLIMITED).after_systemd();
        if let (CgroupVersion::V1, Some(now)) = (self.version, self.now().bandwidth()) {
            if cpu.quota == Limit::Max {
                // systemd may or may not get to the default period; without a quota it bounds nothing
                cpu.period = now.period;
            }
            if cpu.period != now.period && now.quota != Limit::Max {
                let why = "systemd writes the period before the quota, which cgroup v1 may refuse; keep the period, or use --mode runtime";
                return Err(self.unfit(&Knob::CfsPeriod, &Value::Period(cpu.period), why));
            }
        }
        knobs.set_bandwidth(self.version, cpu);
        Ok(())
    }

    fn burst(&self, knobs: &mut Knobs) -> Result<(), Refusal> {
        if let Some(burst) = self.request.cpu_burst {
            knobs.insert(self.version.burst(), Value::Burst(burst));
        }
        let touched = knobs.bandwidth().is_some() || knobs.burst().is_some();
        let cpu = knobs.bandwidth().or_else(|| self.now().bandwidth()).unwrap_or(CpuMax::UNLIMITED);
        let burst = knobs.burst().or_else(|| self.now().burst()).unwrap_or(CpuBurst::ZERO);
        if touched && !burst.fits(cpu.quota) {
            let why = format!(
                "a burst can't be above the quota {}; raise the CPU limit or give a smaller --cpu-burst",
                cpu.quota
            );
            return Err(self.unfit(&self.version.burst(), &Value::Burst(burst), why));
        }
        Ok(())
    }

    fn cpuset(&self, knobs: &mut Knobs) -> Result<(), Refusal> {
        for (knob, asked, parent) in [
            (Knob::CpusetCpus, &self.request.cpus, &self.bound.cpus),
            (Knob::CpusetMems, &self.request.mems, &self.bound.mems),
        ] {
            let asked = match (asked, knobs.set(&knob)) {
                (Some(asked), _) => asked.clone(),
                (None, Some(unified)) => unified.clone(),
                (None, None) => continue,
            };
            // a cgroup of version 1 with processes can't have an empty set
            let asked = match (self.version, parent) {
                (CgroupVersion::V1, Some(parent)) if asked.is_empty() => parent.clone(),
                (CgroupVersion::V1, None) if asked.is_empty() => {
                    let why = "what the parent has isn't known; name the members";
                    return Err(self.unfit(&knob, &Value::Set(Cpuset::default()), why));
                }
                _ => asked,
            };
            if let Some(parent) = parent.as_ref().filter(|parent| !asked.is_subset(parent)) {
                let (container, outside) = (self.name(), asked.minus(parent));
                return Err(Refusal::OutsideParent { container, knob, outside, parent: parent.clone() });
            }
            knobs.insert(knob, Value::Set(asked));
        }
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
                        _ => super::convert::io::IoMax::UNLIMITED,
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
