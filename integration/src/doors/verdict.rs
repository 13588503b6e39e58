//! What closed means: an exact list of groups, a fact in the probe's report, or a refusal that reaches the user by
//! every road and leaves nothing behind.

use anyhow::{Result, bail, ensure};
use serde_json::Value;

use crate::call::Answer;
use crate::trial::{Road, Seen, Trial};

type Fact = fn(&Value) -> bool;

/// What the product must do.
pub(crate) enum Closed {
    /// The container runs with exactly these supplementary groups.
    Groups(Vec<u32>),
    /// The container runs, and this holds; the words go into the table.
    Fact(&'static str, Fact),
    /// The call is refused, and the sentence has each of these words.
    Refused(Vec<String>),
}

impl Closed {
    pub(crate) fn groups(gids: &[u32]) -> Self {
        Self::Groups(gids.to_vec())
    }

    pub(crate) fn refused(words: &[&str]) -> Self {
        Self::Refused(words.iter().map(|word| (*word).to_owned()).collect())
    }

    /// Says in a few words how it was closed.
    ///
    /// # Errors
    /// When it was not.
    pub(crate) fn judge(&self, trial: &Trial, seen: &Seen) -> Result<String> {
        match (self, seen) {
            (Closed::Groups(expected), Seen::Report(report)) => {
                let groups = lists(report, "groups");
                ensure!(groups == *expected, "groups {groups:?} instead of {expected:?}");
                no_leftovers(trial)?;
                Ok(format!("closed: groups {groups:?}"))
            }
            (Closed::Fact(words, holds), Seen::Report(report)) => {
                ensure!(holds(report), "not so: {words}: {report}");
                no_leftovers(trial)?;
                Ok(format!("closed: {words}"))
            }
            (Closed::Refused(words), Seen::Refused(answer)) => refusal(trial, answer, words),
            (Closed::Refused(_), Seen::Report(report)) => {
                bail!("should be refused, but the probe reports {report}")
            }
            (_, Seen::Refused(answer)) => bail!("should run, but {answer}"),
        }
    }
}

/// A refusal as users and engines need it: exit 1, or 255 of exec; nothing on stdout; one line on stderr; the same
/// line as the one JSON object in the `--log` file; no container; the bundle untouched.
pub(crate) fn refusal(trial: &Trial, answer: &Answer, words: &[String]) -> Result<String> {
    if matches!(trial.road, Road::Engine(_)) {
        return refusal_by_an_engine(trial, answer, words);
    }
    let is_exec = answer.line.split(' ').any(|word| word == "exec");
    let code = if is_exec { 255 } else { 1 };
    ensure!(answer.code == Some(code), "should be refused with exit {code}, but {answer}");
    ensure!(answer.stdout().is_empty(), "a refusal prints nothing on stdout, but {answer}");
    let stderr = answer.stderr();
    ensure!(stderr.lines().count() == 1, "a refusal is one line on stderr, but {answer}");
    ensure!(stderr.starts_with("runc-strict: "), "the refusal should be runc-strict's own, but {answer}");
    for word in words {
        ensure!(stderr.contains(word), "the refusal should name \"{word}\", but {answer}");
    }
    if answer.line.contains("--log-format json") {
        logged(answer, words)?;
    }
    ensure!(is_exec || !trial.exists(), "the refused container exists");
    let changes = trial.changes()?;
    ensure!(changes.is_empty(), "a refusal changed the bundle: {changes}");
    Ok("refused".to_owned())
}

/// The engine hands our sentence on to whoever asked it.
fn refusal_by_an_engine(trial: &Trial, answer: &Answer, words: &[String]) -> Result<String> {
    let error = answer.stderr();
    ensure!(
        error.contains("refused"),
        "the refusal should be runc-strict's own, but the engine says {error}"
    );
    for word in words {
        ensure!(error.contains(word), "the refusal should name \"{word}\", but the engine says {error}");
    }
    if !trial.entry.needs_a_container() {
        ensure!(!trial.exists(), "the refused container exists");
        ensure!(!trial.record().exists(), "the refused container has a record");
    }
    Ok("refused".to_owned())
}

/// The line that containerd and podman read.
fn logged(answer: &Answer, words: &[String]) -> Result<()> {
    let log = answer.log()?;
    let [line] = log.as_slice() else {
        bail!("{} JSON objects in the log instead of one: {answer}", log.len())
    };
    ensure!(line["level"] == "error", "the log's line has no level error: {line}");
    let message = line["msg"].as_str().unwrap_or_default();
    for word in words {
        ensure!(message.contains(word), "the log's message should name \"{word}\": {line}");
    }
    let time = line["time"].as_str().unwrap_or_default();
    ensure!(
        time.len() >= 20 && time.ends_with('Z') && time.contains('T'),
        "the log's time is no RFC 3339: {line}"
    );
    Ok(())
}

/// After a success only the document may differ, and nothing may lie beside it.
fn no_leftovers(trial: &Trial) -> Result<()> {
    let changes = trial.changes()?;
    let config = trial.dir.join("bundle/config.json");
    let rewritten = format!("{} changed", config.display());
    ensure!(changes.is_empty() || changes == rewritten, "besides the document something changed: {changes}");
    Ok(())
}

/// A list of numbers in the probe's report.
pub(crate) fn lists(report: &Value, key: &str) -> Vec<u32> {
    let list = report[key].as_array().cloned().unwrap_or_default();
    list.iter().filter_map(Value::as_u64).filter_map(|gid| u32::try_from(gid).ok()).collect()
}
