//! Memory: swap in its two accounts, and the throttling limit of MemoryQoS.

use crate::resize::amount::{Bytes, Limit};

/// Version 1 counts memory and swap together (`memory.memsw.limit_in_bytes`, and `memory.swap` of OCI documents);
/// version 2 counts swap alone. This is the sum that version 1 wants for a memory limit and an allowance of swap;
/// `None` beyond 2^63-1.
///
/// Without a memory limit there is no sum to bound, so that it is `Max`.
pub fn memsw(memory: Limit<Bytes>, swap: Limit<Bytes>) -> Option<Limit<Bytes>> {
    match (memory, swap) {
        (Limit::At(memory), Limit::At(swap)) => memory.checked_add(swap).map(Limit::At),
        _ => Some(Limit::Max),
    }
}

/// The allowance of swap inside version 1's sum: the sum less the memory limit, never below zero.
/// (opencontainers/cgroups: `ConvertMemorySwapToCgroupV2Value`.)
///
/// A bounded sum without a memory limit bounds swap at the sum, as runtimes read it.
pub fn swap(memory: Limit<Bytes>, memsw: Limit<Bytes>) -> Limit<Bytes> {
    match (memory, memsw) {
        (Limit::At(memory), Limit::At(sum)) => Limit::At(sum.saturating_sub(memory)),
        (_, memsw) => memsw,
    }
}

/// MemoryQoS' throttling factor: the kubelet's `memoryThrottlingFactor`, in thousandths, 0..=1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottlingFactor(u16);

impl ThrottlingFactor {
    /// The kubelet's default until 1.36: 0.9. From 1.37 it sets no memory.high unless it is told to.
    pub const DEFAULT: Self = Self(900);

    /// `None` above 1000.
    pub const fn new(thousandths: u16) -> Option<Self> {
        if thousandths <= 1000 { Some(Self(thousandths)) } else { None }
    }
}

/// `memory.high` as MemoryQoS sets it: request + f * (limit - request), rounded down to a page (KEP-2570).
/// `Max` where the request has reached the limit: such a container is never throttled before its limit.
pub fn high(request: Bytes, limit: Bytes, factor: ThrottlingFactor, page: Bytes) -> Limit<Bytes> {
    if request >= limit {
        return Limit::Max;
    }
    let room = u128::from(limit.saturating_sub(request).get());
    let part = u64::try_from(room * u128::from(factor.0) / 1000).unwrap_or(u64::MAX);
    // no larger than the limit, which is in range
    Bytes::new(request.get().saturating_add(part)).map_or(Limit::Max, |high| Limit::At(high.floor_to(page)))
}
