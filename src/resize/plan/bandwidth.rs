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
    /// Version 2: quota and period at once.
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
}

/// The knobs to write, in order. `atomic` says that all of them go in one call, which has no states between; `parent` is
/// what the parent allows meanwhile (it matters on version 1, where a cgroup without a quota simply inherits).
pub(super) fn sequence(
    version: CgroupVersion,
    from: Bandwidth,
    to: Bandwidth,
    parent: Ratio,
    atomic: bool,
) -> Vec<(Knob, Value, Option<Reason>)> {
    let shrinks = to.cpu.is_below(from.cpu);
    let moves = match (version, shrinks) {
        (CgroupVersion::V2, true) => vec![Move::Burst, Move::Both],
        (CgroupVersion::V2, false) => vec![Move::Both, Move::Burst],
        (CgroupVersion::V1, true) => vec![Move::Burst, Move::Quota, Move::Period],
        (CgroupVersion::V1, false) => vec![Move::Quota, Move::Period, Move::Burst],
    };
    let moves: Vec<Move> = moves.into_iter().filter(|step| from.after(*step, to) != from).collect();
    let allowed = |order: &[Move]| {
        let mut state = from;
        order.iter().all(|step| {
            state = state.after(*step, to);
            let tight = state.cpu.is_below(from.cpu) && state.cpu.is_below(to.cpu);
            let inherits = version == CgroupVersion::V2 || state.cpu.quota == Limit::Max;
            state.burst.fits(state.cpu.quota) && !tight && (inherits || state.cpu.ratio() <= parent)
        })
    };
    let order =
        if atomic { Some(moves.clone()) } else { orders(&moves).into_iter().find(|order| allowed(order)) };
    let lifted = vec![Move::Lift, Move::Period, Move::Burst, Move::Quota];
    let order = order.unwrap_or_else(|| {
        lifted.into_iter().filter(|step| moves.contains(step) || *step == Move::Lift).collect()
    });
    let mut state = from;
    let mut writes = Vec::new();
    for (at, step) in order.iter().enumerate() {
        state = state.after(*step, to);
        let later = |other| order.get(at + 1..).is_some_and(|rest| rest.contains(&other));
        let reason = match step {
            _ if order.contains(&Move::Lift) && *step != Move::Burst => Some(Reason::LiftQuota),
            Move::Burst if later(Move::Both) || later(Move::Quota) => Some(Reason::BurstFirst),
            Move::Both | Move::Quota if later(Move::Burst) => Some(Reason::QuotaFirst),
            _ => None,
        };
        let (knob, value) = match step {
            Move::Both => (Knob::CpuMax, Value::Cpu(state.cpu)),
            Move::Quota | Move::Lift => (Knob::CfsQuota, Value::Quota(state.cpu.quota)),
            Move::Period => (Knob::CfsPeriod, Value::Period(state.cpu.period)),
            Move::Burst => (version.burst(), Value::Burst(state.burst)),
        };
        writes.push((knob, value, reason));
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
