//! The private folder of a run, and how everything that was made goes away again: engines and shims by their pid,
//! mounts, cgroups, records. The same sweep runs at the end, after a panic, and on SIGINT and SIGTERM.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest, Sha256};

use crate::image::hex;
use crate::report::complain;

static ROOM: OnceLock<Arc<Room>> = OnceLock::new();

/// Whether a signal has ended the run: nothing new may be started.
static ENDING: AtomicBool = AtomicBool::new(false);

/// The private place of one run.
pub(crate) struct Room {
    /// The folder that holds everything.
    pub(crate) dir: PathBuf,
    children: Mutex<BTreeSet<u32>>,
    swept: Mutex<bool>,
}

impl Room {
    /// Makes the folder, and sees to it that a signal or a panic sweeps it.
    ///
    /// # Errors
    /// When the folder can't be made or the signals can't be blocked.
    pub(crate) fn open() -> Result<Arc<Self>> {
        // A unix socket's path has 107 characters at most: the name is short.
        let dir = tempfile::Builder::new().prefix("cri-").tempdir().context("make a private folder")?;
        let room = Arc::new(Self { dir: dir.keep(), children: Mutex::default(), swept: Mutex::default() });
        let _ = ROOM.set(Arc::clone(&room));
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            print(info);
            sweep_room();
        }));
        sweep_on_signals()?;
        Ok(room)
    }

    /// Remembers an engine while it runs.
    pub(crate) fn child_started(&self, pid: u32) {
        locked(&self.children).insert(pid);
    }

    /// Forgets an engine that was waited for.
    pub(crate) fn child_ended(&self, pid: u32) {
        locked(&self.children).remove(&pid);
    }

    /// The parent of all cgroups of this run.
    pub(crate) fn cgroup_parent() -> String {
        format!("/runc-strict-cri-{}", std::process::id())
    }

    /// Processes whose command line names this run's folder: shims, conmon, runtimes.
    pub(crate) fn processes(&self) -> Vec<u32> {
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

    /// Takes everything away; a second call waits for the first and does nothing. What could not be taken away is
    /// told on stderr.
    pub(crate) fn sweep(&self) {
        let mut swept = locked(&self.swept);
        if std::mem::replace(&mut *swept, true) {
            return;
        }
        // The engines first: they start what follows.
        for pid in locked(&self.children).clone() {
            end_process(pid);
        }
        let sockets = self.shim_sockets();
        // A runtime that an engine called last may have made one process more.
        for _ in 0..10 {
            let left: Vec<u32> = cgroup_processes().into_iter().chain(self.processes()).collect();
            if left.is_empty() {
                break;
            }
            left.into_iter().for_each(end_process);
        }
        for socket in sockets {
            let _ = fs::remove_file(socket);
        }
        for folder in cgroup_folders() {
            if fs::remove_dir(&folder).is_err() && folder.exists() {
                complain(&format!("cgroup {} could not be removed", folder.display()));
            }
        }
        self.unmount();
        self.forget_records();
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            complain(&format!("{} could not be removed: {error}", self.dir.display()));
        }
        give_back_dev_null();
    }

    /// Mount points below the folder, the latest first.
    pub(crate) fn mounts(&self) -> Vec<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let targets = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
        let mut ours: Vec<PathBuf> = targets.filter(|target| target.starts_with(&self.dir)).collect();
        ours.reverse();
        ours
    }

    /// Where shims listen: containerd has one place for it on a machine, and a shim that is killed leaves its socket.
    fn shim_sockets(&self) -> Vec<PathBuf> {
        // containerd's runtime/v2/shim, SocketAddress: for a shim that has only begun, and told nobody yet.
        let name = |key: &Path| {
            Path::new("/run/containerd/s").join(hex(&Sha256::digest(key.as_os_str().as_encoded_bytes())))
        };
        let ours = ("state/io.containerd.runtime.v2.task/k8s.io", "c.sock/k8s.io");
        let dockers = (
            "docker/exec/containerd/daemon/io.containerd.runtime.v2.task/moby",
            "docker/exec/containerd/containerd.sock/moby",
        );
        let mut sockets = Vec::new();
        for (tasks, address) in [ours, dockers] {
            for entry in fs::read_dir(self.dir.join(tasks)).into_iter().flatten().flatten() {
                let told = fs::read_to_string(entry.path().join("address"));
                let told =
                    told.ok().and_then(|text| Some(PathBuf::from(text.trim().strip_prefix("unix://")?)));
                sockets.push(told.unwrap_or_else(|| name(&self.dir.join(address).join(entry.file_name()))));
            }
        }
        sockets
    }

    fn unmount(&self) {
        for target in self.mounts() {
            if let Err(errno) = umount2(&target, MntFlags::MNT_DETACH) {
                complain(&format!("{} could not be unmounted: {errno}", target.display()));
            }
        }
    }

    /// The product's records of runtime roots that lie in the folder: their names are percent-encoded paths.
    pub(crate) fn records(&self) -> Vec<PathBuf> {
        let prefix = self.dir.to_string_lossy().replace('%', "%25").replace('/', "%2F");
        let entries = fs::read_dir("/run/runc-strict/containers").into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| names_start(path, &prefix)).collect()
    }

    fn forget_records(&self) {
        for folder in self.records() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn names_start(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

/// Every cgroup of this run on every hierarchy, children before parents.
pub(crate) fn cgroup_folders() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let is_cgroup = |line: &&str| matches!(line.split(' ').nth(2), Some("cgroup" | "cgroup2"));
    let mut found = Vec::new();
    for mount in mounts.lines().filter(is_cgroup).filter_map(|line| line.split(' ').nth(1)) {
        collect(&Path::new(mount).join(Room::cgroup_parent().trim_start_matches('/')), &mut found);
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        collect(&entry.path(), found);
    }
    found.push(folder.to_owned());
}

fn cgroup_processes() -> Vec<u32> {
    let texts = cgroup_folders().into_iter().map(|folder| fs::read_to_string(folder.join("cgroup.procs")));
    texts
        .flatten()
        .flat_map(|text| text.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Kills a process by its pid and waits until it is gone.
pub(crate) fn end_process(pid: u32) {
    let Ok(raw) = i32::try_from(pid) else { return };
    let _ = kill(Pid::from_raw(raw), Signal::SIGKILL);
    // It needn't be our child, so there is nothing to wait on but its entry in /proc; a zombie counts as gone.
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until && runs(pid) {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// crun up to 1.8 gives the host's /dev/null to the container's user.
pub(crate) fn give_back_dev_null() {
    let foreign = fs::metadata("/dev/null").is_ok_and(|null| (null.uid(), null.gid()) != (0, 0));
    if foreign && let Err(error) = chown("/dev/null", Some(0), Some(0)) {
        complain(&format!("/dev/null could not be given back to root: {error}"));
    }
}

/// Whether a signal has ended the run.
pub(crate) fn ending() -> bool {
    ENDING.load(Ordering::SeqCst)
}

/// After a signal, leaves the process to the thread that sweeps, and that ends it.
pub(crate) fn halt_if_ending() {
    while ending() {
        std::thread::park();
    }
}

/// Sweeps the open room, if there is one.
pub(crate) fn sweep_room() {
    if let Some(room) = ROOM.get() {
        room.sweep();
    }
}

/// Blocks the two signals in every thread, which children don't inherit, and waits for them in one.
fn sweep_on_signals() -> Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().context("block SIGINT and SIGTERM")?;
    std::thread::spawn(move || {
        if let Ok(signal) = signals.wait() {
            ENDING.store(true, Ordering::SeqCst);
            complain(&format!("{} received: cleaning up", signal.as_str()));
            sweep_room();
            // The main thread stands in a wait that now has nobody to wake it.
            #[allow(clippy::exit)]
            std::process::exit(128 + signal as i32);
        }
    });
    Ok(())
}

/// A lock whose content stays usable after another thread panicked: the sweep must not stop for that.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
