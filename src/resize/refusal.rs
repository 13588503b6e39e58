//! What the planner would not do, and why. A refusal is an answer, not a failure: nothing has been changed, and the
//! message names the value and what to do.

use std::fmt;

use super::amount::Bytes;
use super::convert::cpu::Ratio;
use super::convert::cpuset::Cpuset;
use super::knob::{CgroupVersion, Knob};
use super::plan::Level;
use super::quoted::Quoted;
use super::request::RequestError;

/// A resize that would not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What was asked contradicts itself.
    Request {
        /// The container that it was asked for.
        container: String,
        /// What is wrong.
        error: RequestError,
    },
    /// There is no such container.
    UnknownContainer {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// The cgroup has no such file.
    Missing {
        /// The container.
        container: String,
        /// The knob without a file.
        knob: Knob,
    },
    /// The other version of cgroups has this.
    OtherVersion {
        /// The container.
        container: String,
        /// What was asked, as an option's name.
        what: &'static str,
        /// The version that would have it.
        needs: CgroupVersion,
    },
    /// A value that the kernel doesn't take beside the others.
    Unfit {
        /// The container.
        container: String,
        /// The knob.
        knob: Knob,
        /// The value that would be set, in the kernel's words.
        value: String,
        /// Why not, and what to do.
        why: String,
    },
    /// CPUs or memory nodes that the parent doesn't have.
    OutsideParent {
        /// The container.
        container: String,
        /// `cpuset.cpus` or `cpuset.mems`.
        knob: Knob,
        /// Those of the asked ones that are outside.
        outside: Cpuset,
        /// Those that the parent has.
        parent: Cpuset,
    },
    /// Version 1: more CPU time than the parent has.
    AboveParent {
        /// The cgroup that would exceed its parent.
        level: Level,
        /// What was asked, in CPUs.
        asked: Ratio,
        /// What the parent has.
        parent: Ratio,
    },
    /// The limit is below what can't be reclaimed.
    WouldOom {
        /// Version 2 would kill, version 1 would refuse the limit.
        version: CgroupVersion,
        /// The cgroup whose limit it is.
        level: Level,
        /// The limit that would be set.
        limit: Bytes,
        /// What is in use.
        usage: Bytes,
        /// What of it can't be reclaimed.
        stuck: Bytes,
    },
}

/// What kind of refusal it is: each has an exit code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request makes no sense.
    Usage,
    /// What it is about isn't there.
    NotFound,
    /// Processes would be killed for lack of memory.
    WouldOom,
    /// This machine, or what lies above, doesn't allow it.
    Infeasible,
}

impl Refusal {
    /// What kind it is.
    pub fn kind(&self) -> RefusalKind {
        match self {
            Self::Request { .. } => RefusalKind::Usage,
            Self::UnknownContainer { .. } => RefusalKind::NotFound,
            Self::WouldOom { .. } => RefusalKind::WouldOom,
            _ => RefusalKind::Infeasible,
        }
    }
}

/// A ratio as people count CPUs: three places, rounded to the nearest.
fn cpus(ratio: Ratio) -> String {
    ratio.at().map_or_else(
        || "no limit".to_owned(),
        |ratio| {
            let milli = (u128::from(ratio) * 1000 + (1 << 19)) >> 20;
            format!("{}.{:03} CPUs", milli / 1000, milli % 1000)
        },
    )
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { container, error } => write!(out, "container {}: {error}", Quoted(container)),
            Self::UnknownContainer { name, known } => {
                let known: Vec<String> = known.iter().map(|name| Quoted(name).to_string()).collect();
                write!(out, "no container {} in the pod; it has {}", Quoted(name), known.join(", "))
            }
            Self::Missing { container, knob } => write!(
                out,
                "container {}: its cgroup has no {knob}; the kernel lacks it or its controller is off",
                Quoted(container)
            ),
            Self::OtherVersion { container, what, needs } => {
                write!(
                    out,
                    "container {}: {what} needs {needs}, which this host doesn't use",
                    Quoted(container)
                )
            }
            Self::Unfit { container, knob, value, why } => {
                write!(out, "container {}: {knob} {}: {why}", Quoted(container), Quoted(value))
            }
            Self::OutsideParent { container, knob, outside, parent } => write!(
                out,
                "container {}: {knob}: {} is outside its parent's {}; choose among those",
                Quoted(container),
                Quoted(&outside.to_string()),
                Quoted(&parent.to_string())
            ),
            Self::AboveParent { level, asked, parent } => write!(
                out,
                "{level}: a CPU limit of {} is above its parent's {}; cgroup v1 refuses that, so lower the limit or raise the parent's",
                cpus(*asked),
                cpus(*parent)
            ),
            Self::WouldOom { version, level, limit, usage, stuck } => {
                let outcome = match version {
                    CgroupVersion::V1 => "the kernel would refuse a memory limit of",
                    CgroupVersion::V2 => "the kernel would kill under a memory limit of",
                };
                write!(
                    out,
                    "{level}: {stuck} of the {usage} in use can't be reclaimed, so {outcome} {limit}; \
                     free memory first, choose at least {stuck}, or try it with --force"
                )
            }
        }
    }
}

impl std::error::Error for Refusal {}
