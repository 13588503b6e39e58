//! create and run with a fault: every call makes a container of its own from a new bundle.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Caller, End, RIGHT, Tried, end_of};
use crate::apart::kept;
use crate::bundle::Bundle;
use crate::lab::Lab;
use crate::room::{KEPT, records};
use crate::runtime::Runtime;
use crate::trace::{Fault, Trace};
use crate::trial::{Entry, Front, Trial};

/// The name of the record of a container that is gone.
const STALE: &str = "stale";
/// The name of the record of a container that has a state folder.
const LIVING: &str = "living";
/// The name of the record of a container whose creator runs, and has no state folder yet.
const YOUNG: &str = "young";

/// A record of a container that isn't under trial.
struct Planted {
    name: &'static str,
    text: String,
}

impl Planted {
    /// Made from the record of a container that is gone.
    fn all(record: &str) -> Result<Vec<Self>> {
        let mut young: Value = serde_json::from_str(record).context("read a record")?;
        let stat = fs::read_to_string("/proc/self/stat").context("read our own stat")?;
        // The 22nd field, counted from behind the name: proc_pid_stat(5).
        let start = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(19));
        let start: u64 = start.and_then(|word| word.parse().ok()).context("read when we were started")?;
        young["creator"] = json!({"pid": std::process::id(), "start": start});
        let same = |name| Self { name, text: record.to_owned() };
        Ok(vec![same(STALE), same(LIVING), Self { name: YOUNG, text: young.to_string() }])
    }
}

/// Makes containers.
pub(super) struct Maker<'a> {
    lab: &'a Lab,
    runtime: &'a Runtime,
    root: PathBuf,
    tried: Tried,
    /// Whether the same id is made a second time only after a signal, because other callers do it after everything.
    once: bool,
    /// Records that lie beside the container's when create collects.
    planted: Vec<Planted>,
    /// What a container leaves in the state folder when all is well.
    normal: BTreeSet<PathBuf>,
    /// The id in this document, and what the product makes of it.
    example: (String, String),
}

impl<'a> Maker<'a> {
    /// Makes one container without a fault, from which it learns what is normal.
    pub(super) fn new(
        lab: &'a Lab,
        runtime: &'a Runtime,
        root: &Path,
        tried: Tried,
        once: bool,
    ) -> Result<Self> {
        let (planted, normal, example) = <_>::default();
        let mut maker = Self { lab, runtime, root: root.to_owned(), tried, once, planted, normal, example };
        let (trial, bundle) = maker.prepare()?;
        trial.create_call(&bundle).run(b"")?.require_success()?;
        trial.start()?;
        ensure!(trial.init_groups()? == RIGHT, "without a fault the groups are {:?}", trial.init_groups()?);
        let record = fs::read_to_string(trial.record()).context("read a record")?;
        maker.example = (trial.id.clone(), document(&bundle)?);
        trial.delete()?;
        maker.planted = Planted::all(&record)?;
        // As a container's state: with it the record is one of a container that lives.
        fs::create_dir_all(root.join(LIVING)).context("make a state folder")?;
        maker.normal = kept()?;
        Ok(maker)
    }

    fn prepare(&self) -> Result<(Trial<'a>, Bundle)> {
        let entry = if self.tried == Tried::Run { Entry::RunDetached } else { Entry::Create };
        let trial = Trial::new(self.lab, self.runtime, Front::Product, entry)?.with_root(&self.root);
        let mut bundle = trial.bundle()?;
        bundle.arguments(&["/probe", "pause"]);
        bundle.write()?;
        Ok((trial, bundle))
    }

    /// Puts the state folder into the same state before each call.
    fn reset(&self) -> Result<()> {
        let folder = records(&self.root);
        if self.tried == Tried::Run {
            for entry in fs::read_dir(KEPT)? {
                let path = entry?.path();
                let is_folder = path.symlink_metadata()?.is_dir();
                if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
                    .with_context(|| format!("remove {}", path.display()))?;
            }
            return Ok(());
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
        for planted in &self.planted {
            fs::write(folder.join(planted.name), &planted.text).context("plant a record")?;
        }
        Ok(())
    }

    /// Of the records that were planted those that are anybody's are there, as they were.
    fn others_are_there(&self) -> Result<()> {
        for planted in self.planted.iter().filter(|_| self.tried == Tried::Create) {
            let now = fs::read_to_string(records(&self.root).join(planted.name)).ok();
            let is_right = now.as_ref() == Some(&planted.text) || (planted.name == STALE && now.is_none());
            ensure!(is_right, "the record \"{}\" of another container is {now:?}", planted.name);
        }
        Ok(())
    }

    /// Nothing may lie in the bundle but what the engine put there, and nothing in the state folder but what is there
    /// when all is well, and what was planted.
    fn nothing_left(&self, bundle: &Bundle) -> Result<()> {
        let entries = fs::read_dir(&bundle.dir)?.map(|entry| Ok(entry?.file_name()));
        let names: Vec<_> = entries.collect::<std::io::Result<_>>()?;
        let foreign = names.iter().find(|name| !matches!(name.as_bytes(), b"config.json" | b"rootfs"));
        ensure!(foreign.is_none(), "{foreign:?} is left in the bundle");
        let folder = records(&self.root);
        let is_planted = |path: &Path| self.planted.iter().any(|planted| folder.join(planted.name) == path);
        let left: Vec<_> =
            kept()?.into_iter().filter(|path| !self.normal.contains(path) && !is_planted(path)).collect();
        ensure!(left.is_empty(), "{left:?} are left");
        // Where the state would be kept without root.
        let elsewhere = self.lab.room.dir.join("xdg/runc-strict");
        ensure!(!elsewhere.exists(), "it kept something in {}", elsewhere.display());
        Ok(())
    }
}

impl Caller for Maker<'_> {
    fn one(&self, fault: Option<(usize, Fault)>) -> Result<(Trace, End)> {
        let (trial, bundle) = self.prepare()?;
        self.reset()?;
        let old = document(&bundle)?;
        let new = self.example.1.replace(&self.example.0, &trial.id);
        ensure!(old != new, "there is nothing to change, so that nothing is shown");
        let call = trial.making_call().argument("--bundle").argument(&bundle.dir).argument(&trial.id);
        let (answer, trace) = call.run_traced(b"", fault)?;
        let end = end_of(self.tried, &answer, &trace)?;
        let now = document(&bundle)?;
        match end {
            End::Done => {
                if self.tried == Tried::Create {
                    trial.start()?;
                }
                let groups = trial.init_groups()?;
                ensure!(groups == RIGHT, "the container runs with groups {groups:?}");
                ensure!(now == new, "the container runs with another document");
            }
            End::Refused => {
                ensure!(!trial.exists(), "refused, and the container exists");
                ensure!(now == old, "refused, and the bundle isn't what it was: {answer}");
                ensure!(!trial.record().exists(), "refused, and there is a record: {answer}");
            }
            End::Signal => {
                ensure!(!trial.exists(), "ended by a signal, and the container exists");
                ensure!(now == old || now == new, "the document is neither the old one nor the new one");
            }
        }
        self.others_are_there()?;
        let exists = trial.exists();
        let state = trial.call().arguments(["state", &trial.id]).run(b"")?;
        ensure!(state.succeeded() == exists, "of a container that exists = {exists}: {state}");
        ensure!(!state.stderr().starts_with("runc-strict"), "state is ours to answer: {state}");
        if exists {
            trial.call().arguments(["kill", &trial.id, "KILL"]).run(b"")?.require_success()?;
        }
        trial.delete()?;
        self.nothing_left(&bundle).context("after the delete")?;
        if self.once && end != End::Signal {
            return Ok((trace, end));
        }
        // The same id once more, from the bundle as it was left.
        trial.create_call(&bundle).run(b"")?.require_success().context("a second create")?;
        ensure!(document(&bundle)? == new, "the second create left another document");
        trial.delete()?;
        self.nothing_left(&bundle).context("after the second delete")?;
        Ok((trace, end))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

fn document(bundle: &Bundle) -> Result<String> {
    fs::read_to_string(bundle.dir.join("config.json")).context("read the bundle's document")
}
