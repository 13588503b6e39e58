//! CPU time and CPUs. A limit needs the period that it is for; a weight needs the cgroup's own formula; a set lies within
//! the parent's.

use super::{Conversion, Target};
use crate::resize::amount::Limit;
use crate::resize::convert::cpu::{CpuBurst, CpuMax, CpuPeriod, CpuShares};
use crate::resize::convert::cpuset::Cpuset;
use crate::resize::convert::systemd;
use crate::resize::convert::weight::CpuWeight;
use crate::resize::knob::{CgroupVersion, Knob};
use crate::resize::knobs::Knobs;
use crate::resize::refusal::Refusal;
use crate::resize::snapshot::Mode;
use crate::resize::value::Value;

impl Conversion<'_> {
    pub(super) fn shares(&self, target: &mut Target) -> Result<(), Refusal> {
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

    pub(super) fn bandwidth(&self, knobs: &mut Knobs) -> Result<(), Refusal> {
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
        let asked = knobs.bandwidth().filter(|_| direct);
        // what is so already stays as exact as it is
        let Some(cpu) = asked.filter(|cpu| self.now().bandwidth() != Some(*cpu)) else { return Ok(()) };
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

    pub(super) fn cpuset(&self, knobs: &mut Knobs) -> Result<(), Refusal> {
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
}
