//! `cpu.weight` of version 2. Documents still speak of shares; two formulas turn them into a weight, and both are in
//! use on one node, even within one pod: the runtime's for containers, the kubelet's for pods and QoS classes. So
//! the formula is a fact about a cgroup, never an assumption.

use std::fmt;

use super::cpu::CpuShares;

/// `cpu.weight`: the relative weight of a cgroup, 1..=10000; the kernel's default is 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CpuWeight(u64);

/// How shares become a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WeightFormula {
    /// 1 + (shares - 2) * 9999 / 262142: runc before 1.3.2, crun before 1.23, the kubelet's own slices (KEP-2254).
    /// 1024 shares become 39, far below the kernel's default of 100.
    Linear,
    /// ceil(10^((l^2 + 125 l) / 612 - 7 / 34)) with l = log2(shares): runc from 1.3.2, crun from 1.23
    /// (opencontainers/cgroups: `ConvertCPUSharesToCgroupV2Value`). 1024 shares become 100.
    Log,
}

impl CpuWeight {
    /// The smallest weight.
    pub const MIN: Self = Self(1);
    /// The largest weight.
    pub const MAX: Self = Self(10_000);
    /// The kernel's default.
    pub const DEFAULT: Self = Self(100);

    /// `None` outside 1..=10000.
    pub const fn new(weight: u64) -> Option<Self> {
        if weight >= Self::MIN.0 && weight <= Self::MAX.0 { Some(Self(weight)) } else { None }
    }

    /// The number that the kernel's file holds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The weight that `formula` makes of shares.
    pub fn from_shares(shares: CpuShares, formula: WeightFormula) -> Self {
        let above = shares.get() - CpuShares::MIN.get();
        match formula {
            WeightFormula::Linear => Self(1 + above * 9_999 / (CpuShares::MAX.get() - CpuShares::MIN.get())),
            WeightFormula::Log if shares <= CpuShares::MIN => Self::MIN,
            WeightFormula::Log if shares >= CpuShares::MAX => Self::MAX,
            WeightFormula::Log => Self(log(shares)),
        }
    }

    /// The smallest shares that `formula` makes this weight of. Each weight has some, by both formulas.
    pub fn to_shares(self, formula: WeightFormula) -> CpuShares {
        let (mut low, mut high) = (CpuShares::MIN.get(), CpuShares::MAX.get());
        while low < high {
            let middle = low.midpoint(high);
            if Self::from_shares(CpuShares::clamped(middle), formula) < self {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        CpuShares::clamped(low)
    }
}

/// The logarithmic formula, for shares between its ends. The power is a whole number only where l is one (1024 shares
/// give exactly 100); everywhere else it is more than a millionth away from one, so that the tolerance below takes
/// the last digits of any libm out of the result.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn log(shares: CpuShares) -> u64 {
    const TOLERANCE: f64 = 1e-8;
    // exact: shares are below 2^19, the result is between 1 and 10000
    let l = (shares.get() as f64).log2();
    let power = 10_f64.powf((l * l + 125.0 * l) / 612.0 - 7.0 / 34.0);
    (power - TOLERANCE).ceil() as u64
}

impl fmt::Display for CpuWeight {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Display for WeightFormula {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Linear => "linear",
            Self::Log => "log",
        })
    }
}
