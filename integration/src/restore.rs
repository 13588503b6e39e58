//! A real checkpoint, which holds the image's group, and its restore: the bare runtime gives the group back without a
//! question, runc-strict refuses, and lets it through where its configuration says so. criu doesn't work on every kernel.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::bundle::{Bundle, IMAGE};
use crate::call::Answer;
use crate::case::{Case, Outcome, Suite};
use crate::doors::refusal;
use crate::lab::Lab;
use crate::runtime::{Runtime, find_program};
use crate::trial::{Entry, Front, Trial};

/// `suites run restore`.
pub(crate) const SUITE: Suite<Lab> = Suite {
    name: "restore",
    about: "a container is checkpointed by criu and restored",
    headings: &["what", "runtime", "bare", "runc-strict", "restore = \"allow\""],
    cases,
};

fn cases(lab: &Lab) -> Vec<Case<Lab>> {
    let of = |runtime: &Runtime| {
        let runtime = runtime.clone();
        let cells = vec!["a checkpoint with the image's group".to_owned(), runtime.title()];
        Case::new(cells, move |lab: &Lab| tried(lab, &runtime))
    };
    lab.runtimes.iter().map(of).collect()
}

fn tried(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    if lab.product.is_none() {
        return Ok(Outcome::Skipped("needs the product, and --bare-only was given".to_owned()));
    }
    if !runtime.restores {
        return Ok(Outcome::Skipped(format!("this {} is built without criu", runtime.title())));
    }
    let Ok(criu) = find_program("criu") else {
        return Ok(Outcome::Skipped("criu is not installed".to_owned()));
    };
    let check = Command::new(criu).arg("check").output().context("call criu check")?;
    if !check.status.success() {
        let said = String::from_utf8_lossy(&check.stderr);
        let last = said.lines().last().unwrap_or_default();
        return Ok(Outcome::Skipped(format!("criu doesn't work on this kernel: {last}")));
    }

    // The product never saw this container: it was made, and is checkpointed, by the bare runtime.
    let trial = Trial::new(lab, runtime, Front::Product, Entry::Create)?;
    let bare = trial.behind_the_product();
    let mut bundle = trial.bundle()?;
    // criu can't carry files from outside of the container along, as the standard streams here are.
    let script = "exec </dev/null >/dev/null 2>&1; exec /probe pause";
    bundle.arguments(&["/bin/busybox", "sh", "-c", script]);
    bundle.write()?;
    bare.attempt(bare.create_call(&bundle))?.require_success()?;
    bare.start()?;
    await_probe(&bare)?;
    for folder in ["image", "work"] {
        fs::create_dir(trial.dir.join(folder)).with_context(|| format!("make {folder}"))?;
    }
    checkpoint(&bare)?;

    restore(&bare, &bundle)?.require_success().context("bare")?;
    ensure!(bare.init_groups()?.contains(&IMAGE), "the bare runtime restores {:?}", bare.init_groups()?);
    // Whoever checkpoints is let through as with every command that makes no process.
    checkpoint(&trial).context("through runc-strict")?;

    let refused = restore(&trial, &bundle)?;
    refusal(&trial, &refused, &["restore".to_owned()])?;
    ensure!(!trial.exists(), "there is a container after the refusal");

    trial.configure("restore = \"allow\"", "")?;
    restore(&trial, &bundle)?.require_success().context("allowed")?;
    let groups = trial.init_groups()?;
    ensure!(groups.contains(&IMAGE), "an allowed restore gives {groups:?}");
    trial.finish()?;
    let open = format!("open: gid {IMAGE}");
    Ok(Outcome::Passed(vec![open.clone(), "refused: restore".to_owned(), open]))
}

/// Writes the container to the folder `image`, which ends it.
fn checkpoint(trial: &Trial) -> Result<()> {
    let call = trial.call().argument("checkpoint").argument("--image-path").argument(trial.dir.join("image"));
    let call = call.argument("--work-path").argument(trial.dir.join("work")).argument(&trial.id);
    call.run(b"")?.require_success().context("checkpoint").map(drop)
}

/// As containerd's shim calls it, with its single dash.
fn restore(trial: &Trial, bundle: &Bundle) -> Result<Answer> {
    let call = trial.call().argument("restore").argument("--image-path").argument(trial.dir.join("image"));
    let call = call.argument("--work-path").argument(trial.dir.join("work")).argument("--detach");
    let call = call.argument("--pid-file").argument(trial.dir.join("init.pid")).argument("-no-subreaper");
    trial.attempt(call.argument("--bundle").argument(&bundle.dir).argument(&trial.id))
}

/// Waits until the container's shell has become the probe: there is no event for an exec that a stranger can wait for.
fn await_probe(trial: &Trial) -> Result<()> {
    let pid = fs::read_to_string(trial.dir.join("init.pid")).context("read init.pid")?;
    let program = format!("/proc/{}/exe", pid.trim());
    let until = Instant::now() + Duration::from_secs(20);
    while !fs::read_link(&program).is_ok_and(|path| path.ends_with("probe")) {
        ensure!(Instant::now() < until, "the container doesn't become the probe");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
