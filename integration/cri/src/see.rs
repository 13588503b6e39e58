//! What an administrator sees of a pod behind containerd: whoami, and the audit log.
#![allow(clippy::indexing_slicing, reason = "serde_json gives null for what is missing")]

use std::process::Command;

use anyhow::{Context, Result, ensure};
use runc_strict_integration::case::{Case, Outcome, Suite};
use runc_strict_integration::runtime::Kind;
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::pod::{Pod, Wish};

pub(crate) const SUITE: Suite<Bench> = Suite {
    name: "see",
    about: "whoami finds a process that changed its groups, and the audit log tells of create and exec",
    headings: &["what", "runtime", "what was seen"],
    cases,
};

fn cases(bench: &Bench) -> Vec<Case<Bench>> {
    let of = |kind: Kind| {
        vec![
            Case::new(["whoami, before and after setgroups", kind.name()], move |bench| drifted(bench, kind)),
            Case::new(["audit, of one container", kind.name()], move |bench| audited(bench, kind)),
        ]
    };
    bench.kinds.iter().flat_map(|kind| of(*kind)).collect()
}

/// root, with one group that the pod declares: it may change its groups at level groups.
fn root() -> Wish {
    Wish { user: Some(0), group: Some(0), groups: vec![60000], ..Wish::default() }
}

/// Our own sub-command, as configured behind the handler; its exit code and its documents, a line each.
fn ours(bench: &Bench, kind: Kind, words: &[&str]) -> Result<(i32, Vec<Value>)> {
    let mut command = Command::new(bench.room.dir.join(format!("strict-{}", kind.name())));
    let answer = command.args(words).output().context("run the product")?;
    let text = String::from_utf8(answer.stdout)?;
    let documents = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    let documents = documents.with_context(|| {
        format!("{} gave no JSON: {text} {}", words.join(" "), String::from_utf8_lossy(&answer.stderr))
    })?;
    Ok((answer.status.code().context("ended by a signal")?, documents))
}

fn drifted(bench: &Bench, kind: Kind) -> Result<Outcome> {
    let handler = format!("strict-{}", kind.name());
    let pod = Pod::run(bench, &handler, &[], &root())?;
    let container = pod.container("main", &root())?;
    container.by_log()?;
    let whoami = || ours(bench, kind, &["whoami", &container.id, "--json"]);
    let (code, documents) = whoami()?;
    let document = documents.first().context("whoami said nothing")?;
    ensure!(code == 0 && document["drift"] == false, "before: exit {code}, {document}");
    let groups = &document["containers"][0]["record"]["groups"];
    ensure!(*groups == json!([0, 60000]), "the record says {groups}");

    // su(1) takes alice's groups from the image: 50000 among them.
    let su = "busybox su alice -c '/bin/busybox sleep 300' </dev/null >/dev/null 2>&1 &
        until busybox grep -qs '^Groups:.*50000' /proc/[0-9]*/status; do :; done";
    let (exit, text) = bench.containerd()?.cri.exec_sync(&container.id, &["/bin/busybox", "sh", "-c", su])?;
    ensure!(exit == 0, "su ended with {exit}: {text}");
    let (code, documents) = whoami()?;
    let document = documents.first().context("whoami said nothing")?.to_string();
    ensure!(code == 1 && document.contains("group-added"), "after: exit {code}, {document}");
    ensure!(document.contains("50000"), "the added group isn't told: {document}");
    pod.remove()?;
    Ok(Outcome::Passed(vec!["as recorded; then drift, 50000 added".to_owned()]))
}

fn audited(bench: &Bench, kind: Kind) -> Result<Outcome> {
    let handler = format!("strict-{}", kind.name());
    let pod = Pod::run(bench, &handler, &[], &Wish::default())?;
    let container = pod.container("main", &Wish { group: Some(1000), ..Wish::alice(&[60000]) })?;
    container.by_log()?;
    container.by_exec_sync()?;
    let (code, lines) = ours(bench, kind, &["audit", "--container", &container.id, "--json"])?;
    ensure!(code == 0, "audit ended with {code}");
    let commands: Vec<&str> = lines.iter().filter_map(|line| line["command"].as_str()).collect();
    ensure!(commands == ["create", "exec"], "the log tells of {commands:?}");
    for line in &lines {
        ensure!(line["after"] == json!([1000, 60000]) && line["engine"] == "containerd", "{line}");
        ensure!(line["pod"]["namespace"] == "default", "{line}");
        ensure!(line["before"].to_string().contains("50000"), "the image's group isn't told: {line}");
    }
    pod.remove()?;
    Ok(Outcome::Passed(vec!["create and exec, with the pod's names".to_owned()]))
}
