//! A container that dies between the plan and the first write: it is passed over, its neighbour is changed all the same.
//! The moment is not guessed: strace stops cgroup-updater as it forces its journal to the disk, and says so in a FIFO.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::json;

use crate::case::Outcome;
use crate::lab::Lab;
use crate::runtime::{Runtime, find_program};

use super::pod::{MIB, Pod};
use super::{PATIENCE, passed};

/// What becomes of the container at that moment.
#[derive(Clone, Copy, PartialEq)]
enum Death {
    /// Its process ends; the cgroup is still there.
    Killed,
    /// It is deleted, and its cgroup with it.
    Deleted,
}

pub(super) fn skipped(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    if find_program("strace").is_err() {
        return Ok(Outcome::Skipped("strace isn't installed, which stops it at the right moment".to_owned()));
    }
    for (mode, death) in [
        ("direct", Death::Killed),
        ("direct", Death::Deleted),
        ("runtime", Death::Killed),
        ("runtime", Death::Deleted),
    ] {
        one(lab, runtime, mode, death).with_context(|| format!("--mode {mode}"))?;
    }
    passed("passed over and told; the other one is changed")
}

fn one(lab: &Lab, runtime: &Runtime, mode: &str, death: Death) -> Result<()> {
    let pod = Pod::make(lab, runtime, 2)?;
    let limits = json!({"limits": {"cpu": "300m", "memory": "128Mi"}});
    let manifest = json!({"kind": "Pod", "metadata": {"uid": pod.uid}, "spec": {"containers": [
        {"name": pod.id(0), "resources": limits}, {"name": pod.id(1), "resources": limits}]}});
    let file = pod.file("pod.json", &manifest.to_string())?;
    let trace = pod.place("trace")?;
    mkfifo(&trace, Mode::S_IRUSR | Mode::S_IWUSR).context("make a FIFO")?;
    // with both ends open here nobody waits for the other to open it
    let events = OpenOptions::new().read(true).write(true).open(&trace).context("open the FIFO")?;
    let shown = trace.display().to_string();
    let strace =
        ["strace", "-o", &shown, "-e", "trace=fdatasync", "-e", "inject=fdatasync:signal=STOP:when=1"];
    let root = pod.root()?;
    let words = ["cgroup-updater", "apply", "-f", &file, "--root", &root, "--mode", mode, "--json"];
    let call = pod.wrapped_call(&strace)?.arguments(words);
    let answer = std::thread::scope(|scope| {
        let run = scope.spawn(|| call.run(b""));
        // a runtime that it starts later isn't traced, and goes its way
        let stopped = await_stop(events).and_then(|()| pod.writer());
        let killed = match (&stopped, death) {
            (Err(_), _) => Ok(()),
            (Ok(_), Death::Killed) => pod.end(1),
            (Ok(_), Death::Deleted) => pod.remove(1),
        };
        if let Ok(pid) = &stopped {
            kill(Pid::from_raw(*pid), Signal::SIGCONT).context("let it go on")?;
        }
        let answer = run.join().map_err(|_| anyhow::anyhow!("the caller panicked"))?;
        stopped.and(killed).and(answer)
    })?
    .require_success()?;
    let ended = answer.report()?["ended"].to_string();
    ensure!(
        ended == format!("[\"container \\\"{}\\\"\"]", pod.id(1)),
        "it says that {ended} ended: {answer}"
    );
    let first = pod.limits(0)?;
    ensure!((first.memory, first.quota) == (128 * MIB, 30_000), "{first:?} after {answer}");
    pod.finish()
}

/// Waits until strace says that the program is stopped.
fn await_stop(events: File) -> Result<()> {
    let mut lines = BufReader::new(events);
    loop {
        if lines.buffer().is_empty() {
            let mut wait = [PollFd::new(lines.get_ref().as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
            ensure!(poll(&mut wait, timeout)? == 1, "strace told nothing in {} s", PATIENCE.as_secs());
        }
        let mut line = String::new();
        lines.read_line(&mut line)?;
        if line.contains("+++ exited") {
            bail!("it ended before it wrote a journal");
        }
        if line.contains("stopped by SIGSTOP") {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stop_is_awaited_line_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = &folder.path().join("trace");
        std::fs::write(path, "fdatasync(3) = 0\n--- SIGSTOP {} ---\n--- stopped by SIGSTOP ---\n").unwrap();
        await_stop(File::open(path).unwrap()).unwrap();
        std::fs::write(path, "+++ exited with 2 +++\n").unwrap();
        assert!(await_stop(File::open(path).unwrap()).is_err());
    }
}
