//! systemd's names for knobs, for `SetUnitProperties` and back. In what systemd knows, its own value wins at the next
//! reload, so that a unit's cgroup is changed through these and not through the kernel's files.
//!
//! Sources: org.freedesktop.systemd1(5), systemd.resource-control(5), and the conversions of opencontainers/cgroups
//! (systemd/v1.go, systemd/v2.go). Numbers are 64 bits, and `u64::MAX` stands for "no limit" and for "not set".

use crate::resize::amount::{Bytes, Limit};
use crate::resize::knob::{CgroupVersion, Knob};
use crate::resize::knobs::Knobs;
use crate::resize::value::Value;

use super::cpu::{CpuMax, CpuPeriod, CpuQuota, CpuShares};
use super::io::{BlkioWeight, IoWeight};
use super::weight::CpuWeight;

/// The version of systemd that brought CPUQuotaPeriodUSec.
const PERIOD_SINCE: u32 = 242;
/// The version of systemd that brought AllowedCPUs and AllowedMemoryNodes.
const CPUSET_SINCE: u32 = 244;

/// True if this version keeps a period; before, there is only the default one.
pub const fn keeps_period(systemd: u32) -> bool {
    systemd >= PERIOD_SINCE
}

/// A property of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// E.g. `MemoryMax`.
    pub name: &'static str,
    /// Its value.
    pub value: PropertyValue,
}

/// The value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyValue {
    /// D-Bus type `t`.
    Number(u64),
    /// D-Bus type `ay`: a bit for each CPU or memory node.
    Bits(Vec<u8>),
}

/// The property of each knob that has one of its own; quota and period are apart, since they need both knobs.
fn name(knob: &Knob, systemd: u32) -> Option<&'static str> {
    Some(match knob {
        Knob::MemoryMin => "MemoryMin",
        Knob::MemoryLow => "MemoryLow",
        Knob::MemoryHigh => "MemoryHigh",
        Knob::MemoryMax => "MemoryMax",
        Knob::SwapMax => "MemorySwapMax",
        Knob::MemoryLimit => "MemoryLimit",
        Knob::CpuShares => "CPUShares",
        Knob::CpuWeight => "CPUWeight",
        Knob::PidsMax => "TasksMax",
        Knob::IoWeight => "IOWeight",
        Knob::BlkioWeight => "BlockIOWeight",
        Knob::CpusetCpus if systemd >= CPUSET_SINCE => "AllowedCPUs",
        Knob::CpusetMems if systemd >= CPUSET_SINCE => "AllowedMemoryNodes",
        _ => return None,
    })
}

/// The properties that set one knob of a unit whose knobs are `knobs`; `None` where systemd has none for it.
pub fn properties(version: CgroupVersion, knob: &Knob, knobs: &Knobs, systemd: u32) -> Option<Vec<Property>> {
    let number = |name, value| Property { name, value: PropertyValue::Number(value) };
    if matches!(knob, Knob::CpuMax | Knob::CfsQuota | Knob::CfsPeriod) {
        let cpu = knobs.bandwidth()?;
        let period = keeps_period(systemd).then(|| number("CPUQuotaPeriodUSec", cpu.period.get()));
        let quota = number("CPUQuotaPerSecUSec", cpu.systemd_per_second());
        return Some(period.into_iter().chain([quota]).collect());
    }
    // on version 1 systemd leaves cpusets alone, whatever its version
    if version == CgroupVersion::V1 && matches!(knob, Knob::CpusetCpus | Knob::CpusetMems) {
        return None;
    }
    let name = name(knob, systemd)?;
    let value = match knobs.get(knob)? {
        Value::Bytes(limit) => PropertyValue::Number(limit.at().map_or(u64::MAX, Bytes::get)),
        Value::Count(limit) => PropertyValue::Number(limit.at().unwrap_or(u64::MAX)),
        Value::Shares(shares) => PropertyValue::Number(shares.get()),
        Value::Weight(weight) => PropertyValue::Number(weight.get()),
        Value::IoWeight(weight) => PropertyValue::Number(weight.get()),
        Value::BlkioWeight(weight) => PropertyValue::Number(weight.get()),
        Value::Set(set) => PropertyValue::Bits(set.to_bits()),
        _ => return None,
    };
    Some(vec![Property { name, value }])
}

/// What the kernel holds in this knob once systemd has set a unit's knobs: the same, but for a bandwidth, which has whole
/// percents. `None` if the knob isn't there, and for the period of what has no quota: systemd forgets that.
pub fn settled(knob: &Knob, knobs: &Knobs) -> Option<Value> {
    let cpu = || knobs.bandwidth().map(CpuMax::after_systemd);
    match knob {
        Knob::CpuMax => cpu().map(Value::Cpu),
        Knob::CfsQuota => cpu().map(|cpu| Value::Quota(cpu.quota)),
        Knob::CfsPeriod => cpu().filter(|cpu| cpu.quota != Limit::Max).map(|cpu| Value::Period(cpu.period)),
        _ => knobs.get(knob).cloned(),
    }
}

/// The knobs that a unit's numeric properties stand for, as systemd would write them. What systemd calls "not set" is
/// the kernel's default; numbers out of range, and names that aren't known, give no knob.
pub fn knobs<'a>(version: CgroupVersion, properties: impl IntoIterator<Item = (&'a str, u64)>) -> Knobs {
    let mut knobs = Knobs::default();
    let (mut per_second, mut period) = (None, CpuPeriod::DEFAULT);
    for (name, number) in properties {
        let limit = if number == u64::MAX { Some(Limit::Max) } else { Bytes::new(number).map(Limit::At) };
        let set = |default: u64| if number == u64::MAX { default } else { number };
        let entry = match name {
            "MemoryMin" => limit.map(|limit| (Knob::MemoryMin, Value::Bytes(limit))),
            "MemoryLow" => limit.map(|limit| (Knob::MemoryLow, Value::Bytes(limit))),
            "MemoryHigh" => limit.map(|limit| (Knob::MemoryHigh, Value::Bytes(limit))),
            "MemoryMax" => limit.map(|limit| (Knob::MemoryMax, Value::Bytes(limit))),
            "MemorySwapMax" => limit.map(|limit| (Knob::SwapMax, Value::Bytes(limit))),
            "MemoryLimit" => limit.map(|limit| (Knob::MemoryLimit, Value::Bytes(limit))),
            "TasksMax" => limit.map(|limit| (Knob::PidsMax, Value::Count(limit.map(Bytes::get)))),
            "CPUShares" => Some((Knob::CpuShares, Value::Shares(CpuShares::clamped(set(1024))))),
            "CPUWeight" => CpuWeight::new(set(CpuWeight::DEFAULT.get()))
                .map(|weight| (Knob::CpuWeight, Value::Weight(weight))),
            "IOWeight" => IoWeight::new(set(IoWeight::DEFAULT.get()))
                .map(|weight| (Knob::IoWeight, Value::IoWeight(weight))),
            "BlockIOWeight" => {
                BlkioWeight::new(set(500)).map(|weight| (Knob::BlkioWeight, Value::BlkioWeight(weight)))
            }
            "CPUQuotaPeriodUSec" => {
                period = CpuPeriod::new(number).unwrap_or(CpuPeriod::DEFAULT);
                None
            }
            "CPUQuotaPerSecUSec" => {
                per_second = Some(number);
                None
            }
            _ => None,
        };
        if let Some((knob, value)) = entry.filter(|(knob, _)| knob.is_of(version)) {
            knobs.insert(knob, value);
        }
    }
    if let Some(per_second) = per_second {
        let micros =
            u64::try_from(u128::from(per_second) * u128::from(period.get()) / 1_000_000).unwrap_or(u64::MAX);
        let quota =
            if per_second == u64::MAX { Some(Limit::Max) } else { CpuQuota::new(micros).map(Limit::At) };
        if let Some(quota) = quota {
            knobs.set_bandwidth(version, CpuMax { quota, period });
        }
    }
    knobs
}
