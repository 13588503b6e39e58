//! A pod of the kubelet is resized in place: by `cgroup-updater`, then by the CRI. What holds is read from the kernel's
//! files and from systemd, before and after its reload, which puts back what systemd wasn't told.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use k8s_cri::v1::LinuxContainerResources;

use super::{MIB, PodSlice, Qos, limits, next_slice, property, slice::scope_name};
use runc_strict_integration::case::Outcome;
use runc_strict_integration::runtime::Kind;

use crate::bench::{Bench, output};
use crate::pod::{Pod, Wish};

/// Memory in bytes, CPU time in microseconds of each 100 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    memory: u64,
    quota: u64,
}

pub(super) fn both(bench: &Bench, kind: Kind, qos: Qos) -> Result<Outcome> {
    let (slice, place) = next_slice(bench, qos)?;
    let cri = bench.containerd()?.cri.clone();
    let wish = Wish { resources: Some(limits(qos).1), group: Some(1000), ..Wish::alice(&[60000]) };
    let handler = format!("strict-{}", kind.name());
    let pod = Pod::run_at(cri.clone(), &bench.room, place, &handler, &[], &wish)?;
    let container = pod.container("main", &wish)?;
    container.by_log()?;
    let begin = Size { memory: 128 * MIB, quota: 50_000 };
    holds(&slice, &container.id, begin, begin).context("as made")?;

    for (memory, cpu, size) in [
        ("192Mi", "750m", Size { memory: 192 * MIB, quota: 75_000 }),
        ("96Mi", "250m", Size { memory: 96 * MIB, quota: 25_000 }),
    ] {
        let mut set = Command::new(bench.room.dir.join(&handler));
        set.args(["cgroup-updater", "set", "--pod", &slice.uid, "--container-name", "main"]);
        output(set.args(["--memory-limit", memory, "--cpu-limit", cpu]))?;
        let what = format!("after set {memory} {cpu}");
        holds(&slice, &container.id, size, size).with_context(|| what.clone())?;
        output(Command::new("systemctl").arg("daemon-reload"))?;
        holds(&slice, &container.id, size, size).with_context(|| format!("{what} and daemon-reload"))?;
    }

    // The kubelet's own way: the container by the CRI, the slice by itself, which is not asked here.
    let wanted = LinuxContainerResources {
        cpu_shares: 512,
        cpu_period: 100_000,
        cpu_quota: 20_000,
        memory_limit_in_bytes: 80 << 20,
        ..Default::default()
    };
    cri.update(&container.id, wanted).context("UpdateContainerResources")?;
    let (pods, containers) =
        (Size { memory: 96 * MIB, quota: 25_000 }, Size { memory: 80 * MIB, quota: 20_000 });
    holds(&slice, &container.id, containers, pods).context("after UpdateContainerResources")?;
    let who = container.by_exec_sync()?;
    ensure!(who.groups == [1000, 60000], "afterwards an exec is {who:?}");
    pod.remove()?;
    Ok(Outcome::Passed(vec!["192Mi, 96Mi through daemon-reload; then 80Mi by the CRI".to_owned()]))
}

/// Whether the kernel and systemd agree on the sizes of the container's scope and of the pod's slice.
fn holds(slice: &PodSlice, id: &str, container: Size, pod: Size) -> Result<()> {
    let scope = slice.scope(id);
    agree(&slice.name, &[&slice.folder], pod)?;
    // crun puts the processes one level deeper and the limits there: what is tighter holds.
    let inner = scope.join("container");
    if inner.is_dir() {
        agree(&scope_name(id), &[&scope, &inner], container)
    } else {
        agree(&scope_name(id), &[&scope], container)
    }
}

fn agree(unit: &str, folders: &[&Path], size: Size) -> Result<()> {
    let tightest = |file: &str| -> Result<u64> {
        folders.iter().try_fold(u64::MAX, |least, folder| Ok(least.min(number(folder, file)?)))
    };
    let seen = Size { memory: tightest("memory.max")?, quota: tightest("cpu.max")? };
    ensure!(seen == size, "{unit}: the kernel has {seen:?} instead of {size:?}");
    // systemd knows the outer level only. What it knows must not be tighter than what holds, and with one level it is
    // what holds.
    let text = property(unit, "MemoryMax")?;
    let memory = if text == "infinity" { u64::MAX } else { text.parse().context("read MemoryMax")? };
    let knows = if folders.len() == 1 { memory == size.memory } else { memory >= size.memory };
    ensure!(knows, "{unit}: systemd has MemoryMax={text}, and {size:?} was wanted");
    Ok(())
}

/// The first number of a file; `max` is the greatest there is.
fn number(folder: &Path, file: &str) -> Result<u64> {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let first = text.split_whitespace().next().unwrap_or_default();
    if first == "max" {
        return Ok(u64::MAX);
    }
    first.parse().with_context(|| format!("{} holds \"{first}\"", path.display()))
}
