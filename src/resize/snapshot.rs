//! What is: a pod's cgroups with every knob, as the kernel and systemd hold them, and what is known of the machine.
//! The planner sees nothing but this; who reads it from a host keeps the paths, and gives each cgroup a key.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::amount::Bytes;
use super::convert::cpu::Ratio;
use super::convert::cpuset::Cpuset;
use super::convert::memory::ThrottlingFactor;
use super::convert::weight::WeightFormula;
use super::knob::{CgroupVersion, Knob};
use super::knobs::Knobs;

/// Names one cgroup. The planner only compares it and hands it back; a path serves well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CgroupKey(pub String);

impl fmt::Display for CgroupKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A pod, or a container without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The version that all its cgroups have.
    pub version: CgroupVersion,
    /// The pod's own cgroup, if there is a pod.
    pub pod: Option<Cgroup>,
    /// The containers that run the pod's workload, without its sandbox.
    pub containers: Vec<Container>,
    /// True if `containers` are all of the pod's, so that their sum means something.
    pub complete: bool,
    /// What the cgroup above all these allows.
    pub above: Above,
}

/// What lies above the pod, or above a container without a pod. It is never changed, only obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Above {
    /// How many CPUs its bandwidth is worth; version 1 lets no child exceed it.
    pub ratio: Ratio,
    /// The CPUs that may be used below it; `None` if that isn't known.
    pub cpus: Option<Cpuset>,
    /// The memory nodes that may be used below it; `None` if that isn't known.
    pub mems: Option<Cpuset>,
}

/// A container's cgroup, and a nested one if the runtime made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The name within the pod, or the id where there is no pod.
    pub name: String,
    /// The cgroup that its engine knows.
    pub cgroup: Cgroup,
    /// crun's `<scope>/container` on version 2 with systemd: there the processes are.
    pub nested: Option<Cgroup>,
    /// The static CPU manager has given it CPUs of its own, on which a quota only throttles.
    pub exclusive_cpus: bool,
}

/// One cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    /// Its key.
    pub key: CgroupKey,
    /// What the kernel's files hold.
    pub knobs: Knobs,
    /// The unit of systemd that owns it, if one does.
    pub unit: Option<Unit>,
    /// How its `cpu.weight` is made of shares. On version 1 it matters only for a weight that a person asks for.
    pub formula: WeightFormula,
    /// What its memory is used for; `None` if that isn't known, and then a shrink is planned without looking.
    pub memory: Option<MemoryUsage>,
}

/// A unit of systemd and what systemd believes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// E.g. `kubepods-pod1234.slice`.
    pub name: String,
    /// Its properties, as the knobs that systemd would write. What isn't here isn't known.
    pub knobs: Knobs,
}

/// What a cgroup's memory is used for, in bytes: `memory.stat` and its neighbours, subtree included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUsage {
    /// Everything charged: `memory.current`, `memory.usage_in_bytes`.
    pub current: Bytes,
    /// Anonymous memory and shared memory (tmpfs): it can only go to swap.
    pub swappable: Bytes,
    /// What never goes: unreclaimable slab, kernel stacks, page tables, per-CPU data, sockets.
    pub pinned: Bytes,
    /// What is protected below this cgroup: the sum of `memory.min` of its children.
    pub protected: Bytes,
    /// How much more swap it may use: the least of what its limit and the machine have left.
    pub swap_room: Bytes,
}

impl MemoryUsage {
    /// The bytes that no reclaim can free, by the figures above. A limit below it would kill.
    pub fn stuck(&self) -> Bytes {
        let anonymous = self.swappable.saturating_sub(self.swap_room);
        let stuck = anonymous.checked_add(self.pinned).unwrap_or(self.current).max(self.protected);
        stuck.min(self.current)
    }
}

/// What is known of machine, runtime and wishes that hold for the whole plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The size of a page, to which the kernel rounds memory limits down.
    pub page: Bytes,
    /// How containers are changed.
    pub mode: Mode,
    /// What the real runtime's `update` understands.
    pub runtime: RuntimeAbilities,
    /// systemd's version, e.g. 252; it matters only where a unit owns a cgroup.
    pub systemd: u32,
    /// How memory can be reclaimed before a limit is lowered.
    pub reclaim: ReclaimWay,
    /// The factor of MemoryQoS, for `memory-high auto`.
    pub throttling: ThrottlingFactor,
    /// Shrink memory even below what can't be reclaimed.
    pub force: bool,
}

/// How a container is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Through the real runtime's `update`, so that its state stays true.
    Runtime,
    /// Directly: systemd's properties where a unit owns the cgroup, else the kernel's files.
    Direct,
}

/// What `update --resources` of the real runtime understands, beyond memory, CPU, pids and weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RuntimeAbilities {
    /// `cpu.burst`: runc from 1.2, crun from 1.9.
    pub burst: bool,
    /// `unified`: files of version 2 by name.
    pub unified: bool,
    /// `hugepageLimits`: crun; runc's update passes over it.
    pub hugepages: bool,
}

/// How memory is reclaimed from a cgroup before its limit is lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReclaimWay {
    /// v2 `memory.reclaim` (Linux 5.19): a probe that harms nothing.
    Probe,
    /// v2 before that: `memory.high` at the target for a while, which throttles, and never kills.
    High,
    /// v1: the write of the limit reclaims by itself, and answers EBUSY without changing anything if that fails.
    ByTheWrite,
}

impl Snapshot {
    /// A container by its name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// What bounds the containers: the pod's own sets and bandwidth where it has them, else what lies above.
    pub fn bound(&self) -> Above {
        let mut bound = self.above.clone();
        if let Some(pod) = &self.pod {
            bound.ratio = pod.knobs.bandwidth().map_or(bound.ratio, |cpu| bound.ratio.min(cpu.ratio()));
            let set = |knob| pod.knobs.set(&knob).filter(|set| !set.is_empty()).cloned();
            bound.cpus = set(Knob::CpusetCpus).or(bound.cpus);
            bound.mems = set(Knob::CpusetMems).or(bound.mems);
        }
        bound
    }
}
