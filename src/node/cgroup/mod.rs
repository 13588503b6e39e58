//! The cgroup file systems of this host: where they are mounted, where a cgroup is in them, and one cgroup opened.
//!
//! Nothing here makes a cgroup or follows a link. The mounts are opened once and checked to be cgroup file systems; every
//! cgroup is opened beneath them by openat2(2), so that a path can't lead elsewhere whatever it is named after.

mod group;
mod place;
mod read;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, fstatfs};

use group::Folder;
pub use group::{Fault, Group, Identity, is_same};
pub use place::{Place, container_id, pod_of};
pub use read::{cgroup, free_swap, like, memory, of_controllers, page, ratio};

use super::members::{self, Mount};
use crate::error::{Error, Result, show};
use crate::resize::knob::CgroupVersion;

/// The controllers of version 1 whose files a resize knows.
const CONTROLLERS: [&str; 6] = ["memory", "cpuset", "cpu", "pids", "blkio", "hugetlb"];

/// The mounted hierarchies.
#[derive(Debug)]
pub struct Tree {
    version: CgroupVersion,
    hierarchies: Vec<Hierarchy>,
}

/// One hierarchy that matters here.
#[derive(Debug)]
struct Hierarchy {
    /// Its controllers that matter; none on version 2.
    controllers: Vec<&'static str>,
    /// Which part of it is mounted.
    root: PathBuf,
    point: PathBuf,
    folder: Arc<OwnedFd>,
}

impl Tree {
    /// Opens the mounts. A hybrid host counts as version 1: there the controllers are.
    ///
    /// # Errors
    /// That no cgroup file system with a controller is mounted, or that one can't be opened.
    pub fn open() -> Result<Tree> {
        let path = Path::new("/proc/self/mountinfo");
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        let mounts = members::parse_mounts(&text);
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for mount in &mounts {
            let Some(options) = &mount.options else { continue };
            let has = |name: &&&str| options.split(',').any(|option| option == **name);
            let taken = |name: &&&str| hierarchies.iter().any(|other| other.controllers.contains(*name));
            let controllers: Vec<_> =
                CONTROLLERS.iter().filter(|name| has(name) && !taken(name)).copied().collect();
            if !controllers.is_empty() {
                hierarchies.push(Hierarchy::open(mount, controllers)?);
            }
        }
        let version = if hierarchies.iter().any(|one| one.controllers.contains(&"memory")) {
            CgroupVersion::V1
        } else {
            hierarchies.clear();
            CgroupVersion::V2
        };
        if version == CgroupVersion::V2 {
            let mount = mounts.iter().find(|mount| mount.options.is_none()).ok_or_else(|| {
                Error::Other("no cgroup file system is mounted here; mount one on /sys/fs/cgroup".to_owned())
            })?;
            hierarchies.push(Hierarchy::open(mount, Vec::new())?);
        }
        Ok(Tree { version, hierarchies })
    }

    /// The version that has the controllers.
    pub fn version(&self) -> CgroupVersion {
        self.version
    }

    /// Where a process is.
    ///
    /// # Errors
    /// That it has ended, or is in a cgroup that can't be seen from here.
    pub fn place_of(&self, pid: u32) -> Result<Place> {
        let memberships = members::memberships(pid);
        if memberships.is_empty() {
            return Err(Error::Other(format!("there is no process {pid}; it may have ended")));
        }
        let mut place = Place::default();
        for one in &memberships {
            if one.path.starts_with("/..") {
                return Err(Error::Other(format!(
                    "process {pid} is in cgroup {}, outside of this cgroup namespace; run runc-strict on the host",
                    crate::quote::quoted(one.path.as_bytes())
                )));
            }
            match self.version {
                CgroupVersion::V2 if one.controllers.is_empty() => place.insert("", &one.path),
                CgroupVersion::V2 => {}
                CgroupVersion::V1 => one
                    .controllers
                    .split(',')
                    .filter(|name| self.of(name).is_some())
                    .for_each(|name| place.insert(name, &one.path)),
            }
        }
        Ok(place)
    }

    /// The place that a person means by a path: beneath the mounts, or with a mount in front.
    ///
    /// # Errors
    /// The root, and what isn't a plain absolute path.
    pub fn place_at(&self, path: &Path) -> Result<Place> {
        let stripped = self.hierarchies.iter().find_map(|one| path.strip_prefix(&one.point).ok());
        let below = stripped.or_else(|| path.strip_prefix("/").ok()).and_then(Path::to_str);
        let wrong = |why: &str| {
            Err(Error::Content { path: path.to_path_buf(), why: format!("is no cgroup's path: {why}") })
        };
        let Some(below) = below else {
            return wrong("write it from the root of the hierarchy, such as /a/b");
        };
        let parts: Vec<&str> = below.split('/').filter(|part| !part.is_empty()).collect();
        if parts.iter().any(|part| matches!(*part, "." | "..") || part.contains('\n')) {
            return wrong("it may not hold . or ..");
        }
        if parts.is_empty() {
            return wrong("the root of the hierarchy is the machine's own and is never changed");
        }
        let text = format!("/{}", parts.join("/"));
        let mut place = Place::default();
        for name in self.controllers() {
            let mut one = Place::default();
            one.insert(name, &text);
            match self.group(&one) {
                Ok(_) => place.insert(name, &text),
                Err(Fault::Gone) => {}
                Err(fault) => return Err(fault.named(path)),
            }
        }
        if place.is_empty() {
            return Err(Error::Io {
                verb: "find the cgroup",
                path: path.to_path_buf(),
                source: Errno::ENOENT.into(),
            });
        }
        Ok(place)
    }

    /// The keys of a place: the controllers of version 1, the empty word of version 2.
    pub fn controllers(&self) -> impl Iterator<Item = &'static str> {
        let v2 = (self.version == CgroupVersion::V2).then_some("");
        self.hierarchies.iter().flat_map(|one| one.controllers.iter().copied()).chain(v2)
    }

    /// Opens a cgroup. On version 1 a controller in which it doesn't exist is left out.
    ///
    /// # Errors
    /// [`Fault::Gone`] where it exists nowhere.
    pub fn group(&self, place: &Place) -> std::result::Result<Group, Fault> {
        let mut folders = Vec::new();
        for (name, path) in place.iter() {
            let Some(hierarchy) = self.of(name) else { continue };
            let inside = Path::new(path).strip_prefix(&hierarchy.root);
            let inside = inside.map_err(|_| Fault::Outside { mount: hierarchy.point.clone() })?;
            match Folder::open(name, &hierarchy.point, &hierarchy.folder, inside) {
                Ok(folder) => folders.push(folder),
                Err(Errno::ENOENT | Errno::ENODEV) => {}
                Err(why) => return Err(Fault::System { file: String::new(), text: None, why }),
            }
        }
        if folders.is_empty() {
            return Err(Fault::Gone);
        }
        Ok(Group::new(self.version, place.clone(), folders))
    }

    fn of(&self, name: &str) -> Option<&Hierarchy> {
        match self.version {
            CgroupVersion::V2 => self.hierarchies.first().filter(|_| name.is_empty()),
            CgroupVersion::V1 => self.hierarchies.iter().find(|one| one.controllers.contains(&name)),
        }
    }
}

impl Hierarchy {
    fn open(mount: &Mount, controllers: Vec<&'static str>) -> Result<Hierarchy> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = openat(AT_FDCWD, &mount.point, flags, Mode::empty());
        let folder = folder.map_err(Error::io("open the cgroup file system", &mount.point))?;
        let kind = fstatfs(&folder)
            .map_err(Error::io("look at the file system of", &mount.point))?
            .filesystem_type();
        let expected = if controllers.is_empty() { CGROUP2_SUPER_MAGIC } else { CGROUP_SUPER_MAGIC };
        if kind != expected {
            return Err(Error::Other(format!("{} is no longer a cgroup file system", show(&mount.point))));
        }
        let (root, point) = (mount.root.clone(), mount.point.clone());
        Ok(Hierarchy { controllers, root, point, folder: Arc::new(folder) })
    }
}

/// Opens what is beneath a folder, on the same file system, without any link.
fn beneath(folder: &impl AsFd, path: &Path, flags: OFlag) -> std::result::Result<File, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH
        | ResolveFlag::RESOLVE_NO_SYMLINKS
        | ResolveFlag::RESOLVE_NO_MAGICLINKS
        | ResolveFlag::RESOLVE_NO_XDEV;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    openat2(folder, path, how).map(File::from)
}

/// The number of an error of std's.
fn errno(why: &io::Error) -> Errno {
    Errno::from_raw(why.raw_os_error().unwrap_or_default())
}
