//! A plan, done: call by call, each announced in the journal before and read back after. The steps of one pod go one after
//! the other; pods don't depend on each other, and go side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Failure, Journal, Scene, Site, Watcher, reclaim, short, update};
use crate::node::cgroup::Group;
use crate::node::process::ProcessKey;
use crate::resize::knob::Knob;
use crate::resize::knobs::Knobs;
use crate::resize::plan::{Action, Level, Reason, Route, Step};
use crate::resize::snapshot::CgroupKey;
use crate::resize::value::Value;
use crate::resize::verify::{Owner, accepts};

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
    let starts = |step: &Step| matches!(step.action, Action::Set { route: Route::Runtime(_), .. });
    let starts = steps.iter().any(starts);
    let run = Run { scene, steps, journal: Mutex::new(journal), watcher, gone: Mutex::default() };
    if starts {
        // each program that is started copies and closes all open descriptors, so those of pods that have to wait are closed
        scene.sites.values().for_each(|site| site.group.rest());
    }
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let waits = starts || steps.iter().any(|step| matches!(step.action, Action::Reclaim(_)));
    let each = if waits { PODS_PER_CPU } else { 1 };
    let threads = pods.len().min(cpus.saturating_mul(each)).min(MOST_PODS);
    if threads < 2 {
        pods.iter().try_for_each(|pod| run.pod(pod.clone(), &AtomicBool::new(false)))?;
    } else {
        run.side_by_side(pods, threads, starts)?;
    }
    Ok(run.gone.into_inner().unwrap_or_else(PoisonError::into_inner))
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
    fn side_by_side(&self, pods: &[Range<usize>], threads: usize, starts: bool) -> Result<(), Stop> {
        let (next, stopped, first) = (AtomicUsize::new(0), AtomicBool::new(false), Mutex::new(None));
        let work = |n: usize| {
            if starts {
                short::settle(n);
            }
            while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(stop) = self.pod(pod.clone(), &stopped) {
                    stopped.store(true, Ordering::Relaxed);
                    first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(stop);
                }
            }
        };
        // every thread has ended before what they did is looked at, or undone
        std::thread::scope(|scope| (0..threads).for_each(|n| drop(scope.spawn(move || work(n)))));
        first.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// The steps of one pod, until something stops it.
    fn pod(&self, pod: Range<usize>, stopped: &AtomicBool) -> Result<(), Stop> {
        let gone = || self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let mut announced = pod.start;
        let mut at = pod.start;
        for call in
            self.steps.get(pod.clone()).unwrap_or_default().chunk_by(|before, step| step.joins(before))
        {
            let Some(first) = call.first() else { continue };
            if stopped.load(Ordering::Relaxed) {
                return Ok(());
            }
            let stop =
                |why| Stop { level: first.level.clone(), cgroup: first.cgroup.clone(), why: Box::new(why) };
            let begin = at;
            at += call.len();
            if gone().contains(&first.cgroup) {
                continue;
            }
            if begin >= announced {
                announced = self.upcoming(begin..pod.end);
                let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
                journal.announce(begin..announced).map_err(|why| stop(Failure::Other(why.to_string())))?;
            }
            match make(self.scene, call, self.watcher) {
                Ok(()) => {}
                Err(Failure::Gone) => drop(gone().insert(first.cgroup.clone())),
                Err(why) => return Err(stop(why)),
            }
        }
        for key in keys(self.steps.get(pod).unwrap_or_default()) {
            let Some(site) = self.scene.sites.get(key) else { continue };
            // the cgroup of a container that has ended takes limits all the same, and so does crun's update
            if !site.init.is_none_or(ProcessKey::runs) {
                gone().insert(key.clone());
            }
            site.group.rest();
        }
        Ok(())
    }

    /// The end of what one line of the journal announces: writes to files that follow each other are announced together,
    /// since to undo one that wasn't made costs nothing; what takes long or starts a program is announced alone.
    fn upcoming(&self, steps: Range<usize>) -> usize {
        let some = self.steps.get(steps.clone()).unwrap_or_default();
        let by_file = |step: &Step| matches!(step.action, Action::Set { route: Route::File, .. });
        let first =
            some.chunk_by(|before, step| step.joins(before) || by_file(before) && by_file(step)).next();
        steps.start + first.map_or(0, <[Step]>::len)
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
        Action::Set { route: Route::Runtime(_), .. } => by_runtime(scene, site, &first.cgroup, call),
        Action::Set { route: Route::Systemd { unit, .. }, .. } => by_systemd(scene, site, unit, call),
        Action::Set { knob, new, route: Route::File, .. } => by_file(scene, site, knob, new),
    }
}

/// Writes a knob's file, and looks at what the kernel made of it.
fn by_file(scene: &Scene, site: &Site, knob: &Knob, new: &Value) -> Result<(), Failure> {
    let file = knob.file();
    let text = site.group.write_and_read(&file, &knob.write(new))?;
    let now = Knobs::from_iter(Knob::read_file(&file, &text).unwrap_or_default());
    if accepts(knob, new, &now, Owner::Cgroupfs, scene.page) {
        return Ok(());
    }
    // it may take other files to tell: quota and period are one thing
    check(scene, &site.group, site.owner(), &Knobs::from_iter([(knob.clone(), new.clone())]))
}

/// The runtime sets what it can say; what it misses, or changes on the way, is put right by the files.
fn by_runtime(scene: &Scene, site: &Site, key: &CgroupKey, call: &[Step]) -> Result<(), Failure> {
    // it gets the complete set as it is right now: an engine may have changed something since the plan was made
    let group = scene.whole(key, site)?;
    let before = scene.knobs(&group)?;
    let mut wanted = before.clone();
    let mut changes = Vec::new();
    for step in call {
        if let Action::Set { knob, new, route: Route::Runtime(fields), .. } = &step.action {
            wanted.insert(knob.clone(), new.clone());
            changes.extend(fields);
        }
    }
    let done = update::update(scene, site, &before, changes);
    scene.remember(key, before);
    done?;
    match repair(scene, &group, site.owner(), &wanted)? {
        Repair::Needless => Ok(()),
        Repair::Made => check(scene, &group, site.owner(), &wanted),
    }
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
        Ok(()) => check(scene, &site.group, site.owner(), &wanted),
    }
}

/// What came of a [`repair`].
pub(super) enum Repair {
    /// All is as wanted, as was just read.
    Needless,
    /// Something was written last.
    Made,
}

/// Writes what isn't as wanted. Values depend on each other (a limit and the sum with swap, quota and burst), so that
/// one may be refused until another is written: the last pass tells.
pub(super) fn repair(scene: &Scene, group: &Group, owner: Owner, wanted: &Knobs) -> Result<Repair, Failure> {
    let mut refused = Ok(Repair::Made);
    for _ in 0..3 {
        let now = scene.knobs_like(group, wanted)?;
        let wrong: Vec<_> =
            wanted.iter().filter(|(knob, value)| !accepts(knob, value, &now, owner, scene.page)).collect();
        if wrong.is_empty() {
            return Ok(Repair::Needless);
        }
        refused = Ok(Repair::Made);
        for (knob, value) in wrong {
            if let Err(fault) = group.write(&knob.file(), &knob.write(value)) {
                refused = Err(fault.into());
            }
        }
    }
    refused
}

/// Reads back.
fn check(scene: &Scene, group: &Group, owner: Owner, wanted: &Knobs) -> Result<(), Failure> {
    let now = scene.knobs_like(group, wanted)?;
    for (knob, value) in wanted.iter() {
        if !accepts(knob, value, &now, owner, scene.page) && !is_absent(value, now.get(knob)) {
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
