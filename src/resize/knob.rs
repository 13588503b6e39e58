//! The knobs: one name for each value of a cgroup that a resize can change, spelled as the kernel's file is.
//!
//! A knob belongs to one cgroup version, except the three whose files are the same in both. What stands once for each
//! device or page size is a knob of its own.

use std::fmt;
use std::str::FromStr;

use super::amount::Bytes;
use super::convert::hugepage::HugepageSize;
use super::convert::io::{Device, Rate};
use super::quoted::Quoted;

/// A value of a cgroup. The order is the one in which the knobs of one cgroup are changed where nothing else decides:
/// memory before CPU, as the kubelet does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Knob {
    /// v2 `memory.min`: memory that is never reclaimed.
    MemoryMin,
    /// v2 `memory.low`: memory that is reclaimed last.
    MemoryLow,
    /// v2 `memory.high`: above it the cgroup is throttled and reclaimed.
    MemoryHigh,
    /// v2 `memory.max`.
    MemoryMax,
    /// v2 `memory.swap.max`: swap alone.
    SwapMax,
    /// v1 `memory.soft_limit_in_bytes`.
    SoftLimit,
    /// v1 `memory.limit_in_bytes`.
    MemoryLimit,
    /// v1 `memory.memsw.limit_in_bytes`: memory and swap together, never below the memory limit.
    MemswLimit,
    /// v1 `hugetlb.<size>.limit_in_bytes`.
    HugetlbLimit(HugepageSize),
    /// v2 `hugetlb.<size>.max`.
    HugetlbMax(HugepageSize),
    /// `cpuset.cpus`.
    CpusetCpus,
    /// `cpuset.mems`.
    CpusetMems,
    /// v1 `cpu.shares`.
    CpuShares,
    /// v2 `cpu.weight`.
    CpuWeight,
    /// v1 `cpu.cfs_period_us`.
    CfsPeriod,
    /// v1 `cpu.cfs_quota_us`.
    CfsQuota,
    /// v1 `cpu.cfs_burst_us`.
    CfsBurst,
    /// v2 `cpu.max`.
    CpuMax,
    /// v2 `cpu.max.burst`.
    CpuMaxBurst,
    /// `pids.max`.
    PidsMax,
    /// v1 `blkio.weight`.
    BlkioWeight,
    /// v1 `blkio.bfq.weight`.
    BlkioBfqWeight,
    /// v2 `io.weight`.
    IoWeight,
    /// v2 `io.bfq.weight`.
    IoBfqWeight,
    /// v1 `blkio.throttle.*_device`, for one device.
    Throttle(Rate, Device),
    /// v2 `io.max`, for one device.
    IoMax(Device),
    /// v2: any other file, written as it was asked for.
    Unified(UnifiedKey),
}

/// The two versions of the cgroup interface. A hybrid host counts as version 1: there the controllers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CgroupVersion {
    /// Separate hierarchies.
    V1,
    /// One hierarchy.
    V2,
}

impl CgroupVersion {
    /// The files whose values a snapshot holds, for [`Knob::read_file`]. Those of huge pages are named after the
    /// sizes of the machine: everything that begins with `hugetlb.` and ends in `.limit_in_bytes` or `.max`.
    pub const fn files(self) -> &'static [&'static str] {
        match self {
            Self::V1 => &[
                "memory.soft_limit_in_bytes",
                "memory.limit_in_bytes",
                "memory.memsw.limit_in_bytes",
                "cpuset.cpus",
                "cpuset.mems",
                "cpu.shares",
                "cpu.cfs_period_us",
                "cpu.cfs_quota_us",
                "cpu.cfs_burst_us",
                "pids.max",
                "blkio.weight",
                "blkio.bfq.weight",
                "blkio.throttle.read_bps_device",
                "blkio.throttle.write_bps_device",
                "blkio.throttle.read_iops_device",
                "blkio.throttle.write_iops_device",
            ],
            Self::V2 => &[
                "memory.min",
                "memory.low",
                "memory.high",
                "memory.max",
                "memory.swap.max",
                "cpuset.cpus",
                "cpuset.mems",
                "cpu.weight",
                "cpu.max",
                "cpu.max.burst",
                "pids.max",
                "io.weight",
                "io.bfq.weight",
                "io.max",
            ],
        }
    }
}

impl fmt::Display for CgroupVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::V1 => "cgroup v1",
            Self::V2 => "cgroup v2",
        })
    }
}

impl Knob {
    /// The kernel's file, without a device.
    pub fn file(&self) -> String {
        let name = match self {
            Self::HugetlbLimit(size) => return format!("hugetlb.{size}.limit_in_bytes"),
            Self::HugetlbMax(size) => return format!("hugetlb.{size}.max"),
            Self::Unified(key) => return key.0.clone(),
            Self::Throttle(rate, _) => rate.throttle_file(),
            Self::IoMax(_) => "io.max",
            Self::MemoryMin => "memory.min",
            Self::MemoryLow => "memory.low",
            Self::MemoryHigh => "memory.high",
            Self::MemoryMax => "memory.max",
            Self::SwapMax => "memory.swap.max",
            Self::SoftLimit => "memory.soft_limit_in_bytes",
            Self::MemoryLimit => "memory.limit_in_bytes",
            Self::MemswLimit => "memory.memsw.limit_in_bytes",
            Self::CpusetCpus => "cpuset.cpus",
            Self::CpusetMems => "cpuset.mems",
            Self::CpuShares => "cpu.shares",
            Self::CpuWeight => "cpu.weight",
            Self::CfsPeriod => "cpu.cfs_period_us",
            Self::CfsQuota => "cpu.cfs_quota_us",
            Self::CfsBurst => "cpu.cfs_burst_us",
            Self::CpuMax => "cpu.max",
            Self::CpuMaxBurst => "cpu.max.burst",
            Self::PidsMax => "pids.max",
            Self::BlkioWeight => "blkio.weight",
            Self::BlkioBfqWeight => "blkio.bfq.weight",
            Self::IoWeight => "io.weight",
            Self::IoBfqWeight => "io.bfq.weight",
        };
        name.to_owned()
    }

    /// True if the knob exists in this version.
    pub fn is_of(&self, version: CgroupVersion) -> bool {
        let only = match self {
            Self::CpusetCpus | Self::CpusetMems | Self::PidsMax => return true,
            Self::SoftLimit | Self::MemoryLimit | Self::MemswLimit | Self::HugetlbLimit(_) => {
                CgroupVersion::V1
            }
            Self::CpuShares | Self::CfsPeriod | Self::CfsQuota | Self::CfsBurst => CgroupVersion::V1,
            Self::BlkioWeight | Self::BlkioBfqWeight | Self::Throttle(..) => CgroupVersion::V1,
            _ => CgroupVersion::V2,
        };
        only == version
    }

    /// The device that the knob is for, where the file holds one line for each.
    pub fn device(&self) -> Option<Device> {
        match self {
            Self::Throttle(_, device) | Self::IoMax(device) => Some(*device),
            _ => None,
        }
    }

    /// The multiple that the kernel rounds a number of bytes down to, if it does.
    pub fn grain(&self, page: Bytes) -> Option<Bytes> {
        match self {
            Self::HugetlbLimit(size) | Self::HugetlbMax(size) => Some(size.bytes()),
            Self::MemoryMin | Self::MemoryLow | Self::MemoryHigh | Self::MemoryMax => Some(page),
            Self::SwapMax | Self::SoftLimit | Self::MemoryLimit | Self::MemswLimit => Some(page),
            _ => None,
        }
    }
}

impl fmt::Display for Knob {
    /// The file, and the device after a blank: `memory.max`, `io.max 8:0`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.file())?;
        self.device().map_or(Ok(()), |device| write!(out, " {device}"))
    }
}

impl FromStr for Knob {
    type Err = KnobError;

    /// Reads what [`Display`](fmt::Display) prints.
    ///
    /// # Errors
    /// [`KnobError`] for a name that no knob has and that is no proper key of a unified file.
    fn from_str(text: &str) -> Result<Self, KnobError> {
        let fault = || KnobError { name: text.to_owned(), what: "it is not known" };
        if let Some((file, device)) = text.split_once(' ') {
            let device = device.parse().map_err(|()| fault())?;
            if file == "io.max" {
                return Ok(Self::IoMax(device));
            }
            let rate = Rate::ALL.into_iter().find(|rate| rate.throttle_file() == file);
            return rate.map(|rate| Self::Throttle(rate, device)).ok_or_else(fault);
        }
        if let Some(name) = text.strip_prefix("hugetlb.") {
            let size = |end| name.strip_suffix(end).and_then(|size| size.parse().ok());
            let known = size(".limit_in_bytes")
                .map(Self::HugetlbLimit)
                .or_else(|| size(".max").map(Self::HugetlbMax));
            if let Some(knob) = known.filter(|knob| knob.file() == text) {
                return Ok(knob);
            }
        }
        let plain = [
            Self::MemoryMin,
            Self::MemoryLow,
            Self::MemoryHigh,
            Self::MemoryMax,
            Self::SwapMax,
            Self::SoftLimit,
            Self::MemoryLimit,
            Self::MemswLimit,
            Self::CpusetCpus,
            Self::CpusetMems,
            Self::CpuShares,
            Self::CpuWeight,
            Self::CfsPeriod,
            Self::CfsQuota,
            Self::CfsBurst,
            Self::CpuMax,
            Self::CpuMaxBurst,
            Self::PidsMax,
            Self::BlkioWeight,
            Self::BlkioBfqWeight,
            Self::IoWeight,
            Self::IoBfqWeight,
        ];
        match plain.into_iter().find(|knob| knob.file() == text) {
            Some(knob) => Ok(knob),
            None => UnifiedKey::new(text).map(Self::Unified),
        }
    }
}

/// A file of version 2 that we have no type for: `CONTROLLER.NAME`, of a controller that only bounds or weighs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnifiedKey(String);

impl UnifiedKey {
    /// Checks a key. Files whose write is an act rather than a setting (`cgroup.kill`, `cgroup.freeze`,
    /// `memory.reclaim`) can't be undone by a rollback and are refused; so is what leads out of the folder.
    ///
    /// # Errors
    /// [`KnobError`] with what is wrong.
    pub fn new(text: &str) -> Result<Self, KnobError> {
        let fault = |what| Err(KnobError { name: text.to_owned(), what });
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let Some((controller, name)) = text.split_once('.') else {
            return fault("it must have the form CONTROLLER.NAME");
        };
        if !text.bytes().all(plain) || name.is_empty() || text.len() > 128 {
            return fault("it must be a file of the cgroup's own folder");
        }
        if !["cpu", "cpuset", "hugetlb", "io", "memory", "misc", "pids", "rdma", "dmem"].contains(&controller)
        {
            return fault("only cpu, cpuset, dmem, hugetlb, io, memory, misc, pids and rdma can be set");
        }
        if text == "io.max" {
            return fault("use io-max, which knows its devices");
        }
        if matches!(text, "memory.reclaim" | "memory.peak" | "memory.swap.peak") {
            return fault("writing it is an act that no rollback undoes");
        }
        Ok(Self(text.to_owned()))
    }

    /// The file's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name that isn't a knob's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnobError {
    name: String,
    what: &'static str,
}

impl fmt::Display for KnobError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cgroup file {}: {}", Quoted(&self.name), self.what)
    }
}

impl std::error::Error for KnobError {}
