//! One transaction at a time for one pod. All locks are in one small file: each is a byte of it, locked by fcntl(2)'s
//! `F_OFD_SETLK`, so that hundreds of pods take one descriptor, and nothing has to be cleared away. The kernel gives
//! them back when their holder dies.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::error::{Error, Result};
use crate::node::folder;

/// The file, in our own folder: only there nobody else can lock a byte and keep it.
const FILE: &str = "lock";

/// How long to rest between two attempts: waiting in the kernel has no time limit.
const REST: Duration = Duration::from_millis(10);

/// Locks that are held until this goes out of scope.
#[derive(Debug)]
pub struct Lock {
    _held: File,
}

impl Lock {
    /// Takes the locks of these names, one after the other, waiting until `deadline`; `None` if somebody else still has
    /// one of them then. Whoever takes them in the same order never waits for somebody who waits for him.
    ///
    /// # Errors
    /// That our folder or the file can't be made.
    pub fn take<'a>(names: impl IntoIterator<Item = &'a str>, deadline: Instant) -> Result<Option<Lock>> {
        let path = folder::make(&[])?.join(FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(libc::O_NOFOLLOW);
        let file = options.open(&path).map_err(Error::io("open the lock", &path))?;
        // a runtime that we have started holds them, too: if we are killed, nobody changes what it still changes
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).map_err(Error::io("share the lock", &path))?;
        for name in names {
            while let Err(why) = fcntl(&file, FcntlArg::F_OFD_SETLK(&byte(name))) {
                match why {
                    Errno::EINTR => continue,
                    Errno::EAGAIN | Errno::EACCES => {}
                    why => return Err(Error::io("lock", &path)(why)),
                }
                if Instant::now() >= deadline {
                    return Ok(None);
                }
                std::thread::sleep(REST);
            }
        }
        Ok(Some(Lock { _held: file }))
    }

    /// The lock of the cgroup with this number.
    pub fn of_cgroup(number: u64) -> String {
        format!("{CGROUP}{number}")
    }
}

/// What the names of cgroups' locks begin with.
const CGROUP: &str = "cgroup-";

/// The byte of a name: a cgroup's is that of its number. What isn't a cgroup's shares the first byte: no cgroup has the
/// number 0.
#[expect(clippy::cast_possible_truncation, reason = "two small constants of the C library")]
fn byte(name: &str) -> libc::flock {
    let number = name.strip_prefix(CGROUP).and_then(|number| number.parse::<u64>().ok());
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: number.unwrap_or_default().cast_signed() & i64::MAX,
        l_len: 1,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(name: &str) -> i64 {
        byte(name).l_start
    }

    #[test]
    fn each_cgroup_has_a_byte_of_its_own_that_no_other_lock_has() {
        assert_eq!(start(&Lock::of_cgroup(17)), 17);
        assert_ne!(start("cgroup-17"), start("cgroup-18"));
        assert_eq!((start("overrides"), start("cgroup-x")), (0, 0));
        // numbers of the kernel have 64 bits, and an offset has 63
        assert!(start(&Lock::of_cgroup(u64::MAX)) >= 0);
    }
}
