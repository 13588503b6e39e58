//! Backwards: what has been applied of a plan, undone. The states that the way back passes are those that the plan has
//! passed, so that each law that held on the way there holds on the way back.

use crate::resize::amount::Limit;
use crate::resize::convert::systemd;
use crate::resize::knob::Knob;
use crate::resize::knobs::Knobs;
use crate::resize::snapshot::ReclaimWay;
use crate::resize::value::{Course, Value};

use super::step::{Action, FieldChange, Level, PropertyChange, Reason, Reclaim, Route, Step};

/// The steps that undo `applied`, a journal's steps in the order in which they were begun. A step that was begun and not
/// finished may be among them: what is put back is what was there before.
///
/// A memory limit that goes down again is preceded by a reclaim, because the usage may have grown meanwhile. Where
/// systemd had been told of what the kernel held all along, it isn't made to forget it.
pub fn rollback(applied: &[Step], way: ReclaimWay) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut exact: Vec<Step> = Vec::new();
    let calls: Vec<&[Step]> = applied.chunk_by(|before, step| step.joins(before)).collect();
    for call in calls.into_iter().rev() {
        // version 1 refuses a container the whole percent that systemd makes of its quota, if the pod has exactly as much,
        // and systemd only logs that: so the exact number is there first
        let quota = |step: &&Step| step.knob() == Some(&Knob::CfsQuota) && step.level != Level::Pod;
        steps.extend(call.iter().filter(quota).filter_map(by_file));
        for step in call.iter().rev().filter(|step| step.reason != Reason::TellSystemd) {
            let Action::Set { knob, old, new, route } = &step.action else { continue };
            if let (Knob::MemoryMax | Knob::MemoryLimit, Value::Bytes(Limit::At(target))) = (knob, old)
                && way != ReclaimWay::ByTheWrite
                && new.course(old) == Some(Course::Down)
            {
                let action = Action::Reclaim(Reclaim { usage: None, target: *target, stuck: None, way });
                steps.push(Step { action, reason: Reason::Undo, ..step.clone() });
            }
            steps.push(undo(step, knob, old, new, backwards(route)));
            // a number that systemd rounds comes last, when systemd has written for the last time
            let whole = Knobs::from_iter([(knob.clone(), old.clone())]);
            if *knob == Knob::CpuMax && systemd::settled(knob, &whole).as_ref() != Some(old) {
                exact.retain(|other| other.cgroup != step.cgroup);
                exact.extend(by_file(step));
            }
        }
    }
    steps.extend(exact);
    steps
}

fn undo(step: &Step, knob: &Knob, old: &Value, new: &Value, route: Route) -> Step {
    let action = Action::Set { knob: knob.clone(), old: new.clone(), new: old.clone(), route };
    Step { action, reason: Reason::Undo, ..step.clone() }
}

/// What systemd has set, put back by the file.
fn by_file(step: &Step) -> Option<Step> {
    match &step.action {
        Action::Set { knob, old, new, route: Route::Systemd { .. } }
            if step.reason != Reason::TellSystemd =>
        {
            Some(undo(step, knob, old, new, Route::File))
        }
        _ => None,
    }
}

fn backwards(route: &Route) -> Route {
    match route {
        Route::File => Route::File,
        Route::Runtime(fields) => Route::Runtime(
            fields
                .iter()
                .map(|change| FieldChange {
                    field: change.field.clone(),
                    old: change.new.clone(),
                    new: change.old.clone(),
                })
                .collect(),
        ),
        Route::Systemd { unit, properties } => Route::Systemd {
            unit: unit.clone(),
            properties: properties
                .iter()
                .map(|change| PropertyChange {
                    name: change.name.clone(),
                    old: change.new.clone(),
                    new: change.old.clone(),
                })
                .collect(),
        },
    }
}
