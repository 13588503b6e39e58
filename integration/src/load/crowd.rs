//! Many containers at once. Each declares a group of its own, so a record or a document that reaches the wrong container
//! shows as a wrong group. Afterwards nothing may be left.

use std::collections::VecDeque;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::bundle::IMAGE;
use crate::case::Outcome;
use crate::cgroup;
use crate::doors::lists;
use crate::lab::Lab;
use crate::room::records;
use crate::runtime::Runtime;
use crate::trial::{Entry, Front, Trial};

/// How many, by how many callers, and what becomes of each.
#[derive(Clone, Copy)]
pub(super) struct Crowd {
    pub(super) containers: u32,
    pub(super) callers: usize,
    /// Whether each is started and entered too, or only made and deleted.
    pub(super) entered: bool,
}

pub(super) fn run(lab: &Lab, runtime: &Runtime, front: Front, crowd: Crowd) -> Result<Outcome> {
    let began = Instant::now();
    let queue: Mutex<VecDeque<u32>> = Mutex::new((0..crowd.containers).collect());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let caller = || -> Result<()> {
        while let Some(number) = next() {
            one(lab, runtime, front, number, crowd.entered).with_context(|| format!("container {number}"))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..crowd.callers).map(|_| scope.spawn(caller)).collect();
        for caller in callers {
            caller.join().unwrap_or_else(|_| bail!("a caller panicked"))?;
        }
        anyhow::Ok(())
    })?;
    nothing_left(lab, runtime)?;
    let seconds = began.elapsed().as_secs_f64();
    let rate = f64::from(crowd.containers) / seconds;
    let told = format!("every group right, nothing left, {seconds:.1} s, {rate:.0} a second");
    Ok(Outcome::Passed(vec![told]))
}

/// The life of one container.
fn one(lab: &Lab, runtime: &Runtime, front: Front, number: u32, entered: bool) -> Result<()> {
    let own = 10_000 + number;
    let expected = match front {
        Front::Bare => vec![1000, own, IMAGE],
        Front::Product => vec![1000, own],
    };
    let trial = Trial::new(lab, runtime, front, Entry::Exec)?;
    let mut bundle = trial.bundle()?;
    bundle.user(1000, 1000, &[1000, own, IMAGE]);
    if entered {
        if let Some(refused) = trial.launch(&bundle)? {
            bail!("{refused}");
        }
        let init = trial.init_groups()?;
        ensure!(init == expected, "the first process has groups {init:?} instead of {expected:?}");
        let seen = trial.exec(&bundle.process(&["/probe", "status"]))?;
        let groups = lists(seen.identity()?, "groups");
        ensure!(groups == expected, "exec has groups {groups:?} instead of {expected:?}");
    } else {
        bundle.write()?;
        trial.create_call(&bundle).run(b"")?.require_success()?;
        let document: Value = serde_json::from_slice(&fs::read(bundle.dir.join("config.json"))?)?;
        let groups = lists(&document["process"]["user"], "additionalGids");
        ensure!(groups == expected, "the document has groups {groups:?} instead of {expected:?}");
    }
    let names: Vec<_> = fs::read_dir(&bundle.dir)?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(names.len() == 2, "the bundle holds {names:?} instead of config.json and rootfs");
    trial.finish()
}

fn nothing_left(lab: &Lab, runtime: &Runtime) -> Result<()> {
    let root = lab.room.root(runtime.kind);
    let folders = [
        ("containers of the runtime", root.clone()),
        ("records", records(&root)),
        ("trials", lab.room.dir.join("trials")),
    ];
    for (what, folder) in folders {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with('.'))
            .collect();
        ensure!(names.is_empty(), "{what} left in {}: {}", folder.display(), names.join(", "));
    }
    let processes = cgroup::processes();
    ensure!(processes.is_empty(), "processes left: {processes:?}");
    let children = lab.room.children();
    ensure!(children.is_empty(), "runtimes still run: {children:?}");
    Ok(())
}
