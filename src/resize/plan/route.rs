//! How a knob is changed: by the runtime's update, so that its state stays true; else by systemd where a unit owns the
//! cgroup and systemd knows the knob; else by the kernel's file.

use std::collections::BTreeMap;

use crate::resize::convert::systemd;
use crate::resize::field::Writer;
use crate::resize::knob::{CgroupVersion, Knob};
use crate::resize::knobs::Knobs;
use crate::resize::snapshot::Unit;

use super::step::{FieldChange, PropertyChange, Route};

/// The runtime's way; `None` if its document can't say what is, or what shall be.
pub(super) fn by_runtime(writer: Writer, knob: &Knob, before: &Knobs, after: &Knobs) -> Option<Route> {
    // the shares that were asked for belong to the state after
    let mut old: BTreeMap<_, _> =
        Writer { shares: None, ..writer }.fields(knob, before)?.into_iter().collect();
    let new: BTreeMap<_, _> = writer.fields(knob, after)?.into_iter().collect();
    let changes =
        new.into_iter().map(|(field, new)| Some(FieldChange { old: old.remove(&field)?, field, new }));
    changes.collect::<Option<Vec<_>>>().map(Route::Runtime)
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
    let mut properties: Vec<_> = old
        .into_iter()
        .zip(new)
        .map(|(old, new)| PropertyChange { name: new.name.to_owned(), old: old.value, new: new.value })
        .collect();
    properties.sort_by(|one, other| one.name.cmp(&other.name));
    Some(Route::Systemd { unit: unit.name.clone(), properties })
}
