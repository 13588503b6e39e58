//! Quota, period and burst of one cgroup: in which order they change. The kernel refuses a burst above the quota, and on
//! version 1 a child whose share of a CPU exceeds its parent's; and where quota and period are two files, a mixture of
//! the old and the new throttles. So the orders are tried, the usual one first, and the first whose every state between
//! is allowed is taken.

use crate::resize::amount::Limit;
use crate::resize::convert::cpu::{CpuBurst, CpuMax, Ratio};
use crate::resize::knob::{CgroupVersion, Knob};
use crate::resize::value::Value;

use super::step::Reason;

/// One cgroup's CPU bandwidth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bandwidth {
    pub(super) cpu: CpuMax,
    pub(super) burst: CpuBurst,
}

/// What changes in one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// Quota and period at once.
    Both,
    Quota,
    Period,
    Burst,
    /// Version 1: no quota for a while.
    Lift,
}

impl Bandwidth {
    fn after(self, step: Move, to: Self) -> Self {
        let (mut cpu, mut burst) = (self.cpu, self.burst);
        match step {
            Move::Both => cpu = to.cpu,
            Move::Quota => cpu.quota = to.cpu.quota,
            Move::Period => cpu.period = to.cpu.period,
            Move::Burst => burst = to.burst,
            Move::Lift => cpu.quota = Limit::Max,
        }
        Self { cpu, burst }
    }

    /// The knobs that differ from a state before.
    fn knobs_since(self, before: Self, version: CgroupVersion) -> Vec<(Knob, Value)> {
        let (cpu, burst) = (self.cpu != before.cpu, self.burst != before.burst);
        let quota = self.cpu.quota != before.cpu.quota;
        let period = self.cpu.period != before.cpu.period;
        let burst = burst.then_some((version.burst(), Value::Burst(self.burst)));
        let knobs = match version {
            CgroupVersion::V2 => vec![cpu.then_some((Knob::CpuMax, Value::Cpu(self.cpu))), burst],
            CgroupVersion::V1 => vec![
                quota.then_some((Knob::CfsQuota, Value::Quota(self.cpu.quota))),
                period.then_some((Knob::CfsPeriod, Value::Period(self.cpu.period))),
                burst,
            ],
        };
        knobs.into_iter().flatten().collect()
    }
}

/// One write, or several in one call: knobs and values, and why it stands where it does, if that isn't the usual reason.
pub(super) type Write = (Vec<(Knob, Value)>, Option<Reason>);

/// How the values of one cgroup can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Means {
    /// A file at a time.
    Files,
    /// Quota and period in one call, the burst by its file.
    QuotaAndPeriod,
    /// Everything in one call.
    Everything,
}

/// What to write, in order. `parent` is what the parent allows meanwhile (it matters on version 1, where a cgroup without
/// a quota simply inherits).
pub(super) fn sequence(
    version: CgroupVersion,
    from: Bandwidth,
    to: Bandwidth,
    parent: Ratio,
    means: Means,
) -> Vec<Write> {
    let shrinks = to.cpu.is_below(from.cpu);
    let moves: &[Move] = match (version, means, shrinks) {
        (CgroupVersion::V1, Means::Files, true) => &[Move::Burst, Move::Quota, Move::Period],
        (CgroupVersion::V1, Means::Files, false) => &[Move::Quota, Move::Period, Move::Burst],
        (_, _, true) => &[Move::Burst, Move::Both],
        (_, _, false) => &[Move::Both, Move::Burst],
    };
    let moves: Vec<Move> = moves.iter().copied().filter(|step| from.after(*step, to) != from).collect();
    let allowed = |order: &[Move]| {
        let mut state = from;
        order.iter().all(|step| {
            state = state.after(*step, to);
            let tight = state.cpu.is_below(from.cpu) && state.cpu.is_below(to.cpu);
            let inherits = version == CgroupVersion::V2 || state.cpu.quota == Limit::Max;
            state.burst.fits(state.cpu.quota) && !tight && (inherits || state.cpu.ratio() <= parent)
        })
    };
    let usual = if means == Means::Everything { Some(moves.clone()) } else { None };
    let order = usual.or_else(|| orders(&moves).into_iter().find(|order| allowed(order)));
    let lifted = || [Move::Lift, Move::Period, Move::Burst, Move::Quota];
    let order = order.unwrap_or_else(|| {
        let needed = |step: &Move| moves.contains(step) || matches!(step, Move::Lift | Move::Quota);
        lifted().into_iter().filter(needed).collect()
    });
    let mut state = from;
    let mut writes = Vec::new();
    for (at, step) in order.iter().enumerate() {
        let before = state;
        state = state.after(*step, to);
        let later = |other| order.get(at + 1..).is_some_and(|rest| rest.contains(&other));
        let reason = match step {
            _ if order.contains(&Move::Lift) && *step != Move::Burst => Some(Reason::LiftQuota),
            Move::Burst if later(Move::Both) || later(Move::Quota) => Some(Reason::BurstFirst),
            Move::Both | Move::Quota if later(Move::Burst) => Some(Reason::QuotaFirst),
            _ => None,
        };
        writes.push((state.knobs_since(before, version), reason));
    }
    writes
}

/// All orders of the moves, the given one first.
fn orders(moves: &[Move]) -> Vec<Vec<Move>> {
    if moves.len() < 2 {
        return vec![moves.to_vec()];
    }
    moves
        .iter()
        .flat_map(|first| {
            let rest: Vec<Move> = moves.iter().copied().filter(|step| step != first).collect();
            orders(&rest).into_iter().map(move |order| [vec![*first], order].concat())
        })
        .collect()
}
