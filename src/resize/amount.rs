//! What a cgroup's limits count: bytes and thousandths of a CPU, and the word `max` that stands above each.

use std::fmt;

use super::quantity::{Family, Quantity};

/// The largest amount that kernel, runtimes and Kubernetes all carry: 2^63-1.
const LARGEST: u64 = i64::MAX.unsigned_abs();

/// Bytes of memory, 0..=2^63-1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bytes(u64);

/// Thousandths of a CPU, 0..=2^63-1. One CPU for one second is 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MilliCpu(u64);

impl Bytes {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `None` beyond 2^63-1.
    pub const fn new(bytes: u64) -> Option<Self> {
        if bytes <= LARGEST { Some(Self(bytes)) } else { None }
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum; `None` beyond 2^63-1.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::new)
    }

    /// The difference, not below zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The largest multiple of `unit` that isn't larger. The kernel stores memory limits in pages and rounds
    /// down (`page_counter_memparse` in mm/page_counter.c). A unit of 0 changes nothing.
    #[must_use]
    pub const fn floor_to(self, unit: Self) -> Self {
        match self.0.checked_rem(unit.0) {
            Some(rest) => Self(self.0 - rest),
            None => self,
        }
    }
}

impl MilliCpu {
    /// `None` beyond 2^63-1.
    pub const fn new(milli: u64) -> Option<Self> {
        if milli <= LARGEST { Some(Self(milli)) } else { None }
    }

    /// The number of thousandths.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Bytes {
    /// As a quantity: `128Mi` where a binary suffix fits, else decimal, e.g. `102436` or `100M`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.0.is_multiple_of(1024) { Family::Binary } else { Family::Decimal };
        Quantity::from_nano(i128::from(self.0) * 1_000_000_000, family).fmt(out)
    }
}

impl fmt::Display for MilliCpu {
    /// As a quantity of CPUs: `500m`, `2`, `1500m`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // from a million CPUs on, a suffix such as k would be read as a mistake
        if self.0.is_multiple_of(1000) {
            write!(out, "{}", self.0 / 1000)
        } else {
            write!(out, "{}m", self.0)
        }
    }
}

/// An upper bound, or none. `Max` is above every bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit<T> {
    /// At most this much.
    At(T),
    /// No bound: the kernel's `max` on version 2, `-1` on version 1.
    Max,
}

impl<T> Limit<T> {
    /// The bound, if there is one.
    pub fn at(self) -> Option<T> {
        match self {
            Self::At(bound) => Some(bound),
            Self::Max => None,
        }
    }

    /// The same limit in another unit.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Limit<U> {
        match self {
            Self::At(bound) => Limit::At(change(bound)),
            Self::Max => Limit::Max,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Limit<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(bound) => bound.fmt(out),
            Self::Max => out.write_str("max"),
        }
    }
}
