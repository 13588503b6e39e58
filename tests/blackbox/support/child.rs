//! What a child inherits that std can't give it: its own mounts, descriptors, signal masks and umask. All of the
//! tests' `unsafe` is here.
#![allow(unsafe_code, reason = "between fork(2) and execve(2) only system calls may be made")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;

/// What a child inherits.
#[derive(Default)]
pub(super) struct Inherited {
    /// Bind mounts in a mount namespace of its own: from, to.
    pub(super) mounts: Vec<(PathBuf, PathBuf)>,
    pub(super) user: Option<u32>,
    pub(super) umask: Option<u32>,
    pub(super) block: Vec<i32>,
    pub(super) ignore: Vec<i32>,
    /// Descriptors: ours, and the child's number for it.
    pub(super) give: Vec<(i32, i32)>,
    pub(super) close: Vec<i32>,
}

/// Lets `command` start its child so.
pub(super) fn prepare(command: &mut Command, inherited: Inherited) {
    let c = |path: &PathBuf| CString::new(path.as_os_str().as_bytes()).unwrap();
    // Everything is laid out before fork(2): the child must not allocate.
    let mounts: Vec<(CString, CString)> = inherited.mounts.iter().map(|(a, b)| (c(a), c(b))).collect();
    let apply = move || {
        if !mounts.is_empty() {
            private_mounts()?;
        }
        for (from, to) in &mounts {
            // SAFETY: both strings live in the closure; a bind mount takes neither a type nor data.
            check(unsafe {
                libc::mount(from.as_ptr(), to.as_ptr(), ptr::null(), libc::MS_BIND, ptr::null())
            })?;
        }
        if let Some(user) = inherited.user {
            // SAFETY: no pointers but an empty list; the child has one thread.
            check(unsafe { libc::setgroups(0, ptr::null()) })?;
            // SAFETY: as above.
            check(unsafe { libc::setgid(user) })?;
            // SAFETY: as above.
            check(unsafe { libc::setuid(user) })?;
        }
        if let Some(mask) = inherited.umask {
            // SAFETY: umask(2) takes a number and can't fail.
            unsafe { libc::umask(mask) };
        }
        for signal in &inherited.ignore {
            // SAFETY: SIG_IGN is no function of ours, so nothing is called in the child.
            if unsafe { libc::signal(*signal, libc::SIG_IGN) } == libc::SIG_ERR {
                return Err(io::Error::last_os_error());
            }
        }
        block(&inherited.block)?;
        // Whoever runs the tests may have left descriptors open; the child gets none of them.
        // SAFETY: close_range(2) takes three numbers.
        check(unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC as libc::c_int) })?;
        for (ours, number) in &inherited.give {
            // SAFETY: dup2(2) takes two numbers.
            check(unsafe { libc::dup2(*ours, *number) })?;
        }
        for number in &inherited.close {
            // SAFETY: close(2) takes a number; the child uses none of these before execve(2).
            check(unsafe { libc::close(*number) })?;
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(apply) };
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A mount namespace of its own, from which nothing comes back.
fn private_mounts() -> io::Result<()> {
    // SAFETY: unshare(2) takes a number.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the path is a constant, and a change of propagation takes nothing else.
    check(unsafe { libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), flags, ptr::null()) })
}

fn block(signals: &[i32]) -> io::Result<()> {
    // SAFETY: a set of all zeroes is valid for sigemptyset(3), which makes it a proper empty one.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is ours.
    check(unsafe { libc::sigemptyset(&mut set) })?;
    for signal in signals {
        // SAFETY: `set` is ours.
        check(unsafe { libc::sigaddset(&mut set, *signal) })?;
    }
    // SAFETY: `set` is ours, and the old one isn't asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &set, ptr::null_mut()) })
}

/// Whether a child can have its own mounts.
pub(super) fn can_unshare_mounts() -> bool {
    let mut command = Command::new("/bin/true");
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(private_mounts) };
    command.status().is_ok_and(|status| status.success())
}

/// A second descriptor of `file` whose number is `from` or higher, and which no child gets.
pub(super) fn above(file: &File, from: i32) -> OwnedFd {
    // SAFETY: F_DUPFD_CLOEXEC takes a number.
    let fd = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, from) };
    assert!(fd >= from, "fcntl: {}", io::Error::last_os_error());
    // SAFETY: the descriptor was just made and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Makes a FIFO that nobody writes to.
pub(crate) fn mkfifo(path: &Path) {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the name lives until the call is over.
    check(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }).unwrap();
}

pub(super) fn effective_uid() -> u32 {
    // SAFETY: geteuid(2) takes nothing and can't fail.
    unsafe { libc::geteuid() }
}

/// Waits until the child `pid`, which hasn't been waited for, has ended; false if it takes longer.
pub(super) fn ends_within_seconds(pid: u32, seconds: i32) -> bool {
    // SAFETY: pidfd_open(2) takes two numbers.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(opened).unwrap();
    assert!(fd >= 0, "pidfd_open: {}", io::Error::last_os_error());
    let mut event = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one event, which is ours.
    let ready = unsafe { libc::poll(&mut event, 1, seconds * 1000) };
    // SAFETY: the descriptor is ours and is not used again.
    unsafe { libc::close(fd) };
    ready == 1
}
