//! The audit log: one JSON line for every decision, so that "who had gid 50000 last Tuesday" has an answer.
//!
//! A line is one write(2) to a file opened with O_APPEND, so concurrent writers don't tear each other's lines.
//! Never arguments or environment: they hold secrets. The schema is described in docs/audit.md; its version is `v`.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::clock;
use crate::error::{Error, Result};
use crate::policy::gid::GidSet;
use crate::policy::subject::Pod;
use crate::policy::{Finding, Ruling};

/// The version of the schema.
pub const SCHEMA: u32 = 1;

/// One line.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Line {
    /// The version of the schema.
    pub v: u32,
    /// When, in RFC 3339.
    pub time: String,
    /// `create`, `run`, `exec`, `restore`, or `cgroup-updater` with its own command.
    pub command: String,
    /// The container's id.
    pub container: String,
    /// The runtime's state folder.
    pub root: String,
    /// The configured engine.
    pub engine: String,
    /// The pod's names.
    pub pod: Pod,
    /// `keep`, `change`, `deny` or `error`.
    pub verdict: String,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The primary group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The supplementary groups that the engine asked for.
    pub before: Vec<u32>,
    /// The supplementary groups that the process gets.
    pub after: GidSet,
    /// The level that held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// What became of each gid.
    pub rulings: Vec<Ruling>,
    /// What was kept though it deserves a look.
    pub findings: Vec<Finding>,
    /// Why it was refused, or what failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What became of a container's limits.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resize: Option<Resize>,
    /// How long the decision took, in microseconds.
    pub duration_us: u64,
    /// The real runtime.
    pub runtime: String,
}

/// A change of a container's limits.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Resize {
    /// The transaction's name; none where none was begun.
    pub transaction: Option<String>,
    /// What was changed, in words: `memory.max 128Mi → 256Mi`.
    pub changes: Vec<String>,
    /// The overrides of this container that hold, or were set, by their fields' names.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sticky: Vec<String>,
    /// The overrides that have ended, with what ended them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ended: Vec<String>,
    /// The overrides that were left out this time, by their fields' names.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub waiting: Vec<String>,
}

impl Resize {
    /// True if there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.ended.is_empty() && self.waiting.is_empty()
    }
}

impl Line {
    /// A line for `command` on `container`, not yet judged.
    pub fn new(command: &str, container: &str, engine: &str) -> Line {
        Line {
            v: SCHEMA,
            time: clock::now(),
            command: command.to_owned(),
            container: container.to_owned(),
            engine: engine.to_owned(),
            ..Line::default()
        }
    }

    /// The line as it stands in the log, with its end.
    ///
    /// # Errors
    /// None that is known.
    pub fn text(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self).map_err(|why| Error::Other(why.to_string()))?;
        text.push(b'\n');
        Ok(text)
    }

    /// Appends the line to the log at `path`.
    ///
    /// # Errors
    /// That the log can't be written; that is no reason to stop a container.
    pub fn append(&mut self, path: &Path, since: Instant) -> Result<()> {
        append([self], path, since)
    }
}

/// Appends lines to the log at `path`, all in one write(2).
///
/// # Errors
/// That the log can't be written; that is no reason to stop a container.
pub fn append<'l>(lines: impl IntoIterator<Item = &'l mut Line>, path: &Path, since: Instant) -> Result<()> {
    let mut text = Vec::new();
    for line in lines {
        line.duration_us = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        text.extend(line.text()?);
    }
    let open = || {
        // Never wait: a FIFO without a reader is an error and not a stop.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        OpenOptions::new().append(true).create(true).mode(0o640).custom_flags(flags).open(path)
    };
    let opened = open().or_else(|why| match path.parent() {
        Some(folder) if why.kind() == std::io::ErrorKind::NotFound => {
            DirBuilder::new().mode(0o750).recursive(true).create(folder)?;
            open()
        }
        _ => Err(why),
    });
    let mut file = opened.map_err(Error::io("open the audit log", path))?;
    match file.write(&text) {
        Ok(written) if written == text.len() => Ok(()),
        Ok(_) => {
            Err(Error::Content { path: path.to_path_buf(), why: "took only a part of a line".to_owned() })
        }
        Err(why) => Err(Error::io("write the audit log", path)(why)),
    }
}
