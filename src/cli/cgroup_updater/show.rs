//! What people and programs see of a change.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io::IsTerminal;

use serde_json::{Value as Json, json};

use super::exit::{Exit, Halt};
use crate::node::transaction::Watcher;
use crate::resize::amount::Bytes;
use crate::resize::plan::{Action, Level, Plan, Step};

/// The version of the JSON documents.
pub(super) const SCHEMA: u32 = 1;

/// What came of a change.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) command: &'static str,
    pub(super) plan: Plan,
    pub(super) dry_run: bool,
    pub(super) transaction: Option<String>,
    /// What was asked and no cgroup bounds.
    pub(super) ignored: Vec<String>,
    /// Containers that ended meanwhile.
    pub(super) gone: BTreeSet<Level>,
}

/// The plan for people.
pub(super) fn plan(outcome: &Outcome) -> String {
    outcome.plan.to_string()
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
    for level in &outcome.gone {
        let _ = writeln!(out, "note: {level} ended meanwhile, and its limits with it");
    }
    if outcome.dry_run {
        out.push_str("Dry run: nothing was changed.\n");
        return out;
    }
    if !shown {
        outcome.plan.notices.iter().for_each(|notice| {
            let _ = writeln!(out, "note: {notice}");
        });
    }
    match &outcome.transaction {
        None if shown => {}
        None => out.push_str("Nothing to do: everything is as asked.\n"),
        Some(name) => {
            let steps = outcome.plan.steps.len();
            let many = if steps == 1 { "step" } else { "steps" };
            let _ = writeln!(
                out,
                "Done: {steps} {many}, read back. Undo by: runc-strict cgroup-updater rollback {name}"
            );
        }
    }
    out
}

/// The same for programs.
pub(super) fn json(outcome: &Outcome) -> String {
    let notices: Vec<String> = outcome.plan.notices.iter().map(ToString::to_string).collect();
    let gone: Vec<String> = outcome.gone.iter().map(ToString::to_string).collect();
    let result = match (outcome.dry_run, &outcome.transaction) {
        (true, _) => "planned",
        (false, None) => "nothing-to-do",
        (false, Some(_)) => Exit::Done.word(),
    };
    line(&json!({
        "v": SCHEMA, "command": outcome.command, "result": result, "transaction": outcome.transaction,
        "steps": outcome.plan.steps, "notices": notices, "ignored": outcome.ignored, "ended": gone,
    }))
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
    shown: bool,
}

impl Progress {
    /// Takes the moving line away.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.shown) && std::io::stderr().is_terminal() {
            write_stderr("\r\x1b[K");
        }
    }
}

impl Watcher for Progress {
    fn reclaiming(&mut self, level: &Level, usage: Bytes, target: Bytes) {
        let mebibytes = |bytes: Bytes| bytes.get().div_ceil(1 << 20);
        let (usage, target) = (mebibytes(usage), mebibytes(target));
        if std::io::stderr().is_terminal() {
            write_stderr(&format!(
                "\r\x1b[K{level}: reclaiming memory, {usage} MiB in use, {target} MiB wanted"
            ));
        } else if !self.shown {
            write_stderr(&format!("{level}: reclaiming memory, {usage} MiB in use, {target} MiB wanted\n"));
        }
        self.shown = true;
    }
}

fn write_stderr(text: &str) {
    use std::io::Write;
    let _ = std::io::stderr().write_all(text.as_bytes());
}
