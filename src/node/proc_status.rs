//! Who a process is at this moment: `/proc/PID/status` (proc_pid_status(5)).
//!
//! Credentials belong to threads. The C library changes them for all threads of a process at once, but whoever
//! calls the kernel directly changes one thread's alone; so threads are looked at too.

use std::fs::{self, File};
use std::io::Read;

use caps::Capability;

/// 65536 groups of ten digits are 720 kB.
const LIMIT: u64 = 4 * 1024 * 1024;

/// The four ids that a process has of each kind (credentials(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Who started it.
    pub real: u32,
    /// What most permissions are checked by.
    pub effective: u32,
    /// What it may go back to.
    pub saved: u32,
    /// What access to files is checked by.
    pub fs: u32,
}

impl Ids {
    /// The four in the kernel's order.
    pub fn all(self) -> [u32; 4] {
        [self.real, self.effective, self.saved, self.fs]
    }

    /// The one id, where all four are the same.
    pub fn single(self) -> Option<u32> {
        self.all().iter().all(|id| *id == self.real).then_some(self.real)
    }

    /// The four, each translated.
    #[must_use]
    pub fn map(self, to: impl Fn(u32) -> u32) -> Ids {
        Ids { real: to(self.real), effective: to(self.effective), saved: to(self.saved), fs: to(self.fs) }
    }
}

/// The capability sets that a process has, one bit for each capability (capabilities(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilityMasks {
    /// What execve(2) can ever give.
    pub bounding: u64,
    /// What it uses.
    pub effective: u64,
    /// What it may use.
    pub permitted: u64,
    /// What it hands on to programs without file capabilities.
    pub ambient: u64,
}

impl CapabilityMasks {
    /// The sets by name, without the inheritable one: that one alone gives nothing that the bounding set doesn't.
    pub fn named(self) -> [(&'static str, u64); 4] {
        [
            ("bounding", self.bounding),
            ("effective", self.effective),
            ("permitted", self.permitted),
            ("ambient", self.ambient),
        ]
    }

    /// The names of the sets that hold `capability`.
    pub fn sets_with(self, capability: Capability) -> Vec<&'static str> {
        let bit = capability.bitmask();
        self.named().into_iter().filter(|(_, mask)| mask & bit != 0).map(|(name, _)| name).collect()
    }

    /// Everything in any of the sets.
    pub fn any(self) -> u64 {
        self.named().into_iter().fold(0, |all, (_, mask)| all | mask)
    }
}

/// The part of the file that says who a process is. Ids are those of the reader's user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcStatus {
    /// The program's name as the kernel keeps it, at most 15 bytes that the process chooses.
    pub name: Vec<u8>,
    /// The letter of its state.
    pub state: u8,
    /// How many threads there are.
    pub threads: u32,
    /// Its pid in its own pid namespace.
    pub inner_pid: u32,
    /// The users.
    pub uids: Ids,
    /// The primary groups.
    pub gids: Ids,
    /// The supplementary groups, in the kernel's order: ascending.
    pub groups: Vec<u32>,
    /// Whether execve(2) can no longer gain privileges.
    pub no_new_privileges: bool,
    /// The capabilities.
    pub capabilities: CapabilityMasks,
}

impl ProcStatus {
    /// Reads the status of a process; none where it is gone, or dead and not yet waited for.
    pub fn of(pid: u32) -> Option<ProcStatus> {
        ProcStatus::read(&format!("/proc/{pid}/status"))
    }

    /// The threads of `pid` whose credentials aren't those of `main`, its main thread.
    pub fn deviant_threads(pid: u32, main: &ProcStatus) -> Vec<(u32, ProcStatus)> {
        if main.threads < 2 {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
        let tids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
        let others = tids.filter(|tid| *tid != pid);
        let read = |tid| Some((tid, ProcStatus::read(&format!("/proc/{pid}/task/{tid}/status"))?));
        let mut deviant: Vec<_> =
            others.filter_map(read).filter(|(_, s)| !s.same_credentials(main)).collect();
        deviant.sort_by_key(|(tid, _)| *tid);
        deviant
    }

    fn same_credentials(&self, other: &ProcStatus) -> bool {
        (self.uids, self.gids, self.no_new_privileges, self.capabilities)
            == (other.uids, other.gids, other.no_new_privileges, other.capabilities)
            && self.groups == other.groups
    }

    fn read(path: &str) -> Option<ProcStatus> {
        let mut text = Vec::with_capacity(2048);
        File::open(path).ok()?.take(LIMIT).read_to_end(&mut text).ok()?;
        ProcStatus::parse(&text).filter(|status| !matches!(status.state, b'Z' | b'X'))
    }

    /// Reads the text of the file; none where a line that says who the process is is missing.
    fn parse(text: &[u8]) -> Option<ProcStatus> {
        let mut status = ProcStatus::default();
        // uid, gid, groups and the four capability sets: without one of them nothing can be said
        let mut seen = 0;
        for line in text.split(|b| *b == b'\n') {
            let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
            let (key, rest) = line.split_at(colon);
            let value = rest.get(1..).unwrap_or_default().trim_ascii();
            let number = || std::str::from_utf8(value).ok()?.parse::<u32>().ok();
            let mask = || u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok();
            match key {
                b"Name" => status.name = value.to_vec(),
                b"State" => status.state = value.first().copied()?,
                b"Threads" => status.threads = number()?,
                b"NSpid" => status.inner_pid = *numbers(value)?.last()?,
                b"Uid" => status.uids = ids(value)?,
                b"Gid" => status.gids = ids(value)?,
                b"Groups" => status.groups = numbers(value)?,
                b"NoNewPrivs" => status.no_new_privileges = value == b"1",
                b"CapBnd" => status.capabilities.bounding = mask()?,
                b"CapEff" => status.capabilities.effective = mask()?,
                b"CapPrm" => status.capabilities.permitted = mask()?,
                b"CapAmb" => status.capabilities.ambient = mask()?,
                _ => continue,
            }
            seen += i32::from(matches!(key, b"Uid" | b"Gid" | b"Groups" | b"CapBnd" | b"CapEff" | b"CapPrm"));
        }
        (seen == 6).then_some(status)
    }
}

fn numbers(value: &[u8]) -> Option<Vec<u32>> {
    std::str::from_utf8(value).ok()?.split_ascii_whitespace().map(|n| n.parse().ok()).collect()
}

fn ids(value: &[u8]) -> Option<Ids> {
    match numbers(value)?.as_slice() {
        [real, effective, saved, fs] => {
            Some(Ids { real: *real, effective: *effective, saved: *saved, fs: *fs })
        }
        _ => None,
    }
}

/// A user namespace's map of ids, `/proc/PID/uid_map` or `gid_map` (user_namespaces(7)): from those that the reader
/// sees to those that the container sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap(Vec<[u32; 3]>);

impl IdMap {
    /// Reads `/proc/PID/<name>`; where it can't be read, ids are taken as they are.
    pub fn of(pid: u32, name: &str) -> IdMap {
        IdMap::parse(&fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default())
    }

    fn parse(text: &str) -> IdMap {
        let line = |line: &str| numbers(line.as_bytes())?.try_into().ok();
        IdMap(text.lines().filter_map(line).collect())
    }

    /// What `id` is inside; an id that isn't mapped stays as it is.
    pub fn inside(&self, id: u32) -> u32 {
        let place = |[inside, outside, count]: &[u32; 3]| {
            let at = id.checked_sub(*outside).filter(|at| at < count)?;
            inside.checked_add(at)
        };
        self.0.iter().find_map(place).unwrap_or(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Name:\tsh\\nx\nUmask:\t0022\nState:\tS (sleeping)\nNSpid:\t4711\t1\nPPid:\t1\n\
        Uid:\t1000\t1000\t0\t1000\nGid:\t1000\t50000\t50000\t50000\nGroups:\t1000 60000 \nThreads:\t3\n\
        CapInh:\t0000000000000000\nCapPrm:\t00000000000000c0\nCapEff:\t0000000000000000\n\
        CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";

    #[test]
    fn the_kernels_lines_are_read() {
        let status = ProcStatus::parse(TEXT.as_bytes()).unwrap();
        assert_eq!(status.name, b"sh\\nx");
        assert_eq!(status.inner_pid, 1);
        assert_eq!(status.threads, 3);
        assert_eq!(status.uids.all(), [1000, 1000, 0, 1000]);
        assert_eq!(status.uids.single(), None);
        assert_eq!(status.gids.effective, 50000);
        assert_eq!(status.groups, [1000, 60000]);
        assert!(status.no_new_privileges);
        assert_eq!(status.capabilities.sets_with(Capability::CAP_SETGID), ["bounding", "permitted"]);
    }

    #[test]
    fn a_status_that_doesn_t_say_who_the_process_is_is_none() {
        for key in ["Uid", "Gid", "Groups", "CapBnd", "CapEff", "CapPrm"] {
            assert_eq!(ProcStatus::parse(TEXT.replace(key, "X").as_bytes()), None, "{key}");
        }
    }

    #[test]
    fn our_own_status_can_be_read_and_a_process_that_is_not_there_has_none() {
        let own = ProcStatus::of(std::process::id()).unwrap();
        assert_eq!(own.uids.effective, nix::unistd::geteuid().as_raw());
        assert_eq!(ProcStatus::of(u32::MAX), None);
    }

    #[test]
    fn ids_of_a_user_namespace_are_shown_as_the_container_sees_them() {
        let map = IdMap::parse("         0     100000      65536\n      70000       5 1\n");
        assert_eq!(map.inside(100000), 0);
        assert_eq!(map.inside(165535), 65535);
        assert_eq!(map.inside(165536), 165536);
        assert_eq!(map.inside(5), 70000);
        assert_eq!(IdMap::parse("0 0 4294967295").inside(50000), 50000);
    }
}
