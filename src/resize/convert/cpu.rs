//! CPU time: shares, quota, period and burst.
//!
//! The ranges are the kernel's (kernel/sched: `sched_group_set_shares`, `tg_set_cfs_bandwidth`,
//! `tg_cfs_schedulable_down`), the conversions from thousandths of a CPU are the kubelet's
//! (pkg/kubelet/cm/helpers_linux.go: `MilliCPUToShares`, `MilliCPUToQuota`).

use std::fmt;

use crate::resize::amount::{Limit, MilliCpu};

/// `cpu.shares` of version 1: the relative weight of a cgroup, 2..=262144; 1024 is one CPU's worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuShares(u64);

impl CpuShares {
    /// What the kernel raises smaller numbers to.
    pub const MIN: Self = Self(2);
    /// What the kernel lowers larger numbers to.
    pub const MAX: Self = Self(262_144);

    /// The shares that the kernel makes of any number: it clamps, it doesn't refuse.
    pub fn clamped(shares: u64) -> Self {
        Self(shares.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// The shares of a CPU request: m * 1024 / 1000, clamped; no request gives the least.
    pub fn from_milli(milli: MilliCpu) -> Self {
        Self::clamped(u64::try_from(u128::from(milli.get()) * 1024 / 1000).unwrap_or(u64::MAX))
    }

    /// The number that the kernel's file holds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The smallest request that gives at least these shares. There are more share values than thousandths, so
    /// that a few of them belong to no request.
    pub fn to_milli(self) -> MilliCpu {
        MilliCpu::new((self.0 * 1000).div_ceil(1024)).unwrap_or_default()
    }
}

impl fmt::Display for CpuShares {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The length of a bandwidth period in microseconds, 1000..=1000000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuPeriod(u64);

impl CpuPeriod {
    /// The shortest period that the kernel takes: 1 ms.
    pub const MIN: Self = Self(1_000);
    /// The longest period that the kernel takes: 1 s.
    pub const MAX: Self = Self(1_000_000);
    /// The kernel's and the kubelet's default: 100 ms.
    pub const DEFAULT: Self = Self(100_000);

    /// `None` outside 1000..=1000000.
    pub const fn new(micros: u64) -> Option<Self> {
        if micros >= Self::MIN.0 && micros <= Self::MAX.0 { Some(Self(micros)) } else { None }
    }

    /// Microseconds.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CpuPeriod {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// CPU time for one period in microseconds, 1000..=2^44-1, over all CPUs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuQuota(u64);

impl CpuQuota {
    /// The least that the kernel takes: 1 ms.
    pub const MIN: Self = Self(1_000);
    /// The most that the kernel takes: `max_bw_runtime_us`, 44 bits.
    pub const MAX: Self = Self((1 << 44) - 1);

    /// `None` outside 1000..=2^44-1.
    pub const fn new(micros: u64) -> Option<Self> {
        if micros >= Self::MIN.0 && micros <= Self::MAX.0 { Some(Self(micros)) } else { None }
    }

    /// Microseconds.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for CpuQuota {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// CPU time that may be saved up and spent in one period beyond the quota, in microseconds. At most the quota,
/// wherever there is one (`tg_set_cfs_bandwidth`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CpuBurst(u64);

impl CpuBurst {
    /// No burst.
    pub const ZERO: Self = Self(0);

    /// `None` beyond 2^44-1.
    pub const fn new(micros: u64) -> Option<Self> {
        if micros <= CpuQuota::MAX.0 { Some(Self(micros)) } else { None }
    }

    /// Microseconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// True if the kernel takes this burst beside this quota.
    pub fn fits(self, quota: Limit<CpuQuota>) -> bool {
        quota.at().is_none_or(|quota| self.0 <= quota.0 && self.0 + quota.0 <= CpuQuota::MAX.0)
    }
}

impl fmt::Display for CpuBurst {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A quota and the period that it is for: `cpu.max` of version 2, two files of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CpuMax {
    /// CPU time for each period.
    pub quota: Limit<CpuQuota>,
    /// The period's length.
    pub period: CpuPeriod,
}

/// How many CPUs a bandwidth is worth, in the kernel's own units: 2^-20 of a CPU, rounded down. Version 1 compares
/// a child with its parent by this number (`to_ratio`, `tg_cfs_schedulable_down`), and so do we.
pub type Ratio = Limit<u64>;

impl CpuMax {
    /// No bound, at the default period.
    pub const UNLIMITED: Self = Self { quota: Limit::Max, period: CpuPeriod::DEFAULT };

    /// The bandwidth of a CPU limit: m * period / 1000 microseconds, at least 1 ms. `None` if it is beyond the
    /// kernel's range. (kubelet: `MilliCPUToQuota`.)
    pub fn from_milli(milli: MilliCpu, period: CpuPeriod) -> Option<Self> {
        let micros = u128::from(milli.get()) * u128::from(period.0) / 1000;
        let quota = CpuQuota::new(u64::try_from(micros).ok()?.max(CpuQuota::MIN.0))?;
        Some(Self { quota: Limit::At(quota), period })
    }

    /// How many CPUs it is worth, by the kernel's arithmetic.
    pub fn ratio(self) -> Ratio {
        self.quota.map(|quota| (quota.0 << 20) / self.period.0)
    }

    /// True if it allows less CPU time than `other`: exact, without the kernel's rounding.
    pub fn is_below(self, other: Self) -> bool {
        match (self.quota, other.quota) {
            (Limit::Max, _) => false,
            (Limit::At(_), Limit::Max) => true,
            (Limit::At(own), Limit::At(others)) => {
                u128::from(own.0) * u128::from(other.period.0)
                    < u128::from(others.0) * u128::from(self.period.0)
            }
        }
    }

    /// The same share of a CPU at another period, rounded up to a microsecond and to the kernel's least; `None`
    /// beyond the kernel's range.
    pub fn at_period(self, period: CpuPeriod) -> Option<Self> {
        let quota = match self.quota {
            Limit::Max => Limit::Max,
            Limit::At(quota) => {
                let micros = (u128::from(quota.0) * u128::from(period.0)).div_ceil(u128::from(self.period.0));
                Limit::At(CpuQuota::new(u64::try_from(micros).ok()?.max(CpuQuota::MIN.0))?)
            }
        };
        Some(Self { quota, period })
    }

    /// The CPU limit that a person would have asked for: thousandths, rounded up.
    pub fn to_milli(self) -> Limit<MilliCpu> {
        self.quota.map(|quota| MilliCpu::new((quota.0 * 1000).div_ceil(self.period.0)).unwrap_or_default())
    }

    /// systemd's CPUQuotaPerSecUSec: microseconds for each second, a multiple of 10 ms, because systemd stores whole
    /// percents and reads them back after a reload. The smallest that gives at least this quota; `u64::MAX` stands
    /// for no limit. (`addCpuQuota` of opencontainers/cgroups rounds up too, though from a floored value; its
    /// result can be 1 microsecond short.)
    pub fn systemd_per_second(self) -> u64 {
        self.quota.map(|quota| (quota.0 * 100).div_ceil(self.period.0) * 10_000).at().unwrap_or(u64::MAX)
    }

    /// What the kernel has once systemd has applied this bandwidth: the quota of whole percents, at a period that
    /// systemd lengthens if the quota were below 1 ms, and the default period without a quota.
    /// (systemd: `cgroup_cpu_adjust_period`, `cgroup_apply_unified_cpu_quota`.)
    pub fn after_systemd(self) -> Self {
        let Limit::At(_) = self.quota else { return Self::UNLIMITED };
        let per_second = self.systemd_per_second();
        let shortest = CpuQuota::MIN.0 * CpuPeriod::MAX.0 / per_second.max(1);
        let period = CpuPeriod(self.period.0.max(shortest).clamp(CpuPeriod::MIN.0, CpuPeriod::MAX.0));
        let micros = u128::from(per_second) * u128::from(period.0) / 1_000_000;
        let quota = u64::try_from(micros).unwrap_or(u64::MAX).clamp(CpuQuota::MIN.0, CpuQuota::MAX.0);
        Self { quota: Limit::At(CpuQuota(quota)), period }
    }
}

impl fmt::Display for CpuMax {
    /// As the kernel's `cpu.max`: `50000 100000`, `max 100000`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.quota, self.period)
    }
}
