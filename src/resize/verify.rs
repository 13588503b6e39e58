//! Reading back: which values, read after a write, are the one that was wanted. Only the kernel's own rounding is
//! accepted, and systemd's where a unit owns the cgroup; everything else means that somebody else has written.

use super::amount::{Bytes, Limit};
use super::convert::systemd;
use super::knob::Knob;
use super::knobs::Knobs;
use super::value::Value;

/// Who has the last word on a cgroup's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The kernel's files alone.
    Cgroupfs,
    /// A unit of systemd.
    Systemd,
}

/// True if the knob, in a cgroup whose knobs read `read` now, holds what the kernel makes of `wanted`: bytes rounded down
/// to a page or a huge page; on a unit's cgroup also a bandwidth of whole percents, and any period where there is no quota; texts without regard to blanks.
pub fn accepts(knob: &Knob, wanted: &Value, read: &Knobs, owner: Owner, page: Bytes) -> bool {
    let Some(found) = read.get(knob) else { return false };
    if wanted == found {
        return true;
    }
    // without a quota the period bounds nothing, and systemd forgets it
    let unbounded = |knobs: &Knobs| knobs.bandwidth().is_some_and(|cpu| cpu.quota == Limit::Max);
    match (wanted, found) {
        (Value::Cpu(cpu), _) if owner == Owner::Systemd && cpu.quota == Limit::Max => unbounded(read),
        (Value::Period(_), _) if owner == Owner::Systemd && unbounded(read) => true,
        (Value::Bytes(Limit::At(wanted)), Value::Bytes(Limit::At(found))) => {
            knob.grain(page).is_some_and(|grain| wanted.floor_to(grain) == *found)
        }
        (Value::Cpu(_) | Value::Quota(_), _) if owner == Owner::Systemd => {
            let mut asked = read.clone();
            asked.insert(knob.clone(), wanted.clone());
            systemd::settled(knob, &asked).as_ref() == Some(found)
        }
        (Value::Text(wanted), Value::Text(found)) => {
            wanted.split_ascii_whitespace().eq(found.split_ascii_whitespace())
        }
        _ => false,
    }
}
