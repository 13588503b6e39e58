//! The real runtime's `update --resources -`: it gets the complete set of resources, so that its own state and, where it
//! uses systemd, the unit stay true. And what that state holds.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use super::{Failure, Runtime, Scene, Site, short};
use crate::node::{file, memory, state};
use crate::resize::convert::cpu::CpuShares;
use crate::resize::convert::weight::CpuWeight;
use crate::resize::field::{Field, Writer};
use crate::resize::knob::Knob;
use crate::resize::knobs::Knobs;
use crate::resize::plan::FieldChange;
use crate::resize::value::Value;

/// runc's state holds its whole configuration.
const LIMIT: u64 = 64 * 1024 * 1024;

/// Has the runtime set these fields, beside everything else as it is now.
///
/// # Errors
/// [`Failure::Gone`] if the container has ended, [`Failure::Runtime`] with the runtime's own words.
pub(super) fn update<'a>(
    scene: &Scene,
    site: &Site,
    now: &Knobs,
    changes: impl IntoIterator<Item = &'a FieldChange>,
) -> Result<(), Failure> {
    let Some(runtime) = &site.runtime else {
        return Err(Failure::Other("the container's runtime isn't known; use --mode direct".to_owned()));
    };
    let writer = Writer { formula: site.formula, abilities: scene.abilities, shares: None };
    let mut document = writer.document(now);
    // many shares give one weight; the runtime knows which they were
    if let Some(shares) = shares(site, now) {
        Field::CpuShares.put(&mut document, json!(shares.get()));
    }
    // crun knows no file of BFQ on version 1, and fails at a weight that it can't write
    let crun = || runtime.root.join(&runtime.id).join("status").is_file();
    if now.has(&Knob::BlkioBfqWeight) && !now.has(&Knob::BlkioWeight) && crun() {
        document.as_object_mut().and_then(|document| document.remove("blockIO"));
    }
    for change in changes {
        change.field.put(&mut document, change.new.clone());
    }
    match run(runtime, &document.to_string()) {
        Err(_) if !site.lives() => Err(Failure::Gone),
        other => other,
    }
}

/// The shares that the runtime remembers, if they give the weight that is.
fn shares(site: &Site, now: &Knobs) -> Option<CpuShares> {
    let runtime = site.runtime.as_ref()?;
    let Some(Value::Weight(weight)) = now.get(&Knob::CpuWeight) else { return None };
    let shares =
        stated(&runtime.root, &runtime.id)?.pointer("/cpu/shares")?.as_u64().map(CpuShares::clamped)?;
    (CpuWeight::from_shares(shares, site.formula) == *weight).then_some(shares)
}

fn run(runtime: &Runtime, document: &str) -> Result<(), Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::Runtime {
        program: format!("{} update", runtime.program.display()),
        said: why.to_string(),
    };
    let mut command = Command::new(&runtime.program);
    command.arg("--root").arg(&runtime.root).args(["update", "--resources", "-"]).arg(&runtime.id);
    let input = memory::input(&[document.as_bytes()]).map_err(|why| failed(&why))?;
    command.stdin(input).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = short::spawn(&mut command).map_err(|why| failed(&why))?;
    let output = child.wait_with_output().map_err(|why| failed(&why))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let words = if last.is_empty() { output.status.to_string() } else { message(last) };
    Err(failed(&words))
}

/// What a runtime's line says: its `msg` where it is one of a log.
fn message(line: &str) -> String {
    let text = line.split_once("msg=\"").map_or(line, |(_, rest)| rest.trim_end_matches('"'));
    // paths of cgroups are long: the words at the end tell most
    let from = text.char_indices().rev().nth(300).map_or(0, |(at, _)| at);
    text.get(from..).unwrap_or(text).replace("\\\"", "\"").chars().filter(|c| !c.is_control()).collect()
}

/// The resources in the state of runc, as a LinuxResources document; `None` where there is no such state. crun keeps no
/// resources.
pub fn stated(root: &Path, id: &str) -> Option<Json> {
    let path = state::folder(root, OsStr::new(id)).ok()?.join("state.json");
    let state: Json = serde_json::from_str(&file::read_text(&path, LIMIT).ok()?).ok()?;
    let cgroups = state.pointer("/config/cgroups")?;
    let mut document = json!({});
    let fields = [
        (Field::MemoryLimit, "memory"),
        (Field::MemorySwap, "memory_swap"),
        (Field::MemoryReservation, "memory_reservation"),
        (Field::CpuShares, "cpu_shares"),
        (Field::CpuQuota, "cpu_quota"),
        (Field::CpuPeriod, "cpu_period"),
        (Field::CpuBurst, "cpu_burst"),
        (Field::CpuCpus, "cpuset_cpus"),
        (Field::CpuMems, "cpuset_mems"),
        (Field::PidsLimit, "pids_limit"),
        (Field::BlockIoWeight, "blkio_weight"),
    ];
    for (field, key) in fields {
        if let Some(value) = cgroups.get(key).filter(|value| !value.is_null()) {
            field.put(&mut document, value.clone());
        }
    }
    Some(document)
}
