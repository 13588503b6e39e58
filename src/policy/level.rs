//! How far a container's identity is closed: the three levels, and the capabilities that each is about.

use std::fmt;

use caps::Capability;
use serde::{Deserialize, Serialize};

/// A level; each includes the ones before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Exact supplementary groups, at create and at exec.
    #[default]
    Groups,
    /// Also noNewPrivileges, and CAP_SETGID and CAP_SETUID out of all five sets.
    Sealed,
    /// Also refuses privileged containers, uid 0, and capabilities that equal any group.
    Paranoid,
}

impl Level {
    /// Reads a level's name.
    pub fn parse(text: &str) -> Option<Level> {
        match text {
            "groups" => Some(Level::Groups),
            "sealed" => Some(Level::Sealed),
            "paranoid" => Some(Level::Paranoid),
            _ => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Level {
    /// The word that stands for it.
    pub fn word(self) -> &'static str {
        match self {
            Level::Groups => "groups",
            Level::Sealed => "sealed",
            Level::Paranoid => "paranoid",
        }
    }
}

/// What `sealed` takes out of all five sets: with either of them a process gives itself any group.
pub const SEALED_OUT: [Capability; 2] = [Capability::CAP_SETGID, Capability::CAP_SETUID];

/// What `paranoid` refuses, beside uid 0: with one of these a process reads and writes the files of any group,
/// or makes itself a process that may.
///
/// CAP_CHOWN suffices alone: chown the file to oneself, then read it.
pub const GROUP_EQUIVALENT: &[Capability] = &[
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_FOWNER,
    Capability::CAP_SETFCAP,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_SYS_MODULE,
    Capability::CAP_MKNOD,
];
