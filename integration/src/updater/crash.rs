//! kill -9 in the middle: strace sends it at the n-th write(2), for every n until the program comes to its end. After
//! `recover` everything is as it was, or as asked.

use anyhow::{Result, bail, ensure};

use crate::case::Outcome;
use crate::lab::Lab;
use crate::runtime::{Kind, Runtime, find_program};

use super::passed;
use super::pod::{Limits, MIB, Pod};

/// More writes than any of these changes makes.
const MOST: u32 = 60;

pub(super) fn killed(lab: &Lab, runtime: &Runtime, mode: &str) -> Result<Outcome> {
    if find_program("strace").is_err() {
        return Ok(Outcome::Skipped("strace isn't installed, which sends the signal".to_owned()));
    }
    let pod = Pod::make(lab, runtime, 1)?;
    let before = pod.limits(0)?;
    let after = Limits { memory: 128 * MIB, quota: 30_000, shares: 256, pids: 55 };
    let words = [
        "--memory-limit",
        "128Mi",
        "--cpu-limit",
        "300m",
        "--cpu-request",
        "250m",
        "--pids-limit",
        "55",
        "--mode",
        mode,
    ];
    let (mut between, mut old, mut new) = (0, 0, 0);
    for n in 1..MOST {
        let inject = format!("inject=write:signal=KILL:when={n}");
        let strace = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=write", "-e", &inject];
        let answer = pod.wrapped(&strace, 0, &words)?;
        if answer.succeeded() {
            ensure!(pod.limits(0)? == after, "{:?} instead of {after:?}", pod.limits(0)?);
            ensure!(between > 0, "no kill hit the middle, so that nothing was shown");
            pod.finish()?;
            return passed(format!(
                "killed at {} writes: {between} in the middle; {old} old, {new} new",
                n - 1
            ));
        }
        ensure!(answer.code.is_none() || answer.code == Some(137), "{answer}");
        let found = pod.limits(0)?;
        between += u32::from(found != before);
        pod.updater(&["recover"])?.require_success()?;
        let now = pod.limits(0)?;
        match () {
            () if now == before => old += 1,
            () if now == after => new += 1,
            () => bail!("killed at write {n}: {now:?} is neither {before:?} nor {after:?}"),
        }
        if runtime.kind == Kind::Runc && mode == "runtime" {
            ensure!(
                pod.stated(0)? == now,
                "killed at write {n}: the state says {:?}, the kernel {now:?}",
                pod.stated(0)?
            );
        }
        if now == after {
            let back = [
                "--memory-limit",
                "256Mi",
                "--cpu-limit",
                "500m",
                "--cpu-request",
                "500m",
                "--pids-limit",
                "100",
                "--mode",
                mode,
            ];
            pod.set(0, &back, &[])?.require_success()?;
        }
    }
    bail!("it still writes at {MOST}")
}
