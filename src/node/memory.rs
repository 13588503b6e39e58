//! A document that exists only in memory, handed to the runtime as `/proc/self/fd/N` or as its stdin.
//!
//! An exec's document is the caller's, who deletes it by path. A changed copy in a file would be left behind by a
//! kill; a sealed memfd(2) goes away with the process.

use std::ffi::CString;
use std::fs::File;
use std::io::Seek;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::dup2_stdin;

use super::file;
use crate::error::{Error, Result};

/// A sheet of memory that is being written.
#[derive(Debug)]
pub struct Sheet {
    file: File,
    name: &'static str,
}

impl Sheet {
    /// An empty one, for a document that messages call `name`.
    ///
    /// # Errors
    /// That the system has no memory or no descriptor for it.
    pub fn new(name: &'static str) -> Result<Sheet> {
        let title = CString::new("runc-strict").map_err(|why| Error::Other(why.to_string()))?;
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let made: OwnedFd =
            memfd_create(title.as_c_str(), flags).map_err(Error::io("make", Path::new(name)))?;
        Ok(Sheet { file: File::from(made), name })
    }

    /// Writes the whole document, and seals it.
    ///
    /// # Errors
    /// That the system has no memory for it.
    pub fn write(mut self, pieces: &[&[u8]]) -> Result<File> {
        let name = Path::new(self.name);
        file::write_all(&mut self.file, pieces).map_err(Error::io("write", name))?;
        let seals =
            SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
        fcntl(&self.file, FcntlArg::F_ADD_SEALS(seals)).map_err(Error::io("seal", name))?;
        Ok(self.file)
    }
}

/// Puts `pieces` into memory and gives the path under which the runtime finds them. The descriptor is numbered
/// `from` or higher, so that it is none of those that belong to the container's process.
///
/// # Errors
/// That the system has no memory or no descriptor for it.
pub fn document(pieces: &[&[u8]], from: i32) -> Result<PathBuf> {
    const NAME: &str = "process.json in memory";
    let file = Sheet::new(NAME)?.write(pieces)?;
    // Without the close-on-exec flag, which a copy doesn't have, it lives on in the runtime, and nowhere else.
    let kept = match file.as_raw_fd() >= from {
        true => fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).map(|_| file.into_raw_fd()),
        false => fcntl(&file, FcntlArg::F_DUPFD(from)),
    };
    let kept = kept.map_err(Error::io("make", Path::new(NAME)))?;
    Ok(PathBuf::from(["/proc/self/fd/", &kept.to_string()].concat()))
}

/// `pieces` in memory, to be read from their beginning by a program that is started.
///
/// # Errors
/// That the system has no memory or no descriptor for it.
pub fn input(pieces: &[&[u8]]) -> Result<File> {
    const NAME: &str = "stdin in memory";
    let mut file = Sheet::new(NAME)?.write(pieces)?;
    file.rewind().map_err(Error::io("rewind", Path::new(NAME)))?;
    Ok(file)
}

/// Makes a written sheet the stdin of this process and of the runtime that it becomes, to be read from its beginning.
///
/// # Errors
/// That it can't be done.
pub fn as_stdin(mut sheet: File) -> Result<()> {
    let name = Path::new("stdin");
    sheet.rewind().map_err(Error::io("rewind", name))?;
    dup2_stdin(&sheet).map_err(Error::io("replace", name))
}
