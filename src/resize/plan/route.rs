//! How a knob is changed: by the runtime's update, so that its state stays true; else by systemd where a unit owns the
//! cgroup and systemd knows the knob; else by the kernel's file.

use crate::resize::convert::systemd;
use crate::resize::field::Writer;
use crate::resize::knob::{CgroupVersion, Knob};
use crate::resize::knobs::Knobs;
use crate::resize::snapshot::Unit;

use super::step::{FieldChange, PropertyChange, Route};

/// The runtime's way; `None` if its document can't say what is, or what shall be.
pub(super) fn by_runtime(writer: Writer, knob: &Knob, before: &Knobs, after: &Knobs) -> Option<Route> {
    // the shares that were asked for belong to the state after
    let old = Writer { shares: None, ..writer }.fields(knob, before)?;
    let new = writer.fields(knob, after)?;
    if old.len() != new.len() {
        return None;
    }
    let pairs = old.into_iter().zip(new);
    Some(Route::Runtime(pairs.map(|((_, old), (field, new))| FieldChange { field, old, new }).collect()))
}

/// systemd's way; `None` if no property stands for the knob. `believed` is what systemd holds now, as far as it is known.
pub(super) fn by_systemd(
    version: CgroupVersion,
    systemd: u32,
    unit: &Unit,
    knob: &Knob,
    before: &Knobs,
    after: &Knobs,
) -> Option<Route> {
    let mut believed = before.clone();
    believed.extend(unit.knobs.clone());
    let old = systemd::properties(version, knob, &believed, systemd)?;
    let new = systemd::properties(version, knob, after, systemd)?;
    let properties = old.into_iter().zip(new).map(|(old, new)| PropertyChange {
        name: new.name.to_owned(),
        old: old.value,
        new: new.value,
    });
    Some(Route::Systemd { unit: unit.name.clone(), properties: properties.collect() })
}
