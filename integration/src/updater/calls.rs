//! What a container's commands are asked on both versions of cgroups.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::trial::Trial;

/// Whether something of a container's limits is kept against its engine.
pub(crate) fn keeps(trial: &Trial<'_>) -> Result<bool> {
    let words = ["cgroup-updater", "status", "--json", "--container", &trial.id];
    let answer = trial.empty_call().arguments(words).run(b"")?.require_success()?;
    let cgroups = answer.report()?["cgroups"].clone();
    let rows = cgroups.as_array().context("no cgroups in the status")?;
    Ok(rows.iter().any(|row| row["sticky"].as_object().is_some_and(|held| !held.is_empty())))
}

/// Has the container write so many MiB to a file.
pub(crate) fn fill(trial: &Trial<'_>, file: &str, mebibytes: u32) -> Result<()> {
    let (to, count) = (format!("of={file}"), format!("count={mebibytes}"));
    let words = ["/bin/busybox", "dd", "if=/dev/zero", &to, "bs=1048576", &count, "conv=fsync"];
    // by the bare runtime: who writes doesn't matter here
    let call = trial.behind_the_product().call();
    let call = call.arguments(["exec", "--user", "0:0", &trial.id]).arguments(words);
    call.run(b"")?.require_success().map(drop)
}

/// The file of a container's overrides.
pub(crate) fn override_file(trial: &Trial<'_>) -> Result<PathBuf> {
    let folders = fs::read_dir("/run/runc-strict/overrides").context("read the overrides")?;
    let mut files = folders.flatten().map(|entry| entry.path().join(&trial.id));
    files.find(|path| path.is_file()).context("no override file")
}

/// Removes what a container's overrides left in /run.
pub(crate) fn forget_overrides(trial: &Trial<'_>) {
    for folder in ["overrides/root%2F", "overridden/"] {
        let root = trial.root().display().to_string().replace('/', "%2F");
        let path = Path::new("/run/runc-strict").join(format!("{folder}{root}")).join(&trial.id);
        let _ = fs::remove_file(path);
    }
}

/// Removes the journals that this word is in.
pub(crate) fn forget_transactions(of: &str) {
    let folder = Path::new("/run/runc-strict/transactions");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if fs::read_to_string(entry.path()).is_ok_and(|text| text.contains(of)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
