//! Limits that stay where systemd owns the cgroups: against an engine's update, and against a reload after it.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::case::Outcome;
use crate::lab::Lab;
use crate::runtime::Runtime;
use crate::updater::{calls, passed};

use super::pod::{MIB, Pod};

/// The engine's whole stored set, as the container was created, with a cpuset.
fn pinned() -> Value {
    json!({"memory": {"limit": 256 * MIB, "swap": 256 * MIB},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0"}, "pids": {"limit": 100}})
}

/// The memory limit in MiB and the quota: of the two cgroups that crun makes, the tighter one holds.
fn limits(pod: &Pod<'_>) -> Result<(u64, u64)> {
    let state = pod.state()?;
    let least = |file: &str| {
        let of = |level: &str| state.get(&format!("{level} {file}"))?.split(' ').next()?.parse::<u64>().ok();
        ["scope", "inside"].into_iter().filter_map(of).min().unwrap_or(u64::MAX)
    };
    Ok((least("memory.max") / MIB, least("cpu.max")))
}

/// An engine's update, after which the limits must be these, also after reloads.
fn updated(pod: &Pod<'_>, set: &Value, wanted: (u64, u64)) -> Result<()> {
    let answer = pod.update(&["--systemd-cgroup"], &["--resources", "-"], &set.to_string())?;
    answer.require_success()?;
    let found = limits(pod)?;
    ensure!(found == wanted, "the engine's update left {found:?} instead of {wanted:?}");
    pod.disturb()?;
    let found = limits(pod)?;
    ensure!(found == wanted, "reloads after the engine's update left {found:?} instead of {wanted:?}");
    Ok(())
}

pub(super) fn kept(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime)?;
    pod.set(&["--memory-limit", "280Mi", "--cpu-limit", "550m"])?.require_success()?;
    ensure!(limits(&pod)? == (280, 55_000), "the resize set {:?}", limits(&pod)?);
    for _ in 0..2 {
        updated(&pod, &pinned(), (280, 55_000))?;
    }
    ensure!(calls::keeps(pod.trial()?)?, "it isn't kept any more");
    let mut set = pinned();
    set["memory"] = json!({"limit": 270 * MIB, "swap": 270 * MIB});
    updated(&pod, &set, (270, 55_000))?;
    pod.finish()?;
    passed("280 MiB stay; the engine's 270 win")
}

pub(super) fn damaged(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime)?;
    pod.set(&["--memory-limit", "280Mi"])?.require_success()?;
    let file = calls::override_file(pod.trial()?)?;
    fs::write(&file, "{")?;
    updated(&pod, &pinned(), (256, 50_000))?;
    pod.finish()?;
    passed("256 MiB as the engine says")
}
