//! Why a container is refused: each reason says what, on what, and what to do.

use std::fmt;

use caps::Capability;

use super::subject::LookupTrap;
use crate::quote::quoted;

/// A reason for [`super::Verdict::Deny`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An annotation that would undo what we do.
    HostileAnnotation(&'static str),
    /// An annotation of ours that can't be read.
    Annotation {
        /// Its key.
        key: &'static str,
        /// What is wrong with its text.
        why: String,
    },
    /// A gid above 2147483647.
    GidTooLarge(u32),
    /// More groups than the kernel takes.
    TooManyGroups(usize),
    /// The annotation lists a gid that nobody authorised.
    Unauthorised {
        /// The gid.
        gid: u32,
        /// The pod's namespace, where it is known.
        namespace: Option<String>,
        /// The configuration file.
        config: String,
    },
    /// A gid outside a ceiling.
    OutsideCeiling {
        /// The gid.
        gid: u32,
        /// Whether it is the primary one.
        primary: bool,
        /// The configuration file.
        config: String,
    },
    /// A ceiling exists for some namespaces and this container's is unknown.
    CeilingWithoutNamespace {
        /// The configuration file.
        config: String,
    },
    /// A primary gid that nobody declared.
    UndeclaredPrimary(u32),
    /// A gid outside the user namespace.
    NotMapped(u32),
    /// uid 0 at level paranoid.
    RootUser,
    /// A capability that equals any group, at level paranoid.
    GroupEquivalent(Capability),
    /// The runtime looks up names and something could redirect it.
    Lookup {
        /// The runtime's name and version.
        runtime: String,
        /// What could redirect it.
        trap: LookupTrap,
    },
    /// The runtime looks up names and the configuration refuses such runtimes.
    VulnerableRuntime {
        /// The runtime's name and version.
        runtime: String,
    },
    /// The configuration doesn't allow restore.
    Restore {
        /// The configuration file.
        config: String,
    },
    /// There is neither a record of the container nor a state that says who it is.
    NoRecord(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::HostileAnnotation(key) => {
                write!(f, "annotation \"{key}\" would undo the container's groups; remove it")
            }
            Reason::Annotation { key, why } => write!(f, "annotation \"{key}\": {why}"),
            Reason::GidTooLarge(gid) => {
                write!(f, "gid {gid} is above {}; give the process a smaller one", super::gid::Gid::MAX)
            }
            Reason::TooManyGroups(count) => write!(
                f,
                "{count} supplementary groups are more than the {} that the kernel takes; declare fewer",
                super::gid::NGROUPS_MAX
            ),
            Reason::Unauthorised { gid, namespace, config } => {
                write!(f, "gid {gid} is listed by annotation \"{}\", but ", super::annotation::GROUPS_KEY)?;
                f.write_str("neither the node nor the pod's securityContext authorises it; ")?;
                write!(
                    f,
                    "declare it in supplementalGroups, or put allow = [\"{gid}\"] into a [[namespace]] table"
                )?;
                if let Some(namespace) = namespace {
                    write!(f, " that matches {}", quoted(namespace.as_bytes()))?;
                }
                write!(f, " of {config}")
            }
            Reason::OutsideCeiling { gid, primary, config } => {
                let what = if *primary { "primary gid" } else { "gid" };
                write!(
                    f,
                    "{what} {gid} lies outside a [[namespace]] table with ceiling = true of {config}; use one of its gids, or add \"{gid}\" to its allow"
                )
            }
            Reason::CeilingWithoutNamespace { config } => write!(
                f,
                "{config} has a ceiling for some namespaces, and this container's namespace is unknown; set \"engine\" to the engine that calls, or take \"match\" out of the table"
            ),
            Reason::UndeclaredPrimary(gid) => write!(
                f,
                "primary gid {gid} was declared by nobody, it comes from the image; set runAsGroup, or primary-gid = \"warn\""
            ),
            Reason::NotMapped(gid) => {
                write!(
                    f,
                    "gid {gid} isn't mapped into the container's user namespace; extend linux.gidMappings or leave it out"
                )
            }
            Reason::RootUser => f.write_str("level paranoid refuses uid 0; set runAsUser to another user"),
            Reason::GroupEquivalent(cap) => write!(
                f,
                "level paranoid refuses {cap}, which equals any group; set privileged to false and drop ALL capabilities"
            ),
            Reason::Lookup { runtime, trap } => {
                write!(f, "{runtime} looks gids up by name in the container's etc/group, and ")?;
                match trap {
                    LookupTrap::NumericName(name) => {
                        write!(f, "a group there is named {}", quoted(name.as_bytes()))?;
                    }
                    LookupTrap::Mount(destination) => {
                        write!(f, "the mount on {} covers it", quoted(destination.as_bytes()))?;
                    }
                    LookupTrap::Unreadable(why) => f.write_str(why)?,
                }
                f.write_str("; install runc 1.3 or later, or crun")
            }
            Reason::VulnerableRuntime { runtime } => write!(
                f,
                "vulnerable-runtime = \"refuse\", and {runtime} may look gids up by name in the image's etc/group; install runc 1.3 or later, or crun"
            ),
            Reason::Restore { config } => write!(
                f,
                "restore takes the process's groups from the checkpoint image; allow it with restore = \"allow\" in {config}"
            ),
            Reason::NoRecord(why) => {
                write!(
                    f,
                    "there is no record of the container, and {why}; create it anew through runc-strict"
                )
            }
        }
    }
}
