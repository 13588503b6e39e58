//! One cgroup while a plan is made: what it holds after the steps so far, and what is still missing.

use crate::resize::amount::Bytes;
use crate::resize::convert::cpu::{CpuBurst, CpuShares};
use crate::resize::convert::systemd;
use crate::resize::knob::Knob;
use crate::resize::knobs::Knobs;
use crate::resize::snapshot::{Cgroup, Unit};
use crate::resize::value::Value;
use crate::resize::verify::{Owner, accepts};

use super::bandwidth::Bandwidth;
use super::step::Level;

/// One cgroup on its way from what it is to what it shall be.
pub(super) struct Site<'a> {
    pub(super) level: Level,
    pub(super) cgroup: &'a Cgroup,
    /// What its knobs hold after the steps so far.
    pub(super) now: Knobs,
    /// What systemd holds after the steps so far.
    pub(super) unit: Option<Unit>,
    /// What its knobs shall hold.
    pub(super) target: Knobs,
    /// What was asked of it, before it was held against what is.
    pub(super) asked: Knobs,
    /// True once systemd has been told of what it didn't know.
    pub(super) told: bool,
    pub(super) shares: Option<CpuShares>,
    /// True if the runtime's update changes it.
    pub(super) by_runtime: bool,
}

impl<'a> Site<'a> {
    pub(super) fn new(level: Level, cgroup: &'a Cgroup, asked: Knobs, page: Bytes) -> Self {
        let owner = if cgroup.unit.is_some() { Owner::Systemd } else { Owner::Cgroupfs };
        // quota and period are one thing in two files of version 1
        let same_bandwidth = asked.bandwidth().zip(cgroup.knobs.bandwidth()).is_some_and(|(wanted, now)| {
            let now = Knobs::from_iter([(Knob::CpuMax, Value::Cpu(now))]);
            accepts(&Knob::CpuMax, &Value::Cpu(wanted), &now, owner, page)
        });
        // what is already so is no step, and keeps the kernel's own number
        let is_so = |knob: &Knob, wanted: &Value| match knob {
            Knob::CpuMax | Knob::CfsQuota | Knob::CfsPeriod => same_bandwidth,
            _ => accepts(knob, wanted, &cgroup.knobs, owner, page),
        };
        let held =
            |knob: &Knob, wanted: &Value| cgroup.knobs.get(knob).filter(|_| is_so(knob, wanted)).cloned();
        let target = asked
            .iter()
            .map(|(knob, wanted)| (knob.clone(), held(knob, wanted).unwrap_or_else(|| wanted.clone())))
            .collect();
        Self {
            level,
            cgroup,
            now: cgroup.knobs.clone(),
            unit: cgroup.unit.clone(),
            target,
            asked,
            told: false,
            shares: None,
            by_runtime: false,
        }
    }

    /// What still has to change, in the order of knobs.
    pub(super) fn pending(&self) -> Vec<(Knob, Value)> {
        let pending =
            self.target.iter().filter(|(knob, value)| self.now.get(knob).is_none_or(|now| now != *value));
        pending.map(|(knob, value)| (knob.clone(), value.clone())).collect()
    }

    /// What all its knobs shall hold in the end.
    pub(super) fn end(&self) -> Knobs {
        let mut end = self.cgroup.knobs.clone();
        end.extend(self.target.clone());
        end
    }

    /// True if systemd doesn't know of something that was asked.
    pub(super) fn believes_otherwise(&self) -> bool {
        let believed = |knob: &Knob| self.unit.as_ref().and_then(|unit| unit.knobs.get(knob));
        let differs = |knob: &Knob| {
            believed(knob).is_some_and(|value| systemd::settled(knob, &self.now).as_ref() != Some(value))
        };
        self.asked.iter().any(|(knob, _)| differs(knob))
    }

    pub(super) fn bandwidth_change(&self) -> Option<(Bandwidth, Bandwidth)> {
        let of = |knobs: &Knobs| {
            let burst = knobs.burst().unwrap_or(CpuBurst::ZERO);
            knobs.bandwidth().map(|cpu| Bandwidth { cpu, burst })
        };
        of(&self.now).zip(of(&self.end())).filter(|(from, to)| from != to)
    }

    pub(super) fn changes_bandwidth(&self) -> bool {
        self.cgroup.knobs.bandwidth() != self.end().bandwidth()
    }
}
