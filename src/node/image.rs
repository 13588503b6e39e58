//! The image's etc/group and etc/passwd, read as if the image's root were the root of the file system.
//!
//! Whoever writes the image writes this path too: it may be a link that leads out, a device, a FIFO, or a file of
//! ten gigabytes. openat2(2) with RESOLVE_IN_ROOT keeps links inside; the file is first opened with O_PATH, which
//! touches nothing, and read only if it is a regular file of at most one mebibyte.
//!
//! What the image made so is a finding, and the container starts without what it would have been given by this file. That
//! the system fails (no memory, no descriptors, a broken disk) says nothing of the image: then nobody can tell what is
//! right, and nothing starts.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;

use super::file::{Found, Regular};
use crate::error::{Error, Result};

/// The file that says who is in which group.
const GROUP: &str = "etc/group";

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
    ///
    /// # Errors
    /// That the system failed, which is none of the image's doing.
    pub fn group_file(&self) -> Result<GroupFile> {
        let place = Path::new(GROUP);
        let unusable = |why: String| Ok(GroupFile::Unusable(format!("{GROUP} {why}")));
        let found = match self.resolve(GROUP) {
            Ok(found) => found,
            Err(Errno::ENOENT) => return Ok(GroupFile::Absent),
            Err(why) if is_lasting(why) => return unusable(format!("can't be opened: {}", why.desc())),
            Err(why) => return Err(Error::io("open the image's", place)(why)),
        };
        match read(&found) {
            Ok(text) => Ok(GroupFile::Text(text)),
            Err(Unread::Kind) => unusable("is no regular file".to_owned()),
            Err(Unread::Size) => unusable(format!("is larger than {LIMIT} bytes")),
            Err(Unread::System(why))
                if why.raw_os_error().is_some_and(|n| is_lasting(Errno::from_raw(n))) =>
            {
                unusable(format!("can't be read: {why}"))
            }
            Err(Unread::System(why)) => Err(Error::io("read the image's", place)(why)),
        }
    }

    /// Reads etc/passwd, which only gives names to show; none where that isn't possible.
    pub fn passwd_file(&self) -> Option<Vec<u8>> {
        read(&self.resolve("etc/passwd").ok()?).ok()
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
    fn resolve(&self, path: &str) -> nix::Result<File> {
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

/// Whether what the system says is no passing failure: of the image's making (its links and names, and without root its
/// modes), or a kernel before 5.6, which has no openat2(2) and will never read an image's file. Root is denied nothing for a
/// file's mode, so that a denial is somebody else's.
fn is_lasting(why: Errno) -> bool {
    matches!(why, Errno::ELOOP | Errno::ENOTDIR | Errno::ENAMETOOLONG | Errno::ENOSYS)
        || (why == Errno::EACCES && !nix::unistd::geteuid().is_root())
}

/// Why a file of the image wasn't read.
enum Unread {
    /// It is no regular file.
    Kind,
    /// It is too large.
    Size,
    /// What the system said.
    System(io::Error),
}

/// Reads a file that was opened with O_PATH.
fn read(found: &File) -> std::result::Result<Vec<u8>, Unread> {
    let kind = Found::on(found).map_err(Unread::System)?;
    if !kind.is_file() {
        return Err(Unread::Kind);
    }
    let place = PathBuf::from(["/proc/self/fd/", &found.as_raw_fd().to_string()].concat());
    // The link leads to what was looked at, and nowhere else.
    let file = File::open(&place).map_err(Unread::System)?;
    Regular { file, found: kind, path: place }.read(LIMIT).map_err(|why| match why {
        Error::Io { source, .. } => Unread::System(source),
        Error::Content { .. } | Error::Other(_) => Unread::Size,
    })
}
