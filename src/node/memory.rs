//! A document that exists only in memory, handed to the runtime as `/proc/self/fd/N`.
//!
//! An exec's document is the caller's, who deletes it by path. A changed copy in a file would be left behind by a
//! kill; a sealed memfd(2) goes away with the process.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::file;
use crate::error::{Error, Result};

/// Puts `pieces` into memory and gives the path under which the runtime finds them. The descriptor is numbered
/// `from` or higher, so that it is none of those that belong to the container's process.
///
/// # Errors
/// That the system has no memory or no descriptor for it.
pub fn document(pieces: &[&[u8]], from: i32) -> Result<PathBuf> {
    let name = Path::new("process.json in memory");
    let fail = |why: nix::Error| Error::io("make", name)(why);
    let title = CString::new("runc-strict").map_err(|why| Error::Other(why.to_string()))?;
    let made: OwnedFd =
        memfd_create(title.as_c_str(), MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).map_err(fail)?;
    let mut file = File::from(made);
    file::write_all(&mut file, pieces).map_err(Error::io("write", name))?;
    let seals =
        SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals)).map_err(fail)?;
    // The copy has no close-on-exec flag: it lives on in the runtime, and nowhere else.
    let kept = fcntl(&file, FcntlArg::F_DUPFD(from)).map_err(fail)?;
    debug_assert_ne!(kept, file.as_raw_fd());
    Ok(PathBuf::from(format!("/proc/self/fd/{kept}")))
}
