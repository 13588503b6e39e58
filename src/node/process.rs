//! Processes, by /proc: whether one exists, and since when.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::file;
use crate::error::{Error, Result};

/// Nanoseconds of a clock tick, in which the kernel tells people when a process started: a hundred in a second on every
/// architecture that runtimes are built for (include/asm-generic/param.h, `USER_HZ`).
const TICK: i64 = 10_000_000;

/// A process that can't be taken for a later one with the same pid: that one started later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessKey {
    /// Its pid.
    pub pid: u32,
    /// When it started, in clock ticks since boot, which is field 22 of /proc/PID/stat (proc(5)); or a later time at which
    /// it was there.
    pub start: u64,
}

impl ProcessKey {
    /// The calling process, which is there now. It stays the same across execve(2). /proc isn't asked, because the kernel
    /// makes its entries of a process at the first look and takes them away at its end: a tenth of what a create takes.
    ///
    /// # Errors
    /// That there is no such clock.
    pub fn current() -> Result<ProcessKey> {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map_err(|why| {
            Error::Other(format!("can't read the clock that counts since boot: {}", why.desc()))
        })?;
        let ticks = now.tv_sec() * (1_000_000_000 / TICK) + now.tv_nsec() / TICK;
        Ok(ProcessKey { pid: std::process::id(), start: ticks.cast_unsigned() })
    }

    /// The process that has this pid now.
    pub fn of(pid: u32) -> Option<ProcessKey> {
        let start = stat_field(pid, 22)?;
        Some(ProcessKey { pid, start })
    }

    /// Whether it is there and not only waits for its parent to take note of its end, when it is in no cgroup any more.
    pub fn runs(self) -> bool {
        let stat = file::read_record(format!("/proc/{}/stat", self.pid).as_ref()).unwrap_or_default();
        let behind = stat.iter().rposition(|b| *b == b')').unwrap_or_default();
        self.is_of(&stat) && !matches!(stat.get(behind + 2), Some(b'Z' | b'X'))
    }

    /// Whether it is gone for sure: what can't be looked at may be there.
    pub fn is_gone(self) -> bool {
        match file::read_record(format!("/proc/{}/stat", self.pid).as_ref()) {
            Ok(stat) => !self.is_of(&stat),
            // ESRCH: it has ended while it was read (proc(5)).
            Err(why) => matches!(why.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)),
        }
    }

    /// Whether it still runs.
    pub fn lives(self) -> bool {
        ProcessKey::of(self.pid).is_some_and(|now| now.start <= self.start)
    }

    /// Whether what /proc/PID/stat says of its pid is said of it.
    fn is_of(self, stat: &[u8]) -> bool {
        field(stat, 22).is_some_and(|start| start <= self.start)
    }
}

/// A number in /proc/PID/stat, counted as proc_pid_stat(5) does: 4 is the parent, 22 the time of the start.
pub fn stat_field(pid: u32, number: usize) -> Option<u64> {
    field(&file::read_record(format!("/proc/{pid}/stat").as_ref()).ok()?, number)
}

fn field(stat: &[u8], number: usize) -> Option<u64> {
    // The second field is the program's name in brackets, which may itself hold brackets and blanks.
    let behind = stat.iter().rposition(|b| *b == b')')?;
    let text = std::str::from_utf8(stat.get(behind + 1..)?).ok()?;
    text.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// Whether the process is still the copy that its parent made of itself, and has executed nothing yet: a container's
/// init before it is started, with the runtime's own threads. What has executed something never becomes so again.
pub fn is_unexecuted(pid: u32) -> bool {
    /// include/linux/sched.h: forked but didn't exec
    const PF_FORKNOEXEC: u64 = 0x40;
    stat_field(pid, 9).is_some_and(|flags| flags & PF_FORKNOEXEC != 0)
}

/// Whether some process has this pid, or it can't be told.
pub fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).try_exists().unwrap_or(true)
}

/// Lets this process, and those that it starts, have as many files open as the hard limit allows: many pods at once need
/// more than the usual 1024. Where that isn't allowed, opening will say so. Called before there are threads, it also makes
/// room for `count` files: a table that threads share waits for all processors each time that it has to grow, some 10 ms
/// (fs/file.c, `expand_fdtable`).
pub fn expect_many_files(count: usize) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    // a file that takes so high a number has the table grow
    if let Ok(count) = count.try_into() {
        drop(rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), count));
    }
}

/// Whether the calling process is root of the host: root, and in no user namespace but the first.
pub fn is_host_root() -> bool {
    /// A process that has begun in it stays in it, but by setns(2), which we never call.
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| nix::unistd::geteuid().is_root() && in_first_user_namespace())
}

/// The first user namespace has a number of its own (`USER_NS_INIT_INO` in include/uapi/linux/nsfs.h, since Linux 3.8).
fn in_first_user_namespace() -> bool {
    // A kernel without namespaces has no such link. Where it can't be read for another reason, root is taken at its word
    // too: in a namespace of its own it is then told that it may not write to the host's folders.
    fs::read_link("/proc/self/ns/user").map_or(true, |name| name.as_os_str() == "user:[4026531837]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_many_files_is_made_at_once() {
        expect_many_files(900);
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        assert!(size.trim().parse::<usize>().unwrap() > 900, "{size}");
    }

    #[test]
    fn a_process_is_known_by_any_time_at_which_it_was_there_and_not_by_one_before() {
        let (now, exact) = (ProcessKey::current().unwrap(), ProcessKey::of(std::process::id()).unwrap());
        assert!(exact.start <= now.start && now.start < exact.start + 100 * 60 * 60, "{exact:?} {now:?}");
        let before = ProcessKey { start: exact.start - 1, ..exact };
        assert!(now.lives() && now.runs() && !now.is_gone());
        assert!(exact.lives() && exact.runs() && !exact.is_gone());
        assert!(!before.lives() && !before.runs() && before.is_gone());
    }

    #[test]
    fn a_process_that_has_ended_and_was_not_waited_for_lives_and_does_not_run() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let key = ProcessKey::of(child.id()).unwrap();
        assert!(key.lives() && key.runs());
        drop(child.stdin.take());
        let pid = nix::sys::wait::Id::Pid(nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()));
        let flags = nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT;
        nix::sys::wait::waitid(pid, flags).unwrap();
        assert!(key.lives() && !key.runs());
        child.wait().unwrap();
        assert!(!key.lives() && !key.runs());
    }
}
