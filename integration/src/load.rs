//! 200 containers made, entered and deleted by 8 callers at once. Each declares a group of its own, so a record or
//! a document that reaches the wrong container shows as a wrong group. Afterwards nothing may be left.

use std::collections::VecDeque;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::bundle::IMAGE;
use crate::case::{Case, Outcome, Suite};
use crate::cgroup;
use crate::doors::lists;
use crate::lab::Lab;
use crate::room::records;
use crate::runtime::Runtime;
use crate::trial::{Entry, Front, Trial};

/// `suites run load`.
pub(crate) const SUITE: Suite<Lab> = Suite {
    name: "load",
    about: "200 containers by 8 parallel callers: no wrong group, nothing left over",
    headings: &["containers", "callers", "runtime", "by", "result"],
    cases,
};

const CONTAINERS: u32 = 200;
const CALLERS: usize = 8;

fn cases(lab: &Lab) -> Vec<Case<Lab>> {
    let (front, name) =
        if lab.product.is_some() { (Front::Product, "runc-strict") } else { (Front::Bare, "bare") };
    let cells = |title: String| vec![CONTAINERS.to_string(), CALLERS.to_string(), title, name.to_owned()];
    let missing = lab.missing.iter().map(|(kind, reason)| {
        let reason = reason.clone();
        Case::new(cells(kind.name().to_owned()), move |_| Outcome::Skipped(reason.clone()))
    });
    let runs = lab
        .runtimes
        .clone()
        .into_iter()
        .map(|runtime| Case::new(cells(runtime.title()), move |lab| run(lab, &runtime, front)));
    missing.chain(runs).collect()
}

fn run(lab: &Lab, runtime: &Runtime, front: Front) -> Result<Outcome> {
    let began = Instant::now();
    let queue: Mutex<VecDeque<u32>> = Mutex::new((0..CONTAINERS).collect());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let caller = || -> Result<()> {
        while let Some(number) = next() {
            one(lab, runtime, front, number).with_context(|| format!("container {number}"))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(caller)).collect();
        for caller in callers {
            caller.join().unwrap_or_else(|_| bail!("a caller panicked"))?;
        }
        anyhow::Ok(())
    })?;
    nothing_left(lab, runtime)?;
    let seconds = began.elapsed().as_secs_f64();
    Ok(Outcome::Passed(vec![format!("every group right, nothing left, {seconds:.1} s")]))
}

/// The life of one container.
fn one(lab: &Lab, runtime: &Runtime, front: Front, number: u32) -> Result<()> {
    let own = 10_000 + number;
    let expected = match front {
        Front::Bare => vec![1000, own, IMAGE],
        Front::Product => vec![1000, own],
    };
    let trial = Trial::new(lab, runtime, front, Entry::Exec)?;
    let mut bundle = trial.bundle()?;
    bundle.user(1000, 1000, &[1000, own, IMAGE]);
    if let Some(refused) = trial.launch(&bundle)? {
        bail!("{refused}");
    }
    let init = trial.init_groups()?;
    ensure!(init == expected, "the first process has groups {init:?} instead of {expected:?}");
    let seen = trial.exec(&bundle.process(&["/probe", "status"]))?;
    let groups = lists(seen.identity()?, "groups");
    ensure!(groups == expected, "exec has groups {groups:?} instead of {expected:?}");
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
