//! What happens when containerd can't be asked: a create is refused soon and says why, and what exists goes on.
#![allow(
    clippy::indexing_slicing,
    reason = "serde_json gives null for what is missing, and adds what is assigned"
)]

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use runc_strict_integration::case::{Case, Outcome, Suite};
use runc_strict_integration::runtime::Kind;
use serde_json::Value;

use crate::bench::{Bench, output};
use crate::pod::{Pod, WHO, Who, Wish};

pub(crate) const SUITE: Suite<Bench> = Suite {
    name: "faults",
    about: "containerd stopped, its socket missing or silent: create is refused in under 3 s, exec goes on",
    headings: &["fault", "runtime", "what happened"],
    cases,
};

/// How long a refusal may take, where containerd is waited for beside what a refusal without a wait takes.
const PATIENCE: Duration = Duration::from_secs(3);

fn cases(bench: &Bench) -> Vec<Case<Bench>> {
    let of = |kind: Kind| {
        vec![
            Case::new(["the socket is missing at create", kind.name()], move |bench| missing(bench, kind)),
            Case::new(["the socket doesn't answer at create", kind.name()], move |bench| silent(bench, kind)),
            Case::new(["the socket is gone at exec", kind.name()], move |bench| gone(bench, kind)),
            Case::new(["containerd stopped between create and exec", kind.name()], move |bench| {
                stopped(bench, kind)
            }),
        ]
    };
    bench.kinds.iter().flat_map(|kind| of(*kind)).collect()
}

/// Starts a pod that must be refused, in time, and gives back what the CRI said and how long it took.
fn refused(bench: &Bench, handler: &str, patience: Duration) -> Result<(String, Duration)> {
    bench.containerd()?;
    let since = Instant::now();
    let answer = Pod::run(bench, handler, &[], &Wish::default());
    let took = since.elapsed();
    let Err(why) = answer else { bail!("the pod started") };
    ensure!(took < patience, "the refusal took {took:?}");
    let text = format!("{why:#}");
    ensure!(text.contains("which groups the pod declares"), "that is no refusal of ours: {text}");
    Ok((text, took))
}

fn missing(bench: &Bench, kind: Kind) -> Result<Outcome> {
    let (text, took) = refused(bench, &format!("missing-{}", kind.name()), PATIENCE)?;
    let socket = bench.room.dir.join("nowhere.sock");
    ensure!(text.contains(&*socket.to_string_lossy()), "the socket isn't named: {text}");
    ensure!(text.contains("no such file or directory"), "the reason isn't told: {text}");
    Ok(Outcome::Passed(vec![format!("refused after {} ms, naming the socket", took.as_millis())]))
}

fn silent(bench: &Bench, kind: Kind) -> Result<Outcome> {
    let handler = format!("missing-{}", kind.name());
    // An emulated machine takes a second for what another does in a tenth of it.
    let (_, at_once) = refused(bench, &handler, PATIENCE)?;
    let socket = bench.room.dir.join("nowhere.sock");
    let listener = UnixListener::bind(&socket).context("listen in containerd's place")?;
    let server = std::thread::spawn(move || {
        // Reads until the caller hangs up, and says nothing.
        listener.accept().and_then(|(mut stream, _)| stream.read_to_end(&mut Vec::new()))
    });
    let answer = refused(bench, &handler, PATIENCE + at_once);
    if answer.is_err() {
        // Nobody may have called: the server is still waiting for its one caller.
        drop(std::os::unix::net::UnixStream::connect(&socket));
    }
    fs::remove_file(&socket).context("remove the socket")?;
    let asked = server.join().map_err(|_| anyhow::anyhow!("the server panicked"))?;
    let (text, took) = answer?;
    ensure!(asked.is_ok_and(|bytes| bytes > 0), "nothing was asked");
    ensure!(text.contains("no answer in 2000 ms"), "the reason isn't told: {text}");
    Ok(Outcome::Passed(vec![format!("refused after {} ms, naming the time", took.as_millis())]))
}

/// The configured socket is looked for at no exec.
fn gone(bench: &Bench, kind: Kind) -> Result<Outcome> {
    let config = bench.room.dir.join(format!("strict-{}.toml", kind.name()));
    let pod = Pod::run(bench, &format!("strict-{}", kind.name()), &[], &Wish::default())?;
    let container = pod.container("main", &Wish::alice(&[60000]))?;
    let text = fs::read_to_string(&config).context("read the configuration")?;
    fs::write(&config, text.replace("c.sock", "nowhere.sock")).context("change the configuration")?;
    let who = container.who();
    fs::write(&config, text).context("put the configuration back")?;
    let who = who?;
    ensure!(who.groups == [1000, 60000], "{who:?}");
    pod.remove()?;
    Ok(Outcome::Passed(vec!["ExecSync and streaming exec have 1000 60000".to_owned()]))
}

/// Without containerd nobody can call over the CRI; a node's administrator still can, as the shim does.
fn stopped(bench: &Bench, kind: Kind) -> Result<Outcome> {
    let containerd = bench.containerd()?;
    let pod = Pod::run(bench, &format!("strict-{}", kind.name()), &[], &Wish::default())?;
    let container = pod.container("main", &Wish::alice(&[60000]))?;
    let created = container.by_log()?;
    containerd.down()?;
    let by_hand = exec_by_hand(bench, kind, &container.id);
    let since = Instant::now();
    let other = create_by_hand(bench, kind, &container.id);
    let took = since.elapsed();
    containerd.up()?;
    let by_hand = by_hand?;
    ensure!(created.groups == [1000, 60000], "{created:?}");
    ensure!(by_hand == created, "the container is {created:?}, an exec without containerd {by_hand:?}");
    let text = other?;
    ensure!(took < PATIENCE, "the refusal of a create took {took:?}");
    ensure!(text.contains("which groups the pod declares"), "that is no refusal of ours: {text}");
    let after = container.who().context("after containerd is back")?;
    ensure!(after == created, "after containerd is back: {after:?}");
    pod.remove()?;
    Ok(Outcome::Passed(vec!["exec has 1000 60000; create is refused; both again after its start".to_owned()]))
}

/// exec with the engine's own document: what its database says, the image's groups among it.
fn exec_by_hand(bench: &Bench, kind: Kind, id: &str) -> Result<Who> {
    let containerd = bench.containerd()?;
    let config = fs::read_to_string(containerd.bundle(id).join("config.json")).context("read config.json")?;
    let config: Value = serde_json::from_str(&config).context("read config.json")?;
    let mut process = config["process"].clone();
    process["args"] = serde_json::json!(["/bin/sh", "-c", WHO]);
    process["user"]["additionalGids"] = serde_json::json!([1000, 3000, 50000, 60000]);
    let document = bench.room.dir.join("process.json");
    fs::write(&document, process.to_string()).context("write exec's document")?;
    let mut command = Command::new(bench.room.dir.join(format!("strict-{}", kind.name())));
    command.arg("--root").arg(containerd.runtime_root()).args(["exec", "--process"]).arg(&document).arg(id);
    Who::read(&output(&mut command)?)
}

/// create of another container from the same bundle's document, which must not come about.
fn create_by_hand(bench: &Bench, kind: Kind, id: &str) -> Result<String> {
    let containerd = bench.containerd()?;
    let mut command = Command::new(bench.room.dir.join(format!("strict-{}", kind.name())));
    command.arg("--root").arg(containerd.runtime_root()).args(["create", "--bundle"]);
    command.arg(containerd.bundle(id)).arg(format!("other-{}", bench.next()));
    match output(&mut command) {
        Ok(_) => bail!("a container was created without containerd"),
        Err(why) => Ok(format!("{why:#}")),
    }
}
