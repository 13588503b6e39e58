//! Configurations and runtimes that are broken: create is refused, and what must never fail doesn't.

use std::fs;

use anyhow::{Context, Result, bail, ensure};

use crate::doors::{lists, refusal};
use crate::trial::{Seen, Trial};

use super::Input;
use super::documents::told;

pub(super) fn inputs() -> Vec<Input> {
    let broken = |name: &str, text: &'static str, word: &'static str| {
        Input::new(name, move |trial| create_refused(trial, text, word))
    };
    vec![
        broken(
            "configuration: the runtime isn't there",
            "runtime = \"/nonexistent/runc\"\n",
            "/nonexistent/runc",
        ),
        broken("configuration: the runtime is a folder", "runtime = \"/tmp\"\n", "/tmp"),
        broken("configuration: the runtime can't be executed", "runtime = \"/etc/passwd\"\n", "/etc/passwd"),
        broken("configuration: an unknown key", "runtime = \"runc\"\nlevle = \"sealed\"\n", "levle"),
        broken("configuration: an unknown level", "level = \"tight\"\n", "tight"),
        broken("configuration: no TOML", "runtime = = 1\n", "config.toml"),
        broken("configuration: a gid that is none", "[[namespace]]\nallow = [\"x\"]\n", "x"),
        Input::new("configuration: the runtime is runc-strict itself", itself),
        Input::new("configuration: broken after create", pass_through),
        Input::new("the audit log can't be written", audit),
        Input::new("explain: names with terminal escapes", explain),
    ]
}

fn write(trial: &Trial, text: &str) -> Result<()> {
    fs::write(trial.dir.join("config.toml"), text).context("write the configuration")
}

fn create_refused(trial: &Trial, text: &str, word: &str) -> Result<String> {
    let bundle = trial.bundle()?;
    bundle.write()?;
    write(trial, text)?;
    let answer = trial.attempt(trial.create_call(&bundle))?;
    refusal(trial, &answer, &[word.to_owned()])?;
    Ok(told(trial, &answer))
}

fn itself(trial: &Trial) -> Result<String> {
    let product = trial.lab.product.as_ref().context("no product is under trial")?;
    let bundle = trial.bundle()?;
    bundle.write()?;
    write(trial, &format!("runtime = \"{}\"\n", product.display()))?;
    let answer = trial.attempt(trial.create_call(&bundle))?;
    refusal(trial, &answer, &["runtime".to_owned()])?;
    Ok(told(trial, &answer))
}

/// A key that nobody knows stops create, and neither state nor kill nor delete.
fn pass_through(trial: &Trial) -> Result<String> {
    if let Some(refused) = trial.launch(&trial.bundle()?)? {
        bail!("{refused}");
    }
    write(trial, &format!("runtime = \"{}\"\nnonsense = 1\n[broken\n", trial.runtime.path.display()))?;
    let state = trial.call().arguments(["state", &trial.id]).run(b"")?.require_success()?;
    ensure!(state.stdout().contains(&trial.id), "state says nothing of the container: {state}");
    ensure!(state.stderr().is_empty(), "state complains: {state}");
    trial.call().arguments(["kill", &trial.id, "KILL"]).run(b"")?.require_success()?;
    trial.delete()?;
    Ok("state, kill and delete work".to_owned())
}

/// A log that can't be written is told once by create, and no reason to stop the container.
fn audit(trial: &Trial) -> Result<String> {
    let text = format!(
        "runtime = \"{}\"\n[audit]\npath = \"/proc/nowhere/audit.log\"\n",
        trial.runtime.path.display()
    );
    write(trial, &text)?;
    let bundle = trial.bundle()?;
    bundle.write()?;
    let created = trial.attempt(trial.create_call(&bundle))?.require_success()?;
    let stderr = created.stderr();
    ensure!(stderr.matches("/proc/nowhere/audit.log").count() == 1, "not told once: {created}");
    trial.delete()?;
    if let Some(refused) = trial.launch(&bundle)? {
        bail!("{refused}");
    }
    let seen = trial.exec(&bundle.process(&["/probe", "status"]))?;
    if let Seen::Refused(answer) = &seen {
        bail!("{answer}");
    }
    ensure!(lists(seen.identity()?, "groups") == [1000, 5000], "exec has other groups");
    Ok("the container starts, create tells it once".to_owned())
}

fn explain(trial: &Trial) -> Result<String> {
    let bundle = trial.bundle()?;
    bundle.file("etc/group", "alice:x:1000:\nred\u{1b}[31m\u{7}:x:50000:alice\n")?;
    bundle.write()?;
    let answer = trial.empty_call().argument("explain").argument(&bundle.dir).run(b"")?.require_success()?;
    let stdout = answer.stdout();
    ensure!(stdout.contains("50000"), "explain says nothing of 50000: {answer}");
    ensure!(!stdout.contains(['\u{1b}', '\u{7}']), "explain prints control characters");
    Ok("escaped".to_owned())
}
