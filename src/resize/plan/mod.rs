//! The planner: from what is and what is wanted to steps in order.
//!
//! The order is the kubelet's, held more strictly: the pod makes room, containers shrink, containers grow, the pod gives
//! room back. So at no moment is a container bounded by less than both what it had and what it will have, no container
//! of version 1 exceeds its pod, and two containers never hold more together than the larger of the two pods.
//!
//! What is already so isn't a step, so that planning on what a plan achieved gives an empty plan. Every step carries
//! the value before, so that a journal of steps is all that a rollback needs ([`rollback`]).

mod bandwidth;
mod build;
mod journal;
mod pod;
pub mod rollback;
mod route;
mod show;
mod site;
mod step;

use std::collections::BTreeMap;

use serde_json::Value as Json;

pub use step::{Action, FieldChange, Level, PropertyChange, Reason, Reclaim, Route, Step};

use super::desired::Desired;
use super::field::Field;
use super::knob::{CgroupVersion, Knob};
use super::refusal::Refusal;
use super::snapshot::{Facts, Snapshot};
use super::value::Value;

/// What would be done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The version of all cgroups in it.
    pub version: CgroupVersion,
    /// The steps. Whoever walks them applies each, reads it back, and writes it to a journal before.
    pub steps: Vec<Step>,
    /// What a person should know before.
    pub notices: Vec<Notice>,
    /// For each container, the fields of the runtime's document that hold what was asked: what a sticky override keeps.
    pub fields: BTreeMap<String, BTreeMap<Field, Json>>,
}

/// Something that is no reason to refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The container has CPUs of its own; a quota throttles it on them.
    ExclusiveCpus {
        /// The container.
        container: String,
    },
    /// The pod's own limit is below the container's, and isn't the sum of its containers', so that it stays.
    PodBelow {
        /// The container.
        container: String,
        /// The pod's knob.
        knob: Knob,
        /// The pod's value.
        value: Value,
    },
    /// The runtime's update can't say this, so that its state keeps the old value.
    RuntimeUnaware {
        /// The container.
        container: String,
        /// The kernel's file.
        file: String,
    },
    /// The limit is below what can't be reclaimed, and was forced.
    Forced {
        /// The cgroup.
        level: Level,
    },
}

impl Plan {
    /// True if everything is already so.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The steps in groups that are one call each: neighbours that the runtime takes in one document, or systemd in one
    /// SetUnitProperties.
    pub fn calls(&self) -> impl Iterator<Item = &[Step]> {
        self.steps.chunk_by(|before, step| step.joins(before))
    }
}

/// Plans a resize of one pod, or of one container without a pod.
///
/// # Errors
/// [`Refusal`] where the result would be refused by the kernel or by a parent, or would kill for lack of memory.
pub fn plan(current: &Snapshot, desired: &Desired, facts: &Facts) -> Result<Plan, Refusal> {
    build::Builder::new(current, desired, facts)?.build()
}
