//! The values of knobs: read from the kernel's files, written back in the same words, compared, and shown to people.

use std::cmp::Ordering;
use std::fmt;

use super::amount::{Bytes, Limit};
use super::convert::cpu::{CpuBurst, CpuMax, CpuPeriod, CpuQuota, CpuShares};
use super::convert::cpuset::Cpuset;
use super::convert::io::{BlkioWeight, Device, IoMax, IoWeight};
use super::convert::weight::CpuWeight;
use super::knob::Knob;
use super::quoted::Quoted;

/// From where on a number of version 1 means "no limit": the kernel prints 2^63-1 rounded down to a page, and to a huge
/// page of up to 16 GiB (`PAGE_COUNTER_MAX`).
const UNLIMITED_FROM: u64 = i64::MAX.unsigned_abs() - (1 << 35);

/// The value of a knob; which variant belongs to which knob is fixed by [`Knob::read`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Memory and huge pages.
    Bytes(Limit<Bytes>),
    /// `pids.max` and version 1's limits of a device.
    Count(Limit<u64>),
    /// `cpu.shares`.
    Shares(CpuShares),
    /// `cpu.weight`.
    Weight(CpuWeight),
    /// `cpu.cfs_quota_us`.
    Quota(Limit<CpuQuota>),
    /// `cpu.cfs_period_us`.
    Period(CpuPeriod),
    /// `cpu.max.burst`, `cpu.cfs_burst_us`.
    Burst(CpuBurst),
    /// `cpu.max`.
    Cpu(CpuMax),
    /// `cpuset.cpus`, `cpuset.mems`.
    Set(Cpuset),
    /// `io.weight`.
    IoWeight(IoWeight),
    /// `blkio.weight` and BFQ's files.
    BlkioWeight(BlkioWeight),
    /// `io.max`, for one device.
    Io(IoMax),
    /// Anything else of version 2.
    Text(String),
}

/// How a new value stands to the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// It allows less.
    Down,
    /// It allows more.
    Up,
    /// It allows other things, neither less nor more; or that can't be told.
    Sideways,
}

impl Value {
    /// How `new` stands to this value; `None` if they are the same.
    pub fn course(&self, new: &Self) -> Option<Course> {
        if self == new {
            return None;
        }
        let by = |order: Ordering| if order == Ordering::Less { Course::Down } else { Course::Up };
        Some(match (new, self) {
            (Self::Bytes(new), Self::Bytes(old)) => by(new.cmp(old)),
            (Self::Count(new), Self::Count(old)) => by(new.cmp(old)),
            (Self::Shares(new), Self::Shares(old)) => by(new.cmp(old)),
            (Self::Weight(new), Self::Weight(old)) => by(new.cmp(old)),
            (Self::Quota(new), Self::Quota(old)) => by(new.cmp(old)),
            // the same quota for a longer period is less
            (Self::Period(new), Self::Period(old)) => by(old.cmp(new)),
            (Self::Burst(new), Self::Burst(old)) => by(new.cmp(old)),
            (Self::IoWeight(new), Self::IoWeight(old)) => by(new.cmp(old)),
            (Self::BlkioWeight(new), Self::BlkioWeight(old)) => by(new.cmp(old)),
            (Self::Cpu(new), Self::Cpu(old)) if new.is_below(*old) => Course::Down,
            (Self::Cpu(new), Self::Cpu(old)) if old.is_below(*new) => Course::Up,
            // the empty set of version 2 is whatever the parent has
            (Self::Set(new), Self::Set(old)) if new.is_empty() || (!old.is_empty() && old.is_subset(new)) => {
                Course::Up
            }
            (Self::Set(new), Self::Set(old)) if old.is_empty() || new.is_subset(old) => Course::Down,
            (Self::Io(new), Self::Io(old)) => {
                let rates = super::convert::io::Rate::ALL;
                match () {
                    () if rates.iter().all(|rate| new.get(*rate) <= old.get(*rate)) => Course::Down,
                    () if rates.iter().all(|rate| new.get(*rate) >= old.get(*rate)) => Course::Up,
                    () => Course::Sideways,
                }
            }
            _ => Course::Sideways,
        })
    }
}

impl Knob {
    /// Reads the value as the kernel prints it for this knob, without the device.
    ///
    /// # Errors
    /// [`ReadError`] for what this knob can't hold.
    pub fn read(&self, text: &str) -> Result<Value, ReadError> {
        let text = text.trim();
        let fault = || ReadError { knob: self.to_string(), text: text.to_owned() };
        let number = || text.parse::<u64>().map_err(|_| fault());
        let limit = || if matches!(text, "max" | "-1") { Ok(Limit::Max) } else { number().map(Limit::At) };
        let weight = || text.strip_prefix("default ").unwrap_or(text).parse::<u64>().ok();
        Ok(match self {
            Self::SoftLimit | Self::MemoryLimit | Self::MemswLimit | Self::HugetlbLimit(_) => {
                match limit()? {
                    Limit::At(bytes) if bytes < UNLIMITED_FROM => {
                        Value::Bytes(Bytes::new(bytes).map_or(Limit::Max, Limit::At))
                    }
                    _ => Value::Bytes(Limit::Max),
                }
            }
            Self::MemoryMin
            | Self::MemoryLow
            | Self::MemoryHigh
            | Self::MemoryMax
            | Self::SwapMax
            | Self::HugetlbMax(_) => match limit()? {
                Limit::At(bytes) => Value::Bytes(Limit::At(Bytes::new(bytes).ok_or_else(fault)?)),
                Limit::Max => Value::Bytes(Limit::Max),
            },
            Self::PidsMax => Value::Count(limit()?),
            Self::Throttle(..) => match limit()? {
                Limit::At(0) => Value::Count(Limit::Max),
                other => Value::Count(other),
            },
            Self::CpuShares => Value::Shares(CpuShares::clamped(number()?)),
            Self::CpuWeight => Value::Weight(CpuWeight::new(number()?).ok_or_else(fault)?),
            Self::CfsQuota => match limit()? {
                Limit::At(micros) => Value::Quota(Limit::At(CpuQuota::new(micros).ok_or_else(fault)?)),
                Limit::Max => Value::Quota(Limit::Max),
            },
            Self::CfsPeriod => Value::Period(CpuPeriod::new(number()?).ok_or_else(fault)?),
            Self::CfsBurst | Self::CpuMaxBurst => Value::Burst(CpuBurst::new(number()?).ok_or_else(fault)?),
            Self::CpuMax => Value::Cpu(read_cpu_max(text).ok_or_else(fault)?),
            Self::CpusetCpus | Self::CpusetMems => Value::Set(text.parse().map_err(|_| fault())?),
            Self::IoWeight => Value::IoWeight(weight().and_then(IoWeight::new).ok_or_else(fault)?),
            Self::BlkioWeight | Self::BlkioBfqWeight | Self::IoBfqWeight => {
                Value::BlkioWeight(weight().and_then(BlkioWeight::new).ok_or_else(fault)?)
            }
            Self::IoMax(_) => Value::Io(text.parse().map_err(|()| fault())?),
            Self::Unified(_) => Value::Text(text.to_owned()),
        })
    }

    /// Reads a whole file: the knob that it is, or one for each device that it names. `cpu.weight` of a cgroup that
    /// runs idle (`cpu.idle`) prints 0, which isn't a weight: such a file gives no knob.
    ///
    /// # Errors
    /// [`ReadError`] for a file that isn't a knob's, and for text that it can't hold.
    pub fn read_file(file: &str, text: &str) -> Result<Vec<(Self, Value)>, ReadError> {
        let fault = || ReadError { knob: file.to_owned(), text: text.to_owned() };
        if file == "io.max" || file.starts_with("blkio.throttle.") {
            let lines = text.lines().filter(|line| !line.is_empty());
            return lines
                .map(|line| {
                    let (device, value) = line.split_once(' ').ok_or_else(fault)?;
                    device.parse::<Device>().map_err(|()| fault())?;
                    let knob = format!("{file} {device}").parse::<Self>().map_err(|_| fault())?;
                    knob.read(value).map(|value| (knob, value))
                })
                .collect();
        }
        let knob = file.parse::<Self>().map_err(|_| fault())?;
        if knob == Self::CpuWeight && text.trim() == "0" {
            return Ok(Vec::new());
        }
        // the weights' files name devices with a weight of their own below the default
        let first = match knob {
            Self::IoWeight | Self::IoBfqWeight | Self::BlkioBfqWeight => {
                text.lines().next().unwrap_or_default()
            }
            _ => text,
        };
        knob.read(first).map(|value| vec![(knob, value)])
    }

    /// The text that sets this value: what is written to the file, the device in front where there is one.
    pub fn write(&self, value: &Value) -> String {
        let text = match (self, value) {
            (Self::Throttle(..), Value::Count(Limit::Max)) => "0".to_owned(),
            (
                Self::SoftLimit | Self::MemoryLimit | Self::MemswLimit | Self::HugetlbLimit(_),
                Value::Bytes(Limit::Max),
            ) => "-1".to_owned(),
            (_, value) => value.to_string(),
        };
        self.device().map_or_else(|| text.clone(), |device| format!("{device} {text}"))
    }
}

/// `cpu.max`: quota or `max`, and the period, which may be missing when it is written, never when it is read.
fn read_cpu_max(text: &str) -> Option<CpuMax> {
    let mut words = text.split_ascii_whitespace();
    let quota = match words.next()? {
        "max" => Limit::Max,
        micros => Limit::At(CpuQuota::new(micros.parse().ok()?)?),
    };
    let period = match words.next() {
        Some(micros) => CpuPeriod::new(micros.parse().ok()?)?,
        None => CpuPeriod::DEFAULT,
    };
    words.next().is_none().then_some(CpuMax { quota, period })
}

impl fmt::Display for Value {
    /// In the kernel's words, without unit: `134217728`, `max`, `50000 100000`, `0-3`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(limit) => limit.map(Bytes::get).fmt(out),
            Self::Count(limit) => limit.fmt(out),
            Self::Shares(shares) => shares.fmt(out),
            Self::Weight(weight) => weight.fmt(out),
            Self::Quota(Limit::Max) => out.write_str("-1"),
            Self::Quota(limit) => limit.fmt(out),
            Self::Period(period) => period.fmt(out),
            Self::Burst(burst) => burst.fmt(out),
            Self::Cpu(cpu) => cpu.fmt(out),
            Self::Set(set) => set.fmt(out),
            Self::IoWeight(weight) => weight.fmt(out),
            Self::BlkioWeight(weight) => weight.fmt(out),
            Self::Io(limits) => limits.fmt(out),
            Self::Text(text) => out.write_str(text),
        }
    }
}

impl Value {
    /// The value as a person would have asked for it: `128Mi`, `500m`; `None` where that is the kernel's own number.
    pub fn quantity(&self) -> Option<String> {
        match self {
            Self::Bytes(Limit::At(bytes)) => Some(bytes.to_string()),
            Self::Shares(shares) => Some(shares.to_milli().to_string()),
            Self::Cpu(cpu @ CpuMax { quota: Limit::At(_), .. }) => Some(cpu.to_milli().to_string()),
            _ => None,
        }
    }
}

/// A kernel file that holds what it can't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    knob: String,
    text: String,
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} is no value of {}", Quoted(&self.text), self.knob)
    }
}

impl std::error::Error for ReadError {}
