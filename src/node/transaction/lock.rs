//! One transaction at a time for one pod: flock(2) on a small file, which the kernel gives back when its holder dies.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl};

use crate::error::{Error, Result};
use crate::node::folder;

/// The folder of the locks.
const LOCKS: &str = "locks";

/// How long to rest between two attempts: flock(2) has no time limit of its own.
const REST: Duration = Duration::from_millis(10);

/// A lock that is held until it goes out of scope; then its file goes away, too.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _held: Flock<File>,
}

impl Lock {
    /// Takes the lock of this name, waiting until `deadline`; `None` if somebody else still has it then.
    ///
    /// # Errors
    /// That our folder or the file can't be made.
    pub fn take(name: &str, deadline: Instant) -> Result<Option<Lock>> {
        let path = folder::make(&[LOCKS])?.join(name);
        loop {
            let mut options = OpenOptions::new();
            options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW);
            let file = options.open(&path).map_err(Error::io("open the lock", &path))?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                // whoever had it before may have taken the file away meanwhile
                Ok(held) if is_at(&held, &path) => {
                    // a runtime that we have started holds it, too: if we are killed, nobody changes what it still changes
                    let inherited = fcntl(&*held, FcntlArg::F_SETFD(FdFlag::empty()));
                    inherited.map_err(Error::io("share the lock", &path))?;
                    return Ok(Some(Lock { path, _held: held }));
                }
                Ok(_) | Err((_, Errno::EINTR)) => continue,
                Err((_, Errno::EWOULDBLOCK)) => {}
                Err((_, why)) => return Err(Error::io("lock", &path)(why)),
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(REST);
        }
    }
}

fn is_at(file: &File, path: &std::path::Path) -> bool {
    let ours = file.metadata().map(|found| (found.dev(), found.ino()));
    let theirs = fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()));
    ours.ok().is_some_and(|ours| theirs.ok() == Some(ours))
}

impl Drop for Lock {
    fn drop(&mut self) {
        // while it is held, so that nobody can hold a file that has no name
        let _ = fs::remove_file(&self.path);
    }
}
