//! A place apart: the calling thread, and what it starts, see a file system of their own where the product keeps its
//! state. So nobody else's records are in it, everything in it is ours to look at, and it may be made as small as wanted.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::room::KEPT;

/// Gives the calling thread a mount namespace of its own, with a small disk at the product's state folder: tmpfs(5) with
/// `options`. It goes away with the thread and what the thread has started.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn separate(options: &str) -> Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).context("make a mount namespace")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(none, "/", none, private, none).context("keep mounts in their namespace")?;
    // other cases may be making it right now
    DirBuilder::new().recursive(true).mode(0o700).create(KEPT).with_context(|| format!("make {KEPT}"))?;
    let options = format!("mode=0700,{options}");
    mount(Some("tmpfs"), KEPT, Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
        .with_context(|| format!("mount a disk on {KEPT}"))
}

/// Everything that is in the product's state folder but folders.
///
/// # Errors
/// When it can't be read.
pub(crate) fn kept() -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    collect(Path::new(KEPT), &mut found).with_context(|| format!("look through {KEPT}"))?;
    Ok(found)
}

fn collect(folder: &Path, found: &mut BTreeSet<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.symlink_metadata()?.is_dir() {
            collect(&path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}
