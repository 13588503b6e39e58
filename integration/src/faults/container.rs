//! exec, delete, update and state with a fault: the calls go to one container, which is made again when it is gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Caller, End, RIGHT, Tried, end_of};
use crate::apart::kept;
use crate::bundle::Bundle;
use crate::doors::lists;
use crate::lab::Lab;
use crate::runtime::Runtime;
use crate::trace::{Fault, Trace};
use crate::trial::{Entry, Front, Seen, Trial};

/// Calls commands on a container that runs.
pub(super) struct Visitor<'a> {
    tried: Tried,
    trial: Trial<'a>,
    bundle: Bundle,
    /// The container's record, as create leaves it: an exec that finds it so binds it to the container.
    record: Vec<u8>,
    /// What a container leaves in the state folder when all is well.
    normal: BTreeSet<PathBuf>,
    /// The folder of exec's document.
    folder: PathBuf,
}

impl<'a> Visitor<'a> {
    /// Starts the container.
    pub(super) fn new(lab: &'a Lab, runtime: &'a Runtime, root: &Path, tried: Tried) -> Result<Self> {
        let trial = Trial::new(lab, runtime, Front::Product, Entry::Exec)?.with_root(root);
        let bundle = trial.bundle()?;
        let launch = || -> Result<()> {
            match trial.launch(&bundle)? {
                Some(refused) => Err(anyhow::anyhow!("{refused}")),
                None => Ok(()),
            }
        };
        launch()?;
        trial.delete()?;
        let normal = kept()?;
        launch()?;
        let record = fs::read(trial.record()).context("read the record")?;
        let folder = trial.dir.join("document");
        fs::create_dir(&folder).context("make the folder of exec's document")?;
        fs::write(folder.join("process.json"), bundle.process(&["/probe", "status"]).to_string())?;
        Ok(Self { tried, trial, bundle, record, normal, folder })
    }

    /// Runs a program inside, without a fault.
    fn enter(&self) -> Result<()> {
        let seen = Seen::of(self.exec().run(b"")?)?;
        let groups = lists(seen.identity()?, "groups");
        ensure!(groups == RIGHT, "a later exec has groups {groups:?}");
        Ok(())
    }

    fn exec(&self) -> crate::call::Call<'a> {
        let call = self.trial.call().arguments(["exec", "--process"]);
        call.argument(self.folder.join("process.json")).argument(&self.trial.id)
    }

    fn call(&self) -> crate::call::Call<'a> {
        let id = &self.trial.id;
        match self.tried {
            Tried::Exec => self.exec(),
            Tried::Update => self.trial.call().arguments(["update", "--pids-limit", "100", id]),
            Tried::State => self.trial.call().arguments(["state", id]),
            _ => self.trial.call().arguments(["delete", "--force", id]),
        }
    }

    /// Nothing may be left in the state folder but what is there when all is well.
    fn nothing_left(&self) -> Result<()> {
        let left: Vec<_> = kept()?.into_iter().filter(|path| !self.normal.contains(path)).collect();
        ensure!(left.is_empty(), "{left:?} are left");
        let names = fs::read_dir(&self.bundle.dir)?.count();
        ensure!(names == 2, "the bundle holds {names} files instead of config.json and rootfs");
        Ok(())
    }

    /// After a delete that may have been cut short: what is left can be looked at, killed and deleted, and the id is free.
    fn after_delete(&self, end: End) -> Result<()> {
        let trial = &self.trial;
        let exists = trial.exists();
        ensure!(end != End::Done || !exists, "deleted, and the container exists");
        let state = trial.call().arguments(["state", &trial.id]).run(b"")?;
        ensure!(state.succeeded() == exists, "of a container that exists = {exists}: {state}");
        if exists {
            trial.call().arguments(["kill", &trial.id, "KILL"]).run(b"")?.require_success()?;
        }
        // A delete stops at nothing, also when it can't look after our own: the next one does.
        if end != End::Done || trial.record().exists() {
            trial.delete()?;
        }
        self.nothing_left().context("after the delete")?;
        trial.create_call(&self.bundle).run(b"")?.require_success().context("a second create").map(drop)
    }
}

impl Caller for Visitor<'_> {
    fn one(&self, fault: Option<(usize, Fault)>) -> Result<(Trace, End)> {
        if self.tried == Tried::Exec {
            fs::write(self.trial.record(), &self.record).context("write the record back")?;
        }
        let (answer, trace) = self.call().run_traced(b"", fault)?;
        let end = end_of(self.tried, &answer, &trace)?;
        if self.tried == Tried::Delete {
            self.after_delete(end)?;
            return Ok((trace, end));
        }
        let state = self.trial.call().arguments(["state", &self.trial.id]).run(b"")?;
        ensure!(state.succeeded(), "{state}");
        if self.tried == Tried::Exec {
            if end == End::Done {
                let seen = Seen::of(answer)?;
                let groups = lists(seen.identity()?, "groups");
                ensure!(groups == RIGHT, "exec has groups {groups:?}");
            }
            let names = fs::read_dir(&self.folder)?.count();
            ensure!(names == 1, "exec left {names} files beside its document instead of 1");
            self.enter()?;
        }
        Ok((trace, end))
    }

    fn close(self: Box<Self>) -> Result<()> {
        let (trial, normal) = (&self.trial, self.normal.len());
        trial.call().arguments(["kill", &trial.id, "KILL"]).run(b"")?.require_success()?;
        trial.delete()?;
        ensure!(normal > 0, "the state folder is always empty: it isn't where it is looked for");
        self.nothing_left().context("after the delete")
    }
}
