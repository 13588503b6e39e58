//! kill -9 in the middle: strace sends it at the n-th write or rename, for every n until the program comes to its end. After
//! `recover` everything is as it was, or as asked.

use anyhow::{Result, bail, ensure};

use crate::case::Outcome;
use crate::lab::Lab;
use crate::runtime::{Kind, Runtime, find_program};

use super::passed;
use super::pod::{Limits, MIB, Pod};

/// More of them than any of these changes makes.
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
    let (mut between, mut old, mut new, mut kills) = (0, 0, 0, 0);
    // the journal is written, the override file is renamed into its place
    for call in ["write", "rename"] {
        for n in 1.. {
            ensure!(n < MOST, "it still makes {call} number {MOST}");
            let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=KILL:when={n}"));
            let strace = ["strace", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            let answer = pod.wrapped(&strace, 0, &words)?;
            if answer.succeeded() {
                ensure!(pod.limits(0)? == after, "{:?} instead of {after:?}", pod.limits(0)?);
                ensure!(pod.keeps(0)?, "it is done, and not kept");
                go_back(&pod, mode)?;
                break;
            }
            kills += 1;
            ensure!(answer.code.is_none() || answer.code == Some(137), "{answer}");
            let found = pod.limits(0)?;
            between += u32::from(found != before);
            pod.updater(&["recover"])?.require_success()?;
            let now = pod.limits(0)?;
            match () {
                () if now == before => old += 1,
                () if now == after => new += 1,
                () => bail!("killed at {call} {n}: {now:?} is neither {before:?} nor {after:?}"),
            }
            ensure!(
                pod.keeps(0)? == (now == after),
                "killed at {call} {n}: the limits are {now:?}, and the override isn't of them"
            );
            if runtime.kind == Kind::Runc && mode == "runtime" {
                ensure!(
                    pod.stated(0)? == now,
                    "killed at {call} {n}: the state says {:?}, the kernel {now:?}",
                    pod.stated(0)?
                );
            }
            if now == after {
                go_back(&pod, mode)?;
            }
        }
    }
    ensure!(between > 0, "no kill hit the middle, so that nothing was shown");
    pod.finish()?;
    passed(format!("killed at {kills} writes: {between} in the middle; {old} old, {new} new"))
}

/// The limits that the container began with, and no override.
fn go_back(pod: &Pod<'_>, mode: &str) -> Result<()> {
    let limits = ["--memory-limit", "256Mi", "--cpu-limit", "500m", "--cpu-request", "500m"];
    let limits = [&limits[..], &["--pids-limit", "100", "--mode", mode]].concat();
    pod.set(0, &limits, &["--once"])?.require_success()?;
    pod.updater(&["unset", "--container", pod.id(0), "--keep"])?.require_success().map(drop)
}
