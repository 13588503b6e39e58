//! Places that take no more: the folder of the records, and that of the audit log. What would start unremembered doesn't
//! start; whatever runs can be entered, killed and deleted.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail, ensure};

use super::{apart, passed};
use crate::apart::kept;
use crate::bad_input::disk::{fill, fill_inodes, read_only, tmpfs, unmount};
use crate::case::Outcome;
use crate::doors::{lists, refusal};
use crate::lab::Lab;
use crate::room::KEPT;
use crate::runtime::Runtime;
use crate::trial::{Entry, Front, Trial};

pub(super) fn run_without_bytes(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    apart("size=64k", || run_full(lab, runtime, fill))
}

pub(super) fn run_without_files(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    apart("size=1m,nr_inodes=32", || run_full(lab, runtime, fill_inodes))
}

fn run_full(lab: &Lab, runtime: &Runtime, exhaust: fn(&Path) -> Result<()>) -> Result<Outcome> {
    let trial = Trial::new(lab, runtime, Front::Product, Entry::Create)?;
    let mut bundle = trial.bundle()?;
    bundle.arguments(&["/probe", "pause"]);
    bundle.write()?;
    exhaust(Path::new(KEPT))?;
    let answer = trial.attempt(trial.create_call(&bundle))?;
    refusal(&trial, &answer, &[KEPT.to_owned()])?;
    let told = answer.stderr();
    empty()?;
    trial.create_call(&bundle).run(b"")?.require_success()?;
    trial.start()?;
    let groups = trial.init_groups()?;
    ensure!(groups == [1000, 5000], "the container has groups {groups:?}");
    exhaust(Path::new(KEPT))?;
    // The first exec would bind the record, the second one finds it unbound again.
    for _ in 0..2 {
        let seen = trial.exec(&bundle.process(&["/probe", "status"]))?;
        let groups = lists(seen.identity()?, "groups");
        ensure!(groups == [1000, 5000], "exec has groups {groups:?}");
    }
    for words in [["state", &trial.id, ""], ["kill", &trial.id, "KILL"]] {
        let words = words.iter().filter(|word| !word.is_empty());
        trial.call().arguments(words).run(b"")?.require_success()?;
    }
    trial.delete()?;
    empty()?;
    let left: Vec<_> =
        kept()?.into_iter().filter(|path| path.to_string_lossy().contains(trial.id.as_str())).collect();
    ensure!(left.is_empty(), "{left:?} are left");
    passed(format!("create is refused: {}; exec, state, kill and delete work", told.trim_end()))
}

/// Takes away what filled the folder.
fn empty() -> Result<()> {
    for entry in fs::read_dir(KEPT)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("filler") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

pub(super) fn log_read_only(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let trial = Trial::new(lab, runtime, Front::Product, Entry::Create)?;
    let mut bundle = trial.bundle()?;
    bundle.arguments(&["/probe", "pause"]);
    bundle.write()?;
    let folder = trial.dir.join("log");
    tmpfs(&folder, "size=64k")?;
    read_only(&folder)?;
    let log = folder.join("runc-strict.log");
    let text = format!("runtime = \"{}\"\n[audit]\npath = \"{}\"\n", runtime.path.display(), log.display());
    fs::write(trial.dir.join("config.toml"), text)?;
    let answer = trial.create_call(&bundle).run(b"")?.require_success()?;
    let stderr = answer.stderr();
    let told = stderr.trim_end();
    ensure!(told.lines().count() == 1 && told.contains(&*log.to_string_lossy()), "{answer}");
    trial.start()?;
    let groups = trial.init_groups()?;
    ensure!(groups == [1000, 5000], "the container has groups {groups:?}");
    let entered = trial.exec(&bundle.process(&["/probe", "status"]))?;
    let groups = lists(entered.identity()?, "groups");
    ensure!(groups == [1000, 5000], "exec has groups {groups:?}");
    trial.call().arguments(["kill", &trial.id, "KILL"]).run(b"")?.require_success()?;
    trial.delete()?;
    unmount(&folder)?;
    if fs::read_dir(&folder)?.next().is_some() {
        bail!("something was written below the disk");
    }
    passed(format!("create works and says: {told}; exec, kill and delete work"))
}
