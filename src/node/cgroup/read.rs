//! What a cgroup holds now, in the planner's terms: its knobs, what its memory is used for, what lies above it.

use std::collections::BTreeSet;

use super::{Fault, Group, Place, Tree};
use crate::node::file;
use crate::resize::amount::{Bytes, Limit};
use crate::resize::convert::cpu::Ratio;
use crate::resize::knob::{CgroupVersion, Knob};
use crate::resize::knobs::Knobs;
use crate::resize::snapshot::MemoryUsage;

/// The knobs of a cgroup, and of `more` files beside the usual ones. What holds something that no knob can hold is left
/// out: nobody will plan with it.
///
/// # Errors
/// [`Fault`] where the cgroup can't be read.
pub fn cgroup(group: &Group, more: &[String]) -> Result<Knobs, Fault> {
    let usual = group.version().files().iter().map(|file| (*file).to_owned());
    let files: BTreeSet<String> =
        usual.chain(group.hugepage_files().iter().cloned()).chain(more.iter().cloned()).collect();
    read(group, files)
}

/// Of the usual knobs of a cgroup those of these controllers.
///
/// # Errors
/// [`Fault`] where the cgroup can't be read.
pub fn of_controllers(group: &Group, controllers: &BTreeSet<String>) -> Result<Knobs, Fault> {
    let usual = group.version().files().iter().map(|file| (*file).to_owned());
    let huge = controllers.contains("hugetlb").then(|| group.hugepage_files().iter().cloned());
    let wanted = |file: &String| controllers.contains(file.split('.').next().unwrap_or_default());
    read(group, usual.chain(huge.into_iter().flatten()).filter(wanted).collect())
}

/// Of the knobs of a cgroup those that `wanted` has, and what they can only be told with: quota and period are one thing.
///
/// # Errors
/// [`Fault`] where the cgroup can't be read.
pub fn like(group: &Group, wanted: &Knobs) -> Result<Knobs, Fault> {
    let mut files: BTreeSet<String> = wanted.iter().map(|(knob, _)| knob.file()).collect();
    if wanted.has(&Knob::CfsQuota) || wanted.has(&Knob::CfsPeriod) {
        files.extend([Knob::CfsQuota.file(), Knob::CfsPeriod.file()]);
    }
    read(group, files)
}

fn read(group: &Group, files: BTreeSet<String>) -> Result<Knobs, Fault> {
    let mut knobs = Knobs::default();
    for file in files {
        if let Some(text) = group.read(&file)? {
            knobs.extend(Knob::read_file(&file, &text).unwrap_or_default());
        }
    }
    Ok(knobs)
}

/// What a cgroup's memory is used for, on a machine with so much free swap; `None` without a memory controller. It costs
/// more than all limits together, because the kernel sums it up over all CPUs first.
///
/// # Errors
/// [`Fault`] where the cgroup can't be read.
pub fn memory(tree: &Tree, group: &Group, free: u64) -> Result<Option<MemoryUsage>, Fault> {
    let number =
        |file: &str| Ok::<_, Fault>(group.read(file)?.and_then(|text| text.trim().parse::<u64>().ok()));
    let Some(stat) = group.read("memory.stat")? else { return Ok(None) };
    let of = |names: &[&str]| {
        let line = |line: &str| {
            let (name, number) = line.split_once(' ')?;
            names.contains(&name).then(|| number.parse::<u64>().ok()).flatten()
        };
        stat.lines().filter_map(line).fold(0u64, u64::saturating_add)
    };
    let bytes = |number: u64| Bytes::new(number).unwrap_or_default();
    Ok(Some(match group.version() {
        CgroupVersion::V2 => {
            let room = match (number("memory.swap.max")?, number("memory.swap.current")?) {
                (Some(max), Some(used)) => max.saturating_sub(used),
                _ => u64::MAX,
            };
            let mut protected = 0u64;
            for name in group.children() {
                let Ok(child) = tree.group(&group.place().child(&name)) else { continue };
                let minimum = child.read("memory.min").ok().flatten();
                protected =
                    protected.saturating_add(minimum.and_then(|text| text.trim().parse().ok()).unwrap_or(0));
            }
            MemoryUsage {
                current: bytes(number("memory.current")?.unwrap_or_default()),
                swappable: bytes(of(&["anon", "shmem"])),
                pinned: bytes(of(&[
                    "slab_unreclaimable",
                    "kernel_stack",
                    "pagetables",
                    "sec_pagetables",
                    "percpu",
                    "sock",
                ])),
                protected: bytes(protected),
                swap_room: bytes(free.min(room)),
            }
        }
        // the kernel's own memory isn't told apart here; version 1 refuses a limit that it can't reach, and harms nothing
        CgroupVersion::V1 => {
            let sum = number("memory.memsw.limit_in_bytes")?;
            let limit = number("memory.limit_in_bytes")?;
            let allowed = sum.zip(limit).map_or(u64::MAX, |(sum, limit)| sum.saturating_sub(limit));
            MemoryUsage {
                current: bytes(number("memory.usage_in_bytes")?.unwrap_or_default()),
                swappable: bytes(of(&["total_rss", "total_shmem"])),
                swap_room: bytes(free.min(allowed)),
                ..MemoryUsage::default()
            }
        }
    }))
}

/// The swap that the machine has left, in bytes.
pub fn free_swap() -> u64 {
    let bytes = file::read_kernel("/proc/meminfo".as_ref()).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find_map(|line| line.strip_prefix("SwapFree:"));
    let kibibytes = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.unwrap_or_default().saturating_mul(1024)
}

/// How many CPUs a cgroup's own bandwidth and those above it are worth.
pub fn ratio(tree: &Tree, place: &Place) -> Ratio {
    let mut least = Limit::Max;
    let mut next = Some(place.clone());
    while let Some(place) = next {
        if let Ok(group) = tree.group(&place) {
            let files: &[&str] = match tree.version() {
                CgroupVersion::V1 => &["cpu.cfs_quota_us", "cpu.cfs_period_us"],
                CgroupVersion::V2 => &["cpu.max"],
            };
            let read = |file: &str| {
                let text = group.read(file).ok().flatten().unwrap_or_default();
                Knob::read_file(file, &text).unwrap_or_default()
            };
            let knobs: Knobs = files.iter().flat_map(|file| read(file)).collect();
            least = least.min(knobs.bandwidth().map_or(Limit::Max, |cpu| cpu.ratio()));
        }
        next = place.parent();
    }
    least
}

/// The size of a page of this machine.
pub fn page() -> Bytes {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok())
        .and_then(Bytes::new)
        .unwrap_or_else(|| Bytes::new(4096).unwrap_or_default())
}
