//! Memory and swap. What a limit leaves of swap, and where throttling begins, depends on what is.

use super::Conversion;
use crate::resize::amount::{Bytes, Limit};
use crate::resize::convert::memory;
use crate::resize::knob::{CgroupVersion, Knob};
use crate::resize::knobs::Knobs;
use crate::resize::refusal::Refusal;
use crate::resize::request::MemoryHigh;
use crate::resize::value::Value;

impl Conversion<'_> {
    pub(super) fn memory(&self, knobs: &mut Knobs) -> Result<(), Refusal> {
        let (request, now) = (self.request, self.now());
        let knob = self.version.memory_limit();
        if let Some(limit) = request.memory_limit {
            self.exists(&knob)?;
            knobs.insert(knob.clone(), Value::Bytes(limit));
        }
        let limit = knobs.bytes(&knob).or_else(|| now.memory_limit());
        self.swap(knobs, limit)?;
        self.needs(CgroupVersion::V2, "memory-high", request.memory_high.is_some())?;
        self.needs(CgroupVersion::V2, "memory-min", request.memory_min.is_some())?;
        match request.memory_high {
            Some(MemoryHigh::Fixed(high)) => {
                knobs.insert(Knob::MemoryHigh, Value::Bytes(high));
            }
            Some(MemoryHigh::Auto) => {
                let (Some(asked), Some(Limit::At(limit))) = (request.memory_request, limit) else {
                    let why =
                        "auto lies between request and limit; give --memory-request, and a memory limit";
                    return Err(self.unfit(&Knob::MemoryHigh, &Value::Text("auto".to_owned()), why));
                };
                let high = memory::high(asked, limit, self.facts.throttling, self.facts.page);
                knobs.insert(Knob::MemoryHigh, Value::Bytes(high));
            }
            None => {}
        }
        let low = match self.version {
            CgroupVersion::V1 => Knob::SoftLimit,
            CgroupVersion::V2 => Knob::MemoryLow,
        };
        for (knob, amount) in [(low, request.memory_low), (Knob::MemoryMin, request.memory_min)] {
            if let Some(amount) = amount {
                knobs.insert(knob, Value::Bytes(amount));
            }
        }
        Ok(())
    }

    /// Swap beside the memory limit. Version 1's sum follows a limit that moves, so that the allowance stays.
    fn swap(&self, knobs: &mut Knobs, limit: Option<Limit<Bytes>>) -> Result<(), Refusal> {
        let (request, now) = (self.request, self.now());
        let knob = match self.version {
            CgroupVersion::V1 => Knob::MemswLimit,
            CgroupVersion::V2 => Knob::SwapMax,
        };
        let limit = limit.unwrap_or(Limit::Max);
        // without a memory limit documents mean the swap alone, which only version 2 can bound
        let alone = self.version == CgroupVersion::V2 && limit == Limit::Max;
        if let Some(sum) = request.memsw.filter(|sum| *sum < limit && !alone) {
            let why = format!("memory and swap together can't be below the memory limit {limit}; raise it");
            return Err(self.unfit(&Knob::MemswLimit, &Value::Bytes(sum), why));
        }
        let swap = request.swap.or_else(|| request.memsw.map(|sum| memory::swap(limit, sum)));
        // a kernel without swap accounting has nothing to bound, and needs no bound for nothing
        let nothing = request.swap.is_none() && matches!(swap, Some(Limit::Max | Limit::At(Bytes::ZERO)));
        if !now.has(&knob) && (nothing || swap.is_none()) {
            return Ok(());
        }
        match self.version {
            CgroupVersion::V2 => {
                if let Some(swap) = swap {
                    knobs.insert(knob, Value::Bytes(swap));
                }
            }
            CgroupVersion::V1 => {
                if swap.is_none() && request.memory_limit.is_none() {
                    return Ok(());
                }
                self.exists(&knob)?;
                let swap = swap.or_else(|| now.swap()).unwrap_or(Limit::Max);
                // the kernel rounds both terms to pages: so does the sum
                let round = |limit: Limit<Bytes>| limit.map(|bytes| bytes.floor_to(self.facts.page));
                let sum = memory::memsw(round(limit), round(swap));
                let too_large =
                    || self.unfit(&knob, &Value::Bytes(swap), "it is too large; lower it or write none");
                knobs.insert(knob.clone(), Value::Bytes(sum.ok_or_else(too_large)?));
            }
        }
        Ok(())
    }
}
