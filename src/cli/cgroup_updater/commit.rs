//! The moment when a plan becomes true: locks, journal, changes; and the way back if one of them fails.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::exit::{Exit, Halt};
use super::recover;
use super::show::Progress;
use crate::node::process::ProcessKey;
use crate::node::transaction::{self, End, Failure, Head, Hold, Journal, Lock, Scene, Story};
use crate::policy::subject::Pod;
use crate::resize::plan::{Level, Step};
use crate::resize::snapshot::CgroupKey;

/// What the journal says of a transaction.
pub(super) struct Commit<'a> {
    pub(super) command: &'a str,
    /// The transaction that it undoes.
    pub(super) undoes: Option<&'a str>,
    pub(super) locks: BTreeSet<String>,
    pub(super) pods: Vec<Pod>,
    /// The overrides that it sets or ends.
    pub(super) holds: Vec<Hold>,
}

/// Takes these locks in their order, which is the same for everybody, so that two never wait for each other; and brings to
/// an end what a killed process left behind on any of them.
///
/// # Errors
/// Exit 8 where somebody has one of them until the time is over.
pub(super) fn hold(locks: &BTreeSet<String>, timeout: u64) -> Result<Lock, Halt> {
    let deadline = Instant::now() + Duration::from_secs(timeout);
    let mut wanted = locks.clone();
    loop {
        let held = take(&wanted, deadline)?;
        let touches = |story: &Story| !story.head.locks.is_disjoint(&wanted);
        let mut left = transaction::unfinished()?;
        left.retain(|story| touches(story) && story.is_abandoned());
        // what was left behind may hold other pods, too
        let more: BTreeSet<String> = left.iter().flat_map(|story| story.head.locks.clone()).collect();
        if more.is_subset(&wanted) {
            left.iter().try_for_each(|story| recover::undo(story, timeout))?;
            return Ok(held);
        }
        drop(held);
        wanted.extend(more);
    }
}

/// Takes these locks in their order.
pub(super) fn take(locks: &BTreeSet<String>, deadline: Instant) -> Result<Lock, Halt> {
    Lock::take(locks.iter().map(String::as_str), deadline)?.ok_or_else(|| {
        let hint = "wait for it, or give a longer --timeout";
        Halt::new(Exit::Busy, format!("another transaction on the same pod is under way; {hint}"))
    })
}

/// Writes the journal, applies the steps of each pod, and undoes all of them if that fails. Returns the transaction's name,
/// and who ended meanwhile.
///
/// # Errors
/// Exit 3, 4 or 5, by how the way back went; exit 6 if nothing is left that could have been changed.
pub(super) fn commit(scene: &Scene, pods: &[&[Step]], of: Commit<'_>) -> Result<(String, Vec<String>), Halt> {
    let cgroups: BTreeMap<_, _> =
        scene.sites.iter().map(|(key, site)| (key.0.clone(), site.entry())).collect();
    let steps: Vec<Step> = pods.concat();
    let mut journal = Journal::begin(Head {
        v: 0,
        transaction: String::new(),
        time: String::new(),
        owner: ProcessKey { pid: 0, start: 0 },
        command: of.command.to_owned(),
        undoes: of.undoes.map(str::to_owned),
        locks: of.locks,
        pods: of.pods,
        way: scene.way,
        cgroups,
        plan: steps.clone(),
        sticky: of.holds.iter().filter(|hold| !hold.fields.is_empty()).cloned().collect(),
    })?;
    let name = journal.name().to_owned();
    let progress = Progress::default();
    let done = transaction::apply(scene, &steps, &ranges(pods), &mut journal, &progress);
    progress.end();
    // the limits come first: until they are so, no engine shall be handed them
    let done = match done {
        Ok(gone) => keep(&of.holds, &gone).map(|()| gone).map_err(|why| (why.to_string(), false)),
        Err(stop) => {
            let why = format!("{}: {}", scene.name(&stop.cgroup, &stop.level), stop.why);
            Err((why, matches!(*stop.why, Failure::Stuck { .. })))
        }
    };
    let (why, stuck) = match done {
        Ok(gone) => {
            let of_containers = || steps.iter().filter(|step| step.level != Level::Pod);
            let none_left = of_containers().all(|step| gone.contains(&step.cgroup));
            let mut ended: Vec<String> = Vec::new();
            let named = |step: &&Step| matches!(step.level, Level::Container(_));
            for step in of_containers().filter(|step| gone.contains(&step.cgroup)).filter(named) {
                let name = scene.name(&step.cgroup, &step.level);
                if !ended.contains(&name) {
                    ended.push(name);
                }
            }
            journal.end(End::Committed, None, ended.iter().map(|name| format!("{name} ended")).collect())?;
            return match none_left && !gone.is_empty() {
                true => Err(Halt::not_found("the container ended meanwhile, and its limits with it")),
                false => Ok((name, ended)),
            };
        }
        Err(stop) => stop,
    };
    let mut remains = transaction::undo(scene, &journal.applied(), &progress);
    remains.extend(of.holds.iter().filter_map(|hold| hold.undo().err()).map(|why| why.to_string()));
    progress.end();
    let (exit, end, message) = match (stuck, remains.is_empty()) {
        (true, true) => (Exit::WouldOom, End::RolledBack, format!("{why}; everything is as it was")),
        (_, true) => {
            (Exit::RolledBack, End::RolledBack, format!("{why}; rolled back, everything is as it was"))
        }
        (_, false) => {
            let rest = remains.join("; ");
            (
                Exit::RollbackFailed,
                End::Failed,
                format!(
                    "{why}; not everything could be rolled back: {rest}; when that is mended, recover tries again"
                ),
            )
        }
    };
    // the end of the journal is told even if it can't be written: nothing is to be done twice
    let ended = journal.end(end, Some(why), remains.clone());
    let message = ended.err().map_or_else(|| message.clone(), |why| format!("{message}; {why}"));
    Err(Halt { exit, message, transaction: Some(name), remains })
}

/// Writes the overrides of all containers but those that have ended meanwhile.
fn keep(holds: &[Hold], gone: &BTreeSet<CgroupKey>) -> crate::error::Result<()> {
    let lives = |hold: &&Hold| !gone.contains(&CgroupKey(hold.cgroup.clone()));
    holds.iter().filter(lives).try_for_each(Hold::make)
}

/// Where each pod's steps are among all of them.
fn ranges(pods: &[&[Step]]) -> Vec<Range<usize>> {
    let mut at = 0;
    let next = |steps: &&[Step]| {
        let range = at..at + steps.len();
        at = range.end;
        range
    };
    pods.iter().map(next).filter(|range| !range.is_empty()).collect()
}
