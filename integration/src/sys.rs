//! The system calls that have no safe wrapper in nix: the only file of this crate with unsafe code.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io::{Error, Result};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits until a process has ended, which needn't be our child: pidfd_open(2). A process that is gone already
/// counts as ended. `Ok(false)` says that it still runs after `limit`.
pub(crate) fn await_end(pid: u32, limit: Duration) -> Result<bool> {
    let pid = i32::try_from(pid).map_err(|_| Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: pidfd_open takes two integers and touches no memory of ours.
    let raw = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if raw < 0 {
        let error = Error::last_os_error();
        // EINVAL: it is being reaped, and leads no thread group any more (kernel/fork.c, pidfd_prepare).
        let gone = matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EINVAL));
        return if gone { Ok(true) } else { Err(error) };
    }
    let raw = i32::try_from(raw).map_err(|_| Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel just returned this descriptor, and nobody else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(raw) };
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let ended = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], limit)?;
    Ok(ended > 0)
}

/// The program stops as soon as it is executed, and the thread that started it traces it: PTRACE_TRACEME, ptrace(2).
pub(crate) fn traced(command: &mut Command) {
    // SAFETY: between fork and exec the closure makes one system call and touches no memory.
    unsafe { command.pre_exec(|| nix::sys::ptrace::traceme().map_err(Error::from)) };
}

/// Sets an extended attribute: setxattr(2).
pub(crate) fn set_attribute(path: &Path, name: &str, value: &[u8]) -> Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let name = CString::new(name)?;
    // SAFETY: both strings end in NUL, and the value is read for exactly its own length.
    let code = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if code == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}
