//! Our program on the host: copied there in one step where an installer brings it along, and taken away again when no
//! container calls it any more.
//!
//! Its path stays the same over versions: an engine that has our handler already needs no restart, and a call that is
//! under way keeps the file that it began with.

use std::path::{Path, PathBuf};

use super::print;
use crate::error::{Error, Result};
use crate::node::engine_config::host::Host;
use crate::node::{file, record};

/// The program's name on every host.
const NAME: &str = "runc-strict";

/// No version of ours comes near to it, not even one with its debug information.
const LIMIT: u64 = 1024 * 1024 * 1024;

/// A folder on the host, as a flag names it.
///
/// # Errors
/// That it is no absolute path.
pub(in crate::cli) fn folder(word: &str) -> std::result::Result<PathBuf, String> {
    let path = PathBuf::from(word);
    match path.is_absolute() && !path.components().any(|part| part.as_os_str() == "..") {
        true => Ok(path),
        false => Err("name a folder of the host by its absolute path".to_owned()),
    }
}

/// Brings this program into `folder` of the host, and tells where it is then.
///
/// # Errors
/// Which step failed; what was there is then as it was.
pub(super) fn bring(host: &Host, folder: &Path, dry_run: bool) -> Result<PathBuf> {
    let path = folder.join(NAME);
    let real = host.real(&path);
    let us = Path::new("/proc/self/exe");
    let ours = file::open_regular(us)?.read(LIMIT)?;
    let theirs = host.program_bytes(&path, LIMIT)?;
    if theirs.as_ref() == Some(&ours) {
        return Ok(path);
    }
    let version = env!("CARGO_PKG_VERSION");
    let how = if theirs.is_some() { "in place of another version" } else { "which wasn't there" };
    if dry_run {
        print(&format!("would be copied: runc-strict {version} to {}, {how}\n", real.display()));
    } else {
        host.write_program(&path, &ours)?;
        print(&format!("copied: runc-strict {version} to {}, {how}\n", real.display()));
    }
    Ok(path)
}

/// Takes the program away from `folder` of the host, unless a container still calls it: whoever ends or enters that
/// container needs it.
///
/// # Errors
/// Which step failed.
pub(in crate::cli) fn take(host: &Host, folder: &Path, dry_run: bool) -> Result<()> {
    let path = folder.join(NAME);
    let real = host.real(&path);
    if !host.exists(&path) {
        return Ok(());
    }
    let left = record::living(|path| host.real(path))?;
    if left > 0 {
        print(&format!(
            "stays: {}, by which {left} containers are still entered and ended; run this again when they are gone\n",
            real.display()
        ));
    } else if dry_run {
        print(&format!("would be removed: {}\n", real.display()));
    } else {
        host.remove(&path)?;
        print(&format!("removed: {}\n", real.display()));
    }
    Ok(())
}

/// Refuses a program that others could replace.
///
/// # Errors
/// Its mode.
pub(super) fn check(host: &Host, path: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    let mode = host.metadata(path).map_or(0, |found| found.mode());
    if mode & 0o022 != 0 {
        let why = format!("has mode {:04o}, others than its owner can replace it; chmod go-w", mode & 0o7777);
        return Err(Error::Content { path: host.real(path), why });
    }
    Ok(())
}
