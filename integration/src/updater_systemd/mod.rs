//! `cgroup-updater` where systemd owns the cgroups and the kernel has cgroup v2 alone: the scope of a container and the
//! slice of its pod are units. What systemd isn't told is undone by its next reload, so each case reloads it and looks
//! again.

mod crash;
mod pod;
mod sticky;

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::case::{Case, Outcome, Suite};
use crate::lab::Lab;
use crate::runtime::Runtime;
use crate::updater::{Trying, cases_of, passed};
use pod::{MIB, Pod, State};

/// `suites run updater-systemd`.
pub(crate) const SUITE: Suite<Lab> = Suite {
    name: "updater-systemd",
    about: "on systemd and cgroup v2 a resize stays across reloads, and is undone without a trace",
    headings: &["what", "runtime", "result"],
    cases,
};

const TRIED: &[(&str, Trying)] = &[
    ("what is written past systemd doesn't last", |lab, runtime| raw(lab, runtime)),
    ("a change in mode auto stays across reloads, and is undone", |lab, runtime| kept(lab, runtime, "auto")),
    ("a change in mode direct stays across reloads, and is undone", |lab, runtime| {
        kept(lab, runtime, "direct")
    }),
    ("memory.high stays across reloads", high),
    ("a change that fails in the middle leaves nothing behind, with systemd neither", failed),
    ("page cache goes under a lower limit, nothing is killed", cached),
    ("memory that can't be reclaimed is not taken away", refused),
    ("kill -9 at any change leaves old or new after recover", crash::killed),
    ("an engine's update keeps what was set, across reloads, until it says something new", sticky::kept),
    ("a damaged override file lets the engine's update through", sticky::damaged),
];

fn cases(lab: &Lab) -> Vec<Case<Lab>> {
    cases_of(lab, TRIED, absent)
}

/// What this suite needs and isn't here.
fn absent() -> Option<&'static str> {
    let systemd = std::fs::read_to_string("/proc/1/comm").is_ok_and(|name| name.trim() == "systemd");
    match () {
        () if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() => {
            Some("needs pure cgroup v2, and /sys/fs/cgroup isn't a cgroup2 mount here")
        }
        () if !systemd => Some("needs systemd as process 1"),
        () => None,
    }
}

/// An error that names each file that differs.
fn same(found: &State, wanted: &State, when: &str) -> Result<()> {
    let names = found.keys().chain(wanted.keys()).collect::<std::collections::BTreeSet<_>>();
    let of = |state: &State, name: &String| state.get(name).cloned().unwrap_or_else(|| "nothing".to_owned());
    let differences: Vec<String> = names
        .into_iter()
        .filter(|name| found.get(*name) != wanted.get(*name))
        .map(|name| format!("{name} is {} instead of {}", of(found, name), of(wanted, name)))
        .collect();
    ensure!(differences.is_empty(), "{when}: {}", differences.join(", "));
    Ok(())
}

/// The files of container and pod that were asked for, with what they must hold.
fn expect(pod: &Pod<'_>, wanted: &[(&str, String)], when: &str) -> Result<State> {
    let state = pod.state()?;
    for (name, value) in wanted {
        let inside =
            name.strip_prefix("scope ").filter(|_| pod.is_nested()).map(|file| format!("inside {file}"));
        for name in [Some((*name).to_owned()), inside].into_iter().flatten() {
            ensure!(
                state.get(&name) == Some(value),
                "{when}: {name} is {:?} instead of {value}",
                state.get(&name).map_or("nothing", String::as_str)
            );
        }
    }
    Ok(state)
}

/// Without this the other cases would show nothing.
fn raw(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime)?;
    let before = pod.state()?;
    pod.write("memory.max", &(200 * MIB).to_string())?;
    ensure!(pod.number("memory.max", "")? == 200 * MIB, "the file doesn't hold what was written");
    let status = pod.updater(&["status", "--pod", pod.uid()])?.require_success()?.stdout();
    let line = status
        .lines()
        .filter(|line| line.contains("memory.max"))
        .find(|line| line.contains(&(200 * MIB).to_string()));
    ensure!(line.is_some_and(|line| line.contains(" *")), "status marks no drift: {status}");
    pod.systemctl(&["daemon-reload"])?;
    // runc's own swap limit of 0 goes with it: nobody has told systemd of that either
    let (after, name) = (pod.state()?, "scope memory.max");
    let old = before.get(name).cloned().context("no memory.max")?;
    ensure!(
        after.get(name) == Some(&old),
        "systemd leaves memory.max alone, so that the other cases show nothing"
    );
    pod.finish()?;
    passed(format!("memory.max {}, after a reload {old} as before", 200 * MIB))
}

const WORDS: [&str; 8] =
    ["--memory-limit", "400Mi", "--cpu-limit", "750m", "--cpu-request", "250m", "--pids-limit", "77"];

/// What [`WORDS`] ask for. The pod had 44 MiB and 0.1 CPUs more than its container, and keeps that.
fn asked(nested: bool) -> Vec<(&'static str, String)> {
    vec![
        ("scope memory.max", (400 * MIB).to_string()),
        // crun tells systemd of no swap limit: it stands in the cgroup inside alone
        (if nested { "inside memory.swap.max" } else { "scope memory.swap.max" }, "0".to_owned()),
        ("scope cpu.max", "75000 100000".to_owned()),
        ("scope pids.max", "77".to_owned()),
        ("pod memory.max", (444 * MIB).to_string()),
        ("pod cpu.max", "85000 100000".to_owned()),
    ]
}

fn kept(lab: &Lab, runtime: &Runtime, mode: &str) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime)?;
    let before = pod.state()?;
    let words: Vec<&str> = WORDS.iter().copied().chain(["--mode", mode]).collect();
    let dry = pod.set(&[words.as_slice(), &["--dry-run"]].concat())?.require_success()?;
    same(&pod.state()?, &before, "a dry run")?;
    ensure!(dry.stdout().contains("256Mi (268435456) → 400Mi (419430400)"), "{dry}");

    let done = pod.set(&[words.as_slice(), &["--json"]].concat())?.require_success()?;
    let name = done.report()?["transaction"].as_str().context("no transaction")?.to_owned();
    let after = expect(&pod, &asked(pod.is_nested()), "after the change")?;
    pod.disturb()?;
    same(&pod.state()?, &after, "after reloads")?;
    let believed = pod.systemctl(&["show", "-p", "MemoryMax", "-p", "MemorySwapMax", &pod.scope()])?;
    ensure!(believed.contains(&format!("MemoryMax={}", 400 * MIB)), "systemd believes {believed}");
    ensure!(believed.contains("MemorySwapMax=0") || pod.is_nested(), "systemd believes {believed}");
    let again = pod.set(&words)?.require_success()?;
    ensure!(again.stdout().contains("Nothing to do"), "{again}");

    pod.updater(&["rollback", &name])?.require_success()?;
    same(&pod.state()?, &before, "after the rollback")?;
    pod.disturb()?;
    same(&pod.state()?, &before, "after the rollback and reloads")?;
    pod.finish()?;
    passed("as asked, after reloads too; undone")
}

fn high(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime)?;
    let before = pod.state()?;
    // more than that is in use: the kernel reclaims it, and kills nobody
    pod.fill("/tmp/filled", 200)?;
    let done = pod.set(&["--memory-high", "100Mi", "--json"])?.require_success()?;
    ensure!(pod.number("memory.events", "oom_kill")? == 0, "something was killed");
    let signs = &done.report()?["signs"][0]["after"];
    ensure!(signs["memory pressure %"].is_string() && signs["throttled periods"].is_string(), "{done}");
    let name = done.report()?["transaction"].as_str().context("no transaction")?.to_owned();
    let wanted = [("scope memory.high", (100 * MIB).to_string())];
    let after = expect(&pod, &wanted, "after the change")?;
    pod.disturb()?;
    same(&pod.state()?, &after, "after reloads")?;
    pod.updater(&["rollback", &name])?.require_success()?;
    pod.disturb()?;
    same(&pod.state()?, &before, "after the rollback and reloads")?;
    pod.finish()?;
    passed("100 MiB with 200 MiB in use, no kill; after reloads too; undone")
}

fn failed(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime)?;
    let before = pod.state()?;
    for mode in ["auto", "direct"] {
        // the kernel takes 0 and 1; whoever plans can't know that
        let bad = ["--unified", "memory.oom.group=7", "--mode", mode];
        let answer = pod.set(&[WORDS.as_slice(), &bad].concat())?;
        ensure!(answer.code == Some(4), "{answer}");
        ensure!(answer.stderr().contains("everything is as it was"), "{answer}");
        same(&pod.state()?, &before, "after the failure")?;
        pod.disturb()?;
        same(&pod.state()?, &before, "after the failure and reloads")?;
    }
    pod.finish()?;
    passed("exit 4, and nothing comes up later")
}

fn cached(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime)?;
    pod.set(&["--memory-limit", "400Mi"])?.require_success()?;
    pod.fill("/tmp/filled", 300)?;
    let used = pod.number("memory.stat", "file")? / MIB;
    ensure!(used >= 250, "only {used} MiB of page cache: the files don't lie on a disk");
    let dry = pod.set(&["--memory-limit", "40Mi", "--dry-run"])?.require_success()?;
    ensure!(dry.stdout().contains("reclaim memory") && dry.stdout().contains("by memory.reclaim"), "{dry}");
    pod.set(&["--memory-limit", "40Mi"])?.require_success()?;
    let after = expect(&pod, &[("scope memory.max", (40 * MIB).to_string())], "after the change")?;
    ensure!(pod.number("memory.events", "oom_kill")? == 0, "something was killed");
    pod.disturb()?;
    same(&pod.state()?, &after, "after reloads")?;
    pod.finish()?;
    passed(format!("{used} MiB of page cache, limit 40 MiB, no kill"))
}

fn refused(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let swap = std::fs::read_to_string("/proc/swaps")?.lines().count() > 1;
    if swap {
        return Ok(Outcome::Skipped("this machine has swap, which all memory could go to".to_owned()));
    }
    let pod = Pod::make(lab, runtime)?;
    let before = pod.state()?;
    pod.fill("/data/filled", 100)?;
    for mode in ["auto", "direct"] {
        let no = pod.set(&["--memory-limit", "64Mi", "--pids-limit", "50", "--mode", mode])?;
        ensure!(no.code == Some(3) && no.stderr().contains("can't be reclaimed"), "{no}");
        same(&pod.state()?, &before, "after a refusal")?;
    }
    ensure!(pod.number("memory.events", "oom_kill")? == 0, "something was killed");
    pod.finish()?;
    passed("exit 3, nothing changed, no kill")
}
