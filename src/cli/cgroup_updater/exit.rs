//! How a run of cgroup-updater ends: each kind has an exit code of its own, which scripts rely on.

use crate::error::Error;
use crate::node::cgroup::Fault;
use crate::resize::refusal::{Refusal, RefusalKind};
use crate::resize::request::RequestError;

/// The kinds of ends, with their codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Done = 0,
    Unforeseen = 1,
    Usage = 2,
    WouldOom = 3,
    RolledBack = 4,
    RollbackFailed = 5,
    NotFound = 6,
    Infeasible = 7,
    Busy = 8,
}

impl Exit {
    pub(super) fn code(self) -> u8 {
        self as u8
    }

    /// The word in JSON.
    pub(super) fn word(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Unforeseen => "error",
            Exit::Usage => "usage",
            Exit::WouldOom => "would-oom",
            Exit::RolledBack => "rolled-back",
            Exit::RollbackFailed => "rollback-failed",
            Exit::NotFound => "not-found",
            Exit::Infeasible => "infeasible",
            Exit::Busy => "busy",
        }
    }
}

/// Why it ended without being done.
#[derive(Debug)]
pub(super) struct Halt {
    pub(super) exit: Exit,
    /// One line.
    pub(super) message: String,
    /// The transaction, if one was begun.
    pub(super) transaction: Option<String>,
    /// What could not be put back.
    pub(super) remains: Vec<String>,
}

impl Halt {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Halt {
        Halt { exit, message: message.into(), transaction: None, remains: Vec::new() }
    }

    pub(super) fn usage(message: impl Into<String>) -> Halt {
        Halt::new(Exit::Usage, message)
    }

    pub(super) fn not_found(why: impl std::fmt::Display) -> Halt {
        Halt::new(Exit::NotFound, why.to_string())
    }
}

impl From<Error> for Halt {
    fn from(why: Error) -> Halt {
        Halt::new(Exit::Unforeseen, why.to_string())
    }
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Halt {
        let exit = match refusal.kind() {
            RefusalKind::Usage => Exit::Usage,
            RefusalKind::NotFound => Exit::NotFound,
            RefusalKind::WouldOom => Exit::WouldOom,
            RefusalKind::Infeasible => Exit::Infeasible,
        };
        Halt::new(exit, refusal.to_string())
    }
}

impl From<RequestError> for Halt {
    fn from(why: RequestError) -> Halt {
        Halt::usage(why.to_string())
    }
}

impl From<Fault> for Halt {
    fn from(fault: Fault) -> Halt {
        let exit = match fault {
            Fault::Gone => Exit::NotFound,
            Fault::Outside { .. } => Exit::Infeasible,
            Fault::System { .. } => Exit::Unforeseen,
        };
        Halt::new(exit, fault.to_string())
    }
}
