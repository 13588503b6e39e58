//! `recover` on a transaction whose rollback failed: strace has the kernel refuse every write to two files of the cgroup but
//! the first, so that the change stops half way and nothing can be put back. The administrator then has the cause away.

use anyhow::{Context, Result, ensure};

use crate::case::Outcome;
use crate::lab::Lab;
use crate::runtime::{Runtime, find_program};

use super::passed;
use super::pod::{MIB, Pod, place};

/// A change that stops half way, and whose rollback fails; the transaction's name.
fn fail(pod: &Pod<'_>) -> Result<String> {
    let path = |file| place(&pod.cgroup(0), file).display().to_string();
    let (memory, quota) = (path("memory.limit_in_bytes"), path("cpu.cfs_quota_us"));
    let strace = ["strace", "-qq", "-o", "/dev/null", "-P", &memory, "-P", &quota, "-e", "trace=write"];
    let refuse = ["-e", "inject=write:error=EBUSY:when=2+"];
    let words = ["--memory-limit", "400Mi", "--cpu-limit", "700m", "--mode", "direct", "--once", "--json"];
    let answer = pod.wrapped(&[&strace[..], &refuse[..]].concat(), 0, &words)?;
    ensure!(answer.code == Some(5) && answer.stderr().contains("recover tries again"), "{answer}");
    let now = pod.limits(0)?;
    ensure!((now.memory, now.quota) == (400 * MIB, 50_000), "that should be half way: {now:?}");
    Ok(answer.report()?["transaction"].as_str().context("no transaction")?.to_owned())
}

pub(super) fn tried_again(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    if find_program("strace").is_err() {
        return Ok(Outcome::Skipped("strace isn't installed, which has the kernel refuse".to_owned()));
    }
    let pod = Pod::make(lab, runtime, 1)?;
    let before = pod.limits(0)?;
    let recover = || -> Result<String> { Ok(pod.updater(&["recover"])?.require_success()?.stdout()) };

    let name = fail(&pod)?;
    let said = recover()?;
    ensure!(said.contains(&format!("Rolled back: {name}")), "{said}");
    ensure!(pod.limits(0)? == before, "{:?} instead of {before:?}", pod.limits(0)?);
    ensure!(!recover()?.contains(&name), "it is recovered twice");

    // what somebody asked for later is left alone
    let name = fail(&pod)?;
    pod.set(0, &["--memory-limit", "300Mi", "--once"], &[])?.require_success()?;
    let said = recover()?;
    ensure!(said.contains(&format!("Passed over: {name}: transaction ")), "{said}");
    ensure!(pod.limits(0)?.memory == 300 * MIB, "a later transaction was undone: {:?}", pod.limits(0)?);
    pod.set(0, &["--memory-limit", "256Mi", "--once"], &[])?.require_success()?;

    // and so is what somebody has written past us
    let name = fail(&pod)?;
    let by_hand = super::pod::Limits { memory: 330 * MIB, ..pod.limits(0)? };
    pod.write_limits(0, &by_hand)?;
    let refused = pod.updater(&["recover"])?;
    ensure!(
        refused.code == Some(7) && refused.stderr().contains("something else has changed it"),
        "{refused}"
    );
    ensure!(pod.limits(0)? == by_hand, "a refusal changed something");
    pod.updater(&["rollback", "--force", &name])?.require_success()?;
    ensure!(pod.limits(0)? == before, "{:?} instead of {before:?}", pod.limits(0)?);
    ensure!(!recover()?.contains(&name), "what was rolled back is recovered again");
    pod.finish()?;
    passed("exit 5, then everything as it was; what came later stays")
}
