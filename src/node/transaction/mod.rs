//! A resize as a transaction: locked, written down before each change, read back after it, and undone in reverse when
//! something fails or the process was killed.
//!
//! ```text
//! lock ─▶ journal: who, which cgroups, the plan ─▶ for each call: journal ─▶ change ─▶ read back ─▶ journal: committed
//!                                                       failure or crash ─▶ undo what was begun ─▶ journal: rolled back
//! ```

mod apply;
mod hold;
mod journal;
mod lock;
mod reclaim;
mod short;
mod undo;
mod update;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

pub use apply::{Stop, apply};
pub use hold::{Hold, Turn};
pub use journal::{Cgroup, End, Head, Journal, Story, all, story, unfinished};
pub use lock::Lock;
pub use undo::{Remains, undo};
pub use update::stated;

use super::cgroup::{Fault, Group, Tree, is_same};
use super::process::ProcessKey;
use super::systemd::Systemd;
use crate::quote::quoted;
use crate::resize::amount::Bytes;
use crate::resize::convert::weight::WeightFormula;
use crate::resize::knobs::Knobs;
use crate::resize::plan::Level;
use crate::resize::snapshot::{CgroupKey, ReclaimWay, RuntimeAbilities};
use crate::resize::verify::Owner;

/// A container, by the runtime that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// The runtime's program.
    pub program: PathBuf,
    /// Its state folder.
    pub root: PathBuf,
    /// The container's id.
    pub id: String,
}

/// One cgroup that may be changed, opened.
#[derive(Debug)]
pub struct Site {
    /// The cgroup.
    pub group: Group,
    /// The runtime that its container is of.
    pub runtime: Option<Runtime>,
    /// The first process of its container.
    pub init: Option<ProcessKey>,
    /// The unit of systemd that owns it.
    pub unit: Option<String>,
    /// How its weight is made of shares.
    pub formula: WeightFormula,
    /// Its pod's name, where there are several.
    pub pod: Option<String>,
}

impl Site {
    /// Who has the last word on it.
    pub fn owner(&self) -> Owner {
        if self.unit.is_some() { Owner::Systemd } else { Owner::Cgroupfs }
    }

    /// What the journal keeps of it.
    pub fn entry(&self) -> Cgroup {
        Cgroup {
            identity: self.group.identity(),
            runtime: self.runtime.clone(),
            unit: self.unit.clone(),
            init: self.init,
            pod: self.pod.clone(),
        }
    }

    /// False once its container has ended.
    pub fn lives(&self) -> bool {
        self.group.lives() && self.init.is_none_or(ProcessKey::runs)
    }
}

/// Everything that a transaction may touch.
#[derive(Debug)]
pub struct Scene {
    /// The hierarchies.
    pub tree: Tree,
    /// systemd, where a unit owns one of the cgroups.
    pub systemd: Option<Mutex<Systemd>>,
    /// The cgroups, by the planner's keys.
    pub sites: BTreeMap<CgroupKey, Site>,
    /// What the sites held before, where that is known.
    pub before: BTreeMap<CgroupKey, Knobs>,
    /// All of it, of the sites that a runtime was let at: a failure puts back also what it changed unasked.
    pub whole: Mutex<BTreeMap<CgroupKey, Knobs>>,
    /// The files beside the usual ones that are read and set.
    pub files: Vec<String>,
    /// What the real runtime understands.
    pub abilities: RuntimeAbilities,
    /// The size of a page.
    pub page: Bytes,
    /// How memory is reclaimed.
    pub way: ReclaimWay,
    /// Lower a limit even if reclaiming doesn't come so far.
    pub force: bool,
    /// When to give up waiting.
    pub deadline: Instant,
}

impl Scene {
    /// What a cgroup is called: `pod default/web-1, container "app"`; without the pod where there is only one.
    pub fn name(&self, key: &CgroupKey, level: &Level) -> String {
        match (self.sites.get(key).and_then(|site| site.pod.as_ref()), level) {
            (None, _) => level.to_string(),
            (Some(pod), Level::Pod) => pod.clone(),
            (Some(pod), _) => format!("{pod}, {level}"),
        }
    }

    /// A site by its key.
    ///
    /// # Errors
    /// [`Failure::Gone`] for one that isn't there any more.
    fn site(&self, key: &CgroupKey) -> Result<&Site, Failure> {
        self.sites.get(key).ok_or(Failure::Gone)
    }

    /// The knobs of a cgroup now.
    ///
    /// # Errors
    /// [`Failure`] where they can't be read.
    fn knobs(&self, group: &Group) -> Result<Knobs, Failure> {
        Ok(super::cgroup::cgroup(group, &self.files)?)
    }

    /// Of the knobs of a cgroup now, those that tell whether it has `wanted`.
    ///
    /// # Errors
    /// [`Failure`] where they can't be read.
    fn knobs_like(&self, group: &Group, wanted: &Knobs) -> Result<Knobs, Failure> {
        Ok(super::cgroup::like(group, wanted)?)
    }

    /// The cgroup of a site in all hierarchies: it is planned in those alone that are asked about.
    ///
    /// # Errors
    /// [`Failure::Gone`] if another one is in its place.
    fn whole(&self, key: &CgroupKey, site: &Site) -> Result<Group, Failure> {
        let place = key.0.parse().map_err(|()| Failure::Other(format!("{key} is no cgroup")))?;
        let group = self.tree.group(&place)?.keeping();
        if is_same(&site.group.identity(), &group.identity()) { Ok(group) } else { Err(Failure::Gone) }
    }

    /// Keeps what a cgroup held right before a runtime was let at it for the first time.
    fn remember(&self, key: &CgroupKey, knobs: Knobs) {
        let mut whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        whole.entry(key.clone()).or_insert(knobs);
    }

    /// What a site held before, all that is known of it; `changed` is what the journal says.
    fn original(&self, key: &CgroupKey, changed: &Knobs) -> Knobs {
        let whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = whole.get(key).cloned().unwrap_or_default();
        known.extend(self.before.get(key).unwrap_or(changed).clone());
        known
    }
}

/// Told while something takes long, by whichever thread it takes long in.
pub trait Watcher: Sync {
    /// Memory is being reclaimed: what is in use, and what shall be.
    fn reclaiming(&self, what: &str, usage: Bytes, target: Bytes);
}

/// Why a change wasn't made.
#[derive(Debug)]
pub enum Failure {
    /// The container ended: that is no failure of the value.
    Gone,
    /// The kernel refused.
    Kernel(Fault),
    /// The real runtime refused.
    Runtime {
        /// Its name and command.
        program: String,
        /// What it said.
        said: String,
    },
    /// The value was written, and another one is read.
    ReadBack {
        /// The knob's name.
        knob: String,
        /// What was written.
        wanted: String,
        /// What is read.
        found: String,
    },
    /// Memory could not be reclaimed down to the limit that was asked for.
    Stuck {
        /// What is in use.
        usage: Bytes,
        /// What should have been.
        target: Bytes,
        /// True if time ran out.
        late: bool,
    },
    /// Anything else, as a whole sentence.
    Other(String),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        match fault {
            Fault::Gone => Failure::Gone,
            other => Failure::Kernel(other),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Gone => Fault::Gone.fmt(out),
            Failure::Kernel(fault) => fault.fmt(out),
            Failure::Runtime { program, said } => write!(out, "{program} failed: {said}"),
            Failure::ReadBack { knob, wanted, found } => write!(
                out,
                "{knob} was set to {} and reads {}; something else writes to it",
                quoted(wanted.as_bytes()),
                quoted(found.as_bytes())
            ),
            Failure::Stuck { usage, target, late } => {
                let why = if *late { "in the time given" } else { "any further" };
                write!(
                    out,
                    "memory can't be reclaimed {why}: {usage} in use, {target} wanted; free memory first, "
                )?;
                out.write_str(if *late {
                    "give a longer --timeout, or use --force"
                } else {
                    "or use --force"
                })
            }
            Failure::Other(sentence) => out.write_str(sentence),
        }
    }
}

impl std::error::Error for Failure {}
