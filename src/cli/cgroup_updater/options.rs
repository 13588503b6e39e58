//! The flags of each sub-command. Values are texts here: what they mean, and what is wrong with them, is said by
//! [`Request::option`].

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::sticky::Lasting;
use crate::resize::request::{Request, RequestError};

/// Whose limits.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Target {
    #[command(flatten)]
    pub(super) whose: Whose,
    /// Which container of the pod
    #[arg(long, value_name = "NAME", requires = "pod", conflicts_with_all = ["container", "pid", "cgroup"], help_heading = "Target")]
    pub(super) container_name: Option<String>,
    /// Look for containers also below this runtime root
    #[arg(long, value_name = "DIR", help_heading = "Target")]
    pub(super) root: Option<PathBuf>,
}

/// The one of these that is given.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Whose {
    /// A container's id, or the beginning of one
    #[arg(long, value_name = "ID", help_heading = "Target")]
    pub(super) container: Option<String>,
    /// The pod with this uid
    #[arg(long, value_name = "UID", help_heading = "Target")]
    pub(super) pod: Option<String>,
    /// The container that this process is in
    #[arg(long, value_name = "N", help_heading = "Target")]
    pub(super) pid: Option<u32>,
    /// The cgroup of a container, from the root of the hierarchy
    #[arg(long, value_name = "PATH", help_heading = "Target")]
    pub(super) cgroup: Option<PathBuf>,
}

/// What is asked for.
#[derive(Debug, Default, Args)]
#[group(skip)]
#[command(next_help_heading = "Limits (quantities as in Kubernetes: 500m, 128Mi; \"none\" removes a limit)")]
pub(super) struct Limits {
    /// The CPU request, which decides the share of the CPU
    #[arg(long, value_name = "Q", allow_hyphen_values = true)]
    cpu_request: Option<String>,
    /// The CPU limit
    #[arg(long, value_name = "Q", allow_hyphen_values = true)]
    cpu_limit: Option<String>,
    /// The memory request; it bounds the limit from below
    #[arg(long, value_name = "Q", allow_hyphen_values = true)]
    memory_request: Option<String>,
    /// The memory limit
    #[arg(long, value_name = "Q", allow_hyphen_values = true)]
    memory_limit: Option<String>,
    /// The period that the CPU limit is counted in, 1000 to 1000000 microseconds
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_period: Option<String>,
    /// CPU time that may be saved up, in microseconds
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_burst: Option<String>,
    /// The share of the CPU as cgroup v2's weight, 1 to 10000
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    cpu_weight: Option<String>,
    /// The CPUs to run on, such as 0-3,8
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    cpuset_cpus: Option<String>,
    /// The memory nodes to allocate from
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    cpuset_mems: Option<String>,
    /// Where throttling begins: auto, as the kubelet's MemoryQoS, or a quantity (v2)
    #[arg(long, value_name = "auto|Q", allow_hyphen_values = true)]
    memory_high: Option<String>,
    /// Memory that is never reclaimed (v2)
    #[arg(long, value_name = "Q", allow_hyphen_values = true)]
    memory_min: Option<String>,
    /// Memory that is reclaimed last
    #[arg(long, value_name = "Q", allow_hyphen_values = true)]
    memory_low: Option<String>,
    /// Swap beside the memory limit
    #[arg(long, value_name = "Q", allow_hyphen_values = true)]
    swap_limit: Option<String>,
    /// The number of tasks
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<String>,
    /// Huge pages, such as 2Mi=64Mi; may be given again
    #[arg(long, value_name = "SIZE=Q", allow_hyphen_values = true)]
    hugepages: Vec<String>,
    /// The share of the disks, 1 to 10000
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    io_weight: Option<String>,
    /// Limits of a device, such as 8:0,rbps=1Mi,wiops=100; may be given again
    #[arg(long, value_name = "MAJ:MIN,RATE=Q", allow_hyphen_values = true)]
    io_max: Vec<String>,
    /// A file of cgroup v2, such as memory.oom.group=1; may be given again
    #[arg(long, value_name = "FILE=VALUE", allow_hyphen_values = true)]
    unified: Vec<String>,
}

impl Limits {
    /// What is asked for, on top of `request`.
    pub(super) fn add_to(&self, request: &mut Request) -> Result<(), RequestError> {
        let once = [
            ("cpu-request", &self.cpu_request),
            ("cpu-limit", &self.cpu_limit),
            ("memory-request", &self.memory_request),
            ("memory-limit", &self.memory_limit),
            ("cpu-period", &self.cpu_period),
            ("cpu-burst", &self.cpu_burst),
            ("cpu-weight", &self.cpu_weight),
            ("cpuset-cpus", &self.cpuset_cpus),
            ("cpuset-mems", &self.cpuset_mems),
            ("memory-high", &self.memory_high),
            ("memory-min", &self.memory_min),
            ("memory-low", &self.memory_low),
            ("swap-limit", &self.swap_limit),
            ("pids-limit", &self.pids_limit),
            ("io-weight", &self.io_weight),
        ];
        let again = [("hugepages", &self.hugepages), ("io-max", &self.io_max), ("unified", &self.unified)];
        for (name, value) in once.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            request.option(name, value)?;
        }
        for (name, values) in again {
            values.iter().try_for_each(|value| request.option(name, value))?;
        }
        request.check()
    }
}

/// How it is done and shown.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "How")]
pub(super) struct How {
    /// Show the plan and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Show each step, old → new, with its reason; that is so on a terminal anyway
    #[arg(long)]
    pub(super) diff: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
    /// Lower memory limits even below what can't be reclaimed: processes may be killed
    #[arg(long)]
    pub(super) force: bool,
    /// How long to wait, for another transaction and for memory to be reclaimed
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(super) timeout: u64,
    /// Through the runtime's update, so that its state stays true, or straight to the cgroup's files; auto takes the
    /// runtime where it is known and keeps limits in its state, as runc does
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub(super) mode: Mode,
    /// How cpu.weight is made of CPU shares on cgroup v2: linear by older runtimes, log by newer ones; auto sees to it
    #[arg(long, value_enum, default_value_t = Formula::Auto)]
    pub(super) weight_formula: Formula,
}

/// `--mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    Auto,
    Runtime,
    Direct,
}

/// `--weight-formula`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Formula {
    Auto,
    Linear,
    Log,
}

/// How long it lasts.
#[derive(Debug, Args)]
#[group(skip)]
#[command(next_help_heading = "How")]
pub(super) struct Hold {
    /// Keep it when the engine updates the container again, and for the container's next attempt; that is so anyway for
    /// containers that runc-strict started
    #[arg(long, conflicts_with = "once")]
    sticky: bool,
    /// Don't keep it: the engine's next update may undo it
    #[arg(long)]
    once: bool,
}

impl Hold {
    /// What was asked for.
    pub(super) fn lasting(&self) -> Lasting {
        match (self.sticky, self.once) {
            (true, _) => Lasting::Sticky,
            (false, true) => Lasting::Once,
            (false, false) => Lasting::Auto,
        }
    }
}

/// `set`.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Set {
    #[command(flatten)]
    pub(super) target: Target,
    #[command(flatten)]
    pub(super) limits: Limits,
    /// An OCI LinuxResources object, as a runtime's update takes it; - is stdin
    #[arg(long, value_name = "FILE|-", help_heading = "Target")]
    pub(super) resources: Option<PathBuf>,
    #[command(flatten)]
    pub(super) hold: Hold,
    #[command(flatten)]
    pub(super) how: How,
}

/// `apply`.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Apply {
    /// Manifests of Pods, YAML or JSON: one, several documents, or a List; - is stdin. Their spec.containers[].resources
    /// are applied in one transaction
    #[arg(short = 'f', long = "file", value_name = "FILE|-")]
    pub(super) file: PathBuf,
    /// The pod's uid, where the one manifest has no metadata.uid
    #[arg(long, value_name = "UID")]
    pub(super) pod: Option<String>,
    /// Look for containers also below this runtime root
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    #[command(flatten)]
    pub(super) hold: Hold,
    #[command(flatten)]
    pub(super) how: How,
}

/// `unset`.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Unset {
    #[command(flatten)]
    pub(super) target: Target,
    /// The overrides to drop, as status names them: memory.limit, cpu.quota; without any, all of the container's
    #[arg(value_name = "FIELD")]
    pub(super) fields: Vec<String>,
    /// Leave the limits as they are until the engine's next update; else its last values are set again
    #[arg(long)]
    pub(super) keep: bool,
    #[command(flatten)]
    pub(super) how: How,
}

/// `status`.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Status {
    #[command(flatten)]
    pub(super) target: Target,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// `rollback`.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Rollback {
    /// The transaction, as `set` and `history` name it
    pub(super) transaction: String,
    /// Undo it even where values have changed since, and even below what can't be reclaimed
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) back: Back,
}

/// `recover`.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Recover {
    #[command(flatten)]
    pub(super) back: Back,
}

/// How a way back is gone and told.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Back {
    /// How long to wait, for another transaction and for memory to be reclaimed
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(super) timeout: u64,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}

/// `history`.
#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct History {
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
}
