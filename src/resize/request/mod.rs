//! What somebody asked for, for one container, in the asker's words: options of a command line ([`options`]), an OCI
//! LinuxResources object ([`oci`]) or a Pod's `resources` ([`manifest`]). Nothing is converted to a knob here, because
//! that needs the cgroup's version and its present values; only what contradicts itself is refused.
//!
//! What isn't asked for stays as it is. To remove a limit is something to ask for: the word `none`.

pub mod manifest;
pub mod oci;
pub mod options;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::amount::{Bytes, Limit, MilliCpu};
use super::convert::cpu::{CpuBurst, CpuPeriod, CpuQuota, CpuShares};
use super::convert::cpuset::Cpuset;
use super::convert::hugepage::HugepageSize;
use super::convert::io::{BlkioWeight, Device, IoWeight, Rate};
use super::convert::weight::CpuWeight;
use super::knob::Knob;
use super::quoted::Quoted;
use super::value::Value;

/// What was asked for one container. `None`, and an empty map, leave things as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// The CPU request, which decides shares or weight; 0 for none.
    pub cpu_request: Option<MilliCpu>,
    /// The CPU limit, which decides the quota.
    pub cpu_limit: Option<Limit<MilliCpu>>,
    /// The length of the bandwidth period.
    pub cpu_period: Option<CpuPeriod>,
    /// CPU time that may be saved up; 0 for none.
    pub cpu_burst: Option<CpuBurst>,
    /// The share of the CPU as version 2's weight.
    pub cpu_weight: Option<CpuWeight>,
    /// The share of the CPU as version 1's shares, from a document.
    pub cpu_shares: Option<CpuShares>,
    /// A quota in microseconds, from a document.
    pub cpu_quota: Option<Limit<CpuQuota>>,
    /// The CPUs to run on; empty for all that the parent has.
    pub cpus: Option<Cpuset>,
    /// The memory nodes to allocate from; empty for all that the parent has.
    pub mems: Option<Cpuset>,
    /// The memory request. No knob holds it; it bounds the limit from below and decides `memory-high auto`.
    pub memory_request: Option<Bytes>,
    /// The memory limit.
    pub memory_limit: Option<Limit<Bytes>>,
    /// Swap beside the memory limit.
    pub swap: Option<Limit<Bytes>>,
    /// Memory and swap together, from a document.
    pub memsw: Option<Limit<Bytes>>,
    /// Where throttling begins.
    pub memory_high: Option<MemoryHigh>,
    /// Memory that is reclaimed last; 0 for none.
    pub memory_low: Option<Limit<Bytes>>,
    /// Memory that is never reclaimed; 0 for none.
    pub memory_min: Option<Limit<Bytes>>,
    /// How many tasks there may be.
    pub pids: Option<Limit<u64>>,
    /// Limits of huge pages.
    pub hugepages: BTreeMap<HugepageSize, Limit<Bytes>>,
    /// The share of the disks.
    pub io_weight: Option<DiskWeight>,
    /// Limits of devices; what isn't named stays.
    pub io_max: BTreeMap<Device, BTreeMap<Rate, Limit<u64>>>,
    /// Files of version 2 by name.
    pub unified: BTreeMap<Knob, Value>,
    /// What the document also holds and no resize can change, e.g. `devices`. For a message; nothing depends on it.
    pub ignored: Vec<String>,
}

/// Where throttling begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryHigh {
    /// As the kubelet's MemoryQoS would have it, between request and limit.
    Auto,
    /// At this many bytes, or nowhere.
    Fixed(Limit<Bytes>),
}

/// A weight of disk input and output, in the scale that it was given in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskWeight {
    /// Version 2's 1..=10000.
    Io(IoWeight),
    /// Version 1's 10..=1000, from a document.
    Blkio(BlkioWeight),
}

impl Request {
    /// True if it asks for nothing.
    pub fn is_empty(&self) -> bool {
        let asked = Self { ignored: Vec::new(), ..self.clone() };
        asked == Self::default()
    }

    /// The controllers whose files decide what is asked for, by the names of version 2; huge pages are `hugetlb`.
    pub fn controllers(&self) -> BTreeSet<String> {
        let cpu = self.cpu_request.is_some() || self.cpu_weight.is_some() || self.cpu_shares.is_some();
        let bandwidth = self.cpu_limit.is_some() || self.cpu_quota.is_some() || self.cpu_period.is_some();
        let memory =
            self.memory_limit.is_some() || self.memory_request.is_some() || self.memory_high.is_some();
        let guard = self.memory_low.is_some() || self.memory_min.is_some();
        let named = [
            ("cpu", cpu || bandwidth || self.cpu_burst.is_some()),
            ("cpuset", self.cpus.is_some() || self.mems.is_some()),
            ("memory", memory || guard || self.swap.is_some() || self.memsw.is_some()),
            ("pids", self.pids.is_some()),
            ("hugetlb", !self.hugepages.is_empty()),
            ("io", self.io_weight.is_some() || !self.io_max.is_empty()),
        ];
        let unified = self.unified.keys().map(Knob::file);
        let unified = unified.map(|file| file.split('.').next().unwrap_or_default().to_owned());
        named
            .into_iter()
            .filter(|(_, asked)| *asked)
            .map(|(name, _)| name.to_owned())
            .chain(unified)
            .collect()
    }

    /// Refuses what contradicts itself: two words for one thing, and a limit below its request.
    ///
    /// # Errors
    /// [`RequestError`] with both values.
    pub fn check(&self) -> Result<(), RequestError> {
        let both = |one: &str, other: &str| {
            Err(RequestError::new(one, None, format!("give {other} or this, not both")))
        };
        if self.cpu_weight.is_some() && (self.cpu_request.is_some() || self.cpu_shares.is_some()) {
            return both("cpu-weight", "cpu-request");
        }
        if self.cpu_quota.is_some() && self.cpu_limit.is_some() {
            return both("cpu-limit", "cpu.quota");
        }
        if self.memsw.is_some() && self.swap.is_some() {
            return both("swap-limit", "memory.swap");
        }
        if let Some(knob) = self.unified.keys().find(|knob| self.asks_for(knob)) {
            return Err(RequestError::new(
                "unified",
                Some(knob.to_string()),
                "an option asks for it, too; give it once",
            ));
        }
        if let (Some(request), Some(Limit::At(limit))) = (self.cpu_request, self.cpu_limit)
            && limit < request
        {
            return Err(below("cpu-limit", limit, request));
        }
        if let Some(Limit::At(limit)) = self.memory_limit {
            if let Some(request) = self.memory_request.filter(|request| limit < *request) {
                return Err(below("memory-limit", limit, request));
            }
            for (name, amount) in [("memory-min", self.memory_min), ("memory-low", self.memory_low)] {
                if let Some(Limit::At(amount)) = amount.filter(|amount| *amount > Limit::At(limit)) {
                    let reason = format!("it is above the memory limit {limit}; lower it or raise the limit");
                    return Err(RequestError::new(name, Some(amount.to_string()), reason));
                }
            }
        }
        Ok(())
    }
}

impl Request {
    /// True if an option other than `unified` decides this knob of version 2.
    fn asks_for(&self, knob: &Knob) -> bool {
        match knob {
            Knob::MemoryMax => self.memory_limit.is_some(),
            Knob::SwapMax => self.swap.is_some() || self.memsw.is_some(),
            Knob::MemoryHigh => self.memory_high.is_some(),
            Knob::MemoryLow => self.memory_low.is_some(),
            Knob::MemoryMin => self.memory_min.is_some(),
            Knob::CpuMax => self.cpu_limit.is_some() || self.cpu_quota.is_some() || self.cpu_period.is_some(),
            Knob::CpuMaxBurst => self.cpu_burst.is_some(),
            Knob::CpuWeight => {
                self.cpu_request.is_some() || self.cpu_shares.is_some() || self.cpu_weight.is_some()
            }
            Knob::CpusetCpus => self.cpus.is_some(),
            Knob::CpusetMems => self.mems.is_some(),
            Knob::PidsMax => self.pids.is_some(),
            Knob::IoWeight | Knob::IoBfqWeight => self.io_weight.is_some(),
            Knob::HugetlbMax(size) => self.hugepages.contains_key(size),
            _ => false,
        }
    }
}

fn below(name: &str, limit: impl fmt::Display, request: impl fmt::Display) -> RequestError {
    let reason = format!("it is below the request {request}; raise the limit or lower the request");
    RequestError::new(name, Some(limit.to_string()), reason)
}

/// Something asked for that can't be meant: an option or a field, its value, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestError {
    name: String,
    value: Option<String>,
    reason: String,
}

impl RequestError {
    pub(crate) fn new(name: impl Into<String>, value: Option<String>, reason: impl Into<String>) -> Self {
        Self { name: name.into(), value, reason: reason.into() }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)?;
        if let Some(value) = &self.value {
            write!(out, " {}", Quoted(value))?;
        }
        write!(out, ": {}", self.reason)
    }
}

impl std::error::Error for RequestError {}
