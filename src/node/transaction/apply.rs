//! A plan, done: call by call, each announced in the journal before and read back after. The steps of one pod go one after
//! the other; pods don't depend on each other, and go side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Failure, Journal, Scene, Site, Watcher, reclaim, update};
use crate::node::process::ProcessKey;
use crate::resize::knobs::Knobs;
use crate::resize::plan::{Action, Level, Reason, Route, Step};
use crate::resize::snapshot::CgroupKey;
use crate::resize::value::Value;
use crate::resize::verify::accepts;

/// How many pods are changed at a time through runtimes, for each CPU: a runtime that starts waits a part of its time.
const PODS_PER_CPU: usize = 2;

/// How many at most: a runtime takes some 20 MB while it runs.
const MOST_PODS: usize = 16;

/// Where a plan stopped, and why.
#[derive(Debug)]
pub struct Stop {
    /// The part of the pod.
    pub level: Level,
    /// Its cgroup.
    pub cgroup: CgroupKey,
    /// Why.
    pub why: Box<Failure>,
}

/// Does all steps of the journal's plan, of which `pods` are the parts that belong to one pod each. Containers that end
/// meanwhile are passed over; what comes back are their cgroups.
///
/// # Errors
/// `Stop` at the first step that fails; what was begun has to be undone.
pub fn apply(
    scene: &Scene,
    steps: &[Step],
    pods: &[Range<usize>],
    journal: &mut Journal,
    watcher: &dyn Watcher,
) -> Result<BTreeSet<CgroupKey>, Stop> {
    let run = Run { scene, steps, journal: Mutex::new(journal), watcher, gone: Mutex::default() };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let waits = |step: &Step| {
        matches!(step.action, Action::Set { route: Route::Runtime(_), .. } | Action::Reclaim(_))
    };
    let each = if steps.iter().any(waits) { PODS_PER_CPU } else { 1 };
    let threads = pods.len().min(cpus.saturating_mul(each)).min(MOST_PODS);
    if threads < 2 {
        pods.iter().try_for_each(|pod| run.pod(pod.clone(), &AtomicBool::new(false)))?;
    } else {
        run.side_by_side(pods, threads)?;
    }
    let mut gone = run.gone.into_inner().unwrap_or_else(PoisonError::into_inner);
    // the cgroup of a container that has ended takes limits all the same, and so does crun's update
    let ended =
        |key: &&CgroupKey| scene.sites.get(key).is_some_and(|site| !site.init.is_none_or(ProcessKey::runs));
    gone.extend(keys(steps).into_iter().filter(ended).cloned());
    Ok(gone)
}

/// What the threads share.
struct Run<'a> {
    scene: &'a Scene,
    steps: &'a [Step],
    journal: Mutex<&'a mut Journal>,
    watcher: &'a dyn Watcher,
    gone: Mutex<BTreeSet<CgroupKey>>,
}

impl Run<'_> {
    fn side_by_side(&self, pods: &[Range<usize>], threads: usize) -> Result<(), Stop> {
        let (next, stopped, first) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
        let work = || {
            while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(stop) = self.pod(pod.clone(), &stopped) {
                    stopped.store(true, Ordering::Relaxed);
                    first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(stop);
                }
            }
        };
        // every thread has ended before what they did is looked at, or undone
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
        first.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// The steps of one pod, until something stops it.
    fn pod(&self, pod: Range<usize>, stopped: &AtomicBool) -> Result<(), Stop> {
        let mut at = pod.start;
        for call in self.steps.get(pod).unwrap_or_default().chunk_by(|before, step| step.joins(before)) {
            let Some(first) = call.first() else { continue };
            if stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            let stop =
                |why| Stop { level: first.level.clone(), cgroup: first.cgroup.clone(), why: Box::new(why) };
            let announced = at..at + call.len();
            at = announced.end;
            let gone = || self.gone.lock().unwrap_or_else(PoisonError::into_inner);
            if gone().contains(&first.cgroup) {
                continue;
            }
            let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.announce(announced).map_err(|why| stop(Failure::Other(why.to_string())))?;
            drop(journal);
            match make(self.scene, call, self.watcher) {
                Ok(()) => {}
                Err(Failure::Gone) => drop(gone().insert(first.cgroup.clone())),
                Err(why) => return Err(stop(why)),
            }
        }
        Ok(())
    }
}

/// Makes one call, and reads back.
///
/// # Errors
/// [`Failure`].
pub(super) fn make(scene: &Scene, call: &[Step], watcher: &dyn Watcher) -> Result<(), Failure> {
    let Some(first) = call.first() else { return Ok(()) };
    let site = scene.site(&first.cgroup)?;
    match &first.action {
        Action::Reclaim(wanted) => {
            let name = scene.name(&first.cgroup, &first.level);
            reclaim::reclaim(scene, site, &name, wanted, watcher)
        }
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
    let done = systemd.lock().unwrap_or_else(PoisonError::into_inner).set(unit, &properties);
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
    let now = scene.knobs_like(site, wanted)?;
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
