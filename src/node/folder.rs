//! Our own folder of volatile state: `/run/runc-strict`, or `$XDG_RUNTIME_DIR/runc-strict` without root.
//!
//! It holds the records and what is known of the real runtime. It is ours alone: a folder that others can write
//! to would let them say who a container is.

use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nix::unistd::Uid;

use super::file;
use super::process::is_host_root;
use crate::error::{Error, Result};

/// Where root keeps it.
pub const RUN: &str = "/run/runc-strict";

/// The folder's place.
///
/// # Errors
/// Without root and without `XDG_RUNTIME_DIR` there is none.
pub fn path() -> Result<PathBuf> {
    if has_roots() || is_host_root() {
        return Ok(PathBuf::from(RUN));
    }
    match env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|p| p.is_absolute()) {
        Some(base) => Ok(base.join("runc-strict")),
        None => Err(Error::Other(
            "there is no folder for the record: without root, XDG_RUNTIME_DIR must name one".to_owned(),
        )),
    }
}

/// Whether root's folder is there, and this process's: what others own shows as nobody's in a user namespace. It is asked
/// before [`is_host_root`], since all that is in a process's folder below /proc is made anew for each process, and taken
/// away when that ends: reading one link there takes ten times as long.
fn has_roots() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let us = nix::unistd::geteuid();
        us.is_root() && fs::symlink_metadata(RUN).is_ok_and(|found| is_of(us, &found))
    })
}

/// Root's folder, where that is there and this process's: what is asked for only to save time is asked for there alone.
pub fn roots() -> Option<&'static Path> {
    has_roots().then(|| Path::new(RUN))
}

/// Whether something called `name` may be in it. False costs an engine that runs as root one lookup, and nothing is read.
pub fn may_hold(name: &str) -> bool {
    let there = |folder: &Path| fs::symlink_metadata(folder.join(name)).is_ok();
    if has_roots() {
        return there(Path::new(RUN));
    }
    (nix::unistd::geteuid().is_root() && there(Path::new(RUN)))
        || (env::var_os("XDG_RUNTIME_DIR").is_some() && path().is_ok_and(|folder| there(&folder)))
}

/// A temporary file for `name` somewhere below our folder. It lies in our folder itself, and not beside the file: there are
/// few files here, so that every delete can afford to look for what a killed process left.
///
/// # Errors
/// As [`path`].
pub fn temporary(name: &Path) -> Result<PathBuf> {
    Ok(file::temporary(&path()?.join(name.file_name().unwrap_or_default())))
}

/// The folder `below` our own, made where it is missing: for us alone, and checked to be ours.
///
/// # Errors
/// That it can't be made, or that others could write to it.
pub fn make(below: &[&str]) -> Result<PathBuf> {
    let mut folder = path()?;
    // root's was looked at
    if !has_roots() {
        make_one(&folder)?;
    }
    for name in below {
        folder.push(name);
        make_one(&folder)?;
    }
    Ok(folder)
}

fn make_one(folder: &Path) -> Result<()> {
    let found = match fs::symlink_metadata(folder) {
        Ok(found) => found,
        Err(_) => {
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(why) if why.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("make the folder", folder)(why));
                }
                _ => {}
            }
            fs::symlink_metadata(folder).map_err(Error::io("stat", folder))?
        }
    };
    check(folder, &found)
}

/// Whether it is a folder that `us` alone can write to.
fn is_of(us: Uid, found: &fs::Metadata) -> bool {
    found.is_dir() && found.uid() == us.as_raw() && found.mode() & 0o022 == 0
}

fn check(folder: &Path, found: &fs::Metadata) -> Result<()> {
    if is_of(nix::unistd::geteuid(), found) {
        return Ok(());
    }
    Err(Error::Content {
        path: folder.to_path_buf(),
        why: "others could write to it; remove it, it is made anew with mode 0700".to_owned(),
    })
}
