//! Rows on the places that we write to: the audit log, the records, and the clock by which records are collected.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::Row;
use crate::error::show;
use crate::node::config::Config;
use crate::node::{folder, record};

/// Below this a disk counts as nearly full: a day of a busy node's log, and ten thousand records.
const LITTLE: u64 = 64 << 20;

/// A clock that was set back by less is no matter.
const SLACK: Duration = Duration::from_secs(60);

/// What is wrong with a folder that we write to.
enum Trouble {
    Missing,
    Others(String),
    NotWritable(String),
    Space(String),
}

fn trouble(folder: &Path) -> Option<Trouble> {
    let Ok(found) = fs::symlink_metadata(folder) else { return Some(Trouble::Missing) };
    let us = nix::unistd::geteuid().as_raw();
    if !found.is_dir() {
        return Some(Trouble::NotWritable(format!("{} is no folder", show(folder))));
    }
    if found.mode() & 0o022 != 0 || (found.uid() != us && found.uid() != 0) {
        let (mode, uid) = (found.mode() & 0o7777, found.uid());
        return Some(Trouble::Others(format!("{} has mode {mode:04o} and owner {uid}", show(folder))));
    }
    if let Err(why) = access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
        return Some(Trouble::NotWritable(format!("{} can't be written: {}", show(folder), why.desc())));
    }
    let space = statvfs(folder).ok().map(|s| s.blocks_available().saturating_mul(s.fragment_size()));
    let space = space.filter(|space| *space < LITTLE)?;
    Some(Trouble::Space(format!("{} has {} KiB left", show(folder), space >> 10)))
}

pub(super) fn log(config: &Config) -> Row {
    const CHECK: &str = "log";
    let path = &config.audit.path;
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    match trouble(folder) {
        None => match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => {
                Row::warn(CHECK, format!("{} is no regular file", show(path)), "move it away")
            }
            Ok(_) => match access(path, AccessFlags::W_OK) {
                Ok(()) => Row::ok(CHECK, show(path)),
                Err(why) => Row::warn(
                    CHECK,
                    format!("{} can't be written: {}", show(path), why.desc()),
                    "nothing is logged until it can be; containers run all the same",
                ),
            },
            Err(_) => Row::ok(CHECK, format!("{}, made at the first container", show(path))),
        },
        Some(Trouble::Missing) => Row::ok(CHECK, format!("{}, made at the first container", show(path))),
        Some(Trouble::Others(found)) => {
            Row::warn(CHECK, format!("{found}: others could forge the log"), "chown root, chmod go-w")
        }
        Some(Trouble::NotWritable(found)) => {
            Row::warn(CHECK, found, "nothing is logged until it can be; containers run all the same")
        }
        Some(Trouble::Space(found)) => Row::warn(CHECK, found, "make room, or rotate the log"),
    }
}

pub(super) fn records() -> Row {
    const CHECK: &str = "records";
    let folder = match folder::path() {
        Ok(folder) => folder,
        Err(why) => return Row::fail(CHECK, why.to_string(), "set it, or run as root"),
    };
    let parent = folder.parent().unwrap_or_else(|| Path::new("/"));
    match trouble(&folder) {
        None => match record::all() {
            Ok(keys) => Row::ok(CHECK, format!("{} in {}", keys.len(), show(&folder))),
            Err(why) => Row::fail(CHECK, why.to_string(), "see why; exec goes by the records"),
        },
        Some(Trouble::Missing) if access(parent, AccessFlags::W_OK).is_ok() => {
            Row::ok(CHECK, format!("none yet; {} is made at the first container", show(&folder)))
        }
        Some(Trouble::Missing) => {
            Row::fail(CHECK, format!("{} can't be made", show(&folder)), "make its parent writable for us")
        }
        Some(Trouble::Others(found)) => Row::fail(
            CHECK,
            format!("{found}: others could say who a container is, so every create is refused"),
            "remove it; it is made anew with mode 0700",
        ),
        Some(Trouble::NotWritable(found)) => {
            Row::fail(CHECK, found, "no container can be created until it can be")
        }
        Some(Trouble::Space(found)) => {
            Row::warn(CHECK, found, "make room: without it no container can be created")
        }
    }
}

pub(super) fn clock() -> Row {
    const CHECK: &str = "clock";
    let now = SystemTime::now();
    let changed = |key: record::Key| fs::metadata(key.path().ok()?).ok()?.modified().ok();
    let newest = record::all().unwrap_or_default().into_iter().filter_map(changed).max();
    match newest.and_then(|time| time.duration_since(now).ok()).filter(|ahead| *ahead > SLACK) {
        Some(ahead) => Row::warn(
            CHECK,
            format!("the newest record is {} s in the future", ahead.as_secs()),
            "set the clock; until it has caught up, records that are left behind are kept",
        ),
        None => Row::ok(CHECK, "no record is in the future"),
    }
}
