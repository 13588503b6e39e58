//! The cgroups of a run: one parent that only this process uses, on every hierarchy that the machine has mounted
//! (v1, v2 or both), and the one mount that crun needs on a hybrid layout while v2 owns a controller.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

const HUGETLB: &str = "/sys/fs/cgroup/hugetlb";

/// The parent of all cgroups of this run, as `cgroupsPath` names it.
pub fn parent() -> String {
    format!("/runc-strict-suites-{}", std::process::id())
}

/// The mount points of cgroup file systems in the text of /proc/self/mounts.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let is_cgroup = |line: &&str| matches!(line.split(' ').nth(2), Some("cgroup" | "cgroup2"));
    mounts.lines().filter(is_cgroup).filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from).collect()
}

/// Every folder of this run's cgroups, children before parents.
pub fn folders() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut found = Vec::new();
    for hierarchy in hierarchies(&mounts) {
        collect(&hierarchy.join(parent().trim_start_matches('/')), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), found);
        }
    }
    found.push(folder.to_owned());
}

/// The processes in any cgroup of this run, each once, as this PID namespace numbers them.
pub(crate) fn processes() -> Vec<u32> {
    let texts = folders().into_iter().map(|folder| fs::read_to_string(folder.join("cgroup.procs")));
    let mut pids: Vec<u32> = texts
        .flatten()
        .flat_map(|text| text.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Removes the run's cgroups; those that still hold processes stay and are returned.
pub(crate) fn remove() -> Vec<PathBuf> {
    folders().into_iter().filter(|folder| fs::remove_dir(folder).is_err() && folder.exists()).collect()
}

/// The hugetlb hierarchy, mounted by us. crun up to 1.8 refuses a hybrid layout while v2 still owns a controller,
/// and hugetlb is the one that nothing uses.
pub struct Hugetlb {
    made_folder: bool,
}

impl Hugetlb {
    /// Mounts it.
    ///
    /// # Errors
    /// When the kernel refuses, e.g. because somebody else mounted it meanwhile.
    pub fn mount() -> Result<Self> {
        let made_folder = fs::create_dir(HUGETLB).is_ok();
        let kind = Some("cgroup");
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(kind, HUGETLB, kind, flags, Some("hugetlb"))
            .with_context(|| format!("mount hugetlb on {HUGETLB}"))?;
        Ok(Self { made_folder })
    }

    /// Undoes exactly what [`Hugetlb::mount`] did.
    pub(crate) fn unmount(&self) -> Result<()> {
        umount2(HUGETLB, MntFlags::empty()).with_context(|| format!("unmount {HUGETLB}"))?;
        if self.made_folder {
            fs::remove_dir(HUGETLB).with_context(|| format!("remove {HUGETLB}"))?;
        }
        Ok(())
    }

    /// Whether the hierarchy is mounted, by whomever.
    pub fn is_mounted() -> bool {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        hierarchies(&mounts).iter().any(|path| path == Path::new(HUGETLB))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cgroup_file_systems_are_hierarchies() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let expected = [PathBuf::from("/sys/fs/cgroup/cpu"), PathBuf::from("/sys/fs/cgroup/unified")];
        assert_eq!(hierarchies(mounts), expected);
    }
}
