//! A plan is steps in order. Each is one change of one knob, or one reclaim; it says where, what, how and why there, and
//! it carries both values, so that what has been written to a journal can be undone without knowing anything else.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::resize::amount::Bytes;
use crate::resize::convert::systemd::PropertyValue;
use crate::resize::field::Field;
use crate::resize::knob::Knob;
use crate::resize::quoted::Quoted;
use crate::resize::snapshot::{CgroupKey, ReclaimWay};
use crate::resize::value::Value;

/// One step of a plan. As JSON it is one flat object, which names knobs and values in the kernel's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "super::journal::Record", try_from = "super::journal::Record")]
pub struct Step {
    /// Which part of the pod it is about.
    pub level: Level,
    /// The cgroup.
    pub cgroup: CgroupKey,
    /// What happens.
    pub action: Action,
    /// Why it stands here in the order.
    pub reason: Reason,
}

/// The part of a pod that a cgroup belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The pod's own cgroup.
    Pod,
    /// A container's, by the container's name.
    Container(String),
    /// The one inside a container's scope.
    Nested(String),
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Changes a knob.
    Set {
        /// The knob.
        knob: Knob,
        /// Its value before.
        old: Value,
        /// Its value after, as the kernel will hold it.
        new: Value,
        /// How it is changed.
        route: Route,
    },
    /// Frees memory, so that the next limit finds room.
    Reclaim(Reclaim),
}

/// How a knob is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// By the real runtime's `update`, with the complete set of resources in which these fields have changed, in the order
    /// of fields.
    Runtime(Vec<FieldChange>),
    /// By systemd's SetUnitProperties.
    Systemd {
        /// The unit.
        unit: String,
        /// Its properties, in the order of names.
        properties: Vec<PropertyChange>,
    },
    /// By writing the new value's text to the knob's file.
    File,
}

/// A field of the runtime's document, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// The field.
    pub field: Field,
    /// Its value for the cgroup as it was.
    pub old: Json,
    /// Its value for the cgroup as it will be.
    pub new: Json,
}

/// A property of a unit, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PropertyChange {
    /// Its name.
    pub name: String,
    /// What systemd holds now.
    pub old: PropertyValue,
    /// What it will hold.
    pub new: PropertyValue,
}

/// Memory to be freed before a limit is lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reclaim {
    /// What is in use; `None` if it has to be looked up.
    pub usage: Option<Bytes>,
    /// What may be in use afterwards: the limit to come.
    pub target: Bytes,
    /// What of it can't be freed; `None` if it has to be looked up.
    pub stuck: Option<Bytes>,
    /// How it is freed.
    pub way: ReclaimWay,
}

/// Why a step stands where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The pod makes room.
    PodFirst,
    /// The pod gives room back.
    PodLast,
    /// Containers that shrink go before those that grow.
    ShrinkFirst,
    /// Containers that grow go after those that shrink.
    GrowLast,
    /// The scope grows before what is nested in it.
    OuterFirst,
    /// What is nested shrinks before its scope.
    InnerFirst,
    /// Version 1: the sum of memory and swap can't be below the limit.
    SumFirst,
    /// Version 1: the limit can't be above the sum of memory and swap.
    LimitFirst,
    /// The quota can't be below the burst.
    BurstFirst,
    /// The burst can't be above the quota.
    QuotaFirst,
    /// Version 1: quota and period are two files, and a mixture would throttle or exceed the parent.
    LiftQuota,
    /// The scope has the members of both sets until what is nested has moved.
    Widen,
    /// What is nested has moved.
    Narrow,
    /// Memory is freed before the limit is lowered, which would kill.
    ReclaimFirst,
    /// The kernel has the value, systemd doesn't know it.
    TellSystemd,
    /// The runtime will set the swap limit, and tells systemd of any but 0 (opencontainers/cgroups:
    /// `genV2ResourcesProperties`).
    TellOfSwap,
    /// A rollback goes backwards.
    Undo,
}

impl Step {
    /// The knob that the step changes, if it does.
    pub fn knob(&self) -> Option<&Knob> {
        match &self.action {
            Action::Set { knob, .. } => Some(knob),
            Action::Reclaim(_) => None,
        }
    }

    /// True if this step and the one before can be one call: of the runtime for one container, or of systemd for one
    /// unit.
    pub fn joins(&self, before: &Self) -> bool {
        let route = |step: &Self| match &step.action {
            Action::Set { route: Route::Runtime(_), .. } => Some(0),
            Action::Set { route: Route::Systemd { .. }, .. } => Some(1),
            _ => None,
        };
        self.cgroup == before.cgroup && route(self).is_some() && route(self) == route(before)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod => out.write_str("pod"),
            Self::Container(name) => write!(out, "container {}", Quoted(name)),
            Self::Nested(name) => write!(out, "inside container {}", Quoted(name)),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::PodFirst => "the pod makes room before its containers grow",
            Self::PodLast => "the pod gives room back after its containers have",
            Self::ShrinkFirst => "what shrinks goes before what grows",
            Self::GrowLast => "what grows goes after what shrinks",
            Self::OuterFirst => "the scope grows before the cgroup inside it",
            Self::InnerFirst => "the cgroup inside a scope shrinks before the scope",
            Self::SumFirst => "memory and swap together can't be below the memory limit",
            Self::LimitFirst => "the memory limit can't be above memory and swap together",
            Self::BurstFirst => "the quota can't be below the burst",
            Self::QuotaFirst => "the burst can't be above the quota",
            Self::LiftQuota => {
                "quota and period are two files; a mixture of old and new would throttle or be refused"
            }
            Self::Widen => "both sets, until the cgroup inside has moved",
            Self::Narrow => "the cgroup inside has moved",
            Self::ReclaimFirst => "a limit below the usage would kill; memory is freed first",
            Self::TellSystemd => "the kernel has it already, but systemd's next reload would undo it",
            Self::TellOfSwap => {
                "runtimes don't tell systemd of a swap limit of 0, and its next reload would lift it"
            }
            Self::Undo => "puts back what was there",
        })
    }
}
