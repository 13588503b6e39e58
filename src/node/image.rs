//! The image's etc/group and etc/passwd, read as if the image's root were the root of the file system.
//!
//! Whoever writes the image writes this path too: it may be a link that leads out, a device, a FIFO, or a file of
//! ten gigabytes. openat2(2) with RESOLVE_IN_ROOT keeps links inside; the file is first opened with O_PATH, which
//! touches nothing, and read only if it is a regular file of at most one mebibyte.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;

use super::file::Regular;

/// The largest etc/group that is read.
pub const LIMIT: u64 = 1024 * 1024;

/// What was found at etc/group.
#[derive(Debug)]
pub enum GroupFile {
    /// No such file.
    Absent,
    /// Its bytes.
    Text(Vec<u8>),
    /// It is there, but not as an engine could have read it; the sentence says why.
    Unusable(String),
}

/// A root file system that isn't ours.
#[derive(Debug)]
pub struct Root {
    folder: OwnedFd,
}

impl Root {
    /// Opens the folder.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(path: &Path) -> io::Result<Root> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Root { folder: nix::fcntl::openat(AT_FDCWD, path, flags, Mode::empty())? })
    }

    /// Reads etc/group.
    pub fn group_file(&self) -> GroupFile {
        let found = match self.resolve("etc/group") {
            Ok(found) => found,
            Err(Errno::ENOENT) => return GroupFile::Absent,
            Err(why) => return GroupFile::Unusable(format!("etc/group can't be opened: {}", why.desc())),
        };
        match read(&found, "etc/group") {
            Ok(text) => GroupFile::Text(text),
            Err(why) => GroupFile::Unusable(why),
        }
    }

    /// Reads etc/passwd, which only gives names to show; none where that isn't possible.
    pub fn passwd_file(&self) -> Option<Vec<u8>> {
        read(&self.resolve("etc/passwd").ok()?, "etc/passwd").ok()
    }

    /// The target of the link at `place`, which no link may lead to.
    ///
    /// # Errors
    /// What the system said; that it is no link is EINVAL (readlink(2)).
    pub fn link(&self, place: &Path) -> io::Result<PathBuf> {
        let below = place.strip_prefix("/").unwrap_or(place);
        Ok(nix::fcntl::readlinkat(&self.folder, below)?.into())
    }

    /// Opens `path` without touching what it is.
    fn resolve(&self, path: &str) -> Result<File, Errno> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        // EAGAIN: somebody renamed a folder on the way (openat2(2)); a few tries are enough or it is an attack.
        let attempt = || openat2(self.folder.as_fd(), path, how);
        (0..8)
            .map(|_| attempt())
            .find(|r| !matches!(r, Err(Errno::EAGAIN | Errno::EINTR)))
            .unwrap_or(Err(Errno::EAGAIN))
            .map(File::from)
    }
}

/// Reads a file that was opened with O_PATH.
fn read(found: &File, name: &str) -> Result<Vec<u8>, String> {
    let why = |e: io::Error| format!("{name} can't be read: {e}");
    let kind = found.metadata().map_err(why)?;
    if !kind.is_file() {
        return Err(format!("{name} is no regular file"));
    }
    let place = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
    // The link leads to what was looked at, and nowhere else.
    let file = File::open(&place).map_err(why)?;
    Regular { file, found: kind, path: place }
        .read(LIMIT)
        .map_err(|_| format!("{name} is larger than {LIMIT} bytes or unreadable"))
}
