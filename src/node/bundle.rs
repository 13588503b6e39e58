//! The bundle: a folder with config.json and, named by it, the image's root file system.
//!
//! Here everything that a decision depends on is gathered into a [`Subject`], before anything is decided.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::engine;
use super::file::{self, Found, Like};
use super::image::{GroupFile, Root};
use super::lookup;
use super::version::Version;
use crate::error::{Error, Result};
use crate::policy::residual::image_groups;
use crate::policy::subject::{ImageGroups, Runtime};
use crate::policy::{Edits, Subject};
use crate::resize::sticky::Edit;
use crate::spec::{ConfigDocument, Splice};

/// The largest config.json that is read.
pub const LIMIT: u64 = 64 * 1024 * 1024;

/// A file that holds a config.json, as it was when it was read.
#[derive(Debug)]
pub struct ConfigFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    found: Found,
}

impl ConfigFile {
    /// Reads the config.json of the bundle at `folder`.
    ///
    /// # Errors
    /// That the bundle or the file can't be read, or that it is no regular file, too large or not UTF-8.
    pub fn of_bundle(folder: &Path) -> Result<ConfigFile> {
        ConfigFile::read(&folder.join("config.json")).map_err(|why| match folder.is_dir() {
            true => why,
            false => {
                let why = "is no bundle: there is no such folder".to_owned();
                Error::Content { path: folder.to_path_buf(), why }
            }
        })
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// As [`ConfigFile::of_bundle`].
    pub fn read(path: &Path) -> Result<ConfigFile> {
        let file = file::open_regular(path)?;
        let bytes = file.read(LIMIT)?;
        let not_utf8 = |_| Error::Content { path: path.to_path_buf(), why: "is not UTF-8".to_owned() };
        let text = String::from_utf8(bytes).map_err(not_utf8)?;
        Ok(ConfigFile { path: path.to_path_buf(), text, found: file.found })
    }

    /// The document in it.
    ///
    /// # Errors
    /// What is missing or can't be read, with the file's name.
    pub fn document(&self) -> Result<ConfigDocument<'_>> {
        ConfigDocument::read(&self.text).map_err(Error::content(&self.path))
    }

    /// Writes the file again as it was read, if it is no longer that.
    ///
    /// # Errors
    /// As [`ConfigFile::rewrite`].
    pub fn restore(&self) -> Result<()> {
        match file::read_text(&self.path, LIMIT) {
            Ok(text) if text == self.text => Ok(()),
            _ => file::replace(&self.path, &[self.text.as_bytes()], Like::Old(self.found)),
        }
    }

    /// Writes `edits` into the file's process, and `limits` into its resources, whole or not at all.
    ///
    /// # Errors
    /// Which step failed; the file is then untouched.
    pub fn rewrite(&self, document: &ConfigDocument<'_>, edits: &Edits, limits: &[Edit]) -> Result<()> {
        let mut splice = Splice::new(&self.text);
        document.process.apply(edits, &mut splice);
        if !limits.is_empty() {
            document.write_resources(limits, &mut splice).map_err(Error::content(&self.path))?;
        }
        file::replace(&self.path, &splice.pieces(), Like::Old(self.found))
    }
}

/// Gathers what a decision on the container depends on. What only an engine can say (what the pod declares,
/// whether it is a sandbox) is left as unknown.
///
/// # Errors
/// What in the document can't be read.
pub fn subject(
    bundle: &Path,
    id: &str,
    file: &ConfigFile,
    document: &ConfigDocument<'_>,
    config: &Config,
    version: &Version,
) -> Result<Subject> {
    let content = || Error::content(&file.path);
    let annotations = engine::annotations(document, config.engine).map_err(content())?;
    let process = document.process.process.clone();
    let root = document.root_path().map_err(content())?.map(|path| bundle.join(path));
    let root = match root {
        None => Err("root.path is missing".to_owned()),
        Some(path) => match Root::open(&path) {
            // What isn't there is no fault of the system; the runtime will say more of it.
            Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(format!("root.path {} can't be opened: {why}", path.display()))
            }
            other => Ok(other.map_err(Error::io("open root.path", &path))?),
        },
    };
    let group_file = match &root {
        Ok(root) => root.group_file()?,
        Err(why) => GroupFile::Unusable(why.clone()),
    };
    let image = match &group_file {
        GroupFile::Absent => ImageGroups::Absent,
        GroupFile::Text(text) => ImageGroups::Read(image_groups(text, &process.groups)),
        GroupFile::Unusable(why) => ImageGroups::Unusable(why.clone()),
    };
    let mut runtime = Runtime::default();
    if version.looks_up_names() {
        runtime.looks_up_names = Some(version.name());
        let mounts = document.mounts().map_err(content())?;
        runtime.trap = lookup::trap_in(&group_file)
            .or_else(|| root.ok().and_then(|root| lookup::trap(&root, &mounts, id)));
    }
    Ok(Subject {
        process,
        pod: annotations.pod,
        sandbox: false,
        requested_groups: annotations.groups,
        requested_level: annotations.level,
        hostile_annotation: annotations.hostile,
        declared: Default::default(),
        image,
        gid_mappings: document.gid_mappings().map_err(content())?,
        runtime,
        rootless: !nix::unistd::geteuid().is_root(),
    })
}
