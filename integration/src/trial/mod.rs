//! One attempt: a container on one runtime, entered by one command, with or without the product in front. The
//! same code drives both roads, so that the two differ in nothing but the product.

mod entry;

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};

use crate::bundle::{Bundle, Snapshot};
use crate::call::{Answer, Call};
use crate::cgroup;
use crate::engine::Engine;
use crate::lab::Lab;
use crate::report::complain;
use crate::room::{give_back_dev_null, records, unmount_below};
use crate::runtime::{Kind, Runtime};

pub use entry::Entries;
pub(crate) use entry::{Entry, Seen};

/// What is called as the runtime.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// The runtime itself.
    Bare,
    /// runc-strict, which is told by its configuration to become the runtime.
    Product,
}

/// Who calls the runtime.
#[derive(Clone, Copy)]
pub(crate) enum Road<'a> {
    /// We do, with the words of our choice.
    Direct,
    /// An engine does, and we speak to the engine.
    Engine(&'a dyn Engine),
}

/// One attempt.
pub(crate) struct Trial<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) runtime: &'a Runtime,
    pub(crate) front: Front,
    pub(crate) road: Road<'a>,
    pub(crate) entry: Entry,
    /// This attempt's own folder.
    pub(crate) dir: PathBuf,
    /// The container's id, where we choose it.
    pub(crate) id: String,
    /// The runtime's `--root` where no engine stands between.
    root: PathBuf,
    /// The id that the engine chose.
    made: RefCell<Option<String>>,
    program: PathBuf,
    /// Whether the container and the folder go away with this value.
    owner: bool,
    caller_groups: Cell<Option<&'static str>>,
    calls: Rc<Cell<u32>>,
    before: RefCell<Option<Snapshot>>,
}

impl<'a> Trial<'a> {
    /// Makes the folder and the product's configuration.
    ///
    /// # Errors
    /// When the folder can't be made, or there is no product and one is needed.
    pub(crate) fn new(lab: &'a Lab, runtime: &'a Runtime, front: Front, entry: Entry) -> Result<Self> {
        Self::on(Road::Direct, lab, runtime, front, entry)
    }

    /// The same on any road.
    pub(crate) fn on(
        road: Road<'a>,
        lab: &'a Lab,
        runtime: &'a Runtime,
        front: Front,
        entry: Entry,
    ) -> Result<Self> {
        let id = lab.next_name();
        let dir = lab.room.dir.join("trials").join(&id);
        lab.room.make_folder(&dir)?;
        let program = match front {
            Front::Bare => runtime.path.clone(),
            Front::Product => lab.product.clone().context("no product is under trial")?,
        };
        let (caller_groups, calls, before) = (Cell::default(), Rc::default(), RefCell::default());
        let made = RefCell::default();
        let trial = Self {
            lab,
            runtime,
            front,
            road,
            entry,
            dir,
            id,
            root: lab.room.root(runtime.kind),
            made,
            program,
            owner: true,
            caller_groups,
            calls,
            before,
        };
        trial.configure("", "")?;
        Ok(trial)
    }

    /// The same attempt with another `--root`. Whoever has made that sees to it that the sweep looks there.
    pub(crate) fn with_root(mut self, root: &Path) -> Self {
        root.clone_into(&mut self.root);
        self
    }

    /// The same attempt, but what is called now is the bare runtime: a container that the product never saw.
    pub(crate) fn behind_the_product(&self) -> Self {
        Self {
            lab: self.lab,
            runtime: self.runtime,
            front: Front::Bare,
            road: Road::Direct,
            entry: self.entry,
            dir: self.dir.clone(),
            id: self.id.clone(),
            root: self.root.clone(),
            made: RefCell::default(),
            program: self.runtime.path.clone(),
            owner: false,
            caller_groups: self.caller_groups.clone(),
            calls: Rc::clone(&self.calls),
            before: RefCell::default(),
        }
    }

    /// Starts a sleeping container before the product is installed, so to speak: it comes between afterwards.
    pub(crate) fn launch_behind_the_product(&self, bundle: &Bundle) -> Result<Option<Answer>> {
        match self.road {
            Road::Direct => self.behind_the_product().launch(bundle),
            Road::Engine(engine) => {
                engine.bypass(self.runtime, true)?;
                let launched = self.launch(bundle);
                engine.bypass(self.runtime, false)?;
                launched
            }
        }
    }

    /// From now on whoever calls is in these groups, given as numbers separated by commas.
    pub(crate) fn caller_in(&self, groups: &'static str) {
        self.caller_groups.set(Some(groups));
    }

    /// Writes the product's configuration: `keys` go before the first table, `tables` after the last.
    pub(crate) fn configure(&self, keys: &str, tables: &str) -> Result<()> {
        let own = || (self.dir.join("config.toml"), String::new(), String::new());
        let (path, engine_keys, engine_tables) = match self.road {
            Road::Engine(engine) => engine.configuration(self.runtime)?,
            Road::Direct => own(),
        };
        let runtime = self.runtime.path.display();
        let audit = self.lab.room.dir.join("trials").join(&self.id).join("audit.log");
        let text = format!(
            "runtime = \"{runtime}\"\n{engine_keys}{keys}\n[audit]\npath = \"{}\"\n{engine_tables}{tables}\n",
            audit.display()
        );
        fs::write(path, text).context("write the product's configuration")
    }

    /// The standard image of the attack: alice declared 5000, the image says 50000.
    pub(crate) fn bundle(&self) -> Result<Bundle> {
        self.bundle_in(&self.dir.join("bundle"))
    }

    /// The same at another place.
    pub(crate) fn bundle_in(&self, dir: &Path) -> Result<Bundle> {
        Bundle::make(dir, &self.id, &cgroup::parent(), &self.lab.probe, &self.lab.busybox)
    }

    /// The runtime's `--root`.
    pub(crate) fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// Where the streams of the next call go.
    fn streams(&self) -> PathBuf {
        let number = self.calls.replace(self.calls.get() + 1);
        self.dir.join(format!("call-{number}"))
    }

    /// A call without any argument yet.
    pub(crate) fn empty_call(&self) -> Call<'a> {
        let call = Call::new(&self.lab.room, &self.program, &self.streams())
            .environment("RUNC_STRICT_CONFIG", self.dir.join("config.toml"))
            .cwd(&self.dir);
        match self.caller_groups.get() {
            Some(groups) => call.with_caller_groups(&self.lab.probe, groups),
            None => call,
        }
    }

    /// A call with the globals that containerd's shim sends.
    pub(crate) fn call(&self) -> Call<'a> {
        let call = self.empty_call();
        let log = call.log();
        call.argument("--root")
            .argument(self.root())
            .argument("--log")
            .argument(log)
            .arguments(["--log-format", "json"])
    }

    /// Runs a call that may be refused, and remembers what the bundle was before it.
    pub(crate) fn attempt(&self, call: Call<'a>) -> Result<Answer> {
        let bundle = self.dir.join("bundle");
        *self.before.borrow_mut() = if bundle.is_dir() { Some(Snapshot::of(&bundle)?) } else { None };
        call.run(b"")
    }

    /// What the last attempt changed in the bundle, in one line; empty when nothing.
    pub(crate) fn changes(&self) -> Result<String> {
        match &*self.before.borrow() {
            Some(before) => Ok(Snapshot::of(&self.dir.join("bundle"))?.changes_since(before)),
            None => Ok(String::new()),
        }
    }

    /// The supplementary groups of the container's first process, as the host sees them.
    pub(crate) fn init_groups(&self) -> Result<Vec<u32>> {
        let pid = fs::read_to_string(self.dir.join("init.pid")).context("read init.pid")?;
        let path = format!("/proc/{}/status", pid.trim());
        let status = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("Groups:")).context("no line Groups")?;
        Ok(line.split_whitespace().filter_map(|gid| gid.parse().ok()).collect())
    }

    /// Whether the runtime knows the container.
    pub(crate) fn exists(&self) -> bool {
        self.container_id().is_some_and(|id| self.runtime_root().join(id).exists())
    }

    /// Where the product keeps this container's record.
    pub(crate) fn record(&self) -> PathBuf {
        records(&self.runtime_root()).join(self.container_id().unwrap_or_default())
    }

    /// The id under which the runtime knows the container; none before an engine has chosen one.
    fn container_id(&self) -> Option<String> {
        match self.road {
            Road::Direct => Some(self.id.clone()),
            Road::Engine(_) => self.made.borrow().clone(),
        }
    }

    fn runtime_root(&self) -> PathBuf {
        match self.road {
            Road::Direct => self.root(),
            Road::Engine(engine) => engine.runtime_root(),
        }
    }

    /// The bundle from which the runtime made the container.
    pub(crate) fn runtime_bundle(&self, bundle: &Bundle) -> PathBuf {
        match self.road {
            Road::Direct => bundle.dir.clone(),
            Road::Engine(engine) => engine.bundle(&self.container_id().unwrap_or_default()),
        }
    }

    /// Writes a file of the container that was made, as the container itself could.
    pub(crate) fn write_inside(&self, bundle: &Bundle, path: &str, text: &str) -> Result<()> {
        let path = self.runtime_bundle(bundle).join("rootfs").join(path);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// Deletes the container by the same road, and sees that neither it nor its record is left.
    pub(crate) fn delete(&self) -> Result<()> {
        match self.road {
            Road::Direct => {
                let delete = || self.call().arguments(["delete", "--force", &self.id]).run(b"");
                let mut answer = delete()?;
                // youki doesn't wait until the processes that it killed have left their cgroups.
                for _ in 0..100 {
                    if self.runtime.kind != Kind::Youki || answer.succeeded() {
                        break;
                    }
                    answer = delete()?;
                }
                answer.require_success()?;
            }
            Road::Engine(engine) => engine.remove(&self.container_id().unwrap_or_default())?,
        }
        let id = self.container_id().unwrap_or_default();
        ensure!(!self.exists(), "the container {id} was deleted and is left");
        ensure!(!self.record().exists(), "delete left the record {}", self.record().display());
        self.made.replace(None);
        Ok(())
    }

    /// Ends an attempt that went well: what is left of it must go away by the same road.
    pub(crate) fn finish(self) -> Result<()> {
        let left = match self.road {
            Road::Direct => self.exists(),
            Road::Engine(_) => self.made.borrow().is_some(),
        };
        if left { self.delete() } else { Ok(()) }
    }
}

impl Drop for Trial<'_> {
    /// Takes away what a failed attempt left. It uses the bare runtime: the product may be what failed.
    fn drop(&mut self) {
        if !self.owner {
            return;
        }
        match self.road {
            Road::Direct => {
                if self.exists() {
                    let bare = self.behind_the_product();
                    let _ = bare.call().arguments(["delete", "--force", &self.id]).run(b"");
                }
                let _ = fs::remove_file(self.record());
            }
            Road::Engine(engine) => {
                let _ = engine.bypass(self.runtime, false);
                if let Some(id) = self.made.take()
                    && let Err(error) = engine.remove(&id)
                {
                    complain(&format!("container {id} could not be removed: {error:#}"));
                }
            }
        }
        give_back_dev_null();
        unmount_below(&self.dir);
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            complain(&format!("{} could not be removed: {error}", self.dir.display()));
        }
    }
}
