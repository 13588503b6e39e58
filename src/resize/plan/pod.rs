//! The pod's own cgroup, kept in step with its containers. The API server isn't asked: what the containers gain and lose
//! is added to what the pod has.
//!
//! A pod's limit stands for the sum of its containers' only while each of them has one. So it goes when one becomes
//! unlimited, comes back when the last one is limited again, and is left alone where it never was that sum, as with
//! pod-level resources. QoS slices above are the kubelet's.

use crate::resize::amount::{Bytes, Limit};
use crate::resize::convert::cpu::{CpuBurst, CpuMax, CpuPeriod, CpuQuota, CpuShares};
use crate::resize::convert::weight::{CpuWeight, WeightFormula};
use crate::resize::knob::{CgroupVersion, Knob};
use crate::resize::knobs::Knobs;
use crate::resize::snapshot::Cgroup;
use crate::resize::value::Value;

/// One container's knobs before and after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change<'a> {
    pub(super) old: &'a Knobs,
    pub(super) new: &'a Knobs,
    pub(super) formula: WeightFormula,
}

/// What the pod's knobs become; those that aren't named stay. `complete` says that `changes` has all of the pod's
/// containers, also those that stay as they are.
pub(super) fn target(version: CgroupVersion, pod: &Cgroup, changes: &[Change<'_>], complete: bool) -> Knobs {
    let mut knobs = Knobs::default();
    let sums = pod.knobs.iter().filter(|(knob, _)| is_summed(knob));
    for (knob, value) in sums {
        let Value::Bytes(own) = value else { continue };
        let number = |limit: Limit<Bytes>| limit.map(Bytes::get);
        // a missing file protects nothing, and bounds nothing; only the hard limit comes back by itself
        let (kind, missing) = match knob {
            Knob::MemoryMin | Knob::MemoryLow => (Kind::Protection, Limit::At(0)),
            Knob::MemoryMax | Knob::MemoryLimit => (Kind::Limit { returns: complete }, Limit::Max),
            _ => (Kind::Limit { returns: false }, Limit::Max),
        };
        let each = |knobs: &Knobs| knobs.bytes(knob).map_or(missing, number);
        let (old, new) = both(changes, each);
        if let Some(sum) = in_step(number(*own), &old, &new, kind) {
            let bytes = sum.at().map_or(Some(Limit::Max), |sum| Bytes::new(sum).map(Limit::At));
            knobs.insert(knob.clone(), Value::Bytes(bytes.unwrap_or(Limit::Max)));
        }
    }
    keep_sum_above_limit(pod, &mut knobs);
    bandwidth(version, pod, changes, complete, &mut knobs);
    shares(pod, changes, &mut knobs);
    knobs
}

/// The knobs of bytes whose pod value follows its containers'. `memory.high` isn't one: the kubelet sets it on
/// containers only.
fn is_summed(knob: &Knob) -> bool {
    matches!(
        knob,
        Knob::MemoryMin
            | Knob::MemoryLow
            | Knob::MemoryMax
            | Knob::SwapMax
            | Knob::MemoryLimit
            | Knob::MemswLimit
            | Knob::HugetlbLimit(_)
            | Knob::HugetlbMax(_)
    )
}

fn both(changes: &[Change<'_>], each: impl Fn(&Knobs) -> Limit<u64>) -> (Vec<Limit<u64>>, Vec<Limit<u64>>) {
    changes.iter().map(|change| (each(change.old), each(change.new))).unzip()
}

#[derive(Clone, Copy)]
enum Kind {
    /// A bound; `returns` if a pod without one gets it back with its last container's.
    Limit { returns: bool },
    /// A guarantee.
    Protection,
}

/// The pod's number after its containers went from `old` to `new`; `None` if it stays.
fn in_step(own: Limit<u64>, old: &[Limit<u64>], new: &[Limit<u64>], kind: Kind) -> Option<Limit<u64>> {
    if old == new {
        return None;
    }
    let sum =
        |limits: &[Limit<u64>]| limits.iter().map(|limit| limit.at().map(u128::from)).sum::<Option<u128>>();
    let largest = || new.iter().filter_map(|limit| limit.at()).max().unwrap_or_default();
    let number = |sum: u128| u64::try_from(sum).map_or(Limit::Max, Limit::At);
    let after = match (own, sum(old), sum(new), kind) {
        (Limit::At(own), Some(old), Some(new), Kind::Protection) => {
            number((u128::from(own) + new).saturating_sub(old))
        }
        (_, _, _, Kind::Protection) => own,
        // it was the sum, or more
        (Limit::At(own), Some(old), Some(new), _) if u128::from(own) >= old => {
            number(u128::from(own) + new - old)
        }
        // it was less than the sum, by rounding or on purpose: it only mustn't hold a container back
        (Limit::At(own), Some(_), Some(_), _) => Limit::At(own.max(largest())),
        (Limit::At(_), Some(_), None, _) => Limit::Max,
        (Limit::Max, None, Some(new), Kind::Limit { returns: true }) => number(new),
        // it never stood for the sum
        (own, _, _, _) => own,
    };
    Some(after).filter(|after| *after != own)
}

/// Version 1: the pod's sum of memory and swap never falls below its memory limit.
fn keep_sum_above_limit(pod: &Cgroup, knobs: &mut Knobs) {
    let after = |knob| knobs.bytes(&knob).or_else(|| pod.knobs.bytes(&knob));
    if let (Some(limit), Some(sum)) = (after(Knob::MemoryLimit), after(Knob::MemswLimit))
        && sum < limit
    {
        knobs.insert(Knob::MemswLimit, Value::Bytes(limit));
    }
}

/// The quota, counted at the pod's own period.
fn bandwidth(
    version: CgroupVersion,
    pod: &Cgroup,
    changes: &[Change<'_>],
    complete: bool,
    knobs: &mut Knobs,
) {
    let Some(own) = pod.knobs.bandwidth() else { return };
    // a runtime may have left a period behind on a pod without a quota
    let period = if own.quota == Limit::Max { CpuPeriod::DEFAULT } else { own.period };
    let each = |knobs: &Knobs| {
        let cpu = knobs.bandwidth().and_then(|cpu| cpu.at_period(period));
        cpu.map_or(Limit::Max, |cpu| cpu.quota.map(CpuQuota::get))
    };
    let (old, new) = both(changes, each);
    let sum = in_step(own.quota.map(CpuQuota::get), &old, &new, Kind::Limit { returns: complete });
    let Some(sum) = sum else { return };
    let quota = sum
        .at()
        .map_or(Some(Limit::Max), |micros| CpuQuota::new(micros).map(Limit::At))
        .unwrap_or(Limit::Max);
    let cpu = CpuMax { quota, period: if quota == Limit::Max { own.period } else { period } };
    // without a quota the period bounds nothing, and stays what it is
    let rounds = pod.unit.is_some() && quota != Limit::Max;
    let cpu = if rounds { cpu.after_systemd() } else { cpu };
    knobs.set_bandwidth(version, cpu);
    if let (Some(burst), Limit::At(quota)) = (pod.knobs.burst(), cpu.quota)
        && burst.get() > quota.get()
        && let Some(burst) = CpuBurst::new(quota.get())
    {
        knobs.insert(version.burst(), Value::Burst(burst));
    }
}

/// The shares: what the containers gain and lose, in the pod's own formula where they are a weight.
fn shares(pod: &Cgroup, changes: &[Change<'_>], knobs: &mut Knobs) {
    let each = |knobs: &Knobs, formula| knobs.shares(formula).map_or(0, CpuShares::get);
    let old: u64 = changes.iter().map(|change| each(change.old, change.formula)).sum();
    let new: u64 = changes.iter().map(|change| each(change.new, change.formula)).sum();
    let Some(own) = pod.knobs.shares(pod.formula).filter(|_| old != new) else { return };
    let shares = CpuShares::clamped((own.get() + new).saturating_sub(old));
    if pod.knobs.has(&Knob::CpuShares) {
        knobs.insert(Knob::CpuShares, Value::Shares(shares));
    } else {
        knobs.insert(Knob::CpuWeight, Value::Weight(CpuWeight::from_shares(shares, pod.formula)));
    }
}
