//! Many containers resized at once: one `apply` beside a loop of `runc update` over the same containers, in one run. They
//! are real containers of runc, each a program that sleeps, in pods of two below a cgroup of our own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use runc_strict_integration::room::{Room as Swept, uid_prefix};
use serde_json::{Value, json};

use crate::report::{Bound, Report, Table};
use crate::room::Room;
use crate::spread::Times;

/// Pods of the published figures.
pub(crate) const PODS: usize = 250;

/// Containers in each.
const EACH: usize = 2;

/// Turns at most: the loop takes seconds.
const TURNS: usize = 5;

/// 2^20 bytes.
const MIB: u64 = 1 << 20;

/// Measures the loop and both of our ways, side by side.
pub(crate) fn measure(
    room: &Room,
    swept: Option<&Swept>,
    pods: usize,
    turns: usize,
    report: &mut Report,
) -> Result<()> {
    report.heading("Resizing many containers");
    let runc = ["/usr/sbin/runc", "/usr/bin/runc", "/usr/local/sbin/runc"];
    let Some(runc) = runc.into_iter().find(|path| Path::new(path).is_file()) else {
        report.skipped("cgroup-updater apply", "runc isn't installed");
        return Ok(());
    };
    let Some(swept) = swept else {
        report.skipped("cgroup-updater apply", "containers need root");
        return Ok(());
    };
    let crowd = Crowd::make(room, swept, runc, pods)?;
    let (count, turns) = (crowd.containers.len(), turns.clamp(1, TURNS));
    report.text(&format!(
        "Memory limit, CPU limit and CPU request of {count} containers of runc in {pods} pods, {turns} turns; milliseconds, median \
         [quartiles]. Every value is checked after every turn."
    ));
    let environment = room.node(runc)?;
    let ways = [("direct", 20.0), ("runtime", 2.0)];
    let mut times = Times::new(1 + ways.len());
    let mut peaks = [0.0_f64; 2];
    for turn in 0..u64::try_from(turns)? {
        let to = 100 + 30 * turn;
        let since = Instant::now();
        for one in &crowd.containers {
            let (limit, quota) = ((to * MIB).to_string(), (to * 100).to_string());
            let shares = (to * 1024 / 1000).to_string();
            let words =
                ["update", "--memory", &limit, "--cpu-quota", &quota, "--cpu-share", &shares, &one.id];
            crowd.runc(&words)?;
        }
        times.push(0, millis(since.elapsed()));
        crowd.check(to, to)?;
        for (n, ((mode, _), peak)) in (1_u8..).zip(ways.iter().zip(&mut peaks)) {
            let to = to + 10 * u64::from(n);
            let manifest = crowd.manifest(to, to)?;
            let words = ["cgroup-updater", "apply", "-f", &manifest, "--mode", mode, "--root", &crowd.root];
            let words: Vec<String> =
                std::iter::once(room.product.as_str()).chain(words).map(str::to_owned).collect();
            let since = Instant::now();
            *peak = peak.max(room.peak_kib_with(&words, &environment)?);
            times.push(usize::from(n), millis(since.elapsed()));
            crowd.check(to, to)?;
        }
    }
    let mut table = Table::new(&["way", "takes, ms", "times faster", "peak KiB"]);
    table.row("a loop of runc update", [times.spread(0).to_string()]);
    for (n, ((mode, aim), peak)) in (1..).zip(ways.into_iter().zip(peaks)) {
        let faster = times.faster(n, 0).median;
        let cells = [times.spread(n).to_string(), format!("{faster:.1}"), format!("{peak:.0}")];
        table.row(&format!("one apply, --mode {mode}"), cells);
        report.aim(&format!("apply --mode {mode}, times faster than the loop"), faster, Bound::AtLeast(aim));
        report.aim(&format!("peak memory of apply --mode {mode}, KiB"), peak, Bound::AtMost(30.0 * 1024.0));
    }
    report.table(&table);
    Ok(())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// One container.
struct Container {
    id: String,
    pod: String,
}

/// What is left of the containers when the run ends, however it ends.
#[derive(Clone)]
struct Traces {
    /// The parent of all their cgroups.
    parent: String,
    /// Where their cgroups are, on each hierarchy.
    hierarchies: Vec<PathBuf>,
}

impl Traces {
    /// Ends the containers by their pids, and removes their cgroups.
    fn remove(&self) {
        for hierarchy in &self.hierarchies {
            let parent = hierarchy.join(self.parent.trim_start_matches('/'));
            // a cgroup can be removed once its processes are gone, which takes them a moment
            let deadline = Instant::now() + Duration::from_secs(20);
            while !remove(&parent) && Instant::now() < deadline {
                std::thread::yield_now();
            }
        }
        forget_transactions(&self.parent);
    }
}

/// All containers, and what they are made of.
struct Crowd<'a> {
    room: &'a Room,
    runc: &'a str,
    root: String,
    traces: Traces,
    v2: bool,
    containers: Vec<Container>,
}

impl<'a> Crowd<'a> {
    fn make(room: &'a Room, swept: &Swept, runc: &'a str, pods: usize) -> Result<Crowd<'a>> {
        let parent = format!("/runc-strict-bench-{}", std::process::id());
        let v2 = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let is_cgroup = |line: &&str| matches!(line.split(' ').nth(2), Some("cgroup" | "cgroup2"));
        let points = mounts.lines().filter(is_cgroup).filter_map(|line| line.split(' ').nth(1));
        let hierarchies = points.map(PathBuf::from).collect();
        let traces = Traces { parent, hierarchies };
        let left = traces.clone();
        swept.on_sweep(move |_| left.remove());
        let root = room.path("crowd-root");
        let mut crowd = Crowd { room, runc, root, traces, v2, containers: Vec::new() };
        let bundle = crowd.bundle()?;
        let names: Vec<(String, String)> = (0..pods)
            .flat_map(|pod| {
                let uid = format!("{}{pod:012}", uid_prefix());
                (0..EACH).map(move |each| (uid.clone(), format!("crowd-{pod}-{each}")))
            })
            .collect();
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<Container>> {
            let mut made = Vec::new();
            while let Some((pod, id)) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                made.push(crowd.start(&bundle, pod, id)?);
            }
            Ok(made)
        };
        let made: Vec<Result<Vec<Container>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        let mut failed = Ok(());
        for some in made {
            match some {
                Ok(some) => crowd.containers.extend(some),
                Err(why) => failed = Err(why),
            }
        }
        failed?;
        for pod in names.iter().map(|(pod, _)| pod).step_by(EACH) {
            crowd.limit_pod(pod)?;
        }
        Ok(crowd)
    }

    /// One root file system for all, with a program that does nothing but wait.
    fn bundle(&self) -> Result<PathBuf> {
        let folder = PathBuf::from(self.room.beside_programs("crowd"));
        fs::create_dir_all(folder.join("rootfs/proc"))?;
        fs::create_dir_all(folder.join("rootfs/dev"))?;
        self.room.compile("pause.c", &folder.join("rootfs/pause").display().to_string())?;
        fs::create_dir_all(&self.root)?;
        Ok(folder)
    }

    fn start(&self, common: &Path, pod: &str, id: &str) -> Result<Container> {
        let bundle = common.join(id);
        fs::create_dir(&bundle)?;
        let spec = json!({
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/pause"], "cwd": "/"},
            "root": {"path": common.join("rootfs"), "readonly": true},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
            ],
            "linux": {
                "cgroupsPath": format!("{}/pod{pod}/{id}", self.traces.parent),
                "namespaces": [{"type": "pid"}, {"type": "mount"}],
                "resources": {
                    "memory": {"limit": 200 * MIB}, "cpu": {"shares": 204, "quota": 20_000, "period": 100_000},
                    "pids": {"limit": 10},
                },
            },
        });
        fs::write(bundle.join("config.json"), spec.to_string())?;
        self.runc(&["run", "--detach", "--bundle", &bundle.display().to_string(), id])?;
        Ok(Container { id: id.to_owned(), pod: pod.to_owned() })
    }

    /// runc, whose streams a container keeps.
    fn runc(&self, words: &[&str]) -> Result<()> {
        let status = Command::new(self.runc)
            .args(["--root", &self.root])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .with_context(|| format!("can't start {}", self.runc))?;
        ensure!(status.success(), "runc {} failed", words.join(" "));
        Ok(())
    }

    /// A file of a cgroup, where its controller is.
    fn file(&self, cgroup: &str, file: &str) -> PathBuf {
        let base = Path::new("/sys/fs/cgroup");
        let controller = file.split('.').next().unwrap_or_default();
        let base = if self.v2 { base.to_owned() } else { base.join(controller) };
        base.join(self.traces.parent.trim_start_matches('/')).join(cgroup).join(file)
    }

    fn names(&self) -> (&'static str, &'static str) {
        if self.v2 { ("memory.max", "cpu.max") } else { ("memory.limit_in_bytes", "cpu.cfs_quota_us") }
    }

    /// The pod has what its two containers have, as the kubelet makes it.
    fn limit_pod(&self, pod: &str) -> Result<()> {
        let (memory, cpu) = self.names();
        let pod = format!("pod{pod}");
        let quota = if self.v2 { "40000 100000" } else { "40000" };
        fs::write(self.file(&pod, memory), (400 * MIB).to_string()).context("limit a pod's memory")?;
        fs::write(self.file(&pod, cpu), quota).context("limit a pod's CPU")
    }

    /// Every container has what was asked.
    fn check(&self, memory: u64, milli: u64) -> Result<()> {
        let (memory_file, cpu_file) = self.names();
        for one in &self.containers {
            let cgroup = format!("pod{}/{}", one.pod, one.id);
            let read = |file: &str| fs::read_to_string(self.file(&cgroup, file));
            let (found, cpu) = (read(memory_file)?, read(cpu_file)?);
            if found.trim() != (memory * MIB).to_string()
                || cpu.split_whitespace().next() != Some(&(milli * 100).to_string())
            {
                bail!(
                    "{} has {} and {} instead of {memory} MiB and {milli}m",
                    one.id,
                    found.trim(),
                    cpu.trim()
                );
            }
        }
        Ok(())
    }

    /// All pods as `kubectl get pods -o json` prints them.
    fn manifest(&self, memory: u64, milli: u64) -> Result<String> {
        let pod = |two: &[&Container]| -> Value {
            let containers: Vec<Value> = two
                .iter()
                .map(|one| {
                    let amounts = json!({"cpu": format!("{milli}m"), "memory": format!("{memory}Mi")});
                    json!({"name": one.id, "resources": {"limits": amounts, "requests": amounts}})
                })
                .collect();
            let uid = two.first().map_or("", |one| one.pod.as_str());
            json!({"kind": "Pod", "metadata": {"uid": uid, "name": uid, "namespace": "bench"}, "spec": {"containers": containers}})
        };
        let mut sorted: Vec<&Container> = self.containers.iter().collect();
        sorted.sort_by(|a, b| (&a.pod, &a.id).cmp(&(&b.pod, &b.id)));
        let list = json!({"kind": "List", "apiVersion": "v1", "items": sorted.chunks(EACH).map(pod).collect::<Vec<_>>()});
        let path = self.room.path("crowd.json");
        fs::write(&path, list.to_string())?;
        Ok(path)
    }
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        self.traces.remove();
    }
}

/// Removes the journals of transactions on cgroups below `parent`.
pub(crate) fn forget_transactions(parent: &str) {
    let journals = fs::read_dir("/run/runc-strict/transactions").into_iter().flatten().flatten();
    for entry in journals {
        if fs::read_to_string(entry.path()).is_ok_and(|text| text.contains(parent)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Removes a cgroup and those below it, and ends what runs in them; true if nothing is left.
fn remove(folder: &Path) -> bool {
    use nix::sys::signal::{Signal, kill};
    let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    // 0 is a process of another pid namespace, and none of ours
    for pid in processes.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0) {
        let _ = kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
    }
    let Ok(entries) = fs::read_dir(folder) else { return true };
    let below = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below.for_each(|entry| {
        remove(&entry.path());
    });
    fs::remove_dir(folder).is_ok()
}
