//! Bundles and files that are none.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::doors::refusal;
use crate::trial::Trial;

use super::Input;
use super::documents::told;

pub(super) fn inputs() -> Vec<Input> {
    let config = |name: &str, make: fn(&Path) -> Result<()>| {
        Input::new(name, move |trial| {
            let bundle = trial.bundle()?;
            make(&bundle.dir.join("config.json"))?;
            let answer = trial.attempt(trial.create_call(&bundle))?;
            refusal(trial, &answer, &["config.json".to_owned()])?;
            Ok(told(trial, &answer))
        })
    };
    vec![
        config("no config.json", |_| Ok(())),
        config("config.json is a fifo", |path| {
            mkfifo(path, Mode::from_bits_truncate(0o600)).context("make a fifo")
        }),
        config("config.json is a folder", |path| fs::create_dir(path).context("make a folder")),
        config("config.json links to nothing", |path| symlink("/nonexistent", path).context("make a link")),
        config("config.json links to itself", |path| symlink("config.json", path).context("make a link")),
        Input::new("config.json has 200 MB", large),
        Input::new("the bundle doesn't exist", |trial| other_bundle(trial, "nowhere")),
        Input::new("the bundle is a file", |trial| {
            fs::write(trial.dir.join("plain"), "")?;
            other_bundle(trial, "plain")
        }),
        Input::new("the bundle's name has an escape", |trial| {
            let told = other_bundle(trial, "a\u{1b}[31mb")?;
            anyhow::ensure!(!told.contains('\u{1b}'), "the escape is printed as it is");
            Ok(told)
        }),
    ]
}

/// A document that is right, but for 200 MB of blanks behind it.
fn large(trial: &Trial) -> Result<String> {
    let bundle = trial.bundle()?;
    let mut text = bundle.spec.to_string();
    text.push_str(&" ".repeat(200_000_000));
    bundle.write_text(&text)?;
    let answer = trial.attempt(trial.create_call(&bundle))?;
    refusal(trial, &answer, &["config.json".to_owned()])?;
    Ok(told(trial, &answer))
}

fn other_bundle(trial: &Trial, name: &str) -> Result<String> {
    let mut bundle = trial.bundle()?;
    bundle.dir = trial.dir.join(name);
    let answer = trial.attempt(trial.create_call(&bundle))?;
    refusal(trial, &answer, &[])?;
    Ok(told(trial, &answer))
}
