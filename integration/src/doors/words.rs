//! Door 19: command lines that mean something else to the runtime than to a wrapper that guesses. What the product
//! understands it hands on in one canonical form, so there a spelling works even where the runtime doesn't know it.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::bundle::Bundle;
use crate::runtime::Kind;
use crate::trial::{Entry, Seen, Trial};

use super::{Closed, Door, Hole, Row};

pub(super) fn doors() -> Vec<Door> {
    let refused = |word: &str| Closed::refused(&[word]);
    vec![Door {
        number: 19,
        rows: [
            Row::new("no --bundle: the working folder", |trial| from_bundle(trial, |_| vec![])),
            Row::new("an empty --bundle: the working folder", |trial| {
                from_bundle(trial, |_| vec!["--bundle".into(), "".into()])
            })
            .hole(Hole::On(&[Kind::Runc]), Closed::groups(&[1000, 5000])),
            Row::new("-b DIR", |trial| flags(trial, |bundle| vec!["-b".into(), path(bundle)])),
            Row::new("--bundle=DIR", |trial| flags(trial, |bundle| vec![joined("--bundle=", bundle)])),
            Row::new("-bundle DIR", |trial| flags(trial, |bundle| vec!["-bundle".into(), path(bundle)]))
                .hole(Hole::On(&[Kind::Runc]), Closed::groups(&[1000, 5000])),
            Row::new("-b=DIR", |trial| flags(trial, |bundle| vec![joined("-b=", bundle)]))
                .hole(Hole::On(&[Kind::Runc, Kind::Youki]), Closed::groups(&[1000, 5000])),
            Row::new("-bDIR", |trial| flags(trial, |bundle| vec![joined("-b", bundle)]))
                .hole(Hole::On(&[Kind::Crun, Kind::Youki]), refused("-b"))
                .closed(refused("-b")),
            Row::new("--bund DIR", |trial| flags(trial, |bundle| vec!["--bund".into(), path(bundle)]))
                .hole(Hole::On(&[Kind::Crun]), refused("--bund"))
                .closed(refused("--bund")),
            Row::new("a second --bundle", second_bundle)
                .hole(Hole::On(&[Kind::Runc, Kind::Crun]), refused("--bundle"))
                .closed(refused("--bundle")),
            Row::new("--config FILE", |trial| other_config(trial, "--config"))
                .hole(Hole::On(&[Kind::Crun]), refused("--config"))
                .closed(refused("--config")),
            Row::new("-f FILE", |trial| other_config(trial, "-f"))
                .hole(Hole::On(&[Kind::Crun]), refused("-f"))
                .closed(refused("-f")),
            Row::new("--bundle after the id", after_id)
                .hole(Hole::On(&[Kind::Runc, Kind::Youki]), Closed::groups(&[1000, 5000])),
            Row::new("-root DIR", |trial| global(trial, "-root"))
                .hole(Hole::On(&[Kind::Runc]), Closed::groups(&[1000, 5000])),
            Row::new("--roo DIR", |trial| global(trial, "--roo"))
                .hole(Hole::On(&[Kind::Crun]), refused("--roo"))
                .closed(refused("--roo")),
        ]
        .map(|row| row.not_through_an_engine("containerd's shim writes the command line"))
        .into(),
    }]
}

fn path(bundle: &Bundle) -> OsString {
    bundle.dir.clone().into_os_string()
}

fn joined(flag: &str, bundle: &Bundle) -> OsString {
    let mut word = OsString::from(flag);
    word.push(&bundle.dir);
    word
}

fn command(trial: &Trial) -> &'static [&'static str] {
    match trial.entry {
        Entry::Run => &["run"],
        Entry::RunDetached => &["run", "--detach"],
        _ => &["create"],
    }
}

fn pid_file(trial: &Trial) -> OsString {
    trial.dir.join("init.pid").into_os_string()
}

/// The standard bundle, named by these flags, from a folder that is no bundle.
fn flags(trial: &Trial, flags: impl Fn(&Bundle) -> Vec<OsString>) -> Result<Seen> {
    let bundle = trial.bundle()?;
    bundle.write()?;
    let call = trial.call().arguments(command(trial)).arguments(flags(&bundle));
    trial.enter_by(call.argument("--pid-file").argument(pid_file(trial)).argument(&trial.id))
}

/// The same from within the bundle.
fn from_bundle(trial: &Trial, flags: impl Fn(&Bundle) -> Vec<OsString>) -> Result<Seen> {
    let bundle = trial.bundle()?;
    bundle.write()?;
    let call = trial.call().cwd(&bundle.dir).arguments(command(trial)).arguments(flags(&bundle));
    trial.enter_by(call.argument("--pid-file").argument(pid_file(trial)).argument(&trial.id))
}

fn after_id(trial: &Trial) -> Result<Seen> {
    let bundle = trial.bundle()?;
    bundle.write()?;
    let call = trial.call().arguments(command(trial)).argument("--pid-file").argument(pid_file(trial));
    trial.enter_by(call.argument(&trial.id).argument("--bundle").argument(&bundle.dir))
}

/// A harmless bundle that a wrapper may read, then the one that the runtime takes.
fn second_bundle(trial: &Trial) -> Result<Seen> {
    let mut harmless = trial.bundle_in(&trial.dir.join("harmless"))?;
    harmless.user(1000, 1000, &[1000, 5000]);
    harmless.write()?;
    flags(trial, |bundle| vec!["--bundle".into(), path(&harmless), "--bundle".into(), path(bundle)])
}

/// A harmless config.json, and another file beside it that crun is told to take.
fn other_config(trial: &Trial, flag: &str) -> Result<Seen> {
    let mut bundle = trial.bundle()?;
    let other = bundle.dir.join("other.json");
    std::fs::write(&other, bundle.spec.to_string()).context("write the other document")?;
    bundle.user(1000, 1000, &[1000, 5000]);
    bundle.write()?;
    let call = trial.call().arguments(command(trial)).argument(flag).argument(other);
    let call =
        call.argument("--bundle").argument(&bundle.dir).argument("--pid-file").argument(pid_file(trial));
    trial.enter_by(call.argument(&trial.id))
}

/// The runtime's root by a flag that only one of the grammars has.
fn global(trial: &Trial, flag: &str) -> Result<Seen> {
    let bundle = trial.bundle()?;
    bundle.write()?;
    let call = trial.empty_call().argument(flag).argument(trial.root()).arguments(command(trial));
    let call =
        call.argument("--bundle").argument(&bundle.dir).argument("--pid-file").argument(pid_file(trial));
    trial.enter_by(call.argument(&trial.id))
}
