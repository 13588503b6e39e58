//! Everything that a run makes on this machine, and how it goes away again: the private folder with the runtimes'
//! state below it, child processes, containers, cgroups, mounts, the product's records. The same sweep runs at the
//! end, after a panic, and on SIGINT and SIGTERM. Processes end by their pid, and only those that are ours.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

use crate::cgroup::{self, Hugetlb};
use crate::report::complain;
use crate::runtime::{Kind, Runtime};
use crate::sys;

/// Where the product keeps its records, a folder for each runtime root.
pub(crate) const KEPT: &str = "/run/runc-strict";

static ROOM: OnceLock<Arc<Room>> = OnceLock::new();

/// Whether a signal has ended the run: nothing new may be started.
static SIGNALLED: AtomicBool = AtomicBool::new(false);

/// A part of the sweep that whoever made something adds.
type Part = Box<dyn Fn(&Room) + Send>;

/// The private place of one run.
pub struct Room {
    /// The folder that holds everything. Its name is short: a unix socket's path has 107 characters at most.
    pub dir: PathBuf,
    children: Mutex<BTreeSet<u32>>,
    hugetlb: Mutex<Option<Hugetlb>>,
    parts: Mutex<Vec<Part>>,
    /// Set before the sweep, under the lock of `children`.
    closed: AtomicBool,
    swept: Mutex<bool>,
}

impl Room {
    /// Makes the folder, and sees to it that a signal or a panic sweeps it.
    ///
    /// # Errors
    /// When the folder can't be made or the signals can't be blocked.
    pub fn open() -> Result<Arc<Self>> {
        let dir = tempfile::Builder::new().prefix("suites-").tempdir().context("make a private folder")?;
        let room = Arc::new(Self {
            dir: dir.keep(),
            children: Mutex::default(),
            hugetlb: Mutex::default(),
            parts: Mutex::default(),
            closed: AtomicBool::default(),
            swept: Mutex::default(),
        });
        for folder in ["trials", "xdg"] {
            fs::create_dir(room.dir.join(folder)).with_context(|| format!("make the folder {folder}"))?;
        }
        let _ = ROOM.set(Arc::clone(&room));
        sweep_after_a_panic();
        sweep_on_signals()?;
        Ok(room)
    }

    /// The `--root` of one runtime where no engine stands between.
    pub(crate) fn root(&self, kind: Kind) -> PathBuf {
        self.dir.join(format!("root-{}", kind.name()))
    }

    /// A `--root` of its own for one caller, in which the sweep deletes containers too.
    pub(crate) fn own_root(&self, name: &str, runtime: &Runtime) -> PathBuf {
        let root = self.dir.join(format!("root-{}-{name}", runtime.kind.name()));
        let (folder, runtime) = (root.clone(), runtime.clone());
        self.on_sweep(move |_| runtime.delete_containers(&folder));
        root
    }

    /// Adds a part to the sweep. It is called when our children have ended and before anything else has gone.
    pub fn on_sweep(&self, part: impl Fn(&Room) + Send + 'static) {
        locked(&self.parts).push(Box::new(part));
    }

    /// Starts a child and remembers it while it runs. Once the sweep has begun this never returns.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        let mut children = locked(&self.children);
        if self.closed.load(Ordering::SeqCst) {
            drop(children);
            wait_for_the_end();
        }
        let child = command.spawn()?;
        children.insert(child.id());
        Ok(child)
    }

    /// Makes a folder below the room. Once the sweep has begun this never returns.
    ///
    /// # Errors
    /// When it can't be made.
    pub(crate) fn make_folder(&self, path: &Path) -> Result<()> {
        if self.closed.load(Ordering::SeqCst) {
            wait_for_the_end();
        }
        fs::create_dir(path).with_context(|| format!("make {}", path.display()))
    }

    /// Forgets a child that was waited for.
    pub fn child_ended(&self, pid: u32) {
        locked(&self.children).remove(&pid);
    }

    /// The children that still run.
    pub(crate) fn children(&self) -> Vec<u32> {
        locked(&self.children).iter().copied().collect()
    }

    /// Keeps the mount until the sweep.
    pub fn keep_hugetlb(&self, mount: Hugetlb) {
        *locked(&self.hugetlb) = Some(mount);
    }

    /// Processes whose command line names this run's folder: shims, conmon, runtimes.
    pub fn processes(&self) -> Vec<u32> {
        let dir = self.dir.to_string_lossy().into_owned();
        let own = std::process::id();
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let names = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&dir)
        };
        pids.filter(|pid| *pid != own).filter(names).collect()
    }

    /// Mount points below the folder, the latest first.
    pub fn mounts(&self) -> Vec<PathBuf> {
        mounts_below(&self.dir)
    }

    /// What the product remembers of runtime roots that lie in the room, and of pods that the suites make: their uids
    /// begin as nobody else's do.
    pub fn records(&self) -> Vec<PathBuf> {
        let below = |folder: &str, prefix: &str| -> Vec<PathBuf> {
            let entries = fs::read_dir(Path::new(KEPT).join(folder)).into_iter().flatten().flatten();
            let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
            ours.map(|entry| entry.path()).collect()
        };
        let root = encoded(&self.dir);
        let by_root = ["containers", "overridden"].into_iter().flat_map(|folder| below(folder, &root));
        by_root.chain(below("overrides", &format!("uid%2F{}", uid_prefix()))).collect()
    }

    /// Takes everything away; a second call waits for the first and does nothing. What could not be taken away is
    /// told on stderr.
    pub fn sweep(&self) {
        let mut swept = locked(&self.swept);
        if std::mem::replace(&mut *swept, true) {
            return;
        }
        // Engines are among them: they start what follows.
        for pid in self.close() {
            end_process(pid);
        }
        for part in locked(&self.parts).iter() {
            part(self);
        }
        // A runtime that an engine called last may have made one process more.
        for _ in 0..10 {
            let left: Vec<u32> = cgroup::processes().into_iter().chain(self.processes()).collect();
            if left.is_empty() {
                break;
            }
            left.into_iter().for_each(end_process);
        }
        for leftover in cgroup::remove() {
            complain(&format!("cgroup {} could not be removed", leftover.display()));
        }
        unmount_below(&self.dir);
        give_back_dev_null();
        for folder in self.records() {
            let _ = fs::remove_dir_all(folder);
        }
        if let Some(mount) = locked(&self.hugetlb).take()
            && let Err(error) = mount.unmount()
        {
            complain(&format!("{error:#}"));
        }
        // A thread that a signal overtook may still be filling the folder of one trial.
        let removed = (0..100).any(|_| fs::remove_dir_all(&self.dir).is_ok() || !self.dir.exists());
        if !removed {
            complain(&format!("{} could not be removed", self.dir.display()));
        }
    }

    /// From now on no child starts; those that still run are returned.
    fn close(&self) -> Vec<u32> {
        let children = locked(&self.children);
        self.closed.store(true, Ordering::SeqCst);
        children.iter().copied().collect()
    }
}

/// What the uids of this run's pods begin with: another run on the same machine has other pods.
pub fn uid_prefix() -> String {
    format!("{:08x}-0000-4000-8000-", std::process::id())
}

/// Where the product keeps the records of one runtime root: the path's slashes are percent-encoded.
pub(crate) fn records(root: &Path) -> PathBuf {
    Path::new(KEPT).join("containers").join(encoded(root))
}

fn encoded(path: &Path) -> String {
    path.to_string_lossy().replace('%', "%25").replace('/', "%2F")
}

/// Kills a process by its pid and waits until it is gone.
pub fn end_process(pid: u32) {
    if let Ok(raw) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(raw), Signal::SIGKILL);
        let _ = sys::await_end(pid, Duration::from_secs(10));
    }
}

/// crun up to 1.8 gives the host's /dev/null to the container's user when it is one of the standard streams.
pub fn give_back_dev_null() {
    let foreign = fs::metadata("/dev/null").is_ok_and(|null| (null.uid(), null.gid()) != (0, 0));
    if foreign && let Err(error) = chown("/dev/null", Some(0), Some(0)) {
        complain(&format!("/dev/null could not be given back to root: {error}"));
    }
}

fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let targets = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    let mut ours: Vec<PathBuf> = targets.filter(|target| target.starts_with(dir)).collect();
    ours.reverse();
    ours
}

/// Unmounts everything below a folder, the latest first.
pub fn unmount_below(dir: &Path) {
    for target in mounts_below(dir) {
        if let Err(errno) = umount2(&target, MntFlags::MNT_DETACH) {
            complain(&format!("{} could not be unmounted: {errno}", target.display()));
        }
    }
}

/// Whether a signal has ended the run.
pub fn ending() -> bool {
    SIGNALLED.load(Ordering::SeqCst)
}

/// After a signal, leaves the process to the thread that sweeps, and that ends it.
pub(crate) fn halt_if_ending() {
    if ending() {
        wait_for_the_end();
    }
}

/// Sweeps the open room, if there is one.
pub(crate) fn sweep_room() {
    if let Some(room) = ROOM.get() {
        room.sweep();
    }
}

fn sweep_after_a_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        sweep_room();
    }));
}

/// Blocks the two signals in every thread, which children don't inherit from [`Command`], and waits for them in one.
fn sweep_on_signals() -> Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().context("block SIGINT and SIGTERM")?;
    std::thread::spawn(move || {
        if let Ok(signal) = signals.wait() {
            SIGNALLED.store(true, Ordering::SeqCst);
            complain(&format!("{} received: cleaning up", signal.as_str()));
            sweep_room();
            // The main thread stands in a wait that now has nobody to wake it.
            #[allow(clippy::exit)]
            std::process::exit(128 + signal as i32);
        }
    });
    Ok(())
}

/// Sleeps until the process exits: the sweep is taking everything away, and nothing new may begin.
fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}

/// A lock whose content stays usable after another thread panicked: the sweep must not stop for that.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_records_is_named_by_the_root_in_percent_encoding() {
        let expected = Path::new("/run/runc-strict/containers/%2Ftmp%2Fx%2Froot");
        assert_eq!(records(Path::new("/tmp/x/root")), expected);
    }
}
