//! The bundle: a folder with config.json and, named by it, the image's root file system.
//!
//! Here everything that a decision depends on is gathered into a [`Subject`], before anything is decided.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::engine;
use super::file::{self, Like};
use super::image::{GroupFile, Root};
use super::version::Version;
use crate::error::{Error, Result};
use crate::policy::residual::{image_groups, numeric_name};
use crate::policy::subject::{ImageGroups, LookupTrap, Runtime};
use crate::policy::{Edits, Subject};
use crate::spec::{ConfigDocument, Mount, Splice};

/// The largest config.json that is read.
pub const LIMIT: u64 = 64 * 1024 * 1024;

/// A file that holds a config.json, as it was when it was read.
#[derive(Debug)]
pub struct ConfigFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    found: Metadata,
}

impl ConfigFile {
    /// Reads the config.json of the bundle at `folder`.
    ///
    /// # Errors
    /// That the bundle or the file can't be read, or that it is no regular file, too large or not UTF-8.
    pub fn of_bundle(folder: &Path) -> Result<ConfigFile> {
        if !folder.is_dir() {
            let why = "is no bundle: there is no such folder".to_owned();
            return Err(Error::Content { path: folder.to_path_buf(), why });
        }
        ConfigFile::read(&folder.join("config.json"))
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// As [`ConfigFile::of_bundle`].
    pub fn read(path: &Path) -> Result<ConfigFile> {
        let file = file::open_regular(path)?;
        let found = file.metadata().map_err(Error::io("stat", path))?;
        let bytes = file::read_whole(&file, path, LIMIT)?;
        let not_utf8 = |_| Error::Content { path: path.to_path_buf(), why: "is not UTF-8".to_owned() };
        let text = String::from_utf8(bytes).map_err(not_utf8)?;
        Ok(ConfigFile { path: path.to_path_buf(), text, found })
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
            _ => file::replace(&self.path, &[self.text.as_bytes()], Like::Old(&self.found)),
        }
    }

    /// Writes `edits` into the file, whole or not at all.
    ///
    /// # Errors
    /// Which step failed; the file is then untouched.
    pub fn rewrite(&self, document: &ConfigDocument<'_>, edits: &Edits) -> Result<()> {
        let mut splice = Splice::new(&self.text);
        document.process.apply(edits, &mut splice);
        file::replace(&self.path, &splice.pieces(), Like::Old(&self.found))
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
        Some(path) => {
            Root::open(&path).map_err(|why| format!("root.path {} can't be opened: {why}", path.display()))
        }
    };
    let group_file = match &root {
        Ok(root) => root.group_file(),
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
        runtime.trap = trap_in(&group_file)
            .or_else(|| root.ok().and_then(|root| mounts.iter().find_map(|m| trap_by(m, &root, id))));
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

/// What in an etc/group can redirect a lookup of gids by name.
pub fn trap_in(file: &GroupFile) -> Option<LookupTrap> {
    match file {
        GroupFile::Absent => None,
        GroupFile::Text(text) => numeric_name(text).map(LookupTrap::NumericName),
        GroupFile::Unusable(why) => Some(LookupTrap::Unreadable(why.clone())),
    }
}

/// Whether `mount` puts another file where the runtime will look for etc/group.
///
/// A file that the engine itself made for this container (podman does) is looked into instead: it is a regular
/// file, ours, that nobody else can write to, in a folder named after the container.
fn trap_by(mount: &Mount, root: &Root, id: &str) -> Option<LookupTrap> {
    let destination = Path::new("/").join(mount.destination.trim_start_matches('/'));
    let written = super::state::lexical(&destination);
    let real = root.real_path(&mount.destination);
    let etc = root.real_path("etc").unwrap_or_else(|| PathBuf::from("/etc"));
    let group = root.real_path("etc/group").unwrap_or_else(|| etc.join("group"));
    let covers = |path: &Path| {
        [Path::new("/etc/group"), &etc.join("group"), &group].iter().any(|g| g.starts_with(path))
    };
    if !covers(&written) && !real.as_deref().is_some_and(covers) {
        return None;
    }
    match mount.source.as_deref().map(Path::new).and_then(|source| made_by_engine(source, id)) {
        Some(text) => trap_in(&GroupFile::Text(text)),
        None => Some(LookupTrap::Mount(mount.destination.clone())),
    }
}

fn made_by_engine(source: &Path, id: &str) -> Option<Vec<u8>> {
    let named = source.components().any(|part| part.as_os_str() == id);
    let file = named.then(|| file::open_regular(source).ok()).flatten()?;
    let found = file.metadata().ok()?;
    let ours = found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & 0o022 == 0;
    ours.then(|| file::read_whole(&file, source, super::image::LIMIT).ok()).flatten()
}
