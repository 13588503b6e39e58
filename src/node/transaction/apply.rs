//! A plan, done: call by call, each announced in the journal before and read back after.

use std::collections::{BTreeMap, BTreeSet};

use super::{Failure, Journal, Scene, Site, Watcher, reclaim, update};
use crate::resize::knobs::Knobs;
use crate::resize::plan::{Action, Level, Reason, Route, Step};
use crate::resize::snapshot::CgroupKey;
use crate::resize::value::Value;
use crate::resize::verify::accepts;

/// Where a plan stopped, and why.
#[derive(Debug)]
pub struct Stop {
    /// The cgroup.
    pub level: Level,
    /// Why.
    pub why: Failure,
}

/// Does all steps of the journal's plan. Containers that end meanwhile are passed over; what comes back are their names.
///
/// # Errors
/// `Stop` at the first step that fails; what was begun has to be undone.
pub fn apply(
    scene: &Scene,
    steps: &[Step],
    journal: &mut Journal,
    watcher: &mut dyn Watcher,
) -> Result<BTreeSet<Level>, Stop> {
    let mut gone = BTreeSet::new();
    for call in steps.chunk_by(|before, step| step.joins(before)) {
        let Some(first) = call.first() else { continue };
        let stop = |why| Stop { level: first.level.clone(), why };
        journal.announce(call.len()).map_err(|why| stop(Failure::Other(why.to_string())))?;
        if gone.contains(&first.level) {
            continue;
        }
        match make(scene, call, watcher) {
            Ok(()) => {}
            Err(Failure::Gone) => {
                gone.insert(first.level.clone());
            }
            Err(why) => return Err(stop(why)),
        }
    }
    Ok(gone)
}

/// Makes one call, and reads back.
///
/// # Errors
/// [`Failure`].
pub(super) fn make(scene: &Scene, call: &[Step], watcher: &mut dyn Watcher) -> Result<(), Failure> {
    let Some(first) = call.first() else { return Ok(()) };
    let site = scene.site(&first.cgroup)?;
    match &first.action {
        Action::Reclaim(wanted) => reclaim::reclaim(scene, site, &first.level, wanted, watcher),
        Action::Set { route: Route::Runtime(_), .. } => by_runtime(scene, site, call),
        Action::Set { route: Route::Systemd { unit, .. }, .. } => by_systemd(scene, site, unit, call),
        Action::Set { knob, new, route: Route::File, .. } => {
            site.group.write(&knob.file(), &knob.write(new))?;
            check(scene, site, &Knobs::from_iter([(knob.clone(), new.clone())]))
        }
    }
}

/// The runtime sets what it can say; what it misses, or changes on the way, is put right by the files.
fn by_runtime(scene: &Scene, site: &Site, call: &[Step]) -> Result<(), Failure> {
    let before = scene.knobs(site)?;
    let mut wanted = before.clone();
    let mut changes = Vec::new();
    for step in call {
        if let Action::Set { knob, new, route: Route::Runtime(fields), .. } = &step.action {
            wanted.insert(knob.clone(), new.clone());
            changes.extend(fields);
        }
    }
    update::update(scene, site, &before, changes)?;
    repair(scene, site, &wanted)?;
    check(scene, site, &wanted)
}

/// systemd sets all properties of the call at once.
fn by_systemd(scene: &Scene, site: &Site, unit: &str, call: &[Step]) -> Result<(), Failure> {
    let systemd = scene.systemd.as_ref();
    let systemd = systemd.ok_or_else(|| Failure::Other("there is no connection to systemd".to_owned()))?;
    let (mut wanted, mut properties) = (Knobs::default(), BTreeMap::new());
    for step in call {
        if let Action::Set { knob, new, route: Route::Systemd { properties: changes, .. }, .. } = &step.action
        {
            // what the runtime still has to write isn't there yet
            if step.reason != Reason::TellOfSwap {
                wanted.insert(knob.clone(), new.clone());
            }
            properties.extend(changes.iter().map(|change| (change.name.as_str(), &change.new)));
        }
    }
    let properties: Vec<_> = properties.into_iter().collect();
    let done = systemd.borrow_mut().set(unit, &properties);
    match done {
        Err(_) if !site.lives() => Err(Failure::Gone),
        Err(why) => Err(Failure::Other(why.to_string())),
        Ok(()) => check(scene, site, &wanted),
    }
}

/// Writes what isn't as wanted. Values depend on each other (a limit and the sum with swap, quota and burst), so that
/// one may be refused until another is written: the last pass tells.
pub(super) fn repair(scene: &Scene, site: &Site, wanted: &Knobs) -> Result<(), Failure> {
    let mut refused = Ok(());
    for _ in 0..3 {
        let now = scene.knobs(site)?;
        let wrong: Vec<_> = wanted
            .iter()
            .filter(|(knob, value)| !accepts(knob, value, &now, site.owner(), scene.page))
            .collect();
        if wrong.is_empty() {
            return Ok(());
        }
        refused = Ok(());
        for (knob, value) in wrong {
            if let Err(fault) = site.group.write(&knob.file(), &knob.write(value)) {
                refused = Err(fault.into());
            }
        }
    }
    refused
}

/// Reads back.
fn check(scene: &Scene, site: &Site, wanted: &Knobs) -> Result<(), Failure> {
    let now = scene.knobs(site)?;
    for (knob, value) in wanted.iter() {
        if !accepts(knob, value, &now, site.owner(), scene.page) && !is_absent(value, now.get(knob)) {
            let found = now.get(knob).map_or_else(String::new, Value::to_string);
            return Err(Failure::ReadBack { knob: knob.to_string(), wanted: value.to_string(), found });
        }
    }
    Ok(())
}

/// A device without a limit has no line.
pub(super) fn is_absent(wanted: &Value, found: Option<&Value>) -> bool {
    use crate::resize::amount::Limit;
    use crate::resize::convert::io::IoMax;
    found.is_none() && (*wanted == Value::Count(Limit::Max) || *wanted == Value::Io(IoMax::UNLIMITED))
}

/// The sites that steps are about.
pub(super) fn keys(steps: &[Step]) -> BTreeSet<&CgroupKey> {
    steps.iter().map(|step| &step.cgroup).collect()
}
