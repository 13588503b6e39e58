//! Files: looked at, read whole with a limit, and made or replaced whole or not at all; links are replaced so too.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// What fstat(2) tells of an open file. std asks by statx(2) and an empty name, which takes the kernel longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The device.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
    /// The type and the permission bits.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The length in bytes.
    pub size: u64,
}

impl Found {
    /// Looks at a file.
    ///
    /// # Errors
    /// What the system said.
    pub fn on(file: &File) -> io::Result<Found> {
        let stat = rustix::fs::fstat(file)?;
        Ok(Found {
            dev: stat.st_dev,
            ino: stat.st_ino,
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
        })
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFREG
    }
}

impl From<&fs::Metadata> for Found {
    fn from(found: &fs::Metadata) -> Found {
        Found {
            dev: found.dev(),
            ino: found.ino(),
            mode: found.mode(),
            uid: found.uid(),
            gid: found.gid(),
            size: found.size(),
        }
    }
}

/// A regular file that is open for reading, and what was found on it then.
#[derive(Debug)]
pub struct Regular {
    /// The file.
    pub file: File,
    /// Its size, mode and owner.
    pub found: Found,
    /// Its name, for messages.
    pub path: PathBuf,
}

/// Opens a regular file for reading. A FIFO or a device is never waited for, nor touched.
///
/// # Errors
/// That it can't be opened, or is no regular file.
pub fn open_regular(path: &Path) -> Result<Regular> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(Error::io("open", path))?;
    let found = Found::on(&file).map_err(Error::io("stat", path))?;
    match found.is_file() {
        true => Ok(Regular { file, found, path: path.to_path_buf() }),
        false => Err(Error::Content { path: path.to_path_buf(), why: "is no regular file".to_owned() }),
    }
}

impl Regular {
    /// Reads it whole, up to `limit` bytes.
    ///
    /// # Errors
    /// That it can't be read, or holds more.
    pub fn read(&self, limit: u64) -> Result<Vec<u8>> {
        let too_large = || Error::Content {
            path: self.path.clone(),
            why: format!("is larger than {limit} bytes, the most that is read"),
        };
        if self.found.size > limit {
            return Err(too_large());
        }
        let size = usize::try_from(self.found.size).map_err(|_| too_large())?;
        // One byte more than the size: a file that ends where it said is read at once.
        let mut bytes = Vec::with_capacity(size + 1);
        while read_some(&self.file, &mut bytes).map_err(Error::io("read", &self.path))? && bytes.len() != size
        {
            bytes.reserve(1);
            if bytes.len() as u64 > limit {
                return Err(too_large());
            }
        }
        Ok(bytes)
    }
}

/// One read(2) into the room that `bytes` has; false at the end.
fn read_some(file: &File, bytes: &mut Vec<u8>) -> io::Result<bool> {
    use rustix::{
        buffer::spare_capacity,
        io::{read, retry_on_intr},
    };
    Ok(retry_on_intr(|| read(file, spare_capacity(bytes)))? > 0)
}

/// Reads one of the kernel's own files, such as those of /proc, which tell no size: with room for a page.
///
/// # Errors
/// That it can't be read.
pub fn read_kernel(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4096);
    File::open(path)?.take(KERNEL).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same of a file whose text is one record and shorter than a page: the kernel gives a record at once (fs/seq_file.c).
///
/// # Errors
/// That it can't be read.
pub fn read_record(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(4096);
    read_some(&File::open(path)?, &mut bytes)?;
    Ok(bytes)
}

/// The most that is read of a file of the kernel's.
const KERNEL: u64 = 64 * 1024 * 1024;

/// Reads a regular file whole as UTF-8, up to `limit` bytes.
///
/// # Errors
/// As [`open_regular`] and [`Regular::read`], or that it isn't UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String> {
    let bytes = open_regular(path)?.read(limit)?;
    String::from_utf8(bytes)
        .map_err(|_| Error::Content { path: path.to_path_buf(), why: "is not UTF-8".to_owned() })
}

/// Where the mode and the owner of a new file come from.
#[derive(Clone, Copy, Debug)]
pub enum Like {
    /// From the file that it replaces.
    Old(Found),
    /// The mode is given; the owner is the caller.
    Mode(u32),
}

/// Replaces `path` by `pieces` in one step: a temporary file in the same folder, then rename(2).
///
/// There is no fsync(2): a bundle doesn't outlive a power failure, and what a killed process leaves is either the
/// old file or the new one.
///
/// # Errors
/// Which step failed; the old file is then untouched and the temporary file is gone.
pub fn replace(path: &Path, pieces: &[&[u8]], like: Like) -> Result<()> {
    replace_by(&temporary(path), path, pieces, like)
}

/// The same by way of a given temporary file, which has to lie in the same file system.
///
/// # Errors
/// As [`replace`].
pub fn replace_by(temporary: &Path, path: &Path, pieces: &[&[u8]], like: Like) -> Result<()> {
    let written = write_new(temporary, pieces, like)
        .and_then(|()| fs::rename(temporary, path).map_err(Error::io("rename a new file over", path)));
    if written.is_err() {
        // Nothing more can be done if this fails too; the first failure is the one to tell.
        let _ = fs::remove_file(temporary);
    }
    written
}

/// Makes `path` of `pieces` in one step where there is nothing: a file without a name, then linkat(2). On a tmpfs that takes
/// some 14 us, and [`replace`] 24; a killed process leaves nothing.
///
/// # Errors
/// What the system said: that there is something, or that it can't be done in this way, which takes a file system that knows
/// `O_TMPFILE` (open(2)) and, before Linux 6.10, `CAP_DAC_READ_SEARCH`.
pub fn make(path: &Path, pieces: &[&[u8]]) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    let folder = path.parent().unwrap_or(path);
    let mut file = OpenOptions::new().write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(folder)?;
    write_all(&mut file, pieces)?;
    Ok(linkat(&file, c"", CWD, path, AtFlags::EMPTY_PATH)?)
}

/// Puts a link to `target` in the place of the link at `path`, if there is one.
///
/// # Errors
/// That it can't be made; the old link is then untouched.
pub fn replace_link(path: &Path, target: &Path) -> io::Result<()> {
    let temporary = temporary(path);
    let made = symlink(target, &temporary).and_then(|()| fs::rename(&temporary, path));
    if made.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    made
}

fn write_new(path: &Path, pieces: &[&[u8]], like: Like) -> Result<()> {
    // an old file's bits are given at once: only what the umask takes of them has to be put back
    let mode = match like {
        Like::Mode(_) => 0o600,
        Like::Old(old) => old.mode & 0o777,
    };
    let create = || OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = match create() {
        // The name holds our pid, so whoever made it is gone.
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path).and_then(|()| create()).map_err(Error::io("create", path))?
        }
        other => other.map_err(Error::io("create", path))?,
    };
    match like {
        Like::Mode(0o600) => {}
        Like::Mode(mode) => set_mode(&file, path, mode)?,
        Like::Old(old) => {
            let new = Found::on(&file).map_err(Error::io("stat", path))?;
            let others = (new.uid, new.gid) != (old.uid, old.gid);
            if others {
                fchown(&file, Some(old.uid), Some(old.gid)).map_err(Error::io("chown", path))?;
            }
            // a change of the owner takes bits away (chown(2))
            if others || new.mode != old.mode {
                set_mode(&file, path, old.mode & 0o7777)?;
            }
        }
    }
    write_all(&mut file, pieces).map_err(Error::io("write", path))
}

fn set_mode(file: &File, path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(mode)).map_err(Error::io("chmod", path))
}

/// Writes all pieces, with as few system calls as the kernel allows.
///
/// # Errors
/// What the system said.
pub fn write_all(file: &mut File, pieces: &[&[u8]]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> =
        pieces.iter().filter(|p| !p.is_empty()).map(|p| IoSlice::new(p)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut rest, n),
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

/// What the names of our temporary files begin with, after the dot and the name of the file to be replaced.
const MARK: &str = ".runc-strict.";

/// The temporary file beside `path`, by the name of which [`sweep_temporary`] knows whether its process is gone.
pub fn temporary(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(MARK);
    name.push(std::process::id().to_string());
    path.with_file_name(name)
}

/// Removes the temporary files that killed processes left in `folder`; what fails is left for the next time.
pub fn sweep_temporary(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|n| n.starts_with('.')) else { continue };
        let Some((_, pid)) = name.rsplit_once(MARK) else { continue };
        let dead = pid.parse::<u32>().is_ok_and(|pid| !super::process::exists(pid));
        if dead {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Takes the standard descriptors that the caller left closed, until execve(2): no file of ours may become stdout
/// or stderr, where a message would be written into it.
pub fn reserve_standard_descriptors() {
    use rustix::{io::fcntl_getfd, stdio};
    use std::os::fd::{AsRawFd, IntoRawFd};
    if [stdio::stdin(), stdio::stdout(), stdio::stderr()].iter().all(|standard| fcntl_getfd(standard).is_ok())
    {
        return;
    }
    // open(2) gives the lowest free number.
    while let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        if null.as_raw_fd() > 2 {
            return;
        }
        let _ = null.into_raw_fd();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_made_where_there_is_nothing_and_what_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made");
        if let Err(why) = make(&path, &[b"one", b"", b" two"]) {
            // the same says open(2) of O_TMPFILE, and linkat(2) of a caller without the capability
            let known = [libc::EOPNOTSUPP, libc::EISDIR, libc::ENOENT, libc::EPERM];
            assert!(why.raw_os_error().is_some_and(|errno| known.contains(&errno)), "{why}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
            // not by eprintln, which the harness keeps back where a test passes
            let _ = writeln!(
                io::stderr(),
                "skipped: {} can't have files without a name: {why}",
                folder.path().display()
            );
            return;
        }
        assert_eq!(fs::read(&path).unwrap(), b"one two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(make(&path, &[b"three"]).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
