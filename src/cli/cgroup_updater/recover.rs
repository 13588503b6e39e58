//! `recover`: brings to an end what was left half done, by a process that was killed or by a rollback that failed. The
//! first kind is also undone by whoever changes the same pod next; the second waits for this command, since what stood in
//! its way is for a person to look at.

use serde_json::json;

use super::commit;
use super::exit::{Exit, Halt};
use super::history::{changed_since, deadline, look, scene};
use super::options::Recover;
use super::show::{self, Progress, SCHEMA};
use crate::node::transaction::{self, End, Head, Journal, Story};

/// `recover`.
pub(super) fn recover(asked: &Recover) -> Result<(), Halt> {
    let (mut names, mut passed_over) = (Vec::new(), Vec::new());
    let mut failed: Option<Halt> = None;
    for story in transaction::unfinished()?.into_iter().filter(is_left) {
        let held = commit::take(&story.head.locks, deadline(asked.back.timeout))?;
        // whoever had the lock may have done it
        let Ok(story) = transaction::story(&story.head.transaction) else { continue };
        let name = story.head.transaction.clone();
        if !is_left(&story) {
            continue;
        }
        match superseded(&story)? {
            None => match again(&story, asked.back.timeout) {
                Ok(()) => names.push(name),
                Err(halt) => failed = Some(halt),
            },
            // a person has undone it by name
            Some(later) if later.undoes == Some(name.clone()) => {}
            Some(later) => {
                let later = later.transaction;
                passed_over.push(format!("{name}: transaction {later} has changed the same pod since"));
            }
        }
        drop(held);
    }
    if let Some(halt) = failed {
        return Err(halt);
    }
    let json = json!({ "v": SCHEMA, "command": "recover", "recovered": names, "passed_over": passed_over });
    let mut text: String = names.iter().map(|name| format!("Rolled back: {name}\n")).collect();
    text.extend(passed_over.iter().map(|why| format!("Passed over: {why}\n")));
    if text.is_empty() {
        text.push_str("Nothing to recover.\n");
    }
    super::super::print(&if asked.back.json { show::line(&json) } else { text });
    Ok(())
}

/// True for what was killed half way, and for what could not be rolled back.
fn is_left(story: &Story) -> bool {
    story.is_abandoned() || story.end == Some(End::Failed)
}

/// The transaction that has changed one of the same pods after this one failed: what it did is somebody's later word.
fn superseded(story: &Story) -> Result<Option<Head>, Halt> {
    if story.is_abandoned() {
        return Ok(None);
    }
    let later = |other: &Story| {
        other.head.transaction > story.head.transaction
            && other.end == Some(End::Committed)
            && !other.head.locks.is_disjoint(&story.head.locks)
    };
    Ok(transaction::all()?.into_iter().flatten().find(later).map(|other| other.head))
}

/// Undoes it, unless something else has changed what it left.
fn again(story: &Story, timeout: u64) -> Result<(), Halt> {
    if !story.is_abandoned() {
        let mut now = scene(story, timeout, false)?;
        look(&mut now)?;
        if let Some(found) = changed_since(story, &now, |values| 0..values.len()) {
            let name = &story.head.transaction;
            let hint =
                format!("something else has changed it; if it may be undone, use rollback --force {name}");
            return Err(Halt::new(Exit::Infeasible, format!("transaction {name}: {found}: {hint}")));
        }
    }
    undo(story, timeout)
}

/// Brings to an end what was left; its locks are held.
pub(super) fn undo(story: &Story, timeout: u64) -> Result<(), Halt> {
    let scene = scene(story, timeout, false)?;
    let mut applied = story.applied();
    applied.retain(|step| scene.sites.contains_key(&step.cgroup));
    let journal = Journal::resume(story)?;
    let progress = Progress::default();
    let mut remains = transaction::undo(&scene, &applied, &progress);
    let overrides = story.head.sticky.iter().filter_map(|hold| hold.undo().err());
    remains.extend(overrides.map(|why| why.to_string()));
    progress.end();
    let why = story.why.clone().unwrap_or_else(|| "its process was killed".to_owned());
    if remains.is_empty() {
        return Ok(journal.end(End::RolledBack, Some(why), remains)?);
    }
    let name = story.head.transaction.clone();
    journal.end(End::Failed, Some(why), remains.clone())?;
    let what = if story.is_abandoned() { "was killed half way" } else { "had failed" };
    let message = format!("transaction {name} {what}, and can't be rolled back: {}", remains.join("; "));
    Err(Halt { exit: Exit::RollbackFailed, message, transaction: Some(name), remains })
}
