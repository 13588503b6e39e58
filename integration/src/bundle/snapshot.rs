//! What a folder was at one moment, so that a later look tells whether anything in it changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Names, kinds, modes, owners, sizes, and the bytes of regular files up to 1 MiB; of larger ones the time of the
/// last change. Nothing below a root file system is entered: that belongs to the container.
#[derive(PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<PathBuf, Entry>);

#[derive(PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    size: u64,
    changed: (i64, i64),
    bytes: Vec<u8>,
}

const WHOLE: u64 = 1 << 20;

impl Snapshot {
    /// Looks at a folder.
    ///
    /// # Errors
    /// When something in it can't be read.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let mut entries = BTreeMap::new();
        enter(folder, &mut entries).with_context(|| format!("look at {}", folder.display()))?;
        Ok(Self(entries))
    }

    /// The names that were added, removed or changed since `before`, in one line; empty when nothing was.
    pub(crate) fn changes_since(&self, before: &Self) -> String {
        let names: std::collections::BTreeSet<&PathBuf> = self.0.keys().chain(before.0.keys()).collect();
        let changed = names.into_iter().filter_map(|name| match (before.0.get(name), self.0.get(name)) {
            (None, _) => Some(format!("{} is new", name.display())),
            (_, None) => Some(format!("{} is gone", name.display())),
            (old, new) => (old != new).then(|| format!("{} changed", name.display())),
        });
        changed.collect::<Vec<_>>().join(", ")
    }
}

fn enter(folder: &Path, entries: &mut BTreeMap<PathBuf, Entry>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let data = fs::symlink_metadata(&path)?;
        let kind = data.file_type();
        let whole = kind.is_file() && data.len() <= WHOLE;
        let large = kind.is_file() && !whole;
        entries.insert(
            path.clone(),
            Entry {
                mode: data.mode(),
                owner: (data.uid(), data.gid()),
                size: if kind.is_dir() || kind.is_fifo() { 0 } else { data.len() },
                changed: if large { (data.mtime(), data.mtime_nsec()) } else { (0, 0) },
                bytes: if whole { fs::read(&path)? } else { Vec::new() },
            },
        );
        if kind.is_dir() && path.file_name().is_none_or(|name| name != "rootfs") {
            enter(&path, entries)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_new_file_and_a_changed_byte_are_both_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "1").unwrap();
        let before = Snapshot::of(dir.path()).unwrap();
        assert_eq!(Snapshot::of(dir.path()).unwrap().changes_since(&before), "");
        fs::write(dir.path().join("a"), "2").unwrap();
        fs::write(dir.path().join("b"), "").unwrap();
        let changes = Snapshot::of(dir.path()).unwrap().changes_since(&before);
        assert!(changes.contains("/a changed") && changes.contains("/b is new"), "{changes}");
    }
}
