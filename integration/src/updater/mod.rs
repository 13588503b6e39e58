//! `cgroup-updater` on real containers: what it changes is read from the kernel's own files, and from the runtime's
//! state where there is one. A pod is a cgroup of ours with one or two containers in it.

mod again;
pub(crate) mod calls;
pub(crate) mod crash;
mod death;
mod many;
mod pod;
mod sticky;

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::case::{Case, Outcome, Suite};
use crate::lab::Lab;
use crate::runtime::{Kind, Runtime};
use pod::{Limits, MIB, Pod};

/// `suites run updater`.
pub(crate) const SUITE: Suite<Lab> = Suite {
    name: "updater",
    about: "running containers are resized in place, or left as they were",
    headings: &["what", "runtime", "result"],
    cases,
};

pub(crate) type Trying = fn(&Lab, &Runtime) -> Result<Outcome>;

const TRIED: &[(&str, Trying)] = &[
    ("a change through the runtime is read back, repeated and undone", |lab, runtime| {
        changed(lab, runtime, "runtime")
    }),
    ("a change by the files is read back, repeated and undone", |lab, runtime| {
        changed(lab, runtime, "direct")
    }),
    ("two containers and their pod change in one transaction", applied),
    ("several pods change in one transaction, or none does", many::one_transaction),
    ("transactions that name the same pods in other orders don't wait for each other", many::no_deadlock),
    ("a failed update is rolled back", failed),
    ("kill -9 at any change leaves old or new after recover, by the files", |lab, runtime| {
        crash::killed(lab, runtime, "direct")
    }),
    ("kill -9 at any change leaves old or new after recover, through the runtime", |lab, runtime| {
        crash::killed(lab, runtime, "runtime")
    }),
    ("what could not be rolled back is tried again by recover", again::tried_again),
    ("an engine's update keeps what was set, until it says something new", sticky::kept),
    ("--once gives way to the engine, and is all that another runtime's container can have", sticky::once),
    ("a rollback takes the override back, unset gives the engine's limits again", sticky::dropped),
    ("a damaged override file lets the engine's update through", sticky::damaged),
    ("four at once go one after the other; a lock that is held is told", together),
    ("memory that can't be reclaimed is not taken away", refused),
    ("page cache goes under a lower limit, nothing is killed", cached),
    ("what isn't there, and what may not be seen, is told", absent),
    ("a container that dies between plan and write is passed over", death::skipped),
    ("a cgroup mount that is read-only is told, and nothing changes", read_only),
];

fn cases(lab: &Lab) -> Vec<Case<Lab>> {
    cases_of(lab, TRIED, || {
        let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        v2.then_some("these cases read the files of cgroup v1, and this machine has v2")
    })
}

/// A case for each attempt and each runtime; `absent` says what all of them need and isn't here.
pub(crate) fn cases_of(
    lab: &Lab,
    tried: &'static [(&'static str, Trying)],
    absent: fn() -> Option<&'static str>,
) -> Vec<Case<Lab>> {
    let missing = lab.missing.iter().cloned().map(|(kind, reason)| {
        Case::new(vec!["all".to_owned(), kind.name().to_owned()], move |_| Outcome::Skipped(reason.clone()))
    });
    let runtimes = || lab.runtimes.clone().into_iter().map(Rc::new);
    let cases = tried.iter().flat_map(|(name, attempt)| {
        runtimes().map(move |runtime| {
            let cells = vec![(*name).to_owned(), runtime.title()];
            Case::new(cells, move |lab: &Lab| match (&lab.product, absent()) {
                (None, _) => Outcome::Skipped("needs the product, and --bare-only was given".to_owned()),
                (_, Some(reason)) => Outcome::Skipped(reason.to_owned()),
                (Some(_), None) => attempt(lab, &runtime).into(),
            })
        })
    });
    missing.chain(cases).collect()
}

pub(crate) fn passed(text: impl Into<String>) -> Result<Outcome> {
    Ok(Outcome::Passed(vec![text.into()]))
}

fn changed(lab: &Lab, runtime: &Runtime, mode: &str) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime, 1)?;
    let before = pod.limits(0)?;
    let wanted = Limits { memory: 400 * MIB, quota: 70_000, shares: 256, pids: 77 };
    let words = [
        "--memory-limit",
        "400Mi",
        "--cpu-limit",
        "700m",
        "--cpu-request",
        "250m",
        "--pids-limit",
        "77",
        "--mode",
        mode,
    ];
    let dry = pod.set(0, &words, &["--dry-run"])?.require_success()?;
    ensure!(dry.stdout().contains("256Mi (268435456) → 400Mi (419430400)"), "{dry}");
    ensure!(pod.limits(0)? == before, "a dry run changed something");

    let done = pod.set(0, &words, &["--json"])?.require_success()?;
    let document = done.report()?;
    let name = document["transaction"].as_str().context("no transaction")?.to_owned();
    ensure!(pod.limits(0)? == wanted, "{:?} instead of {wanted:?}", pod.limits(0)?);
    if mode == "runtime" && runtime.kind == Kind::Runc {
        ensure!(pod.stated(0)? == wanted, "the runtime's state says {:?}", pod.stated(0)?);
    }
    let again = pod.set(0, &words, &[])?.require_success()?;
    ensure!(again.stdout().contains("Nothing to do"), "{again}");

    pod.updater(&["rollback", &name])?.require_success()?;
    ensure!(pod.limits(0)? == before, "after the rollback {:?} instead of {before:?}", pod.limits(0)?);
    let twice = pod.updater(&["rollback", "1"])?;
    ensure!(twice.code == Some(6), "{twice}");
    let audit = pod.audit()?;
    ensure!(
        audit.contains("memory.limit_in_bytes 256Mi → 400Mi") && audit.contains(&name),
        "no audit line: {audit}"
    );
    pod.finish()?;
    passed("dry run, done, nothing to do, undone")
}

fn applied(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime, 2)?;
    pod.limit_pod(512 * MIB, 100_000)?;
    let manifest = json!({"kind": "Pod", "metadata": {"uid": pod.uid}, "spec": {"containers": [
        {"name": pod.id(0), "resources": {"limits": {"cpu": "300m", "memory": "128Mi"}}},
        {"name": pod.id(1), "resources": {"limits": {"cpu": "600m", "memory": "300Mi"}}}]}});
    let file = pod.file("pod.json", &manifest.to_string())?;
    let done = pod.updater(&["apply", "-f", &file])?.require_success()?;
    let (first, second) = (pod.limits(0)?, pod.limits(1)?);
    ensure!((first.memory, first.quota) == (128 * MIB, 30_000), "{first:?} after {done}");
    ensure!((second.memory, second.quota) == (300 * MIB, 60_000), "{second:?} after {done}");
    ensure!(pod.keeps(0)? && pod.keeps(1)?, "it isn't kept against an engine: {done}");
    let above = pod.pod_limits()?;
    ensure!(above == (428 * MIB, 90_000), "the pod has {above:?} instead of the sum of its containers");
    // the second container can't have more than the machine: nothing of the first is changed either
    let manifest = manifest.to_string().replace("128Mi", "64Mi").replace("\"600m\"", "\"1e9\"");
    let refused = pod.updater(&["apply", "-f", &pod.file("pod.yaml", &manifest)?])?;
    ensure!(refused.code == Some(7) && pod.limits(0)? == first, "{refused}");
    pod.finish()?;
    passed("containers and pod in step")
}

fn failed(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime, 1)?;
    let before = pod.limits(0)?;
    // a cgroup inside that has as much CPU time: version 1 doesn't let its parent have less
    pod.make_inner(0, before.quota)?;
    let resources = json!({"memory": {"limit": 200 * MIB}, "cpu": {"quota": 20_000, "period": 100_000}, "pids": {"limit": 50}});
    let bare = pod.bare_update(0, &resources)?;
    ensure!(!bare.succeeded(), "the bare update should fail: {bare}");
    let left = pod.limits(0)?;
    pod.write_limits(0, &before)?;
    let half = left != before;
    if runtime.kind == Kind::Runc {
        ensure!(half, "runc left nothing half done: this case shows nothing any more");
    }
    for mode in ["runtime", "direct"] {
        let words = ["--memory-limit", "200Mi", "--cpu-limit", "200m", "--pids-limit", "50", "--mode", mode];
        let ours = pod.set(0, &words, &[])?;
        ensure!(ours.code == Some(4), "{ours}");
        ensure!(ours.stderr().contains("everything is as it was"), "{ours}");
        ensure!(pod.limits(0)? == before, "{:?} instead of {before:?}", pod.limits(0)?);
    }
    pod.finish()?;
    let theirs = if half {
        format!("bare leaves memory {} MiB", left.memory / MIB)
    } else {
        "bare leaves all".to_owned()
    };
    passed(format!("{theirs}, runc-strict {} MiB as before", before.memory / MIB))
}

fn together(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime, 1)?;
    let sizes = ["300Mi", "320Mi", "340Mi", "360Mi"];
    let codes: Vec<_> = std::thread::scope(|scope| {
        let callers: Vec<_> = sizes
            .map(|size| pod.set_call(0, &["--memory-limit", size], &["--timeout", "60"]))
            .into_iter()
            .map(|call| scope.spawn(|| call.run(b"")))
            .collect();
        callers.into_iter().map(|caller| caller.join()).collect()
    });
    for code in codes {
        let Ok(answer) = code else { anyhow::bail!("a caller panicked") };
        answer?.require_success()?;
    }
    let last = pod.limits(0)?.memory / MIB;
    ensure!([300, 320, 340, 360].contains(&last), "{last} MiB was never asked for");

    let held = pod.lock()?;
    let busy = pod.set(0, &["--memory-limit", "200Mi"], &["--timeout", "0"])?;
    ensure!(busy.code == Some(8), "{busy}");
    ensure!(pod.limits(0)?.memory / MIB == last, "a change without the lock");
    drop(held);
    pod.set(0, &["--memory-limit", "200Mi"], &[])?.require_success()?;
    pod.finish()?;
    passed("four waited for each other; exit 8 while it is held")
}

fn refused(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    if pod::has_swap()? {
        return Ok(Outcome::Skipped("this machine has swap, which all memory could go to".to_owned()));
    }
    let pod = Pod::make(lab, runtime, 1)?;
    let before = pod.limits(0)?;
    pod.fill(0, "/data/filled", 100)?;
    for mode in ["runtime", "direct"] {
        let no = pod.set(0, &["--memory-limit", "64Mi", "--pids-limit", "50", "--mode", mode], &[])?;
        ensure!(no.code == Some(3), "{no}");
        ensure!(no.stderr().contains("can't be reclaimed"), "{no}");
        ensure!(pod.limits(0)? == before, "a refusal changed something");
        // version 1 refuses by itself, and what was changed before goes back
        let forced =
            pod.set(0, &["--memory-limit", "64Mi", "--pids-limit", "50", "--mode", mode], &["--force"])?;
        ensure!(forced.code == Some(4) && pod.limits(0)? == before, "{forced}");
    }
    ensure!(pod.kills(0)? == 0, "something was killed");
    pod.finish()?;
    passed("exit 3, with --force exit 4; no kill")
}

fn cached(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime, 1)?;
    pod.set(0, &["--memory-limit", "400Mi"], &[])?.require_success()?;
    pod.fill(0, "/tmp/filled", 282)?;
    let used = pod.usage(0)? / MIB;
    ensure!(used > 250, "only {used} MiB are in use: the page cache wasn't charged");
    pod.set(0, &["--memory-limit", "40Mi"], &[])?.require_success()?;
    ensure!(pod.limits(0)?.memory == 40 * MIB && pod.kills(0)? == 0, "something was killed");
    pod.finish()?;
    passed(format!("{used} MiB in use, limit 40 MiB, no kill"))
}

fn absent(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime, 1)?;
    let before = pod.limits(0)?;
    let ask = ["--memory-limit", "300Mi"];
    for (target, code) in [
        (["--container", "no-such-container"], 6),
        (["--pod", "00000000-0000-0000-0000-000000000000"], 6),
        (["--pid", "4194304"], 6),
        (["--cgroup", "/no/such/cgroup"], 6),
        (["--cgroup", "/"], 2),
        (["--cgroup", "/../etc"], 2),
    ] {
        let answer = pod.updater(&["set", target[0], target[1], ask[0], ask[1]])?;
        ensure!(answer.code == Some(code), "{answer}");
    }
    // what two are called after, and what a parent doesn't have
    let twin = pod.make_twin()?;
    let two = pod.updater(&["set", "--pod", &pod.uid, ask[0], ask[1]])?;
    drop(twin);
    ensure!(two.code == Some(2) && two.stderr().contains("two cgroups are called after pod"), "{two}");
    let outside = pod.set(0, &["--cpuset-cpus", "0,1000"], &[])?;
    ensure!(outside.code == Some(7) && outside.stderr().contains("is outside its parent's"), "{outside}");
    // the same container by its other names
    let (pid, cgroup) = (pod.init(0)?.to_string(), pod.cgroup(0));
    for target in [["--pid", pid.as_str()], ["--cgroup", cgroup.as_str()], ["--pod", pod.uid.as_str()]] {
        let answer =
            pod.updater(&["set", target[0], target[1], ask[0], ask[1], "--dry-run"])?.require_success()?;
        ensure!(answer.stdout().contains("256Mi (268435456) → 300Mi"), "{answer}");
    }
    let hidden = pod.wrapped(&["unshare", "--cgroup"], 0, &ask)?;
    ensure!(hidden.code == Some(7) && hidden.stderr().contains("cgroup namespace"), "{hidden}");
    ensure!(pod.limits(0)? == before, "something changed");
    pod.end(0)?;
    let ended = pod.set(0, &ask, &[])?;
    ensure!(ended.code == Some(6), "{ended}");
    pod.finish()?;
    passed("exit 6, 2 and 7; found by id, pid, path and pod")
}

fn read_only(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime, 1)?;
    let before = pod.limits(0)?;
    let script = "for m in memory cpu pids; do mount -o remount,bind,ro /sys/fs/cgroup/$m || exit 99; done; exec \"$@\"";
    let unshare = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"];
    for mode in ["direct", "runtime"] {
        let answer = pod.wrapped(&unshare, 0, &["--memory-limit", "300Mi", "--mode", mode])?;
        ensure!(answer.code == Some(4) && answer.stderr().to_lowercase().contains("read-only"), "{answer}");
        ensure!(pod.limits(0)? == before, "something changed");
    }
    pod.finish()?;
    passed("exit 4, nothing changed")
}

/// No wait of a case takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
