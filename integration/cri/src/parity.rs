//! What the product has no business with works as under the bare runtime: the same is asked of both, and the answers
//! are compared.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use k8s_cri::v1::LinuxContainerResources;
use runc_strict_integration::case::{Case, Outcome, Suite};
use runc_strict_integration::runtime::Kind;

use crate::bench::{Bench, output};
use crate::group;
use crate::pod::{Container, Pod, Wish};
use crate::stream::Stream;

pub(crate) const SUITE: Suite<Bench> = Suite {
    name: "parity",
    about: "update, stats, pause, attach, port-forward, probes: the same as under the bare runtime",
    headings: &["operation", "runtime", "both"],
    cases,
};

type Asked = fn(&Bench, &Pod, &Container<'_>) -> Result<String>;

fn cases(bench: &Bench) -> Vec<Case<Bench>> {
    let operations: [(&'static str, Asked); 5] = [
        ("UpdateContainerResources", update),
        ("ContainerStats", stats),
        ("pause and resume", pause),
        ("attach", attach),
        ("port-forward", port_forward),
    ];
    let of = |kind: Kind| {
        let on_pods = operations.map(|(name, asked)| {
            Case::new([name, kind.name()], move |bench| {
                compare(name, |handler| on_pod(bench, &format!("{handler}-{}", kind.name()), asked))
            })
        });
        let probes =
            ["--version", "features", "checkpoint --help", "restore --help", "state nobody"].map(|words| {
                Case::new([words, kind.name()], move |bench| {
                    compare(words, |handler| probe(bench, kind, handler, words))
                })
            });
        on_pods.into_iter().chain(probes)
    };
    bench.kinds.iter().flat_map(|kind| of(*kind)).collect()
}

fn compare(what: &str, ask: impl Fn(&str) -> Result<String>) -> Result<Outcome> {
    let (bare, strict) = match (ask("bare"), ask("strict")) {
        // What fails under the bare runtime has to fail in the same way.
        (Err(bare), Err(strict)) if format!("{bare:#}") == format!("{strict:#}") => {
            return Ok(Outcome::Skipped(format!("the bare runtime fails here too: {bare:#}")));
        }
        (bare, strict) => (bare.context("bare")?, strict.context("runc-strict")?),
    };
    ensure!(bare == strict, "{what}: bare \"{bare}\", runc-strict \"{strict}\"");
    let first = bare.lines().next().unwrap_or_default().to_owned();
    Ok(Outcome::Passed(vec![first]))
}

fn on_pod(bench: &Bench, handler: &str, asked: Asked) -> Result<String> {
    let pod = Pod::run(bench, handler, &[], &Wish::default())?;
    let wish = Wish { stdin: true, ..Wish::alice(&[]) };
    let container = pod.container("main", &wish)?;
    container.by_log()?;
    let answer = asked(bench, &pod, &container)?;
    drop(container);
    pod.remove()?;
    Ok(answer)
}

/// As the kubelet does on an in-place resize; the kernel's own files tell.
fn update(bench: &Bench, _: &Pod, container: &Container<'_>) -> Result<String> {
    let wish = LinuxContainerResources {
        cpu_shares: 512,
        cpu_period: 100_000,
        cpu_quota: 50_000,
        memory_limit_in_bytes: 64 << 20,
        ..Default::default()
    };
    bench.containerd()?.cri.update(&container.id, wish)?;
    // with systemd, crun puts the processes and the limits one level deeper
    let innermost = |folder: PathBuf| {
        let inner = folder.join("container");
        if inner.is_dir() { inner } else { folder }
    };
    let file = |name: &str| {
        // the id itself, or systemd's cri-containerd-ID.scope
        let named = |folder: &PathBuf| {
            folder.file_name().is_some_and(|name| name.to_string_lossy().contains(&container.id))
        };
        let folders = group::folders().into_iter().filter(named).map(innermost);
        let mut texts = folders.filter_map(|folder| fs::read_to_string(folder.join(name)).ok());
        texts.next().map(|text| format!("{name} {}", text.trim()))
    };
    let v1 = ["cpu.shares", "cpu.cfs_quota_us", "memory.limit_in_bytes"];
    let v2 = ["cpu.weight", "cpu.max", "memory.max"];
    let found: Vec<String> = v1.into_iter().chain(v2).filter_map(file).collect();
    ensure!(found.len() >= 3, "the container's cgroups say only {found:?}");
    ensure!(
        found.iter().any(|line| line.ends_with(&(64 << 20).to_string())),
        "the limit isn't set: {found:?}"
    );
    Ok(found.join(", "))
}

fn stats(bench: &Bench, _: &Pod, container: &Container<'_>) -> Result<String> {
    let bytes = bench.containerd()?.cri.memory_in_use(&container.id)?;
    ensure!(bytes > 0, "no memory in use");
    Ok("memory is in use".to_owned())
}

/// The CRI has no pause; containerd's own client goes the same way to the runtime.
fn pause(bench: &Bench, _: &Pod, container: &Container<'_>) -> Result<String> {
    let containerd = bench.containerd()?;
    let state = || -> Result<String> {
        let list = output(containerd.ctr().args(["task", "ls"]))?;
        let line = list.lines().find(|line| line.starts_with(&container.id)).context("no such task")?;
        Ok(line.split_whitespace().last().unwrap_or_default().to_owned())
    };
    output(containerd.ctr().args(["task", "pause", &container.id]))?;
    let paused = state()?;
    output(containerd.ctr().args(["task", "resume", &container.id]))?;
    Ok(format!("{paused}, then {}", state()?))
}

fn attach(bench: &Bench, _: &Pod, container: &Container<'_>) -> Result<String> {
    let mut stream = Stream::open(&bench.containerd()?.cri.attach(&container.id)?)?;
    stream.ask("hello\n", "got hello")
}

/// The pod is on the host's network, so the port is one of ours.
fn port_forward(bench: &Bench, pod: &Pod, _: &Container<'_>) -> Result<String> {
    const DATA: u8 = 0;
    let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
    let port = listener.local_addr()?.port();
    let server = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut tcp, _) = listener.accept()?;
        let mut heard = [0; 5];
        tcp.read_exact(&mut heard)?;
        tcp.write_all(&[b"heard ", &heard[..]].concat())
    });
    let mut stream = Stream::open(&bench.containerd()?.cri.port_forward(&pod.id, port.into())?)?;
    stream.send(DATA, b"hello")?;
    let text = stream.until(&[DATA], "heard hello")?;
    server.join().map_err(|_| anyhow::anyhow!("the server panicked"))?.context("serve")?;
    // The first message on each channel is the port's number.
    ensure!(text.ends_with("heard hello"), "\"{text}\"");
    Ok("heard hello".to_owned())
}

/// What engines ask of a runtime beside containers: the answer and the exit code, byte for byte.
fn probe(bench: &Bench, kind: Kind, handler: &str, words: &str) -> Result<String> {
    let bare = bench.real(kind)?.to_owned();
    let strict = bench.room.dir.join(format!("{handler}-{}", kind.name()));
    let program: &Path = if handler == "bare" { &bare } else { &strict };
    let done = Command::new(program).args(words.split(' ')).output().context("ask the runtime")?;
    let text = |bytes: &[u8]| {
        // Go's log lines carry the time.
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.split("time=\"")
            .map(|part| part.split_once("\" ").map_or(part, |(_, rest)| rest))
            .collect::<String>()
    };
    Ok(format!("exit {:?}: {}{}", done.status.code().unwrap_or(-1), text(&done.stdout), text(&done.stderr)))
}
