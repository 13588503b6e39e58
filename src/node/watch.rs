//! Waits for what happens to a folder and to processes, and for nothing else: inotify(7) and pidfd_open(2) in one
//! epoll(7) without a timeout. Nobody wakes up while nothing happens.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::process::ProcessKey;
use crate::error::{Error, Result};

/// The token of the folder; those of processes begin behind it.
const FOLDER: u64 = 0;

/// Something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// In the folder: a file was written to, made, renamed or removed.
    Folder,
    /// The process with this token has ended.
    Ended(u64),
}

/// What is waited for.
#[derive(Debug)]
pub struct Watch {
    epoll: Epoll,
    inotify: Inotify,
    folder: PathBuf,
    /// The watch on the folder, or on the nearest folder above it that exists.
    at: Option<(WatchDescriptor, PathBuf)>,
    processes: HashMap<u64, OwnedFd>,
    next: u64,
}

impl Watch {
    /// Watches `folder`, also where it doesn't exist yet.
    ///
    /// # Errors
    /// What the system said: usually that this user watches too much already.
    pub fn new(folder: &Path) -> Result<Watch> {
        let failed = |why: Errno| Error::io("watch", folder)(why);
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).map_err(failed)?;
        epoll.add(&inotify, EpollEvent::new(EpollFlags::EPOLLIN, FOLDER)).map_err(failed)?;
        raise_descriptor_limit();
        let folder = folder.to_path_buf();
        let mut watch =
            Watch { epoll, inotify, folder, at: None, processes: HashMap::new(), next: FOLDER + 1 };
        watch.place()?;
        Ok(watch)
    }

    /// Watches for the end of a process; none where it has ended already.
    ///
    /// # Errors
    /// What the system said: usually that too many files are open.
    pub fn process(&mut self, key: ProcessKey) -> Result<Option<u64>> {
        let failed = |why: std::io::Error| Error::Other(format!("can't watch process {}: {why}", key.pid));
        let Some(pid) = i32::try_from(key.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(why) if why == rustix::io::Errno::SRCH => return Ok(None),
            other => other.map_err(|why| failed(why.into()))?,
        };
        // The pid may have become another process's before it was opened; afterwards it can't.
        if !key.lives() {
            return Ok(None);
        }
        let token = self.next;
        self.next += 1;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, token);
        self.epoll.add(&descriptor, event).map_err(|why| failed(why.into()))?;
        self.processes.insert(token, descriptor);
        Ok(Some(token))
    }

    /// Waits until something happens; what happened to the folder comes first.
    ///
    /// # Errors
    /// What the system said.
    pub fn wait(&mut self) -> Result<Vec<Event>> {
        let mut ready = [EpollEvent::empty(); 64];
        let count = loop {
            match self.epoll.wait(&mut ready, EpollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                other => break other.map_err(|why| Error::io("watch", &self.folder)(why))?,
            }
        };
        let mut tokens: Vec<u64> = ready.iter().take(count).map(EpollEvent::data).collect();
        tokens.sort_unstable();
        let mut events = Vec::with_capacity(tokens.len());
        for token in tokens {
            if token == FOLDER {
                self.read_folder_events()?;
                events.push(Event::Folder);
            } else if let Some(descriptor) = self.processes.remove(&token) {
                // Closing it would do; the epoll forgets a descriptor that is closed.
                let _ = self.epoll.delete(descriptor.as_fd());
                events.push(Event::Ended(token));
            }
        }
        Ok(events)
    }

    fn read_folder_events(&mut self) -> Result<()> {
        let gone = AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_IGNORED;
        let mut moved = false;
        loop {
            match self.inotify.read_events() {
                Ok(events) => moved |= events.iter().any(|event| event.mask.intersects(gone)),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(why) => return Err(Error::io("watch", &self.folder)(why)),
            }
        }
        let above = self.at.as_ref().is_none_or(|(_, path)| *path != self.folder);
        if moved || above { self.place() } else { Ok(()) }
    }

    /// Puts the watch on the folder, or as near to it as there is one.
    fn place(&mut self) -> Result<()> {
        let content = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        if let Some((old, _)) = self.at.take() {
            // It is gone already where the folder is.
            let _ = self.inotify.rm_watch(old);
        }
        loop {
            let nearest =
                self.folder.ancestors().find(|path| path.is_dir()).unwrap_or_else(|| Path::new("/"));
            let here = nearest == self.folder;
            let mask = if here { content | AddWatchFlags::IN_MODIFY } else { content };
            let descriptor = match self.inotify.add_watch(nearest, mask) {
                Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
                other => other.map_err(Error::io("watch", nearest))?,
            };
            // What was made before the watch stood there is seen now.
            if here || self.folder.ancestors().find(|path| path.is_dir()) == Some(nearest) {
                self.at = Some((descriptor, nearest.to_path_buf()));
                return Ok(());
            }
            let _ = self.inotify.rm_watch(descriptor);
        }
    }
}

/// Each process takes a descriptor, and a shell's 1024 are few.
fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::{Command, Stdio};

    #[test]
    fn a_folder_that_is_made_later_is_watched_from_then_on() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        let mut watch = Watch::new(&folder).unwrap();
        fs::create_dir_all(&folder).unwrap();
        let at = |watch: &Watch| watch.at.as_ref().map(|(_, path)| path.clone());
        while at(&watch).as_deref() != Some(folder.as_path()) {
            assert_eq!(watch.wait().unwrap(), [Event::Folder]);
        }
        fs::write(folder.join("x"), "y").unwrap();
        assert_eq!(watch.wait().unwrap(), [Event::Folder]);
    }

    #[test]
    fn the_end_of_a_process_is_told_once() {
        let place = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(place.path()).unwrap();
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let key = ProcessKey::of(child.id()).unwrap();
        let token = watch.process(key).unwrap().unwrap();
        drop(child.stdin.take());
        assert_eq!(watch.wait().unwrap(), [Event::Ended(token)]);
        child.wait().unwrap();
        assert_eq!(watch.process(key).unwrap(), None);
    }
}
