//! Limits that stay, on real containers: the runtime under trial is updated as an engine would, through the product, and
//! the kernel's own files tell what came of it.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::case::Outcome;
use crate::lab::Lab;
use crate::runtime::Runtime;

use super::passed;
use super::pod::{MIB, Pod};

/// The engine's whole stored set, as the container was created; with a cpuset, or something else.
fn stored(more: impl FnOnce(&mut Value)) -> String {
    let mut set = json!({"memory": {"limit": 256 * MIB}, "cpu": {"shares": 512, "quota": 50_000, "period": 100_000},
        "pids": {"limit": 100}});
    more(&mut set);
    set.to_string()
}

fn pinned() -> String {
    stored(|set| set["cpu"]["cpus"] = json!("0"))
}

fn memory(pod: &Pod<'_>) -> Result<u64> {
    Ok(pod.limits(0)?.memory / MIB)
}

pub(super) fn kept(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime, 1)?;
    for mode in ["runtime", "direct"] {
        let words = ["--memory-limit", "400Mi", "--cpu-limit", "700m", "--mode", mode];
        pod.set(0, &words, &[])?.require_success()?;
        let now = pod.limits(0)?;
        ensure!((now.memory / MIB, now.quota) == (400, 70_000), "{now:?}");
        let file = pod.file("resources.json", &pinned())?;
        let stdin = pinned();
        for (words, stdin) in [
            (&["--resources", "-"][..], stdin.as_str()),
            (&["--resources=-"], &stdin),
            (&["-r", &file], ""),
            (&["--cpuset-cpus", "0"], ""),
            (&["--memory", "268435456", "--cpuset-cpus", "0"], ""),
        ] {
            pod.update(0, words, stdin)?.require_success()?;
            ensure!(pod.limits(0)? == now, "update {words:?} left {:?} of {now:?}", pod.limits(0)?);
        }
        ensure!(pod.keeps(0)?, "it isn't kept any more");
        let set = stored(|set| set["memory"]["limit"] = json!(300 * MIB));
        pod.update(0, &["--resources", "-"], &set)?.require_success()?;
        let then = pod.limits(0)?;
        ensure!((then.memory / MIB, then.quota) == (300, 70_000), "the engine's 300 MiB became {then:?}");
        let audit = pod.audit()?;
        ensure!(audit.contains("memory.limit 400Mi; the engine sets 300Mi"), "no audit line: {audit}");
        // back to where it began
        pod.updater(&["unset", "--container", pod.id(0)])?.require_success()?;
        pod.update(0, &["--resources", "-"], &stored(|_| ()))?.require_success()?;
        ensure!(memory(&pod)? == 256 && !pod.keeps(0)?, "{:?}", pod.limits(0)?);
    }
    pod.finish()?;
    passed("five ways to update, 400 MiB stay; the engine's 300 win")
}

pub(super) fn once(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime, 1)?;
    pod.set(0, &["--memory-limit", "400Mi"], &["--once"])?.require_success()?;
    ensure!(memory(&pod)? == 400 && !pod.keeps(0)?, "{:?}", pod.limits(0)?);
    pod.update(0, &["--resources", "-"], &pinned())?.require_success()?;
    ensure!(memory(&pod)? == 256, "--once outlasted an update: {} MiB", memory(&pod)?);

    pod.forget(0)?;
    let refused = pod.set(0, &["--memory-limit", "400Mi"], &["--sticky"])?;
    ensure!(refused.code == Some(7) && refused.stderr().contains("use --once"), "{refused}");
    ensure!(memory(&pod)? == 256, "a refusal changed something");
    let told = pod.set(0, &["--memory-limit", "400Mi"], &[])?.require_success()?;
    ensure!(told.stdout().contains("(--once)"), "{told}");
    pod.finish()?;
    passed("256 MiB after the update; --sticky exit 7")
}

pub(super) fn dropped(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime, 1)?;
    let before = pod.limits(0)?;
    let set = |words: &[&str]| -> Result<String> {
        let done = pod.set(0, words, &["--json"])?.require_success()?;
        Ok(done.report()?["transaction"].as_str().context("no transaction")?.to_owned())
    };
    let first = set(&["--memory-limit", "400Mi"])?;
    let second = set(&["--memory-limit", "300Mi", "--pids-limit", "77"])?;
    pod.updater(&["rollback", &second])?.require_success()?;
    pod.update(0, &["--resources", "-"], &pinned())?.require_success()?;
    let now = pod.limits(0)?;
    ensure!((now.memory / MIB, now.pids) == (400, 100), "after the rollback the engine got {now:?}");
    pod.updater(&["rollback", &first])?.require_success()?;
    ensure!(!pod.keeps(0)?, "a rollback left the override");
    let undone =
        |line: &str| line.contains("cgroup-updater rollback") && line.contains("\"ended\":[\"memory.limit\"");
    ensure!(pod.audit()?.lines().any(undone), "no audit line of the rollback: {}", pod.audit()?);
    pod.update(0, &["--resources", "-"], &pinned())?.require_success()?;
    ensure!(pod.limits(0)? == before, "{:?} instead of {before:?}", pod.limits(0)?);

    set(&["--memory-limit", "400Mi", "--pids-limit", "77"])?;
    let history = pod.updater(&["history"])?.require_success()?;
    ensure!(
        history.stdout().contains("Kept against the engine: container")
            && history.stdout().contains("memory.limit 400Mi"),
        "{history}"
    );
    let absent = pod.updater(&["unset", "--container", pod.id(0), "cpu.quota"])?;
    ensure!(absent.code == Some(6), "{absent}");
    let wrong = pod.updater(&["unset", "--container", pod.id(0), "memory"])?;
    ensure!(wrong.code == Some(2), "{wrong}");
    pod.updater(&["unset", "--container", pod.id(0), "--keep", "pids.limit"])?.require_success()?;
    ensure!(pod.limits(0)?.pids == 77, "--keep changed the limit");
    let unset = pod.updater(&["unset", "--container", pod.id(0), "--json"])?.require_success()?;
    let name = unset.report()?["transaction"].as_str().context("no transaction")?.to_owned();
    ensure!(memory(&pod)? == 256 && !pod.keeps(0)?, "unset left {:?}", pod.limits(0)?);
    pod.updater(&["rollback", &name])?.require_success()?;
    ensure!(memory(&pod)? == 400 && pod.keeps(0)?, "the rollback of an unset left {:?}", pod.limits(0)?);
    let again = pod.updater(&["unset", "--container", pod.id(0)])?.require_success()?;
    ensure!(memory(&pod)? == 256, "{again}");
    let nothing = pod.updater(&["unset", "--container", pod.id(0)])?.require_success()?;
    ensure!(nothing.stdout().contains("has no override"), "{nothing}");
    pod.finish()?;
    passed("limits and overrides go together")
}

pub(super) fn damaged(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime, 1)?;
    pod.set(0, &["--memory-limit", "400Mi"], &[])?.require_success()?;
    let file = pod.override_file(0)?;
    fs::write(&file, "{").context("damage the file")?;
    pod.update(0, &["--resources", "-"], &pinned())?.require_success()?;
    ensure!(memory(&pod)? == 256, "the engine's update set {} MiB", memory(&pod)?);
    ensure!(pod.audit()?.contains("is damaged"), "no audit line: {}", pod.audit()?);
    // the next change makes it anew
    pod.set(0, &["--memory-limit", "300Mi"], &[])?.require_success()?;
    pod.update(0, &["--resources", "-"], &pinned())?.require_success()?;
    ensure!(memory(&pod)? == 300, "{} MiB", memory(&pod)?);
    pod.finish()?;
    passed("256 MiB as the engine says, and told")
}
