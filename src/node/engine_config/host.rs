//! The host whose files are read and written: this one, or one whose root is mounted somewhere (`--host-prefix`).
//!
//! Paths are the host's everywhere else; only here they become ours. A configuration that is a link, or that a link
//! leads away from the host's root, isn't touched: who made the link keeps the file, and we don't know who.

use std::fs::{self, Metadata, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result, show};
use crate::node::file::{self, Found, Like};
use crate::node::runtime::SEARCH;

/// An engine's configuration is a few pages of text.
const LIMIT: u64 = 4 * 1024 * 1024;

/// A host's files.
#[derive(Clone, Debug)]
pub struct Host {
    prefix: PathBuf,
}

impl Host {
    /// The host whose root is at `prefix`.
    ///
    /// # Errors
    /// That there is no such folder.
    pub fn new(prefix: &Path) -> Result<Host> {
        let prefix = fs::canonicalize(prefix).map_err(Error::io("find the host's root", prefix))?;
        if !prefix.is_dir() {
            return Err(Error::Content { path: prefix, why: "is no folder, so no host's root".to_owned() });
        }
        Ok(Host { prefix })
    }

    /// Whether it is the host that this program runs on.
    pub fn is_this(&self) -> bool {
        self.prefix == Path::new("/")
    }

    /// Where the host's `path` is for us.
    pub fn real(&self, path: &Path) -> PathBuf {
        let below = path.components().filter(|part| matches!(part, Component::Normal(_)));
        self.prefix.join(below.collect::<PathBuf>())
    }

    /// The host's name for our `path`, where it is on the host.
    pub fn name(&self, path: &Path) -> Option<PathBuf> {
        path.strip_prefix(&self.prefix).ok().map(|rest| Path::new("/").join(rest))
    }

    /// Whether the host has something at `path`.
    pub fn exists(&self, path: &Path) -> bool {
        fs::symlink_metadata(self.real(path)).is_ok()
    }

    /// A program of the host, on the fixed search path.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let mut candidates = SEARCH.iter().map(|folder| Path::new(folder).join(name));
        candidates.find(|path| self.exists(path))
    }

    /// Whether two of the host's paths are one file.
    pub fn same_file(&self, a: &Path, b: &Path) -> bool {
        let key = |path: &Path| fs::metadata(self.real(path)).ok().map(|found| (found.dev(), found.ino()));
        key(a).is_some_and(|found| Some(found) == key(b))
    }

    /// The text of a file of the host; none where there is no such file.
    ///
    /// # Errors
    /// That it is no regular file, no text, or can't be read.
    pub fn read(&self, path: &Path) -> Result<Option<String>> {
        let real = self.real(path);
        let text = match file::read_text(&real, LIMIT) {
            Err(why) if why.is_not_found() && fs::symlink_metadata(&real).is_err() => return Ok(None),
            other => other?,
        };
        self.check_inside(&real)?;
        Ok(Some(text))
    }

    /// As [`Host::read`], of a file that is going to be written.
    ///
    /// # Errors
    /// Also that it is a link or read-only.
    pub fn read_for_change(&self, path: &Path) -> Result<Option<String>> {
        let real = self.real(path);
        let refused = |why: &str| Err(Error::Content { path: real.clone(), why: why.to_owned() });
        match fs::symlink_metadata(&real) {
            Err(_) => {}
            Ok(found) if found.is_symlink() => {
                let target = fs::read_link(&real).unwrap_or_default();
                return refused(&format!(
                    "is a link to {}, so something else keeps it; change it there, or replace the link by a file",
                    show(&target)
                ));
            }
            Ok(found) if found.is_file() && found.mode() & 0o222 == 0 => {
                return refused(&format!(
                    "is read-only (mode {:04o}), so something else keeps it; chmod u+w if it doesn't",
                    found.mode() & 0o7777
                ));
            }
            Ok(_) => {
                // A read-only mount and an immutable file show themselves only here.
                OpenOptions::new().write(true).open(&real).map_err(Error::io("open for writing", &real))?;
            }
        }
        self.read(path)
    }

    /// A link in a folder's name may lead out of the host's root, where its files are ours and not the host's.
    fn check_inside(&self, real: &Path) -> Result<()> {
        let found = fs::canonicalize(real).map_err(Error::io("resolve", real))?;
        if found.starts_with(&self.prefix) {
            return Ok(());
        }
        let why = format!("leads out of the host's root, to {}; no file there is the host's", show(&found));
        Err(Error::Content { path: real.to_path_buf(), why })
    }

    /// The names in a folder of the host, sorted; none where there is no such folder.
    pub fn list(&self, folder: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.real(folder)) else { return Vec::new() };
        let mut names: Vec<PathBuf> = entries.flatten().map(|entry| folder.join(entry.file_name())).collect();
        names.sort();
        names
    }

    /// What the host has at `path`, with links followed.
    pub fn metadata(&self, path: &Path) -> Option<Metadata> {
        fs::metadata(self.real(path)).ok()
    }

    /// Writes `text` to the host's `path` in one step; a new file gets `mode`. The first folder that had to be made
    /// comes back.
    ///
    /// # Errors
    /// Which step failed; the file is then as it was.
    pub fn write(&self, path: &Path, text: &str, mode: u32) -> Result<Option<PathBuf>> {
        let real = self.real(path);
        let folder = path.parent().unwrap_or_else(|| Path::new("/"));
        let missing = folder.ancestors().take_while(|f| !self.exists(f)).last().map(Path::to_path_buf);
        if missing.is_some() {
            let folder = self.real(folder);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(&folder)
                .map_err(Error::io("make the folder", &folder))?;
        }
        if let Some(folder) = real.parent() {
            self.check_inside(folder)?;
        }
        let old = fs::symlink_metadata(&real).ok();
        let like = old.map_or(Like::Mode(mode), |old| Like::Old(Found::from(&old)));
        file::replace(&real, &[text.as_bytes()], like)?;
        // Unlike a bundle, this has to outlive a power failure.
        let synced = fs::File::open(&real).and_then(|file| file.sync_all());
        synced.map_err(Error::io("sync", &real))?;
        Ok(missing)
    }

    /// The bytes of a program of the host, up to `limit`; none where there is nothing.
    ///
    /// # Errors
    /// That it is a link or no regular file, holds more, or can't be read.
    pub fn program_bytes(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
        let real = self.real(path);
        match fs::symlink_metadata(&real) {
            Err(_) => return Ok(None),
            Ok(found) if found.is_symlink() => {
                let why = "is a link, so something else keeps it; remove the link, or choose another folder";
                return Err(Error::Content { path: real, why: why.to_owned() });
            }
            Ok(_) => self.check_inside(&real)?,
        }
        file::open_regular(&real)?.read(limit).map(Some)
    }

    /// Writes a program to the host's `path` in one step, for everybody to execute and for its owner to replace.
    ///
    /// # Errors
    /// Which step failed; what was there is then as it was.
    pub fn write_program(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let real = self.real(path);
        let folder = real.parent().unwrap_or(&self.prefix);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .map_err(Error::io("make the folder", folder))?;
        self.check_inside(folder)?;
        file::replace(&real, &[bytes], Like::Mode(0o755))?;
        let synced = fs::File::open(&real).and_then(|file| file.sync_all());
        synced.map_err(Error::io("sync", &real))
    }

    /// Removes a file of the host; that it isn't there is no error.
    ///
    /// # Errors
    /// What the system said.
    pub fn remove(&self, path: &Path) -> Result<()> {
        let real = self.real(path);
        match fs::remove_file(&real) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &real)(why)),
            _ => Ok(()),
        }
    }

    /// Removes `folder` and the empty folders below it, as far as they are empty.
    pub fn remove_empty(&self, folder: &Path) {
        for name in self.list(folder) {
            if fs::symlink_metadata(self.real(&name)).is_ok_and(|found| found.is_dir()) {
                self.remove_empty(&name);
            }
        }
        let _ = fs::remove_dir(self.real(folder));
    }
}
