//! What all cases of a run share: the room, the runtimes under trial, the product, the two programs that go into
//! each container.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use crate::cgroup::Hugetlb;
use crate::options::Options;
use crate::program::Bench;
use crate::report::say;
use crate::room::Room;
use crate::runtime::{Kind, Runtime, find_program};
use crate::trial::{Entries, Entry, Front, Trial};

/// The bench of a run.
pub struct Lab {
    /// The private folder.
    pub room: Arc<Room>,
    /// The real runtimes under trial.
    pub runtimes: Vec<Runtime>,
    /// What was asked for and isn't here, with the reason.
    pub missing: Vec<(Kind, String)>,
    /// `None` with `--bare-only`.
    pub product: Option<PathBuf>,
    /// The attack program.
    pub probe: PathBuf,
    /// A static busybox.
    pub busybox: PathBuf,
    /// By which of an attack's own commands it is tried.
    pub entries: Entries,
    /// Whether what takes long is done whole.
    pub long: bool,
    counter: AtomicU32,
}

impl Lab {
    /// Prepares the bench.
    ///
    /// # Errors
    /// When busybox, the probe or the product is missing, or crun can't be made to work.
    pub fn open(options: &Options) -> Result<Self> {
        let (mut runtimes, mut missing) = (Vec::new(), Vec::new());
        for (kind, path) in &options.runtimes {
            match Runtime::find(*kind, path.as_deref()) {
                Ok(runtime) => runtimes.push(runtime),
                Err(error) => missing.push((*kind, format!("{error:#}"))),
            }
        }
        let own = std::env::current_exe().context("find this program's own path")?;
        let probe = own.with_file_name("probe");
        if !probe.is_file() {
            bail!(
                "the attack program {} is missing: build the whole package runc-strict-integration",
                probe.display()
            );
        }
        let busybox = find_program("busybox").context("install the package busybox-static")?;
        let product = options.product.as_deref().map(absolute_program).transpose()?;
        let room = Room::open()?;
        for runtime in runtimes.clone() {
            room.on_sweep(move |room| runtime.delete_containers(&room.root(runtime.kind)));
        }
        // Bundles link to these copies, which therefore lie on the same file system as the bundles.
        let copy = |from: &Path, name: &str| {
            let to = room.dir.join(name);
            std::fs::copy(from, &to).with_context(|| format!("copy {}", from.display())).map(|_| to)
        };
        let (probe, busybox) = (copy(&probe, "probe")?, copy(&busybox, "busybox")?);
        // Two runs may go side by side, and cgroup-updater finds an id in the roots of both.
        let first = std::process::id() % 400_000 * 10_000 + 1;
        let (entries, long, counter) = (options.entries, options.long, AtomicU32::new(first));
        let lab = Self { room, runtimes, missing, product, probe, busybox, entries, long, counter };
        lab.make_crun_work()?;
        Ok(lab)
    }

    /// A name that no other trial has, of this run and of one beside it.
    pub(crate) fn next_name(&self) -> String {
        format!("t{}", self.counter.fetch_add(1, Ordering::Relaxed))
    }

    /// One container under bare crun; when the hybrid cgroup layout stops it, one more with hugetlb mounted.
    fn make_crun_work(&self) -> Result<()> {
        let Some(crun) = self.runtimes.iter().find(|runtime| runtime.kind == Kind::Crun) else {
            return Ok(());
        };
        let Err(reason) = self.canary(crun) else { return Ok(()) };
        if Hugetlb::is_mounted() {
            return Err(reason);
        }
        self.room.keep_hugetlb(Hugetlb::mount()?);
        say("note: crun refuses this machine's cgroup layout; hugetlb is mounted until the end of this run");
        self.canary(crun)
    }

    fn canary(&self, runtime: &Runtime) -> Result<()> {
        let trial = Trial::new(self, runtime, Front::Bare, Entry::Run)?;
        let seen = trial.enter(&trial.bundle()?)?;
        trial.finish()?;
        seen.identity().map(|_| ())
    }
}

impl Bench for Lab {
    fn lab(&self) -> &Lab {
        self
    }
}

fn absolute_program(path: &Path) -> Result<PathBuf> {
    let absolute = path.canonicalize().with_context(|| format!("find the product {}", path.display()))?;
    if absolute.is_file() { Ok(absolute) } else { bail!("the product {} is no file", absolute.display()) }
}
