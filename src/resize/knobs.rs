//! The knobs of one cgroup together, and the questions that have one answer in both versions: its bandwidth, its memory
//! limit, its allowance of swap.

use std::collections::BTreeMap;

use super::amount::{Bytes, Limit};
use super::convert::cpu::{CpuBurst, CpuMax, CpuShares};
use super::convert::cpuset::Cpuset;
use super::convert::memory;
use super::convert::weight::WeightFormula;
use super::knob::{CgroupVersion, Knob};
use super::value::Value;

/// Values by knob. A knob that isn't here has no file: the kernel lacks it, or its controller is off; or nobody asked
/// for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Knobs(BTreeMap<Knob, Value>);

impl Knobs {
    /// The value of a knob.
    pub fn get(&self, knob: &Knob) -> Option<&Value> {
        self.0.get(knob)
    }

    /// True if the knob is here.
    pub fn has(&self, knob: &Knob) -> bool {
        self.0.contains_key(knob)
    }

    /// Sets the value of a knob and returns the one before.
    pub fn insert(&mut self, knob: Knob, value: Value) -> Option<Value> {
        self.0.insert(knob, value)
    }

    /// Takes a knob out.
    pub fn remove(&mut self, knob: &Knob) -> Option<Value> {
        self.0.remove(knob)
    }

    /// Sets all of these.
    pub fn extend(&mut self, knobs: impl IntoIterator<Item = (Knob, Value)>) {
        self.0.extend(knobs);
    }

    /// All, in the order of [`Knob`].
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Knob, &Value)> {
        self.0.iter()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A limit of bytes.
    pub fn bytes(&self, knob: &Knob) -> Option<Limit<Bytes>> {
        match self.get(knob) {
            Some(Value::Bytes(limit)) => Some(*limit),
            _ => None,
        }
    }

    /// A cpuset.
    pub fn set(&self, knob: &Knob) -> Option<&Cpuset> {
        match self.get(knob) {
            Some(Value::Set(set)) => Some(set),
            _ => None,
        }
    }

    /// Quota and period, from the one knob of version 2 or the two of version 1.
    pub fn bandwidth(&self) -> Option<CpuMax> {
        match (self.get(&Knob::CpuMax), self.get(&Knob::CfsQuota), self.get(&Knob::CfsPeriod)) {
            (Some(Value::Cpu(cpu)), _, _) => Some(*cpu),
            (None, Some(Value::Quota(quota)), Some(Value::Period(period))) => {
                Some(CpuMax { quota: *quota, period: *period })
            }
            _ => None,
        }
    }

    /// Sets quota and period in the version's own knobs.
    pub fn set_bandwidth(&mut self, version: CgroupVersion, cpu: CpuMax) {
        match version {
            CgroupVersion::V1 => {
                self.insert(Knob::CfsQuota, Value::Quota(cpu.quota));
                self.insert(Knob::CfsPeriod, Value::Period(cpu.period));
            }
            CgroupVersion::V2 => {
                self.insert(Knob::CpuMax, Value::Cpu(cpu));
            }
        }
    }

    /// The burst.
    pub fn burst(&self) -> Option<CpuBurst> {
        match self.get(&Knob::CpuMaxBurst).or_else(|| self.get(&Knob::CfsBurst)) {
            Some(Value::Burst(burst)) => Some(*burst),
            _ => None,
        }
    }

    /// The hard limit of memory.
    pub fn memory_limit(&self) -> Option<Limit<Bytes>> {
        self.bytes(&Knob::MemoryMax).or_else(|| self.bytes(&Knob::MemoryLimit))
    }

    /// How much swap is allowed beside the memory limit.
    pub fn swap(&self) -> Option<Limit<Bytes>> {
        self.bytes(&Knob::SwapMax)
            .or_else(|| Some(memory::swap(self.bytes(&Knob::MemoryLimit)?, self.bytes(&Knob::MemswLimit)?)))
    }

    /// The shares, or the least that give this weight.
    pub fn shares(&self, formula: WeightFormula) -> Option<CpuShares> {
        match self.get(&Knob::CpuShares).or_else(|| self.get(&Knob::CpuWeight)) {
            Some(Value::Shares(shares)) => Some(*shares),
            Some(Value::Weight(weight)) => Some(weight.to_shares(formula)),
            _ => None,
        }
    }
}

impl FromIterator<(Knob, Value)> for Knobs {
    fn from_iter<I: IntoIterator<Item = (Knob, Value)>>(knobs: I) -> Self {
        Self(knobs.into_iter().collect())
    }
}

impl IntoIterator for Knobs {
    type Item = (Knob, Value);
    type IntoIter = std::collections::btree_map::IntoIter<Knob, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl CgroupVersion {
    /// The knob of the hard memory limit.
    pub const fn memory_limit(self) -> Knob {
        match self {
            Self::V1 => Knob::MemoryLimit,
            Self::V2 => Knob::MemoryMax,
        }
    }

    /// The knob of the burst.
    pub const fn burst(self) -> Knob {
        match self {
            Self::V1 => Knob::CfsBurst,
            Self::V2 => Knob::CpuMaxBurst,
        }
    }

    /// The knob that a quota is written to.
    pub const fn quota(self) -> Knob {
        match self {
            Self::V1 => Knob::CfsQuota,
            Self::V2 => Knob::CpuMax,
        }
    }
}
