//! An OCI LinuxResources object (runtime-spec, config-linux.md, "Control groups"): what `update --resources` takes. Its
//! numbers are those of version 1 whatever the host has; 0 and a missing field both mean "leave it", -1 means "none".

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};

use crate::resize::amount::{Bytes, Limit};
use crate::resize::convert::cpu::{CpuBurst, CpuPeriod, CpuQuota, CpuShares};
use crate::resize::convert::cpuset::Cpuset;
use crate::resize::convert::io::{BlkioWeight, Device, Rate};

use super::{DiskWeight, Request, RequestError, options};

impl Request {
    /// Reads a LinuxResources object.
    ///
    /// # Errors
    /// [`RequestError`] with the field that no runtime could apply.
    pub fn from_oci(resources: &LinuxResources) -> Result<Self, RequestError> {
        let mut request = Self::default();
        if let Some(memory) = resources.memory() {
            request.oci_memory(memory)?;
        }
        if let Some(cpu) = resources.cpu() {
            request.oci_cpu(cpu)?;
        }
        if let Some(disks) = resources.block_io() {
            request.oci_disks(disks)?;
        }
        if let Some(limit) =
            resources.pids().as_ref().map(oci_spec::runtime::LinuxPids::limit).filter(|limit| *limit != 0)
        {
            let count = limited("pids.limit", limit, Some)?;
            request.pids = Some(count);
        }
        for page in resources.hugepage_limits().iter().flatten() {
            let wrong = |reason: String| RequestError::new("hugepageLimits.pageSize", None, reason);
            let size = page.page_size().parse().map_err(|error| wrong(format!("{error}")))?;
            request.hugepages.insert(size, limited("hugepageLimits.limit", page.limit(), Bytes::new)?);
        }
        for (key, text) in resources.unified().iter().flatten() {
            let wrong = |reason| RequestError::new("unified", Some(format!("{key}={text}")), reason);
            let (knob, value) = options::unified(key, text).map_err(wrong)?;
            request.unified.insert(knob, value);
        }
        let others = [
            ("devices", resources.devices().as_ref().is_some_and(|devices| !devices.is_empty())),
            ("network", resources.network().is_some()),
            ("rdma", resources.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty())),
        ];
        request
            .ignored
            .extend(others.into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_owned()));
        Ok(request)
    }

    fn oci_memory(&mut self, memory: &LinuxMemory) -> Result<(), RequestError> {
        let given = |name, number: Option<i64>| {
            number.filter(|number| *number != 0).map(|number| limited(name, number, Bytes::new)).transpose()
        };
        self.memory_limit = given("memory.limit", memory.limit())?;
        self.memsw = given("memory.swap", memory.swap())?;
        self.memory_low = given("memory.reservation", memory.reservation())?;
        let others = [
            ("memory.kernelTCP", memory.kernel_tcp().is_some()),
            ("memory.swappiness", memory.swappiness().is_some()),
            ("memory.disableOOMKiller", memory.disable_oom_killer().is_some_and(|off| off)),
        ];
        self.ignored.extend(others.into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_owned()));
        Ok(())
    }

    fn oci_cpu(&mut self, cpu: &LinuxCpu) -> Result<(), RequestError> {
        let wrong = |name, number: u64, range| RequestError::new(name, Some(number.to_string()), range);
        self.cpu_shares = cpu.shares().filter(|shares| *shares != 0).map(CpuShares::clamped);
        self.cpu_quota = cpu
            .quota()
            .filter(|quota| *quota != 0)
            .map(|quota| {
                let range = "the kernel takes 1000 (1 ms) to 17592186044415 microseconds, or -1 for no quota";
                let wrong = || RequestError::new("cpu.quota", Some(quota.to_string()), range);
                match u64::try_from(quota) {
                    Ok(micros) => CpuQuota::new(micros).map(Limit::At).ok_or_else(wrong),
                    Err(_) if quota == -1 => Ok(Limit::Max),
                    Err(_) => Err(wrong()),
                }
            })
            .transpose()?;
        let period = cpu.period().filter(|period| *period != 0);
        let range = "the kernel takes 1000 to 1000000 microseconds";
        self.cpu_period = period
            .map(|micros| CpuPeriod::new(micros).ok_or_else(|| wrong("cpu.period", micros, range)))
            .transpose()?;
        let range = "the kernel takes no more than the quota";
        self.cpu_burst = cpu
            .burst()
            .map(|micros| CpuBurst::new(micros).ok_or_else(|| wrong("cpu.burst", micros, range)))
            .transpose()?;
        self.cpus = cpuset("cpu.cpus", cpu.cpus().as_deref())?;
        self.mems = cpuset("cpu.mems", cpu.mems().as_deref())?;
        let realtime = cpu.realtime_runtime().is_some_and(|micros| micros != 0)
            || cpu.realtime_period().is_some_and(|micros| micros != 0);
        let others = [("cpu.realtimeRuntime", realtime), ("cpu.idle", cpu.idle().is_some())];
        self.ignored.extend(others.into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_owned()));
        Ok(())
    }

    fn oci_disks(&mut self, disks: &LinuxBlockIo) -> Result<(), RequestError> {
        if let Some(weight) = disks.weight().filter(|weight| *weight != 0) {
            let valid = BlkioWeight::new(u64::from(weight))
                .filter(|weight| *weight >= BlkioWeight::LEAST_OF_DOCUMENTS);
            let wrong =
                || RequestError::new("blockIO.weight", Some(weight.to_string()), "it must be 10 to 1000");
            self.io_weight = Some(DiskWeight::Blkio(valid.ok_or_else(wrong)?));
        }
        for (rate, devices) in [
            (Rate::Rbps, disks.throttle_read_bps_device()),
            (Rate::Wbps, disks.throttle_write_bps_device()),
            (Rate::Riops, disks.throttle_read_iops_device()),
            (Rate::Wiops, disks.throttle_write_iops_device()),
        ] {
            for device in devices.iter().flatten() {
                // a rate of 0 removes the limit, in the document as in the kernel's file
                let limit = if device.rate() == 0 { Limit::Max } else { Limit::At(device.rate()) };
                self.io_max.entry(numbers(device)?).or_default().insert(rate, limit);
            }
        }
        let others = [
            ("blockIO.leafWeight", disks.leaf_weight().is_some()),
            (
                "blockIO.weightDevice",
                disks.weight_device().as_ref().is_some_and(|devices| !devices.is_empty()),
            ),
        ];
        self.ignored.extend(others.into_iter().filter(|(_, there)| *there).map(|(name, _)| name.to_owned()));
        Ok(())
    }
}

fn numbers(device: &LinuxThrottleDevice) -> Result<Device, RequestError> {
    let numbers = u32::try_from(device.major()).ok().zip(u32::try_from(device.minor()).ok());
    numbers.map(|(major, minor)| Device { major, minor }).ok_or_else(|| {
        let value = format!("{}:{}", device.major(), device.minor());
        RequestError::new("blockIO", Some(value), "it is no device")
    })
}

/// A number that may be -1 for "none".
fn limited<T>(
    name: &str,
    number: i64,
    make: impl FnOnce(u64) -> Option<T>,
) -> Result<Limit<T>, RequestError> {
    let wrong =
        || RequestError::new(name, Some(number.to_string()), "below zero only -1 has a meaning: no limit");
    match u64::try_from(number) {
        Ok(number) => make(number).map(Limit::At).ok_or_else(wrong),
        Err(_) if number == -1 => Ok(Limit::Max),
        Err(_) => Err(wrong()),
    }
}

/// A list; the empty one means "leave it".
fn cpuset(name: &str, list: Option<&str>) -> Result<Option<Cpuset>, RequestError> {
    let set = list.unwrap_or_default().parse::<Cpuset>();
    let set = set.map_err(|error| RequestError::new(name, list.map(str::to_owned), error.to_string()))?;
    Ok(Some(set).filter(|set| !set.is_empty()))
}
