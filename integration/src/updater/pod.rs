//! A pod of this run: a cgroup that is called as the kubelet's are, with sleeping containers in it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::call::{Answer, Call};
use crate::cgroup;
use crate::lab::Lab;
use crate::runtime::Runtime;
use crate::sys;
use crate::trial::{Entry, Front, Trial};

use super::{PATIENCE, calls};

/// 2^20 bytes.
pub(super) const MIB: u64 = 1 << 20;

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) memory: u64,
    pub(super) quota: i64,
    pub(super) shares: u64,
    pub(super) pids: u64,
}

/// A pod.
pub(super) struct Pod<'a> {
    pub(super) uid: String,
    lab: &'a Lab,
    trials: Vec<Trial<'a>>,
}

impl<'a> Pod<'a> {
    /// Starts the containers, each with 256 MiB, half a CPU, 512 shares and 100 tasks.
    pub(super) fn make(lab: &'a Lab, runtime: &'a Runtime, containers: usize) -> Result<Pod<'a>> {
        let uid = format!(
            "7b1f3a2e-{:04x}-4e6f-8a9b-{:012}",
            // a run beside this one has its own
            std::process::id() & 0xffff,
            lab.next_name().trim_start_matches('t').parse::<u32>()?
        );
        let mut pod = Pod { uid, lab, trials: Vec::new() };
        for _ in 0..containers {
            let trial = Trial::new(lab, runtime, Front::Product, Entry::Exec)?;
            let mut bundle = trial.bundle()?;
            bundle.spec["linux"]["cgroupsPath"] = json!(format!("{}/{}", pod.path(), trial.id));
            bundle.spec["linux"]["resources"] = json!({
                "memory": {"limit": 256 * MIB}, "cpu": {"shares": 512, "quota": 50_000, "period": 100_000},
                "pids": {"limit": 100},
            });
            let memory = json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs"});
            bundle.spec["mounts"].as_array_mut().context("no mounts")?.push(memory);
            pod.launch(trial, &bundle)?;
        }
        Ok(pod)
    }

    fn launch(&mut self, trial: Trial<'a>, bundle: &Bundle) -> Result<()> {
        if let Some(refused) = trial.launch(bundle)? {
            bail!("{refused}");
        }
        self.trials.push(trial);
        Ok(())
    }

    fn trial(&self, at: usize) -> Result<&Trial<'a>> {
        self.trials.get(at).context("no such container")
    }

    fn path(&self) -> String {
        format!("{}/pod{}", cgroup::parent(), self.uid)
    }

    pub(super) fn id(&self, at: usize) -> &str {
        self.trials.get(at).map_or("", |trial| trial.id.as_str())
    }

    /// The path of a container's cgroup.
    pub(super) fn cgroup(&self, at: usize) -> String {
        format!("{}/{}", self.path(), self.id(at))
    }

    fn read(&self, cgroup: &str, file: &str) -> Result<String> {
        let path = place(cgroup, file);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }

    fn number<T: std::str::FromStr>(&self, cgroup: &str, file: &str) -> Result<T> {
        let text = self.read(cgroup, file)?;
        text.parse().ok().with_context(|| format!("{file} holds \"{text}\""))
    }

    /// What the kernel holds of a container.
    pub(super) fn limits(&self, at: usize) -> Result<Limits> {
        let cgroup = self.cgroup(at);
        Ok(Limits {
            memory: self.number(&cgroup, "memory.limit_in_bytes")?,
            quota: self.number(&cgroup, "cpu.cfs_quota_us")?,
            shares: self.number(&cgroup, "cpu.shares")?,
            pids: self.number(&cgroup, "pids.max")?,
        })
    }

    /// Memory and quota of the pod itself.
    pub(super) fn pod_limits(&self) -> Result<(u64, i64)> {
        let path = self.path();
        Ok((self.number(&path, "memory.limit_in_bytes")?, self.number(&path, "cpu.cfs_quota_us")?))
    }

    pub(super) fn limit_pod(&self, memory: u64, quota: i64) -> Result<()> {
        write(&self.path(), "memory.limit_in_bytes", &memory.to_string())?;
        write(&self.path(), "cpu.cfs_quota_us", &quota.to_string())
    }

    pub(super) fn write_limits(&self, at: usize, limits: &Limits) -> Result<()> {
        let cgroup = self.cgroup(at);
        write(&cgroup, "memory.limit_in_bytes", &limits.memory.to_string())?;
        write(&cgroup, "cpu.cfs_quota_us", &limits.quota.to_string())?;
        write(&cgroup, "cpu.shares", &limits.shares.to_string())?;
        write(&cgroup, "pids.max", &limits.pids.to_string())
    }

    /// What runc's state says of a container.
    pub(super) fn stated(&self, at: usize) -> Result<Limits> {
        let trial = self.trial(at)?;
        let path = trial.root().join(&trial.id).join("state.json");
        let state: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        let of = |key: &str| {
            state["config"]["cgroups"][key].as_i64().with_context(|| format!("no {key} in the state"))
        };
        Ok(Limits {
            memory: of("memory")?.unsigned_abs(),
            quota: of("cpu_quota")?,
            shares: of("cpu_shares")?.unsigned_abs(),
            pids: of("pids_limit")?.unsigned_abs(),
        })
    }

    /// A cgroup inside of a container's, with a quota of its own.
    pub(super) fn make_inner(&self, at: usize, quota: i64) -> Result<()> {
        let inner = format!("{}/inner", self.cgroup(at));
        fs::create_dir(place(&inner, "cpu.").with_file_name(""))?;
        write(&inner, "cpu.cfs_quota_us", &quota.to_string())
    }

    /// Another cgroup with the name of this pod, until what comes back is dropped.
    pub(super) fn make_twin(&self) -> Result<Twin> {
        let other = place(&format!("{}/twin", cgroup::parent()), "memory.").with_file_name("");
        let twin = Twin([other.join(format!("pod{}", self.uid)), other]);
        fs::create_dir_all(&twin.0[0]).context("make a second cgroup of the pod's name")?;
        Ok(twin)
    }

    /// Takes it away again.
    pub(super) fn remove_inner(&self, at: usize) -> Result<()> {
        let inner = format!("{}/inner", self.cgroup(at));
        // The kernel counts a removed cgroup's bandwidth against its parent's until some time after rmdir(2).
        write(&inner, "cpu.cfs_quota_us", "-1")?;
        Ok(fs::remove_dir(place(&inner, "cpu.").with_file_name(""))?)
    }

    /// How many processes of a container the kernel has killed for lack of memory.
    pub(super) fn kills(&self, at: usize) -> Result<u64> {
        let text = self.read(&self.cgroup(at), "memory.oom_control")?;
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.parse().ok()).context("no oom_kill in memory.oom_control")
    }

    pub(super) fn usage(&self, at: usize) -> Result<u64> {
        self.number(&self.cgroup(at), "memory.usage_in_bytes")
    }

    /// Has the container write so many MiB to a file.
    pub(super) fn fill(&self, at: usize, file: &str, mebibytes: u32) -> Result<()> {
        calls::fill(self.trial(at)?, file, mebibytes)
    }

    /// The container's first process.
    pub(super) fn init(&self, at: usize) -> Result<u32> {
        let text = fs::read_to_string(self.trial(at)?.dir.join("init.pid"))?;
        Ok(text.trim().parse()?)
    }

    /// Ends a container's first process.
    pub(super) fn end(&self, at: usize) -> Result<()> {
        let pid = self.init(at)?;
        kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)?;
        ensure!(sys::await_end(pid, PATIENCE)?, "process {pid} doesn't end");
        Ok(())
    }

    /// `cgroup-updater` with these words.
    pub(super) fn updater(&self, words: &[&str]) -> Result<Answer> {
        self.call()?.arguments(words).run(b"")
    }

    /// `cgroup-updater` without any further word yet.
    pub(super) fn call(&self) -> Result<Call<'a>> {
        Ok(self.trial(0)?.empty_call().argument("cgroup-updater"))
    }

    /// `cgroup-updater set` on a container.
    pub(super) fn set(&self, at: usize, words: &[&str], more: &[&str]) -> Result<Answer> {
        self.set_call(at, words, more).run(b"")
    }

    pub(super) fn set_call(&self, at: usize, words: &[&str], more: &[&str]) -> Call<'a> {
        let trial = &self.trials[at];
        let call =
            trial.empty_call().arguments(["cgroup-updater", "set", "--container", &trial.id, "--root"]);
        call.argument(trial.root()).arguments(words).arguments(more)
    }

    /// The same behind another program.
    pub(super) fn wrapped(&self, wrapper: &[&str], at: usize, words: &[&str]) -> Result<Answer> {
        let trial = self.trial(at)?;
        let call = self.wrapped_call(wrapper)?;
        let call = call
            .arguments(["cgroup-updater", "set", "--container", &trial.id, "--root"])
            .argument(trial.root());
        call.arguments(words).run(b"")
    }

    /// The product behind another program, without any argument yet.
    pub(super) fn wrapped_call(&self, wrapper: &[&str]) -> Result<Call<'a>> {
        let trial = self.trial(0)?;
        let (program, rest) = wrapper.split_first().context("no wrapper")?;
        let streams = trial.dir.join(format!("wrapped-{}", self.lab.next_name()));
        let call =
            Call::new(&self.lab.room, &crate::runtime::find_program(program)?, &streams).arguments(rest);
        let call = call.argument(self.lab.product.as_ref().context("no product")?);
        Ok(call.environment("RUNC_STRICT_CONFIG", trial.dir.join("config.toml")))
    }

    /// The runtime's root.
    pub(super) fn root(&self) -> Result<String> {
        Ok(self.trial(0)?.root().display().to_string())
    }

    /// Deletes one container, by the bare runtime.
    pub(super) fn remove(&self, at: usize) -> Result<()> {
        let trial = self.trial(at)?;
        let bare = trial.behind_the_product();
        bare.call().arguments(["delete", "--force", &trial.id]).run(b"")?.require_success().map(drop)
    }

    /// The bare runtime's update.
    pub(super) fn bare_update(&self, at: usize, resources: &Value) -> Result<Answer> {
        let trial = self.trial(at)?;
        let bare = trial.behind_the_product();
        bare.call().arguments(["update", "--resources", "-", &trial.id]).run(resources.to_string().as_bytes())
    }

    /// A place in this pod's own folder.
    pub(super) fn place(&self, name: &str) -> Result<PathBuf> {
        Ok(self.trial(0)?.dir.join(name))
    }

    /// The product's update, as an engine calls it.
    pub(super) fn update(&self, at: usize, words: &[&str], stdin: &str) -> Result<Answer> {
        let trial = self.trial(at)?;
        trial.call().argument("update").arguments(words).argument(&trial.id).run(stdin.as_bytes())
    }

    /// Whether something of a container's limits is kept against its engine.
    pub(super) fn keeps(&self, at: usize) -> Result<bool> {
        calls::keeps(self.trial(at)?)
    }

    /// The file of a container's overrides.
    pub(super) fn override_file(&self, at: usize) -> Result<PathBuf> {
        calls::override_file(self.trial(at)?)
    }

    /// Makes a container one that the product didn't start.
    pub(super) fn forget(&self, at: usize) -> Result<()> {
        let record = self.trial(at)?.record();
        fs::remove_file(&record).with_context(|| format!("remove {}", record.display()))
    }

    /// A file of this pod's own.
    pub(super) fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.place(name)?;
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    }

    pub(super) fn audit(&self) -> Result<String> {
        Ok(fs::read_to_string(self.trial(0)?.dir.join("audit.log"))?)
    }

    /// The process whose transaction on this pod is under way, as its journal says.
    pub(super) fn writer(&self) -> Result<i32> {
        for entry in fs::read_dir("/run/runc-strict/transactions")?.flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let mut lines = text.lines();
            let head: Value = serde_json::from_str(lines.next().unwrap_or_default()).unwrap_or_default();
            let over = lines.any(|line| line.starts_with("{\"end\""));
            if head["pods"].to_string().contains(&self.uid) && !over {
                return Ok(i32::try_from(head["owner"]["pid"].as_i64().context("no pid in the journal")?)?);
            }
        }
        bail!("no transaction on this pod is under way")
    }

    /// Takes the lock of this pod, until what comes back is dropped: the byte of its cgroup's number (fcntl(2), open file
    /// description locks).
    pub(super) fn lock(&self) -> Result<File> {
        let folder = fs::metadata(place(&self.path(), "memory.").with_file_name(""))?;
        let file = File::options().write(true).open("/run/runc-strict/lock").context("open the locks")?;
        #[expect(clippy::cast_possible_truncation, reason = "two small constants of the C library")]
        let byte = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: folder.ino().cast_signed(),
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_OFD_SETLK(&byte)).context("lock the pod")?;
        Ok(file)
    }

    /// Deletes the containers, and what this pod's transactions left in /run.
    pub(super) fn finish(self) -> Result<()> {
        Ok(())
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        self.trials.iter().for_each(calls::forget_overrides);
        // a cgroup inside would keep the container's own from going away
        for at in 0..self.trials.len() {
            let inner = format!("{}/inner", self.cgroup(at));
            let _ = fs::remove_dir(place(&inner, "cpu.").with_file_name(""));
        }
        calls::forget_transactions(&self.uid);
    }
}

/// A cgroup and its parent, for a while.
pub(super) struct Twin([PathBuf; 2]);

impl Drop for Twin {
    fn drop(&mut self) {
        for folder in &self.0 {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// A file of a cgroup of version 1.
pub(super) fn place(cgroup: &str, file: &str) -> PathBuf {
    let controller = file.split('.').next().unwrap_or_default();
    Path::new("/sys/fs/cgroup").join(controller).join(cgroup.trim_start_matches('/')).join(file)
}

fn write(cgroup: &str, file: &str, text: &str) -> Result<()> {
    let path = place(cgroup, file);
    fs::write(&path, text).with_context(|| format!("write {text} to {}", path.display()))
}

pub(super) fn has_swap() -> Result<bool> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let free = text.lines().find_map(|line| line.strip_prefix("SwapFree:")).unwrap_or_default();
    Ok(free.trim().trim_end_matches("kB").trim() != "0")
}
