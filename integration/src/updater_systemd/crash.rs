//! kill -9 in the middle of a change that goes to systemd and to the kernel's files.

use anyhow::{Context, Result};

use crate::call::Answer;
use crate::case::Outcome;
use crate::lab::Lab;
use crate::runtime::Runtime;
use crate::updater::crash::{Side, Victim, at_every};

use super::pod::{Pod, State};
use super::{WORDS, asked, expect, same};

/// By these a change in mode direct changes something; locks and other processes are tried on version 1.
const CALLS: [&str; 8] = ["write", "sendto", "fdatasync", "fsync", "mkdir", "rename", "symlink", "unlink"];

struct Resized<'a> {
    pod: Pod<'a>,
    before: State,
}

impl Victim for Resized<'_> {
    fn change(&self, wrapper: &[&str]) -> Result<Answer> {
        let words: Vec<&str> = WORDS.iter().copied().chain(["--mode", "direct"]).collect();
        self.pod.wrapped(wrapper, &words)
    }

    fn is_touched(&self) -> Result<bool> {
        Ok(self.pod.state()? != self.before)
    }

    fn recover(&self) -> Result<()> {
        self.pod.updater(&["recover"])?.require_success().map(drop)
    }

    fn side(&self) -> Result<Side> {
        let now = self.pod.state()?;
        if now == self.before {
            return Ok(Side::Old);
        }
        if now.get("scope memory.max") == self.before.get("scope memory.max") {
            same(&now, &self.before, "with the old memory limit")?;
        }
        expect(&self.pod, &asked(self.pod.is_nested()), "with a new memory limit")?;
        Ok(Side::New)
    }

    fn go_back(&self) -> Result<()> {
        let history = self.pod.updater(&["history", "--json"])?.report()?;
        let last = history["transactions"].as_array().and_then(|all| all.last()).context("no transaction")?;
        let name = last["transaction"].as_str().context("no name")?.to_owned();
        self.pod.updater(&["rollback", &name])?.require_success()?;
        same(&self.pod.state()?, &self.before, "undone between two kills")
    }
}

pub(super) fn killed(lab: &Lab, runtime: &Runtime) -> Result<Outcome> {
    let pod = Pod::make(lab, runtime)?;
    let before = pod.state()?;
    let resized = Resized { pod, before };
    let outcome = at_every(&CALLS, &resized)?;
    resized.pod.finish()?;
    Ok(outcome)
}
