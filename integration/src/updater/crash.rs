//! kill -9 in the middle: strace sends it at the n-th system call of a kind, for every kind by which a transaction changes
//! something, and for every n until the program comes to its end. After `recover` everything is as it was, or as asked.

use anyhow::{Context, Result, bail, ensure};

use crate::call::Answer;
use crate::case::Outcome;
use crate::lab::Lab;
use crate::runtime::{Kind, Runtime, find_program};

use super::passed;
use super::pod::{Limits, MIB, Pod};

/// By these something changes: a file, a name, a lock, a cgroup, systemd, another process. Where a file is made, what is
/// killed before its first write has left the same. strace passes over what the machine doesn't have.
const CALLS: [&str; 13] = [
    "fcntl",
    "write",
    "fdatasync",
    "fsync",
    "mkdir",
    "rename",
    "renameat2",
    "symlink",
    "unlink",
    "sendto",
    "clone",
    "clone3",
    "vfork",
];

/// More of one kind than any of these changes makes.
const MOST: u32 = 100;

/// On which side of a transaction something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Old,
    New,
}

/// What a process is killed in the middle of.
pub(crate) trait Victim {
    /// Makes the change behind another program.
    fn change(&self, wrapper: &[&str]) -> Result<Answer>;
    /// Whether any limit isn't what it was.
    fn is_touched(&self) -> Result<bool>;
    fn recover(&self) -> Result<()>;
    /// Where it stands; an error if in between.
    fn side(&self) -> Result<Side>;
    /// Puts back what was.
    fn go_back(&self) -> Result<()>;
}

/// Kills it at every one of `calls`.
pub(crate) fn at_every(calls: &[&str], victim: &dyn Victim) -> Result<Outcome> {
    if find_program("strace").is_err() {
        return Ok(Outcome::Skipped("strace isn't installed, which sends the signal".to_owned()));
    }
    let (mut between, mut old, mut new) = (0, 0, 0);
    for call in calls {
        for n in 1.. {
            ensure!(n < MOST, "it still makes {call} number {MOST}");
            let (trace, inject) = (format!("trace=?{call}"), format!("inject=?{call}:signal=KILL:when={n}"));
            let strace = ["strace", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            let answer = victim.change(&strace)?;
            let when = || format!("killed at {call} {n}");
            if answer.succeeded() {
                ensure!(victim.side()? == Side::New, "it is done, and nothing has changed");
                victim.go_back()?;
                break;
            }
            ensure!(answer.code.is_none() || answer.code == Some(137), "{}: {answer}", when());
            between += u32::from(victim.is_touched().with_context(when)?);
            victim.recover().with_context(when)?;
            match victim.side().with_context(when)? {
                Side::Old => old += 1,
                Side::New => {
                    new += 1;
                    victim.go_back().with_context(when)?;
                }
            }
        }
    }
    ensure!(between > 0, "no kill hit the middle, so that nothing was shown");
    passed(format!("killed at {} system calls: {between} in the middle; {old} old, {new} new", old + new))
}

/// A pod on cgroup v1, with one container.
struct Resized<'a> {
    pod: Pod<'a>,
    before: Limits,
    after: Limits,
    mode: &'a str,
    /// Whether the runtime's state has to tell the same.
    stated: bool,
}

impl Resized<'_> {
    fn set(&self, words: &[&str]) -> Vec<String> {
        words.iter().chain(&["--mode", self.mode]).map(|word| (*word).to_owned()).collect()
    }
}

impl Victim for Resized<'_> {
    fn change(&self, wrapper: &[&str]) -> Result<Answer> {
        let words =
            ["--memory-limit", "128Mi", "--cpu-limit", "300m", "--cpu-request", "250m", "--pids-limit", "55"];
        let words = self.set(&words);
        self.pod.wrapped(wrapper, 0, &words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn is_touched(&self) -> Result<bool> {
        Ok(self.pod.limits(0)? != self.before)
    }

    fn recover(&self) -> Result<()> {
        self.pod.updater(&["recover"])?.require_success().map(drop)
    }

    fn side(&self) -> Result<Side> {
        let now = self.pod.limits(0)?;
        let side = match &now {
            now if *now == self.before => Side::Old,
            now if *now == self.after => Side::New,
            now => bail!("{now:?} is neither {:?} nor {:?}", self.before, self.after),
        };
        let keeps = self.pod.keeps(0)?;
        ensure!(keeps == (side == Side::New), "the limits are {now:?}, and the override isn't of them");
        if self.stated {
            let stated = self.pod.stated(0)?;
            ensure!(stated == now, "the state says {stated:?}, the kernel {now:?}");
        }
        Ok(side)
    }

    fn go_back(&self) -> Result<()> {
        let words = [
            "--memory-limit",
            "256Mi",
            "--cpu-limit",
            "500m",
            "--cpu-request",
            "500m",
            "--pids-limit",
            "100",
        ];
        let words = self.set(&words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.pod.set(0, &words, &["--once"])?.require_success()?;
        self.pod.updater(&["unset", "--container", self.pod.id(0), "--keep"])?.require_success().map(drop)
    }
}

pub(super) fn killed(lab: &Lab, runtime: &Runtime, mode: &str) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime, 1)?;
    let before = pod.limits(0)?;
    let after = Limits { memory: 128 * MIB, quota: 30_000, shares: 256, pids: 55 };
    let stated = runtime.kind == Kind::Runc && mode == "runtime";
    let resized = Resized { pod, before, after, mode, stated };
    let outcome = at_every(&CALLS, &resized)?;
    resized.pod.finish()?;
    Ok(outcome)
}
