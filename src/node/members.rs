//! Which processes belong to a container: those of its cgroup and the descendants of its init.
//!
//! The cgroup alone is not enough: a container that shares its caller's cgroup has none of its own, and an init that
//! manages cgroups itself (systemd) sits in a small one beside the rest. Parentage alone isn't either: an exec's
//! process is a child of the engine. Without a cgroup of its own the pid namespace says it.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::proc_status::ProcStatus;
use super::process::{ProcessKey, stat_field};
use crate::error::{Error, Result};

/// All processes of the machine at one moment, and where cgroups are mounted.
#[derive(Debug)]
pub struct Processes {
    children: HashMap<u32, Vec<u32>>,
    pids: Vec<u32>,
    parents: HashMap<u32, u32>,
    mounts: Vec<Mount>,
    by_namespace: OnceCell<HashMap<PathBuf, Vec<u32>>>,
}

/// One process of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its pid.
    pub pid: u32,
    /// Whether it is no descendant of the init: an exec started it, or its parent.
    pub entered: bool,
}

impl Processes {
    /// Looks at /proc.
    ///
    /// # Errors
    /// That it can't be read.
    pub fn now() -> Result<Processes> {
        let place = Path::new("/proc");
        let entries = fs::read_dir(place).map_err(Error::io("read the folder", place))?;
        let numbers = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        let pids: Vec<u32> = numbers.collect();
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut parents = HashMap::with_capacity(pids.len());
        for pid in &pids {
            if let Some(parent) = parent_of(*pid) {
                children.entry(parent).or_default().push(*pid);
                parents.insert(*pid, parent);
            }
        }
        let mounts = parse_mounts(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default());
        Ok(Processes { children, pids, parents, mounts, by_namespace: OnceCell::new() })
    }

    /// The processes of the container whose init is `init`, by pid; empty where it has ended.
    pub fn of_container(&self, init: ProcessKey) -> Vec<Member> {
        if !init.lives() {
            return Vec::new();
        }
        let descendants = self.descendants(init.pid);
        let mut all = descendants.clone();
        match self.own_cgroup(init.pid) {
            Some(folder) => collect_cgroup(&folder, &mut all),
            None => all.extend(self.of_namespace(init.pid)),
        }
        all.into_iter().map(|pid| Member { pid, entered: !descendants.contains(&pid) }).collect()
    }

    /// `pid` and what descends from it.
    fn descendants(&self, pid: u32) -> BTreeSet<u32> {
        let mut found = BTreeSet::from([pid]);
        let mut next = vec![pid];
        while let Some(pid) = next.pop() {
            let children = self.children.get(&pid).into_iter().flatten();
            next.extend(children.filter(|child| found.insert(**child)));
        }
        found
    }

    /// The folder of the cgroup that only this container is in: another one than its parent's.
    fn own_cgroup(&self, pid: u32) -> Option<PathBuf> {
        let ours = memberships(pid);
        let parents = self.parents.get(&pid).map(|parent| memberships(*parent)).unwrap_or_default();
        // Version 2 first: its line is the last one.
        ours.iter().rev().find_map(|own| {
            let shared = own.path == "/" || own.path.contains("/..") || parents.contains(own);
            let mount = self.mounts.iter().find(|m| m.serves(own)).filter(|_| !shared)?;
            let below = Path::new(&own.path).strip_prefix(&mount.root).ok()?;
            Some(mount.point.join(below)).filter(|folder| folder.join("cgroup.procs").exists())
        })
    }

    /// The processes of the pid namespace that `pid` is the first process of.
    fn of_namespace(&self, pid: u32) -> &[u32] {
        let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let first = ProcStatus::of(pid).is_some_and(|status| status.inner_pid == 1);
        let Some(wanted) = namespace(pid).filter(|_| first && pid != 1) else { return &[] };
        let by_namespace = self.by_namespace.get_or_init(|| {
            let mut map: HashMap<PathBuf, Vec<u32>> = HashMap::new();
            for pid in &self.pids {
                if let Some(name) = namespace(*pid) {
                    map.entry(name).or_default().push(*pid);
                }
            }
            map
        });
        by_namespace.get(&wanted).map(Vec::as_slice).unwrap_or_default()
    }
}

fn parent_of(pid: u32) -> Option<u32> {
    stat_field(pid, 4)?.try_into().ok()
}

/// All pids of a cgroup and of those below it.
fn collect_cgroup(folder: &Path, pids: &mut BTreeSet<u32>) {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    // 0 stands for a process that this pid namespace doesn't see.
    pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_cgroup(&entry.path(), pids);
        }
    }
}

/// A line of /proc/PID/cgroup (cgroups(7)): `4:memory:/a/b`, `0::/a/b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) controllers: String,
    pub(super) path: String,
}

/// The lines of a process; none where it has ended.
pub(super) fn memberships(pid: u32) -> Vec<Membership> {
    let text = super::file::read_kernel(format!("/proc/{pid}/cgroup").as_ref()).unwrap_or_default();
    parse_memberships(&String::from_utf8_lossy(&text))
}

fn parse_memberships(text: &str) -> Vec<Membership> {
    let line = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some(Membership { controllers: parts.next()?.to_owned(), path: parts.next()?.to_owned() })
    };
    text.lines().filter_map(line).collect()
}

/// A mounted hierarchy.
#[derive(Debug)]
pub(super) struct Mount {
    /// Which part of the hierarchy is mounted.
    pub(super) root: PathBuf,
    /// Where.
    pub(super) point: PathBuf,
    /// None for version 2.
    pub(super) options: Option<String>,
}

impl Mount {
    fn serves(&self, membership: &Membership) -> bool {
        match &self.options {
            None => membership.controllers.is_empty(),
            Some(options) => {
                let has = |controller: &str| options.split(',').any(|option| option == controller);
                !membership.controllers.is_empty() && membership.controllers.split(',').all(has)
            }
        }
    }
}

/// The cgroup mounts in /proc/self/mountinfo (proc_pid_mountinfo(5)).
pub(super) fn parse_mounts(text: &str) -> Vec<Mount> {
    let line = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (unescape(left.next()?), unescape(left.next()?));
        let mut right = right.split(' ');
        let options = match right.next()? {
            "cgroup2" => None,
            "cgroup" => Some(right.nth(1)?.to_owned()),
            _ => return None,
        };
        Some(Mount { root, point, options })
    };
    text.lines().filter_map(line).collect()
}

/// mountinfo writes blanks and backslashes as three octal digits.
fn unescape(word: &str) -> PathBuf {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..3).and_then(|d| u8::from_str_radix(std::str::from_utf8(d).ok()?, 8).ok());
        match (first, code) {
            (b'\\', Some(byte)) => {
                out.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            (byte, _) => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    PathBuf::from(std::ffi::OsStr::from_bytes(&out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_hierarchy_is_found_by_its_controllers() {
        let mounts = parse_mounts(
            "25 1 0:22 / / rw - ext4 /dev/vda rw\n\
             30 25 0:26 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n\
             31 25 0:27 /pod /sys/fs/a\\040b rw,nosuid shared:1 - cgroup cgroup rw,cpu,cpuacct\n\
             32 25 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n",
        );
        let served = |line: &str| {
            let of = parse_memberships(line);
            mounts.iter().find(|m| m.serves(&of[0])).map(|m| m.point.display().to_string())
        };
        assert_eq!(served("0::/x").as_deref(), Some("/sys/fs/cgroup/unified"));
        assert_eq!(served("3:cpu,cpuacct:/pod/x").as_deref(), Some("/sys/fs/a b"));
        assert_eq!(served("1:name=systemd:/x").as_deref(), Some("/sys/fs/cgroup/systemd"));
        assert_eq!(served("9:memory:/x"), None);
        assert_eq!(mounts[1].root, Path::new("/pod"));
    }

    #[test]
    fn a_path_with_colons_is_read_whole() {
        let all = parse_memberships("4:memory:/kube:pod:1\n0::/\n");
        assert_eq!(all[0].path, "/kube:pod:1");
        assert_eq!(all[1].controllers, "");
    }

    #[test]
    fn a_child_is_a_member_without_a_cgroup_of_its_own_and_a_stranger_is_not() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let processes = Processes::now().unwrap();
        let of = |pid: u32| {
            let members = processes.of_container(ProcessKey::of(pid).unwrap());
            members.iter().map(|m| (m.pid, m.entered)).collect::<Vec<_>>()
        };
        assert!(of(std::process::id()).contains(&(child.id(), false)));
        assert_eq!(of(child.id()), [(child.id(), false)]);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_container_that_has_ended_has_no_process() {
        let processes = Processes::now().unwrap();
        assert_eq!(processes.of_container(ProcessKey { pid: std::process::id(), start: 1 }), []);
    }
}
