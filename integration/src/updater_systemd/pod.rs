//! A pod as the kubelet's systemd driver makes it: a slice of systemd with the pod's uid in its name, and one scope in it
//! that the runtime asks systemd for. crun puts the container one cgroup deeper, into `<scope>/container`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::call::{Answer, Call};
use crate::lab::Lab;
use crate::runtime::{Runtime, find_program};
use crate::trial::{Entry, Front, Trial};
use crate::updater::calls;

/// 2^20 bytes.
pub(super) const MIB: u64 = 1 << 20;

/// The files that hold limits. A controller that is off has none of its files.
const FILES: [&str; 12] = [
    "memory.min",
    "memory.low",
    "memory.high",
    "memory.max",
    "memory.swap.max",
    "memory.oom.group",
    "cpu.weight",
    "cpu.max",
    "cpu.max.burst",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
];

/// What the kernel holds: by cgroup and file, such as `scope memory.max`.
pub(super) type State = BTreeMap<String, String>;

/// A pod with one container.
pub(super) struct Pod<'a> {
    uid: String,
    lab: &'a Lab,
    /// `None` only while it is being taken away.
    trial: Option<Trial<'a>>,
    scope: PathBuf,
    nested: Option<PathBuf>,
}

impl<'a> Pod<'a> {
    /// Starts the container with 256 MiB and no swap, half a CPU, 512 shares and 100 tasks; its pod has 300 MiB and
    /// 0.6 CPUs, as with an overhead.
    pub(super) fn make(lab: &'a Lab, runtime: &'a Runtime) -> Result<Pod<'a>> {
        let number: u32 = lab.next_name().trim_start_matches('t').parse()?;
        let uid = format!("7b1f3a2e-0c5d-4e6f-8a9b-{number:012}");
        let trial = Trial::new(lab, runtime, Front::Product, Entry::Exec)?;
        let mut bundle = trial.bundle()?;
        let mut pod = Pod { uid, lab, trial: None, scope: PathBuf::new(), nested: None };
        bundle.spec["linux"]["cgroupsPath"] = json!(format!("{}:cri-containerd:{}", pod.slice(), trial.id));
        bundle.spec["linux"]["resources"] = json!({
            "memory": {"limit": 256 * MIB, "swap": 256 * MIB},
            "cpu": {"shares": 512, "quota": 50_000, "period": 100_000}, "pids": {"limit": 100},
        });
        let memory = json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs"});
        bundle.spec["mounts"].as_array_mut().context("no mounts")?.push(memory);
        bundle.arguments(&["/probe", "pause"]);
        bundle.write()?;
        let create = trial.call().arguments(["--systemd-cgroup", "create", "--bundle"]).argument(&bundle.dir);
        let create = create.argument("--pid-file").argument(trial.dir.join("init.pid")).argument(&trial.id);
        let pod_trial = pod.trial.insert(trial);
        create.run(b"")?.require_success()?;
        pod_trial.call().arguments(["start", &pod_trial.id]).run(b"")?.require_success()?;
        let own = pod.own_cgroup()?;
        match own.parent().filter(|_| own.ends_with("container")) {
            Some(scope) => (pod.scope, pod.nested) = (scope.to_owned(), Some(own.clone())),
            None => pod.scope.clone_from(&own),
        }
        ensure!(
            pod.scope.extension().is_some_and(|end| end == "scope"),
            "the container is in {}, which is no scope of systemd",
            own.display()
        );
        let slice = pod.slice();
        pod.set_property(&slice, &["MemoryMax=300M", "CPUQuota=60%"])?;
        Ok(pod)
    }

    pub(super) fn trial(&self) -> Result<&Trial<'a>> {
        self.trial.as_ref().context("the container was taken away")
    }

    /// Where the kernel says that the first process is.
    fn own_cgroup(&self) -> Result<PathBuf> {
        let pid = fs::read_to_string(self.trial()?.dir.join("init.pid"))?;
        let text = fs::read_to_string(format!("/proc/{}/cgroup", pid.trim()))?;
        let path =
            text.lines().find_map(|line| line.strip_prefix("0::/")).context("no cgroup of version 2")?;
        Ok(Path::new("/sys/fs/cgroup").join(path))
    }

    /// The pod's uid.
    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    /// The unit of the pod.
    pub(super) fn slice(&self) -> String {
        format!("kubepods-burstable-pod{}.slice", self.uid.replace('-', "_"))
    }

    /// The unit of the container.
    pub(super) fn scope(&self) -> String {
        self.scope.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Whether there is a cgroup inside the scope.
    pub(super) fn is_nested(&self) -> bool {
        self.nested.is_some()
    }

    /// All limits of all its cgroups.
    pub(super) fn state(&self) -> Result<State> {
        let slice = self.scope.parent().context("a scope without a slice")?;
        let nested = self.nested.iter().map(|path| ("inside", path.as_path()));
        let mut state = State::new();
        for (name, folder) in [("pod", slice), ("scope", &self.scope)].into_iter().chain(nested) {
            for file in FILES {
                if let Ok(text) = fs::read_to_string(folder.join(file)) {
                    state.insert(format!("{name} {file}"), text.trim().to_owned());
                }
            }
        }
        ensure!(state.contains_key("scope memory.max"), "the scope has no memory controller");
        Ok(state)
    }

    /// A number in a file of the scope, such as `oom_kill` in memory.events; of a file with one number, the empty word.
    pub(super) fn number(&self, file: &str, key: &str) -> Result<u64> {
        let path = self.scope.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let found = match key {
            "" => Some(text.trim()),
            key => text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')),
        };
        found.and_then(|text| text.trim().parse().ok()).with_context(|| format!("no number {key} in {text}"))
    }

    /// Writes to the scope past everybody.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.scope.join(file);
        fs::write(&path, text).with_context(|| format!("write {text} to {}", path.display()))
    }

    /// What is known to undo what systemd wasn't told: a reload, and a change of something else on both units.
    pub(super) fn disturb(&self) -> Result<()> {
        self.systemctl(&["daemon-reload"])?;
        for unit in [self.scope(), self.slice()] {
            self.set_property(&unit, &["IOWeight=150"])?;
        }
        Ok(())
    }

    /// Sets properties of a unit, and waits until its cgroup has them: systemd answers before, but writes before it looks
    /// at the next question (src/core/manager.c: `manager_loop`).
    fn set_property(&self, unit: &str, properties: &[&str]) -> Result<()> {
        self.systemctl(&[&["set-property", "--runtime", unit], properties].concat())?;
        self.systemctl(&["show", "--property", "Id", unit]).map(drop)
    }

    /// systemctl, which must succeed.
    pub(super) fn systemctl(&self, words: &[&str]) -> Result<String> {
        let streams = self.trial()?.dir.join(format!("systemctl-{}", self.lab.next_name()));
        let call = Call::new(&self.lab.room, &find_program("systemctl")?, &streams).arguments(words);
        Ok(call.run(b"")?.require_success()?.stdout())
    }

    /// Has the container write so many MiB to a file.
    pub(super) fn fill(&self, file: &str, mebibytes: u32) -> Result<()> {
        calls::fill(self.trial()?, file, mebibytes)
    }

    /// The product's update, as an engine calls it.
    pub(super) fn update(&self, globals: &[&str], words: &[&str], stdin: &str) -> Result<Answer> {
        let trial = self.trial()?;
        let call = trial.call().arguments(globals).argument("update").arguments(words);
        call.argument(&trial.id).run(stdin.as_bytes())
    }

    /// `cgroup-updater` with these words.
    pub(super) fn updater(&self, words: &[&str]) -> Result<Answer> {
        self.trial()?.empty_call().argument("cgroup-updater").arguments(words).run(b"")
    }

    /// `cgroup-updater set` on the container, which our own record knows.
    pub(super) fn set(&self, words: &[&str]) -> Result<Answer> {
        let trial = self.trial()?;
        trial
            .empty_call()
            .arguments(["cgroup-updater", "set", "--container", &trial.id])
            .arguments(words)
            .run(b"")
    }

    /// The same behind another program.
    pub(super) fn wrapped(&self, wrapper: &[&str], words: &[&str]) -> Result<Answer> {
        let trial = self.trial()?;
        let (program, rest) = wrapper.split_first().context("no wrapper")?;
        let streams = trial.dir.join(format!("wrapped-{}", self.lab.next_name()));
        let call = Call::new(&self.lab.room, &find_program(program)?, &streams).arguments(rest);
        let call = call.argument(self.lab.product.as_ref().context("no product")?);
        let call = call.arguments(["cgroup-updater", "set", "--container", &trial.id]).arguments(words);
        call.environment("RUNC_STRICT_CONFIG", trial.dir.join("config.toml")).run(b"")
    }

    /// The container is deleted by the same road; then systemd has no unit of it any more.
    pub(super) fn finish(mut self) -> Result<()> {
        if let Some(trial) = self.trial.take() {
            trial.delete()?;
        }
        if self.scope.exists() {
            bail!("{} is still there after delete", self.scope.display());
        }
        Ok(())
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        self.trial.iter().for_each(calls::forget_overrides);
        drop(self.trial.take());
        let slice = self.slice();
        for words in [["stop", slice.as_str()], ["revert", slice.as_str()]] {
            let streams = self.lab.room.dir.join(format!("systemctl-{}", self.lab.next_name()));
            if let Ok(systemctl) = find_program("systemctl") {
                let _ = Call::new(&self.lab.room, &systemctl, &streams).arguments(words).run(b"");
            }
        }
        calls::forget_transactions(&slice);
    }
}
