//! Large documents: of annotations, and of groups up to the kernel's limit and one beyond.

use std::time::Instant;

use anyhow::{Result, bail, ensure};

use super::passed;
use crate::case::Outcome;
use crate::doors::{lists, refusal};
use crate::lab::Lab;
use crate::runtime::Runtime;
use crate::trial::{Entry, Front, Trial};

/// NGROUPS_MAX of include/uapi/linux/limits.h.
const MOST: u32 = 65_536;

pub(super) fn annotations(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let trial = Trial::new(lab, runtime, Front::Product, Entry::Exec)?;
    let mut bundle = trial.bundle()?;
    for n in 0..1024 {
        bundle.annotation(&format!("example.org/{n}"), &"x".repeat(1000));
    }
    let size = bundle.spec.to_string().len();
    let began = Instant::now();
    launch_and_enter(&trial, &bundle, &[1000, 5000])?;
    let took = began.elapsed().as_millis();
    trial.finish()?;
    passed(format!("{size} bytes, the groups are right; create, start and exec {took} ms"))
}

pub(super) fn groups(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let trial = Trial::new(lab, runtime, Front::Product, Entry::Exec)?;
    let mut bundle = trial.bundle()?;
    // None of them is named by the image's etc/group; the primary group is one of the list.
    let mut merged: Vec<u32> = std::iter::once(1000).chain(100_000..).take(MOST as usize).collect();
    bundle.user(1000, 1000, &merged);
    let began = Instant::now();
    launch_and_enter(&trial, &bundle, &merged)?;
    let took = began.elapsed().as_millis();
    trial.delete()?;
    merged.push(90_000);
    bundle.user(1000, 1000, &merged);
    bundle.write()?;
    let answer = trial.attempt(trial.create_call(&bundle))?;
    refusal(&trial, &answer, &[MOST.to_string()])?;
    let stderr = answer.stderr();
    passed(format!("{MOST} run, create, start and exec {took} ms; one more: {}", stderr.trim_end()))
}

fn launch_and_enter(trial: &Trial<'_>, bundle: &crate::bundle::Bundle, expected: &[u32]) -> Result<()> {
    if let Some(refused) = trial.launch(bundle)? {
        bail!("{refused}");
    }
    let init = trial.init_groups()?;
    ensure!(init == expected, "the first process has {} groups, not the {}", init.len(), expected.len());
    let seen = trial.exec(&bundle.process(&["/probe", "status"]))?;
    let groups = lists(seen.identity()?, "groups");
    ensure!(groups == expected, "exec has {} groups, not the {}", groups.len(), expected.len());
    Ok(())
}
