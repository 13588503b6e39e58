//! The way back: what a transaction has begun, undone in reverse, and looked at afterwards. It doesn't stop at what fails:
//! everything else is put back all the same, and what remains is named.

use std::collections::BTreeMap;

use super::apply::{is_absent, keys, make, repair};
use super::{Failure, Scene, Watcher};
use crate::resize::knobs::Knobs;
use crate::resize::plan::rollback::rollback;
use crate::resize::plan::{Action, Level, Step};
use crate::resize::snapshot::CgroupKey;
use crate::resize::verify::accepts;

/// What could not be put back, a line each: which knob of what, what it was and what it is. Empty if all is as it was.
pub type Remains = Vec<String>;

/// Undoes `applied`, the steps of a plan that were begun.
pub fn undo(scene: &Scene, applied: &[Step], watcher: &dyn Watcher) -> Remains {
    let mut remains = Remains::new();
    let mut stuck: Vec<&CgroupKey> = Vec::new();
    let steps = rollback(applied, scene.way);
    for call in steps.chunk_by(|before, step| step.joins(before)) {
        let Some(first) = call.first() else { continue };
        // a limit that would kill is left where it is
        let kills = call.iter().any(|step| step.knob() == Some(&crate::resize::knob::Knob::MemoryMax));
        if kills && stuck.contains(&&first.cgroup) {
            continue;
        }
        if let (Err(Failure::Stuck { usage, target, .. }), Action::Reclaim(_)) =
            (make(scene, call, watcher), &first.action)
        {
            stuck.extend(scene.sites.keys().find(|key| **key == first.cgroup));
            let name = scene.name(&first.cgroup, &first.level);
            remains.push(format!("{name}: the memory limit can't go back to {target}: {usage} are in use"));
        }
    }
    let (levels, before) = original(applied);
    for key in keys(applied) {
        let (Some(site), Some(changed)) = (scene.sites.get(key), before.get(key)) else { continue };
        let mut wanted = scene.original(key, changed);
        if stuck.contains(&key) {
            wanted.remove(&crate::resize::knob::Knob::MemoryMax);
        }
        let looked = scene.whole(key, site).and_then(|group| {
            let repaired = repair(scene, &group, site.owner(), &wanted);
            Ok((scene.knobs(&group)?, repaired.err()))
        });
        let (now, repaired) = match looked {
            Ok(looked) => looked,
            // with the container its limits have gone
            Err(Failure::Gone) => continue,
            Err(why) => {
                remains.push(why.to_string());
                continue;
            }
        };
        for (knob, old) in wanted.iter() {
            if !accepts(knob, old, &now, site.owner(), scene.page) && !is_absent(old, now.get(knob)) {
                let found = now.get(knob).map_or_else(|| "nothing".to_owned(), ToString::to_string);
                let level = levels.get(key).map_or_else(|| key.to_string(), |level| scene.name(key, level));
                let why = repaired.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                remains.push(format!("{level}: {knob} was {old} and is {found}{why}"));
            }
        }
    }
    remains
}

/// What each knob held before the first step on it.
fn original(applied: &[Step]) -> (BTreeMap<&CgroupKey, &Level>, BTreeMap<&CgroupKey, Knobs>) {
    let mut levels = BTreeMap::new();
    let mut before: BTreeMap<&CgroupKey, Knobs> = BTreeMap::new();
    for step in applied {
        levels.entry(&step.cgroup).or_insert(&step.level);
        if let Action::Set { knob, old, .. } = &step.action {
            let knobs = before.entry(&step.cgroup).or_default();
            if !knobs.has(knob) {
                knobs.insert(knob.clone(), old.clone());
            }
        }
    }
    (levels, before)
}
