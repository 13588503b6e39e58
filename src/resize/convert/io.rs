//! Disk input and output: weights in their three scales, and the limits of one device.

use std::fmt;
use std::str::FromStr;

use crate::resize::amount::Limit;

/// `io.weight` of version 2, 1..=10000; the kernel's default is 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IoWeight(u64);

/// The scale of version 1's `blkio.weight`, of `blockIO.weight` in OCI documents (both from 10 on) and of BFQ's own
/// files (`io.bfq.weight`, `blkio.bfq.weight`): 1..=1000. Runtimes write the document's number into BFQ's file as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlkioWeight(u64);

impl IoWeight {
    /// The kernel's default.
    pub const DEFAULT: Self = Self(100);

    /// `None` outside 1..=10000.
    pub const fn new(weight: u64) -> Option<Self> {
        if weight >= 1 && weight <= 10_000 { Some(Self(weight)) } else { None }
    }

    /// The number that the kernel's file holds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The smallest weight of the old scale that [`BlkioWeight::to_io`] makes at least this weight of.
    pub fn to_blkio(self) -> BlkioWeight {
        BlkioWeight(10 + ((self.0 - 1) * 990).div_ceil(9_999))
    }
}

impl BlkioWeight {
    /// The least that anything but BFQ takes.
    pub const LEAST_OF_DOCUMENTS: Self = Self(10);

    /// `None` outside 1..=1000.
    pub const fn new(weight: u64) -> Option<Self> {
        if weight >= 1 && weight <= 1_000 { Some(Self(weight)) } else { None }
    }

    /// The number that documents and files hold.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The same weight on version 2's scale: 1 + (weight - 10) * 9999 / 990, and 1 for less than 10.
    /// (opencontainers/cgroups: `ConvertBlkIOToIOWeightValue`.)
    pub fn to_io(self) -> IoWeight {
        IoWeight(1 + self.0.saturating_sub(10) * 9_999 / 990)
    }
}

impl fmt::Display for IoWeight {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Display for BlkioWeight {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A block device by its numbers, e.g. `8:0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Device {
    /// The driver.
    pub major: u32,
    /// The disk, never a partition: the kernel takes limits for whole disks only.
    pub minor: u32,
}

impl FromStr for Device {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().map_err(|_| ()),
            false => Err(()),
        };
        let (major, minor) = text.split_once(':').ok_or(())?;
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.major, self.minor)
    }
}

/// What one device may do each second: `io.max` of version 2, four `blkio.throttle` files of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IoMax {
    /// Bytes read.
    pub rbps: Limit<u64>,
    /// Bytes written.
    pub wbps: Limit<u64>,
    /// Reads.
    pub riops: Limit<u64>,
    /// Writes.
    pub wiops: Limit<u64>,
}

impl IoMax {
    /// No bound at all.
    pub const UNLIMITED: Self =
        Self { rbps: Limit::Max, wbps: Limit::Max, riops: Limit::Max, wiops: Limit::Max };

    /// One of the four.
    pub fn get(self, rate: Rate) -> Limit<u64> {
        match rate {
            Rate::Rbps => self.rbps,
            Rate::Wbps => self.wbps,
            Rate::Riops => self.riops,
            Rate::Wiops => self.wiops,
        }
    }

    /// One of the four, to be changed.
    pub fn get_mut(&mut self, rate: Rate) -> &mut Limit<u64> {
        match rate {
            Rate::Rbps => &mut self.rbps,
            Rate::Wbps => &mut self.wbps,
            Rate::Riops => &mut self.riops,
            Rate::Wiops => &mut self.wiops,
        }
    }
}

impl fmt::Display for IoMax {
    /// As the kernel's `io.max` without the device: `rbps=1048576 wbps=max riops=max wiops=120`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "rbps={} wbps={} riops={} wiops={}", self.rbps, self.wbps, self.riops, self.wiops)
    }
}

impl FromStr for IoMax {
    type Err = ();

    /// Reads what the kernel prints for one device; what isn't named is unlimited.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut limits = Self::UNLIMITED;
        for word in text.split_ascii_whitespace() {
            let (name, value) = word.split_once('=').ok_or(())?;
            let limit = match value {
                "max" => Limit::Max,
                number => Limit::At(number.parse().map_err(|_| ())?),
            };
            *limits.get_mut(Rate::named(name).ok_or(())?) = limit;
        }
        Ok(limits)
    }
}

/// One of the four limits of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rate {
    /// Bytes read each second.
    Rbps,
    /// Bytes written each second.
    Wbps,
    /// Reads each second.
    Riops,
    /// Writes each second.
    Wiops,
}

impl Rate {
    /// All four, in the order of `io.max`.
    pub const ALL: [Self; 4] = [Self::Rbps, Self::Wbps, Self::Riops, Self::Wiops];

    /// The key of `io.max`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rbps => "rbps",
            Self::Wbps => "wbps",
            Self::Riops => "riops",
            Self::Wiops => "wiops",
        }
    }

    /// The file of version 1.
    pub const fn throttle_file(self) -> &'static str {
        match self {
            Self::Rbps => "blkio.throttle.read_bps_device",
            Self::Wbps => "blkio.throttle.write_bps_device",
            Self::Riops => "blkio.throttle.read_iops_device",
            Self::Wiops => "blkio.throttle.write_iops_device",
        }
    }

    /// The one with this key.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rate| rate.name() == name)
    }
}
