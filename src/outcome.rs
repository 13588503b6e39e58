//! What becomes of a command that starts a process: the road of a refusal or a failure to the user, and the account of
//! it in the audit log.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::ops::{Deref, DerefMut};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use crate::argv::Globals;
use crate::argv::grammar::Verb;
use crate::error::{Error, Result};
use crate::node::audit::Line;
use crate::node::config::{self, Config};
use crate::node::{file, log as road};
use crate::policy::{Identity, Reason, Verdict};
use crate::quote::quoted;

/// Why a container or a process doesn't start.
#[derive(Debug)]
pub enum Stop {
    /// It would not: a verdict.
    Refused(Reason),
    /// It would not: the command line is one that is never handed on.
    Words(String),
    /// It could not.
    Error(Error),
}

/// The result of something that may be refused.
pub type Judged<T> = std::result::Result<T, Stop>;

impl From<Error> for Stop {
    fn from(why: Error) -> Stop {
        Stop::Error(why)
    }
}

/// The audit log's line on one command, while it is being written.
#[derive(Debug)]
pub struct Account {
    line: Line,
    since: Instant,
    /// Where the log is, once that was read.
    pub log: Option<PathBuf>,
}

impl Deref for Account {
    type Target = Line;
    fn deref(&self) -> &Line {
        &self.line
    }
}

impl DerefMut for Account {
    fn deref_mut(&mut self) -> &mut Line {
        &mut self.line
    }
}

impl Account {
    /// Begins a line for `command` on the container `id`.
    pub fn begin(command: &str, id: &OsStr) -> Account {
        let line = Line::new(command, &id.to_string_lossy(), "");
        Account { line, since: Instant::now(), log: None }
    }

    /// Reads the configuration, where that can be done, for the engine's name and for where the log is.
    pub fn engine_of_config(&mut self) {
        if let Ok(config) = Config::load() {
            self.line.engine = config.engine.name().to_owned();
            self.log = Some(config.audit.path);
        }
    }

    /// Takes down a verdict.
    pub fn judged(&mut self, verdict: &Verdict) {
        verdict.name().clone_into(&mut self.line.verdict);
        if let Some(identity) = verdict.identity() {
            self.is(identity.clone());
        }
    }

    /// Takes down who the process is.
    pub fn is(&mut self, identity: Identity) {
        self.line.uid = Some(identity.uid);
        self.line.gid = Some(identity.gid.get());
        self.line.after = identity.groups;
        self.line.level = Some(identity.level.word().to_owned());
        self.line.rulings = identity.rulings;
        self.line.findings = identity.findings;
    }

    /// Writes the line.
    ///
    /// # Errors
    /// That the log can't be written; that stops nothing.
    pub fn write(&mut self) -> Result<()> {
        let log = self.log.get_or_insert_with(|| config::for_pass_through().log);
        self.line.append(log, self.since)
    }

    /// Tells why the command didn't become the real runtime, and gives the exit code for it. Out of the way of those that do.
    #[cold]
    #[inline(never)]
    fn stopped(&mut self, verb: Verb, id: &OsStr, stop: Stop) -> u8 {
        let (verdict, refused, reason) = match stop {
            Stop::Refused(reason) => ("deny", " refused", reason.to_string()),
            Stop::Words(reason) => ("deny", " refused", reason),
            Stop::Error(why) => ("error", "", why.to_string()),
        };
        let container = match id.is_empty() {
            true => String::new(),
            false => format!(" of container {}", quoted(id.as_bytes())),
        };
        log::error!("{}{container}{refused}: {reason}", verb.word());
        self.line.verdict = verdict.to_owned();
        self.line.reason = Some(reason);
        // The user has just been told something worse than that the log can't be written.
        let _ = self.write();
        verb.refusal_code()
    }
}

/// Runs one of the four commands that start a process. If it doesn't become the real runtime, the reason goes into the
/// runtime's log, to stderr and into the audit log, and what comes back is the exit code.
pub fn judged(
    verb: Verb,
    globals: &Globals,
    id: &OsStr,
    act: impl FnOnce(&mut Account) -> Judged<Infallible>,
) -> u8 {
    let mut account = Account::begin(verb.word(), id);
    road::install(globals);
    file::reserve_standard_descriptors();
    let Err(stop) = act(&mut account);
    account.stopped(verb, id, stop)
}
