//! What people and programs see of a change.

use std::fmt::Write;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value as Json, json};

use super::exit::{Exit, Halt};
use super::signs::{self, Moment};
use crate::node::transaction::{Hold, Turn, Watcher};
use crate::resize::amount::Bytes;
use crate::resize::field::Field;
use crate::resize::plan::{Action, Plan, Step};
use crate::resize::sticky;

/// The version of the JSON documents.
pub(super) const SCHEMA: u32 = 1;

/// What came of a change.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) command: &'static str,
    pub(super) plans: Vec<PodPlan>,
    pub(super) dry_run: bool,
    pub(super) transaction: Option<String>,
    /// What was asked and no cgroup bounds.
    pub(super) ignored: Vec<String>,
    /// What else was passed over, as whole sentences.
    pub(super) notes: Vec<String>,
    /// Containers that ended meanwhile.
    pub(super) gone: Vec<String>,
    /// Signs of trouble before and after.
    pub(super) signs: (Moment, Moment),
    /// What stays of it, and what doesn't any more.
    pub(super) holds: Vec<Hold>,
}

/// The plan for one pod.
#[derive(Debug)]
pub(super) struct PodPlan {
    /// What the pod is called, where there are several.
    pub(super) title: Option<String>,
    /// Its uid, where it is known.
    pub(super) uid: Option<String>,
    pub(super) plan: Plan,
}

impl Outcome {
    /// True if everything is as asked already.
    pub(super) fn is_empty(&self) -> bool {
        self.plans.iter().all(|one| one.plan.is_empty())
    }

    /// True if no override changes.
    fn holds_nothing(&self) -> bool {
        self.holds.iter().all(|hold| hold.fields.is_empty())
    }
}

/// The plan for people.
pub(super) fn plan(outcome: &Outcome) -> String {
    let one = |one: &PodPlan| match &one.title {
        Some(title) => format!("{title}\n{}", one.plan),
        None => one.plan.to_string(),
    };
    outcome.plans.iter().map(one).collect()
}

/// The last words for people; `shown` says that they have seen the plan.
pub(super) fn end(outcome: &Outcome, shown: bool) -> String {
    let mut out = String::new();
    // Writing to a String can't fail.
    for name in &outcome.ignored {
        let _ = writeln!(
            out,
            "note: {} is not a cgroup's to bound, and was passed over",
            crate::quote::quoted(name.as_bytes())
        );
    }
    for note in &outcome.notes {
        let _ = writeln!(out, "note: {note}");
    }
    for name in &outcome.gone {
        let _ = writeln!(out, "note: {name} ended meanwhile, and its limits with it");
    }
    if outcome.dry_run {
        out.push_str("Dry run: nothing was changed.\n");
        return out;
    }
    if !shown {
        notices(outcome).iter().for_each(|notice| {
            let _ = writeln!(out, "note: {notice}");
        });
    }
    out.push_str(&signs::text(&outcome.signs.0, &outcome.signs.1));
    match &outcome.transaction {
        None if shown || !outcome.holds_nothing() => {}
        None => out.push_str("Nothing to do: everything is as asked.\n"),
        Some(name) => {
            let steps: usize = outcome.plans.iter().map(|one| one.plan.steps.len()).sum();
            let many = if steps == 1 { "step" } else { "steps" };
            let _ = writeln!(
                out,
                "Done: {steps} {many}, read back. Undo by: runc-strict cgroup-updater rollback {name}"
            );
        }
    }
    outcome.holds.iter().flat_map(held).for_each(|line| {
        let _ = writeln!(out, "{line}");
    });
    out
}

/// What becomes of overrides, a line for each.
pub(super) fn held(hold: &Hold) -> Vec<String> {
    let name = crate::quote::quoted(hold.container.as_bytes());
    let line = |(field, turn): (&Field, &Turn)| match (&turn.before, &turn.after) {
        (_, Some(after)) => Some(format!(
            "Kept against the engine: container {name}, {field} {}",
            sticky::words(field, after)
        )),
        (Some(before), None) => {
            Some(format!("No longer kept: container {name}, {field} {}", sticky::words(field, before)))
        }
        (None, None) => None,
    };
    hold.fields.iter().filter_map(line).collect()
}

/// The notices of all plans, each with its pod where there are several.
fn notices(outcome: &Outcome) -> Vec<String> {
    let of = |one: &PodPlan| {
        let title = one.title.as_ref().map(|title| format!("{title}, ")).unwrap_or_default();
        one.plan.notices.iter().map(|notice| format!("{title}{notice}")).collect::<Vec<_>>()
    };
    outcome.plans.iter().flat_map(of).collect()
}

/// The same for programs.
pub(super) fn json(outcome: &Outcome) -> String {
    let steps = outcome.plans.iter().flat_map(|one| one.plan.steps.iter().map(|step| step_json(one, step)));
    let result = match (outcome.dry_run, &outcome.transaction) {
        (true, _) => "planned",
        (false, None) if outcome.holds_nothing() => "nothing-to-do",
        (false, _) => Exit::Done.word(),
    };
    let fields = |kept: bool| {
        let one = |hold: &Hold| {
            let fields = super::sticky::names(hold, kept);
            (!fields.is_empty())
                .then(|| json!({ "container": hold.container, "pod": hold.pod.uid, "fields": fields }))
        };
        outcome.holds.iter().filter_map(one).collect::<Vec<Json>>()
    };
    line(&json!({
        "v": SCHEMA, "command": outcome.command, "result": result, "transaction": outcome.transaction,
        "steps": steps.collect::<Vec<_>>(), "notices": notices(outcome), "ignored": outcome.ignored,
        "notes": outcome.notes, "ended": outcome.gone, "signs": signs::json(&outcome.signs.0, &outcome.signs.1),
        "sticky": fields(true), "unset": fields(false),
    }))
}

/// A step, with its pod's uid.
fn step_json(one: &PodPlan, step: &Step) -> Json {
    let mut document = json!(step);
    if let (Some(document), Some(uid)) = (document.as_object_mut(), &one.uid) {
        document.insert("pod".to_owned(), json!(uid));
    }
    document
}

/// Why nothing came of it, for programs.
pub(super) fn halt(halt: &Halt) -> String {
    line(&json!({
        "v": SCHEMA, "result": halt.exit.word(), "code": halt.exit.code(), "error": halt.message,
        "transaction": halt.transaction, "remains": halt.remains,
    }))
}

/// A document as one line.
pub(super) fn line(document: &Json) -> String {
    format!("{document}\n")
}

/// A step as a few words: `memory.max 128Mi → 256Mi`.
pub(super) fn change(step: &Step) -> Option<String> {
    let text = |value: &crate::resize::value::Value| value.quantity().unwrap_or_else(|| value.to_string());
    match &step.action {
        Action::Set { knob, old, new, .. } if old != new => {
            Some(format!("{knob} {} → {}", text(old), text(new)))
        }
        _ => None,
    }
}

/// Shows that memory is being reclaimed: a line that moves on a terminal, else a plain line at the beginning.
#[derive(Debug, Default)]
pub(super) struct Progress {
    shown: AtomicBool,
}

impl Progress {
    /// Takes the moving line away.
    pub(super) fn end(&self) {
        if self.shown.swap(false, Ordering::Relaxed) && std::io::stderr().is_terminal() {
            write_stderr("\r\x1b[K");
        }
    }
}

impl Watcher for Progress {
    fn reclaiming(&self, what: &str, usage: Bytes, target: Bytes) {
        let mebibytes = |bytes: Bytes| bytes.get().div_ceil(1 << 20);
        let (usage, target) = (mebibytes(usage), mebibytes(target));
        let shown = self.shown.swap(true, Ordering::Relaxed);
        if std::io::stderr().is_terminal() {
            write_stderr(&format!(
                "\r\x1b[K{what}: reclaiming memory, {usage} MiB in use, {target} MiB wanted"
            ));
        } else if !shown {
            write_stderr(&format!("{what}: reclaiming memory, {usage} MiB in use, {target} MiB wanted\n"));
        }
    }
}

fn write_stderr(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(text.as_bytes());
}
