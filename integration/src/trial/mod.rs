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
use crate::lab::Lab;
use crate::report::complain;
use crate::room::{give_back_dev_null, records, unmount_below};
use crate::runtime::Runtime;

pub(crate) use entry::{Entry, Seen};

/// What an engine calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Road {
    /// The runtime itself.
    Bare,
    /// runc-strict, which is told by its configuration to become the runtime.
    Product,
}

/// One attempt.
pub(crate) struct Trial<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) runtime: &'a Runtime,
    pub(crate) road: Road,
    pub(crate) entry: Entry,
    /// This attempt's own folder.
    pub(crate) dir: PathBuf,
    /// The container's id.
    pub(crate) id: String,
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
    /// When the folder can't be made, or the road needs a product and there is none.
    pub(crate) fn new(lab: &'a Lab, runtime: &'a Runtime, road: Road, entry: Entry) -> Result<Self> {
        let id = lab.next_name();
        let dir = lab.room.dir.join("trials").join(&id);
        lab.room.make_folder(&dir)?;
        let program = match road {
            Road::Bare => runtime.path.clone(),
            Road::Product => lab.product.clone().context("no product is under trial")?,
        };
        let (caller_groups, calls, before) = (Cell::default(), Rc::default(), RefCell::default());
        let trial =
            Self { lab, runtime, road, entry, dir, id, program, owner: true, caller_groups, calls, before };
        trial.configure("", "")?;
        Ok(trial)
    }

    /// The same attempt, but what is called now is the bare runtime: a container that the product never saw.
    pub(crate) fn behind_the_product(&self) -> Self {
        Self {
            lab: self.lab,
            runtime: self.runtime,
            road: Road::Bare,
            entry: self.entry,
            dir: self.dir.clone(),
            id: self.id.clone(),
            program: self.runtime.path.clone(),
            owner: false,
            caller_groups: self.caller_groups.clone(),
            calls: Rc::clone(&self.calls),
            before: RefCell::default(),
        }
    }

    /// From now on whoever calls is in these groups, given as numbers separated by commas.
    pub(crate) fn caller_in(&self, groups: &'static str) {
        self.caller_groups.set(Some(groups));
    }

    /// Writes the product's configuration: `keys` go before the first table, `tables` after the last.
    pub(crate) fn configure(&self, keys: &str, tables: &str) -> Result<()> {
        let runtime = self.runtime.path.display();
        let audit = self.dir.join("audit.log");
        let text =
            format!("runtime = \"{runtime}\"\n{keys}\n[audit]\npath = \"{}\"\n{tables}\n", audit.display());
        fs::write(self.dir.join("config.toml"), text).context("write the product's configuration")
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
        self.lab.room.root(self.runtime.kind)
    }

    /// A call without any argument yet.
    pub(crate) fn empty_call(&self) -> Call<'a> {
        let number = self.calls.replace(self.calls.get() + 1);
        let call = Call::new(&self.lab.room, &self.program, &self.dir.join(format!("call-{number}")))
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
        self.root().join(&self.id).exists()
    }

    /// Where the product keeps this container's record.
    pub(crate) fn record(&self) -> PathBuf {
        records(&self.root()).join(&self.id)
    }

    /// Deletes the container by the same road, and sees that neither it nor its record is left.
    pub(crate) fn delete(&self) -> Result<()> {
        self.call().arguments(["delete", "--force", &self.id]).run(b"")?.require_success()?;
        ensure!(!self.exists(), "delete --force left the container {}", self.id);
        ensure!(!self.record().exists(), "delete left the record {}", self.record().display());
        Ok(())
    }

    /// Ends an attempt that went well: what is left of it must go away by the same road.
    pub(crate) fn finish(self) -> Result<()> {
        if self.exists() { self.delete() } else { Ok(()) }
    }
}

impl Drop for Trial<'_> {
    /// Takes away what a failed attempt left. It uses the bare runtime: the product may be what failed.
    fn drop(&mut self) {
        if !self.owner {
            return;
        }
        if self.exists() {
            let bare = self.behind_the_product();
            let _ = bare.call().arguments(["delete", "--force", &self.id]).run(b"");
        }
        let _ = fs::remove_file(self.record());
        give_back_dev_null();
        unmount_below(&self.dir);
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            complain(&format!("{} could not be removed: {error}", self.dir.display()));
        }
    }
}
