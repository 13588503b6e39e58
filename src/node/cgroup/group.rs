//! One opened cgroup: its files are read and written through descriptors of its folders, so that what is written to is
//! what was looked at, and a cgroup that goes away answers so instead of giving way to a later one of the same name.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::{Place, beneath, errno};
use crate::error::{Error, show};
use crate::node::file::Found;
use crate::resize::knob::CgroupVersion;

/// A cgroup's file is a page of text; io.max may have a line for each disk.
const LIMIT: u64 = 1024 * 1024;

/// The kernel prints such files in pieces of a page.
const PAGE: usize = 4096;

/// The text of a cgroup's file from its beginning. The kernel fills up to a page before a read(2) of it returns
/// (fs/seq_file.c: `seq_read_iter`), so that less than half a page is all of it, and nobody has to ask for the end.
fn text_of(file: &File) -> io::Result<String> {
    let mut page = [0; PAGE];
    let length = loop {
        match file.read_at(&mut page, 0) {
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    let mut text = page.get(..length).unwrap_or_default().to_vec();
    if length >= PAGE / 2 {
        let mut rest = file;
        rest.seek(SeekFrom::Start(length as u64))?;
        rest.take(LIMIT).read_to_end(&mut text)?;
    }
    Ok(String::from_utf8(text).unwrap_or_else(|why| String::from_utf8_lossy(why.as_bytes()).into_owned()))
}

/// A cgroup by its folders' numbers, which the kernel doesn't use again: (controller, inode).
pub type Identity = Vec<(String, u64)>;

/// True if `now`, all of a cgroup's numbers, holds `then`, which may be of some controllers alone.
pub fn is_same(then: &Identity, now: &Identity) -> bool {
    !then.is_empty() && then.iter().all(|one| now.contains(one))
}

/// An opened cgroup.
#[derive(Debug)]
pub struct Group {
    version: CgroupVersion,
    place: Place,
    folders: Vec<Folder>,
    /// The names of its files of huge pages, once they were looked for.
    hugepages: OnceLock<Vec<String>>,
    /// The files that were read, for the next reading; none in a cgroup that isn't to be read again at once.
    kept: Option<Mutex<BTreeMap<String, Arc<File>>>>,
}

/// A cgroup's folder in one hierarchy.
#[derive(Debug)]
pub(super) struct Folder {
    controller: String,
    path: PathBuf,
    /// Its number, by which it is known again.
    number: u64,
    /// The hierarchy's top, and the way from there.
    top: Arc<OwnedFd>,
    inside: PathBuf,
    /// The descriptor; none while it rests.
    opened: Mutex<Option<Arc<File>>>,
}

impl Folder {
    /// Opens the folder `inside` the hierarchy that is mounted on `point`.
    pub(super) fn open(
        controller: &str,
        point: &Path,
        top: &Arc<OwnedFd>,
        inside: &Path,
    ) -> Result<Folder, Errno> {
        let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
        let file = beneath(top, inside, FOLDER)?;
        let number = number(&file)?;
        Ok(Folder {
            controller: controller.to_owned(),
            path: point.join(inside),
            number,
            top: Arc::clone(top),
            inside: inside.to_owned(),
            opened: Mutex::new(Some(Arc::new(file))),
        })
    }

    /// The descriptor; after a rest it is opened anew, and must be of the same folder.
    fn file(&self) -> Result<Arc<File>, Errno> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = opened.as_ref() {
            return Ok(Arc::clone(file));
        }
        let file = beneath(&self.top, &self.inside, FOLDER)?;
        if number(&file)? != self.number {
            return Err(Errno::ENODEV);
        }
        Ok(Arc::clone(opened.insert(Arc::new(file))))
    }

    /// Opens a file in it.
    fn inside(&self, file: &str, flags: OFlag) -> Result<File, Errno> {
        beneath(&*self.file()?, Path::new(file), flags)
    }
}

/// The number of an open folder.
fn number(folder: &File) -> Result<u64, Errno> {
    Found::on(folder).map(|found| found.ino).map_err(|why| errno(&why))
}

const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY);

/// Why something couldn't be done to a cgroup.
#[derive(Debug)]
pub enum Fault {
    /// The cgroup went away, and with it everything that ran in it.
    Gone,
    /// It is in a part of the hierarchy that isn't mounted here.
    Outside {
        /// Where the hierarchy is mounted.
        mount: PathBuf,
    },
    /// A system call failed.
    System {
        /// The file; empty for the cgroup itself.
        file: String,
        /// What was written.
        text: Option<String>,
        /// What the kernel said.
        why: Errno,
    },
}

impl Group {
    pub(super) fn new(version: CgroupVersion, place: Place, folders: Vec<Folder>) -> Group {
        Group { version, place, folders, hugepages: OnceLock::new(), kept: None }
    }

    /// The same, for one that is read before a change and after it: it keeps the files open that it reads. To open one
    /// takes the kernel several times as long as to print it.
    #[must_use]
    pub fn keeping(mut self) -> Group {
        self.kept = Some(Mutex::default());
        self
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The version of its files.
    pub fn version(&self) -> CgroupVersion {
        self.version
    }

    /// Closes its descriptors until they are needed again: each one costs time whenever a program is started.
    pub fn rest(&self) {
        if let Some(kept) = &self.kept {
            kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        for folder in &self.folders {
            folder.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// Which cgroup it is, so that it can't be taken for a later one of the same name.
    pub fn identity(&self) -> Identity {
        self.folders.iter().map(|folder| (folder.controller.clone(), folder.number)).collect()
    }

    /// The folder that a file is in: that of its controller.
    fn folder(&self, file: &str) -> Option<&Folder> {
        match self.version {
            CgroupVersion::V2 => self.folders.first(),
            CgroupVersion::V1 => {
                let controller = file.split_once('.').map_or(file, |(controller, _)| controller);
                self.folders.iter().find(|folder| folder.controller == controller)
            }
        }
    }

    fn fault(&self, file: &str, text: Option<&str>, why: Errno) -> Fault {
        if why == Errno::ENODEV {
            return Fault::Gone;
        }
        Fault::System { file: file.to_owned(), text: text.map(str::to_owned), why }
    }

    /// The text of a file; `None` if there is no such file.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn read(&self, file: &str) -> Result<Option<String>, Fault> {
        let Some(folder) = self.folder(file) else { return Ok(None) };
        let opened = match self.to_read(folder, file) {
            Ok(opened) => opened,
            Err(Errno::ENOENT) if self.lives() => return Ok(None),
            Err(Errno::ENOENT) => return Err(Fault::Gone),
            Err(why) => return Err(self.fault(file, None, why)),
        };
        match text_of(&opened) {
            Ok(text) => Ok(Some(text)),
            // some files exist and can't be read: a controller that is compiled in and off
            Err(why) if errno(&why) == Errno::EOPNOTSUPP => Ok(None),
            Err(why) => Err(self.fault(file, None, errno(&why))),
        }
    }

    /// Opens a file to read it, or gives the one that is kept: of a cgroup that went away it answers ENODEV.
    fn to_read(&self, folder: &Folder, file: &str) -> Result<Arc<File>, Errno> {
        let Some(kept) = &self.kept else { return folder.inside(file, OFlag::O_RDONLY).map(Arc::new) };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = kept.get(file) {
            return Ok(Arc::clone(opened));
        }
        let opened = Arc::new(folder.inside(file, OFlag::O_RDONLY)?);
        kept.insert(file.to_owned(), Arc::clone(&opened));
        Ok(opened)
    }

    /// True if it has such a file, readable or not.
    pub fn has(&self, file: &str) -> bool {
        self.folder(file).is_some_and(|folder| folder.inside(file, OFlag::O_PATH).is_ok())
    }

    /// Writes a text to a file, in one write(2): that is one change for the kernel.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn write(&self, file: &str, text: &str) -> Result<(), Fault> {
        self.write_by(OFlag::O_WRONLY, file, text).map(drop)
    }

    /// The same, and what the kernel made of it.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn write_and_read(&self, file: &str, text: &str) -> Result<String, Fault> {
        let opened = self.write_by(OFlag::O_RDWR, file, text)?;
        text_of(&opened).map_err(|why| self.fault(file, None, errno(&why)))
    }

    fn write_by(&self, flags: OFlag, file: &str, text: &str) -> Result<File, Fault> {
        let fault = |why| self.fault(file, Some(text), why);
        let Some(folder) = self.folder(file) else { return Err(fault(Errno::ENOENT)) };
        let mut opened = match folder.inside(file, flags) {
            Ok(opened) => opened,
            Err(Errno::ENOENT) if !self.lives() => return Err(Fault::Gone),
            Err(why) => return Err(fault(why)),
        };
        // an empty set is written as an empty line: a write of nothing is none
        let bytes = if text.is_empty() { b"\n" } else { text.as_bytes() };
        loop {
            match opened.write(bytes) {
                Ok(written) if written == bytes.len() => return Ok(opened),
                Ok(_) => return Err(fault(Errno::EIO)),
                Err(why) if errno(&why) == Errno::EINTR => {}
                Err(why) => return Err(fault(errno(&why))),
            }
        }
    }

    /// False once it has been removed.
    pub fn lives(&self) -> bool {
        self.folders.iter().any(|folder| folder.inside("cgroup.procs", OFlag::O_RDONLY).is_ok())
    }

    /// The names in its main folder: of its files (`true` asks for the cgroups below it).
    fn names(&self, controller: Option<&str>, folders: bool) -> Vec<String> {
        let main = self.folders.iter().find(|one| controller.is_none_or(|wanted| one.controller == wanted));
        let Some(main) = main else { return Vec::new() };
        let Ok(entries) = std::fs::read_dir(&main.path) else { return Vec::new() };
        let wanted =
            entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir() == folders));
        let mut names: Vec<String> =
            wanted.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The number of its main folder: that of the memory controller, where there are several.
    pub fn number(&self) -> u64 {
        let main =
            self.folders.iter().find(|one| one.controller == "memory").or_else(|| self.folders.first());
        main.map_or(0, |folder| folder.number)
    }

    /// The names of the cgroups below it, in order.
    pub fn children(&self) -> Vec<String> {
        let memory = (self.version == CgroupVersion::V1).then_some("memory");
        self.names(memory, true)
    }

    /// The files of huge pages, whose names hold the machine's sizes.
    pub(super) fn hugepage_files(&self) -> &[String] {
        self.hugepages.get_or_init(|| self.find_hugepage_files())
    }

    fn find_hugepage_files(&self) -> Vec<String> {
        let (controller, end) = match self.version {
            CgroupVersion::V1 => (Some("hugetlb"), ".limit_in_bytes"),
            CgroupVersion::V2 => (None, ".max"),
        };
        let mut names = self.names(controller, false);
        names.retain(|name| {
            let size = name.strip_prefix("hugetlb.").and_then(|rest| rest.strip_suffix(end));
            // reservations (`hugetlb.2MB.rsvd.max`) are another thing
            size.is_some_and(|size| !size.contains('.'))
        });
        names
    }
}

impl Fault {
    /// The same as an error about a cgroup at this path.
    pub fn named(&self, path: &Path) -> Error {
        Error::Other(format!("cgroup {}: {self}", show(path)))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Gone => out.write_str("it went away, and what ran in it has ended"),
            Fault::Outside { mount } => write!(
                out,
                "it is outside of what is mounted on {}; run runc-strict on the host",
                show(mount)
            ),
            Fault::System { file, text, why } => {
                match text {
                    Some(text) => {
                        write!(out, "can't write {} to {file}", crate::quote::quoted(text.as_bytes()))?
                    }
                    None if file.is_empty() => write!(out, "can't open it")?,
                    None => write!(out, "can't read {file}")?,
                }
                write!(out, ": {}", why.desc().to_lowercase())?;
                out.write_str(match why {
                    Errno::EROFS => "; the cgroup mount is read-only here, run runc-strict on the host",
                    Errno::EACCES | Errno::EPERM => "; run it as root of the host",
                    Errno::EBUSY if text.is_some() => {
                        "; the memory that is in use can't be reclaimed below that"
                    }
                    Errno::EINVAL if text.is_some() => {
                        "; a cgroup above or below, or another value, doesn't allow it"
                    }
                    _ => "",
                })
            }
        }
    }
}

impl std::error::Error for Fault {}
