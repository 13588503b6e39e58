//! How the probe gets into a container: by create, run or exec, and what came out of it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::call::{Answer, Call, LIMIT};
use crate::engine::{Engine, Made, Way};
use crate::runtime::{Kind, Runtime};
use crate::sys;

use super::{Road, Trial};

/// The command by which the probe gets into the container.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// create and start.
    Create,
    /// run, in the foreground.
    Run,
    /// run --detach.
    RunDetached,
    /// exec with the engine's process document, in the foreground.
    Exec,
    /// The same with --detach, as containerd's shim does it.
    ExecDetached,
    /// exec without a process document.
    ExecWords,
    /// restore; only the door of that name makes the call.
    Restore,
    /// exec by the engine, as the kubelet's probes do it.
    ExecSync,
    /// exec by the engine, as somebody's shell does it.
    ExecStream,
}

impl Entry {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Entry::Create => "create",
            Entry::Run => "run",
            Entry::RunDetached => "run --detach",
            Entry::Exec => "exec --process",
            Entry::ExecDetached => "exec --process --detach",
            Entry::ExecWords => "exec",
            Entry::Restore => "restore",
            Entry::ExecSync => "ExecSync",
            Entry::ExecStream => "streaming exec",
        }
    }

    /// The same on a runtime, where it works there: youki's run in the foreground misses the end of a short process
    /// now and then, and waits for ever.
    pub(crate) fn on(self, runtime: &Runtime) -> Self {
        if self == Entry::Run && runtime.kind == Kind::Youki { Entry::RunDetached } else { self }
    }

    /// Whether it enters a container that runs already.
    pub(crate) fn needs_a_container(self) -> bool {
        use Entry::{Exec, ExecDetached, ExecStream, ExecSync, ExecWords};
        matches!(self, Exec | ExecDetached | ExecWords | ExecSync | ExecStream)
    }

    /// What an engine makes of these entries, whatever words it sends to the runtime.
    pub(crate) fn of_an_engine(entries: &[Entry]) -> Vec<Entry> {
        let has = |wanted: &[Entry]| entries.iter().any(|entry| wanted.contains(entry));
        let mut found = Vec::new();
        if has(&[Entry::Create, Entry::Run, Entry::RunDetached]) {
            found.push(Entry::Create);
        }
        if has(&[Entry::Exec, Entry::ExecDetached]) {
            found.extend([Entry::ExecSync, Entry::ExecStream]);
        }
        found
    }
}

/// By which of an attack's own commands it is tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entries {
    /// By each.
    All,
    /// As containerd's shim calls a runtime, create and exec --process --detach, where the attack has these; else by
    /// each. What the others differ in is decided before a runtime is called, so one machine that tries them all is
    /// enough.
    Shim,
}

impl Entries {
    /// Of an attack's commands those that are tried.
    pub(crate) fn of(self, entries: &[Entry]) -> Vec<Entry> {
        let shim = |entry: &Entry| matches!(entry, Entry::Create | Entry::ExecDetached);
        match self {
            Entries::Shim if entries.iter().any(shim) => entries.iter().copied().filter(shim).collect(),
            _ => entries.to_vec(),
        }
    }
}

/// What came out of an attempt.
pub(crate) enum Seen {
    /// The probe ran inside and reported.
    Report(Value),
    /// The call failed, so the probe never ran.
    Refused(Answer),
}

impl Seen {
    /// The probe's report.
    ///
    /// # Errors
    /// When the probe never ran.
    pub(crate) fn identity(&self) -> Result<&Value> {
        match self {
            Seen::Report(report) => Ok(report),
            Seen::Refused(answer) => bail!("{answer}"),
        }
    }

    /// What a call with the probe inside came to.
    pub(crate) fn of(answer: Answer) -> Result<Self> {
        if answer.succeeded() { answer.report().map(Seen::Report) } else { Ok(Seen::Refused(answer)) }
    }
}

impl<'a> Trial<'a> {
    /// Writes the bundle and enters it by this attempt's command, with the probe.
    pub(crate) fn enter(&self, bundle: &Bundle) -> Result<Seen> {
        Seen::of(self.enter_plainly(bundle)?)
    }

    /// The same with any program. Whatever it wrote is complete when this returns.
    pub(crate) fn enter_plainly(&self, bundle: &Bundle) -> Result<Answer> {
        if self.entry.needs_a_container() {
            return match self.launch(bundle)? {
                Some(refused) => Ok(refused),
                None => self.exec_plainly(&bundle.spec["process"]),
            };
        }
        if let Road::Engine(engine) = self.road {
            let words = words_of(&bundle.spec["process"]);
            let id = match self.start_by(engine, bundle, &words)? {
                Ok(id) => id,
                Err(refused) => return Ok(refused),
            };
            return Answer::told("the container's log", &self.streams(), true, &engine.first_line(&id)?);
        }
        bundle.write()?;
        self.make(self.making_call().argument("--bundle").argument(&bundle.dir).argument(&self.id))
    }

    /// create or run of a bundle whose document is on disk already.
    pub(crate) fn enter_written(&self, bundle: &Bundle) -> Result<Seen> {
        self.enter_by(self.making_call().argument("--bundle").argument(&bundle.dir).argument(&self.id))
    }

    /// Any call that makes the container and writes `init.pid`.
    pub(crate) fn enter_by(&self, call: Call<'a>) -> Result<Seen> {
        Seen::of(self.make(call)?)
    }

    /// create or run, as this attempt's entry says, up to --pid-file.
    pub(crate) fn making_call(&self) -> Call<'a> {
        let call = match self.entry {
            Entry::Run => self.call().argument("run"),
            Entry::RunDetached => self.call().arguments(["run", "--detach"]),
            _ => self.call().argument("create"),
        };
        call.argument("--pid-file").argument(self.dir.join("init.pid"))
    }

    fn make(&self, call: Call<'a>) -> Result<Answer> {
        let made = self.attempt(call)?;
        if made.succeeded() {
            if self.entry == Entry::Create {
                self.start()?;
            }
            self.await_end(&self.dir.join("init.pid"))?;
        }
        Ok(made)
    }

    /// A create as containerd's shim calls it.
    pub(crate) fn create_call(&self, bundle: &Bundle) -> Call<'a> {
        let call = self.call().argument("create").argument("--bundle").argument(&bundle.dir);
        call.argument("--pid-file").argument(self.dir.join("init.pid")).argument(&self.id)
    }

    /// Starts a container that sleeps, for exec to enter. `Some` is the answer of a create that failed.
    pub(crate) fn launch(&self, bundle: &Bundle) -> Result<Option<Answer>> {
        if let Road::Engine(engine) = self.road {
            return Ok(self.start_by(engine, bundle, &["/probe", "pause"])?.err());
        }
        let mut sleeping = bundle.spec.clone();
        sleeping["process"]["args"] = json!(["/probe", "pause"]);
        bundle.write_text(&sleeping.to_string())?;
        let created = self.attempt(self.create_call(bundle))?;
        if !created.succeeded() {
            return Ok(Some(created));
        }
        self.start()?;
        Ok(None)
    }

    pub(crate) fn start(&self) -> Result<()> {
        self.call().arguments(["start", &self.id]).run(b"")?.require_success().map(drop)
    }

    /// exec of the probe with a process document, or with its words alone, as this attempt's entry says.
    pub(crate) fn exec(&self, process: &Value) -> Result<Seen> {
        Seen::of(self.exec_plainly(process)?)
    }

    /// exec with any text as the process document.
    pub(crate) fn exec_text(&self, document: &str) -> Result<Seen> {
        Seen::of(self.exec_document(document)?)
    }

    /// Lets an engine make and start a container; its id, or the engine's refusal.
    fn start_by(
        &self,
        engine: &dyn Engine,
        bundle: &Bundle,
        words: &[&str],
    ) -> Result<Result<String, Answer>> {
        match engine.start(self.runtime, self.front, bundle, words)? {
            Made::Container(id) => {
                self.made.replace(Some(id.clone()));
                Ok(Ok(id))
            }
            Made::Refused { id, error } => {
                self.made.replace(Some(id));
                Answer::told("the engine", &self.streams(), false, &error).map(Err)
            }
        }
    }

    fn exec_plainly(&self, process: &Value) -> Result<Answer> {
        if let Road::Engine(engine) = self.road {
            let way = if self.entry == Entry::ExecStream { Way::Stream } else { Way::Probe };
            let id = self.made.borrow().clone().context("exec before the engine has made a container")?;
            return match engine.exec(&id, way, &words_of(process))? {
                Ok(output) => Answer::told("exec by the engine", &self.streams(), true, &output),
                Err(error) => Answer::told("exec by the engine", &self.streams(), false, &error),
            };
        }
        if self.entry == Entry::ExecWords {
            return self.attempt(self.call().arguments(["exec", &self.id]).arguments(words_of(process)));
        }
        self.exec_document(&process.to_string())
    }

    fn exec_document(&self, document: &str) -> Result<Answer> {
        let folder = self.dir.join("exec");
        fs::create_dir_all(&folder).context("make the folder of exec's document")?;
        let path = folder.join("process.json");
        fs::write(&path, document).context("write exec's document")?;
        let pid_file = self.dir.join("exec.pid");
        let call = self.call().argument("exec").argument("--process").argument(&path);
        let detached = self.entry == Entry::ExecDetached;
        let call = if detached { call.argument("--detach") } else { call };
        let answer = self.attempt(call.argument("--pid-file").argument(&pid_file).argument(&self.id))?;
        let left = fs::read_dir(&folder).context("look for leftovers of exec")?.count();
        ensure!(left == 1, "exec left {left} files beside its document instead of 1");
        if detached && answer.succeeded() {
            self.await_end(&pid_file)?;
        }
        Ok(answer)
    }

    /// Waits for the end of a process in the container.
    fn await_end(&self, pid_file: &Path) -> Result<()> {
        let text = fs::read_to_string(pid_file).with_context(|| format!("read {}", pid_file.display()))?;
        let pid = text.trim().parse().with_context(|| format!("\"{text}\" is no pid"))?;
        ensure!(sys::await_end(pid, LIMIT).context("wait for the probe")?, "the probe did not end");
        Ok(())
    }
}

/// The words of a process document.
fn words_of(process: &Value) -> Vec<&str> {
    process["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
