//! The Verdict: the one value that is applied to the document, recorded, printed, audited and tested.
//!
//! A refusal is a verdict and not an error: [`Verdict::Deny`] means "would not", an error means "could not".

use serde::{Deserialize, Serialize};

use super::capability::CapabilitySets;
use super::gid::{Gid, GidRange, GidSet};
use super::level::Level;
use super::reason::Reason;

/// What is to be done with a container or a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The document already says what it should.
    Keep(Identity),
    /// The document has to be changed.
    Change(Change),
    /// The container doesn't start.
    Deny(Reason),
}

impl Verdict {
    /// The identity that the container gets; none when it is refused.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Verdict::Keep(identity) => Some(identity),
            Verdict::Change(change) => Some(&change.identity),
            Verdict::Deny(_) => None,
        }
    }

    /// The verdict's name in the audit log.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Keep(_) => "keep",
            Verdict::Change(_) => "change",
            Verdict::Deny(_) => "deny",
        }
    }
}

/// A verdict that changes the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What the document will say.
    pub identity: Identity,
    /// The members of `process` that have to be written to say it.
    pub edits: Edits,
}

/// The members of `process` that are written anew; what is none stays as it is, byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// `user.additionalGids`.
    pub groups: Option<GidSet>,
    /// `noNewPrivileges`.
    pub no_new_privileges: Option<bool>,
    /// The sets of `capabilities` that change, in the order of [`super::capability::SET_NAMES`].
    pub capabilities: [Option<Vec<String>>; 5],
}

impl Edits {
    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        *self == Edits::default()
    }
}

/// Who a container is, and why. Stored as its record; every exec gets the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The primary group; always among `groups`.
    pub gid: Gid,
    /// The supplementary groups, sorted and unique.
    pub groups: GidSet,
    /// Whether execve(2) can no longer gain privileges.
    pub no_new_privileges: bool,
    /// The capability bounding set: above level `groups`, the ceiling of every exec.
    pub bounding: Vec<String>,
    /// The level that held.
    pub level: Level,
    /// What an exec with another primary gid is held to.
    pub limits: Limits,
    /// Each gid that was asked for or merged in, and what became of it.
    pub rulings: Vec<Ruling>,
    /// What was kept though it deserves a look.
    pub findings: Vec<Finding>,
}

/// The part of the policy that an exec's own gid has to pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Ranges that every gid must lie in, one list for each ceiling.
    pub ceilings: Vec<Vec<GidRange>>,
    /// What the node's administrator allows.
    pub allow: Vec<GidRange>,
    /// Whether a primary gid that nobody declared is refused.
    pub deny_undeclared_primary: bool,
}

/// What became of one gid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    /// The gid, as it stood there.
    pub gid: u32,
    /// Where it comes from.
    pub origins: Vec<Origin>,
    /// Whether the container has it.
    pub kept: bool,
    /// The rule that kept or dropped it.
    pub rule: Rule,
}

/// Where a gid comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// It is the process's primary gid.
    Primary,
    /// The pod's securityContext declares it.
    Declared,
    /// An `allow` of the node's configuration covers it.
    Node,
    /// The pod's annotation lists it.
    Annotation,
    /// The engine merged it in, and it can't have come from the image.
    Residual,
    /// A line of the image's etc/group can have given it; the group's name, escaped.
    Image(String),
    /// The engine merged it in; where from can't be told.
    Merged,
}

/// The rule that kept or dropped a gid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Kept: the primary gid always is.
    Primary,
    /// Kept: the annotation lists it and it is authorised.
    Annotated,
    /// Kept: the pod declares it.
    Declared,
    /// Kept: it can't have come from the image.
    Residual,
    /// Kept: a `[[namespace]]` table with `keep` allows it.
    NodeKeep,
    /// Dropped: the annotation doesn't list it.
    NotAnnotated,
    /// Dropped: it is known what the pod declares, and this isn't part of it.
    NotDeclared,
    /// Dropped: it can have come from the image.
    FromImage,
    /// Dropped: where it comes from can't be told.
    Unknown,
    /// Dropped: it is kept by no one's wish, and outside a ceiling.
    OutsideCeiling,
}

impl Rule {
    /// The rule as a sentence for people.
    pub const fn sentence(self) -> &'static str {
        match self {
            Rule::Primary => "the primary gid is always kept",
            Rule::Annotated => "listed by the annotation, and authorised",
            Rule::Declared => "declared by the pod",
            Rule::Residual => "can't have come from the image",
            Rule::NodeKeep => "allowed by a [[namespace]] table with keep",
            Rule::NotAnnotated => "not listed by the annotation",
            Rule::NotDeclared => "not declared by the pod",
            Rule::FromImage => "can have come from the image's etc/group",
            Rule::Unknown => "nothing tells where it comes from",
            Rule::OutsideCeiling => "outside a ceiling of the configuration",
        }
    }
}

/// Something that was kept though it deserves a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Finding {
    /// The primary gid was declared by nobody: it comes from the image.
    UndeclaredPrimary {
        /// The gid.
        gid: u32,
    },
    /// The process runs as uid 0.
    RootUser,
    /// The process has group 0.
    RootGroup,
    /// NFS with AUTH_SYS carries 16 groups (RFC 5531, section 8.2); the rest is cut off.
    ManyGroups {
        /// How many groups there are.
        count: usize,
    },
    /// The bounding set holds CAP_SETGID or CAP_SETUID: a setuid program in the image can change the groups.
    GroupsCanChange,
    /// The real runtime looks gids up by name in the image's etc/group.
    VulnerableRuntime {
        /// Its name and version.
        runtime: String,
    },
    /// The pod's annotation asked for a lower level than holds.
    LevelNotLowered {
        /// What it asked for.
        requested: Level,
    },
    /// An exec's document names a primary gid that the container's init didn't have.
    ForeignPrimary {
        /// The gid.
        gid: u32,
    },
    /// There was no record of the container; it was judged anew.
    NoRecord,
    /// Without root the runtime can't set groups: the container keeps the caller's.
    GroupsNotSettable,
    /// The configuration wants memory limits checked before they are lowered, and the real runtime doesn't do that.
    NoCheckBeforeUpdate {
        /// Its name and version.
        runtime: String,
    },
}

/// For each set that loses something by `drop`, what is left of it.
pub(super) fn changed(sets: &CapabilitySets, drop: impl Fn(&str) -> bool) -> [Option<Vec<String>>; 5] {
    match sets.without(drop) {
        None => [const { None }; 5],
        Some(kept) => {
            let mut out = kept.0;
            for (new, old) in out.iter_mut().zip(&sets.0) {
                if new == old {
                    *new = None;
                }
            }
            out
        }
    }
}

impl Finding {
    /// The finding as a sentence for people.
    pub fn sentence(&self) -> String {
        match self {
            Finding::UndeclaredPrimary { gid } => {
                format!("primary gid {gid} was declared by nobody, it comes from the image; set runAsGroup")
            }
            Finding::RootUser => "the process runs as uid 0".to_owned(),
            Finding::RootGroup => "the process has group 0".to_owned(),
            Finding::ManyGroups { count } => {
                format!("{count} supplementary groups: NFS with AUTH_SYS carries 16 and cuts the rest off")
            }
            Finding::GroupsCanChange => {
                "the bounding set holds CAP_SETGID or CAP_SETUID: a setuid program can change the groups; level sealed ends that"
                    .to_owned()
            }
            Finding::VulnerableRuntime { runtime } => {
                format!("{runtime} looks gids up by name in the image's etc/group; install runc 1.3 or later")
            }
            Finding::LevelNotLowered { requested } => {
                format!("the annotation asks for level {requested}, which is lower than what holds; it only raises")
            }
            Finding::ForeignPrimary { gid } => format!("the container's init doesn't have primary gid {gid}"),
            Finding::NoRecord => "there was no record of the container; it was judged anew".to_owned(),
            Finding::GroupsNotSettable => {
                "without root the runtime can't set groups; the process keeps the caller's".to_owned()
            }
            Finding::NoCheckBeforeUpdate { runtime } => format!(
                "{runtime} has no memory.checkBeforeUpdate, which check-before-update asks for; install runc 1.2 or crun 1.7 or later"
            ),
        }
    }
}
