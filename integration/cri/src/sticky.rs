//! A resize that stays, through a real containerd: it sends its whole stored set of limits with every update, and so
//! undoes under the bare runtime what the kubelet's CPU manager never meant to touch.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use k8s_cri::v1::LinuxContainerResources;
use runc_strict_integration::case::{Case, Outcome, Suite};
use runc_strict_integration::runtime::Kind;

use crate::bench::{Bench, find, output};
use crate::group;
use crate::pod::{Container, Pod, Wish};

pub(crate) const SUITE: Suite<Bench> = Suite {
    name: "sticky",
    about: "a resize outlasts the engine's updates and the container, until the engine says something new",
    headings: &["what", "runtime", "memory limit"],
    cases,
};

const MIB: i64 = 1 << 20;

type Tried = fn(&Bench, Kind) -> Result<String>;

fn cases(bench: &Bench) -> Vec<Case<Bench>> {
    let tried: [(&'static str, Tried); 4] = [
        ("an update of the cpuset alone", by_cpuset),
        ("a container that its pod starts again", by_restart),
        ("an update of the memory", by_engine),
        ("an override that is dropped", by_unset),
    ];
    let of = |kind: Kind| {
        tried.map(|(name, attempt)| {
            Case::new([name, kind.name()], move |bench| Ok(Outcome::Passed(vec![attempt(bench, kind)?])))
        })
    };
    bench.kinds.iter().flat_map(|kind| of(*kind)).collect()
}

/// What the pod's manifest says: 64 MiB and half a CPU.
fn wish(attempt: u32) -> Wish {
    let resources = LinuxContainerResources {
        cpu_shares: 512,
        cpu_period: 100_000,
        cpu_quota: 50_000,
        memory_limit_in_bytes: 64 * MIB,
        ..Default::default()
    };
    Wish { attempt, resources: Some(resources), ..Wish::alice(&[]) }
}

fn start<'p>(pod: &'p Pod, attempt: u32) -> Result<Container<'p>> {
    let container = pod.container("main", &wish(attempt))?;
    container.by_log()?;
    Ok(container)
}

/// What the kernel holds, in MiB: the tightest of a container's cgroups, of which crun has one in another.
fn memory(container: &Container<'_>) -> Result<i64> {
    let limits = read(container, &["memory.limit_in_bytes", "memory.max"])?;
    let bytes = limits.iter().filter_map(|text| text.parse::<i64>().ok()).min();
    Ok(bytes.with_context(|| format!("no limit in {limits:?}"))? / MIB)
}

/// What that file of each of its cgroups holds, by the first of these names that there is.
fn read(container: &Container<'_>, names: &[&str]) -> Result<Vec<String>> {
    let folders = group::folders();
    let own = |folder: &&PathBuf| {
        let mut parts = folder.iter().rev().filter_map(OsStr::to_str);
        let is_its = |name: &str| name.trim_end_matches(".scope").ends_with(&container.id);
        match parts.next() {
            Some("container") => parts.next().is_some_and(is_its),
            Some(name) => is_its(name),
            None => false,
        }
    };
    let paths = folders.iter().filter(own).flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    let texts: Vec<String> = paths.filter_map(|path| fs::read_to_string(path).ok()).collect();
    ensure!(!texts.is_empty(), "no {} of container {}", names.join(" or "), container.id);
    Ok(texts.iter().map(|text| text.trim().to_owned()).collect())
}

/// Fails unless the tightest quota is this many microseconds of 100 ms.
fn has_quota(container: &Container<'_>, wanted: &str) -> Result<()> {
    let quotas = read(container, &["cpu.cfs_quota_us", "cpu.max"])?;
    let firsts = quotas.iter().filter_map(|text| text.split(' ').next()?.parse::<i64>().ok());
    let found = firsts.min().with_context(|| format!("no quota in {quotas:?}"))?;
    ensure!(found.to_string() == wanted, "the quota is {found} instead of {wanted}");
    Ok(())
}

/// Has systemd put back what it wasn't told, where there is one.
fn reload() -> Result<()> {
    if group::systemd_has_them() {
        output(Command::new("systemctl").arg("daemon-reload"))?;
    }
    Ok(())
}

/// As the kubelet's CPU manager does.
fn pin(bench: &Bench, container: &Container<'_>) -> Result<()> {
    let cpus = LinuxContainerResources { cpuset_cpus: "0".to_owned(), ..Default::default() };
    bench.containerd()?.cri.update(&container.id, cpus)?;
    let found = read(container, &["cpuset.cpus"])?;
    ensure!(found.iter().any(|cpus| cpus == "0"), "the update hasn't come: cpuset.cpus is {found:?}");
    Ok(())
}

fn updater(bench: &Bench, kind: Kind, container: &Container<'_>, words: &[&str]) -> Result<String> {
    let (command, rest) = words.split_first().context("no command")?;
    let mut call = Command::new(&bench.product);
    call.env("RUNC_STRICT_CONFIG", bench.room.dir.join(format!("strict-{}.toml", kind.name())));
    call.args(["cgroup-updater", command, "--container", &container.id, "--root"]);
    output(call.arg(bench.containerd()?.runtime_root()).args(rest))
}

fn raise(bench: &Bench, kind: Kind, container: &Container<'_>) -> Result<()> {
    let said = updater(bench, kind, container, &["set", "--memory-limit", "128Mi", "--cpu-limit", "900m"])?;
    ensure!(said.contains("Kept against the engine: container \"main\", memory.limit 128Mi"), "{said}");
    ensure!(memory(container)? == 128, "the resize set {} MiB", memory(container)?);
    Ok(())
}

/// The line in the audit log that tells most of this container's updates.
fn audited(bench: &Bench, container: &Container<'_>, command: &str, text: &str) -> Result<()> {
    let log = fs::read_to_string(bench.room.dir.join("audit.log")).context("read the audit log")?;
    let command = format!("\"command\":\"{command}\"");
    let told = log
        .lines()
        .any(|line| line.contains(&container.id) && line.contains(&command) && line.contains(text));
    ensure!(told, "no line of the audit log tells {command} of \"{text}\"");
    Ok(())
}

fn by_cpuset(bench: &Bench, kind: Kind) -> Result<String> {
    let bare = Pod::run(bench, &format!("bare-{}", kind.name()), &[], &Wish::default())?;
    let container = start(&bare, 0)?;
    let mut update = Command::new(find(kind.name())?);
    update.arg("--root").arg(bench.containerd()?.runtime_root());
    let limit = (128 * MIB).to_string();
    output(update.args(["update", "--memory", &limit, "--memory-swap", &limit, &container.id]))?;
    ensure!(memory(&container)? == 128, "the bare update set {} MiB", memory(&container)?);
    pin(bench, &container)?;
    let undone = memory(&container)?;
    ensure!(undone == 64, "the bare runtime keeps {undone} MiB: this case shows nothing any more");
    drop(container);
    bare.remove()?;

    let pod = Pod::run(bench, &format!("strict-{}", kind.name()), &[], &Wish::default())?;
    let container = start(&pod, 0)?;
    raise(bench, kind, &container)?;
    for _ in 0..2 {
        pin(bench, &container)?;
        for when in ["the engine's update", "a reload of systemd"] {
            ensure!(memory(&container)? == 128, "{when} set {} MiB", memory(&container)?);
            has_quota(&container, "90000").context(when)?;
            reload()?;
        }
    }
    audited(bench, &container, "update", "memory.limit 64Mi → 128Mi")?;
    drop(container);
    pod.remove()?;
    Ok("bare 128 → 64 MiB, runc-strict stays at 128".to_owned())
}

fn by_restart(bench: &Bench, kind: Kind) -> Result<String> {
    let pod = Pod::run(bench, &format!("strict-{}", kind.name()), &[], &Wish::default())?;
    let first = start(&pod, 0)?;
    raise(bench, kind, &first)?;
    let other = Pod::run(bench, &format!("strict-{}", kind.name()), &[], &Wish::default())?;
    let theirs = start(&other, 0)?;
    first.stop()?;
    // meanwhile the pod has its sandbox alone, and whoever changes another pod collects what nobody needs
    updater(bench, kind, &theirs, &["set", "--cpu-limit", "800m"])?;
    let second = start(&pod, 1)?;
    for when in ["as it was made", "after a reload of systemd"] {
        ensure!(memory(&second)? == 128, "the next attempt has {} MiB {when}", memory(&second)?);
        reload()?;
    }
    audited(bench, &second, "create", "memory.limit 64Mi → 128Mi")?;
    first.remove()?;
    pin(bench, &second)?;
    ensure!(memory(&second)? == 128, "its engine's update set {} MiB", memory(&second)?);
    // another pod's container of the same name has nothing of it
    pin(bench, &theirs)?;
    ensure!(memory(&theirs)? == 64, "another pod's container has {} MiB", memory(&theirs)?);
    drop(theirs);
    other.remove()?;
    drop(second);
    pod.remove()?;
    Ok("128 MiB again; 64 in another pod".to_owned())
}

fn by_engine(bench: &Bench, kind: Kind) -> Result<String> {
    let pod = Pod::run(bench, &format!("strict-{}", kind.name()), &[], &Wish::default())?;
    let container = start(&pod, 0)?;
    raise(bench, kind, &container)?;
    let wish = LinuxContainerResources { memory_limit_in_bytes: 96 * MIB, ..Default::default() };
    bench.containerd()?.cri.update(&container.id, wish)?;
    ensure!(memory(&container)? == 96, "the engine's explicit 96 MiB became {}", memory(&container)?);
    audited(bench, &container, "update", "memory.limit 128Mi; the engine sets 96Mi")?;
    pin(bench, &container)?;
    ensure!(memory(&container)? == 96, "the override came back: {} MiB", memory(&container)?);
    has_quota(&container, "90000").context("what the engine said nothing of")?;
    drop(container);
    pod.remove()?;
    Ok("the engine's 96 MiB, the override has ended".to_owned())
}

fn by_unset(bench: &Bench, kind: Kind) -> Result<String> {
    let pod = Pod::run(bench, &format!("strict-{}", kind.name()), &[], &Wish::default())?;
    let container = start(&pod, 0)?;
    raise(bench, kind, &container)?;
    let said = updater(bench, kind, &container, &["unset", "memory.limit"])?;
    ensure!(said.contains("No longer kept: container \"main\", memory.limit 128Mi"), "{said}");
    ensure!(memory(&container)? == 64, "unset left {} MiB", memory(&container)?);
    pin(bench, &container)?;
    ensure!(memory(&container)? == 64, "the engine's update set {} MiB", memory(&container)?);
    let status = updater(bench, kind, &container, &["status"])?;
    ensure!(status.contains("kept: cpu.quota 90000") && !status.contains("kept: memory"), "{status}");
    drop(container);
    pod.remove()?;
    Ok("64 MiB again, the CPU limit stays".to_owned())
}
