//! Door 26: a record that belongs to another container: overwritten by a second create, or met by a reused id.

use anyhow::{Context, Result, ensure};

use crate::bundle::Bundle;
use crate::trial::{Entry, Seen, Trial};

use super::{Door, Row};

pub(super) fn doors() -> Vec<Door> {
    let entries = [Entry::Exec, Entry::ExecDetached];
    vec![Door {
        number: 26,
        rows: [
            Row::new("a second create with a living id", second_create).entries(&entries),
            Row::new("an id used again", |trial| reused(trial, false)).entries(&entries),
            Row::new("an id used again behind the product", |trial| reused(trial, true)).entries(&entries),
        ]
        .map(|row| row.not_through_an_engine("containerd chooses the ids, and never one twice"))
        .into(),
    }]
}

/// A bundle whose image says nothing of 50000: there the residual grants it.
fn entitled(trial: &Trial, name: &str) -> Result<Bundle> {
    let bundle = trial.bundle_in(&trial.dir.join(name))?;
    bundle.file("etc/group", "root:x:0:\nalice:x:1000:\n")?;
    Ok(bundle)
}

/// The runtime refuses the second container; its wider record must not stay for the first.
fn second_create(trial: &Trial) -> Result<Seen> {
    let bundle = trial.bundle()?;
    if let Some(refused) = trial.launch(&bundle)? {
        return Ok(Seen::Refused(refused));
    }
    let second = trial.launch(&entitled(trial, "second")?)?;
    let refused = second.context("a second container with a living id was made")?;
    ensure!(!refused.stderr().is_empty(), "nobody said that the id is in use: {refused}");
    trial.exec(&bundle.spec["process"])
}

/// The first container is deleted by the bare runtime, so that its record stays; the second has the same id.
fn reused(trial: &Trial, behind: bool) -> Result<Seen> {
    if let Some(refused) = trial.launch(&entitled(trial, "first")?)? {
        return Ok(Seen::Refused(refused));
    }
    let bare = trial.behind_the_product();
    bare.call().arguments(["delete", "--force", &trial.id]).run(b"")?.require_success()?;
    let bundle = trial.bundle()?;
    let launched = if behind { bare.launch(&bundle)? } else { trial.launch(&bundle)? };
    if let Some(refused) = launched {
        return Ok(Seen::Refused(refused));
    }
    trial.exec(&bundle.spec["process"])
}
