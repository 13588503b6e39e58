//! A pod on the bench, built as the kubelet builds one: host network, a PID namespace per container, a log folder of
//! its own. It goes away when the case ends, also when the case fails.

use std::path::PathBuf;

use anyhow::{Context, Result};
use k8s_cri::v1::{self as api, Int64Value, NamespaceMode, NamespaceOption};
use runc_strict_integration::report::complain;
use runc_strict_integration::room::{Room, uid_prefix};

use crate::bench::Bench;
use crate::cri::Cri;
use crate::group;
use crate::image;
use crate::stream;
use crate::watch::await_text;

/// What a process in the container is asked to say of itself. `id` is what people run; the kernel's own line can't
/// be wrong by a name in etc/group.
pub(crate) const WHO: &str = "echo \"uid=$(id -u) gid=$(id -g) groups=$(id -G)\"; grep -E '^(Groups|NoNewPrivs):' /proc/self/status; echo ready";

/// Who a container's process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Sorted.
    pub(crate) groups: Vec<u32>,
    pub(crate) no_new_privileges: bool,
}

impl Who {
    /// Reads the output of [`WHO`].
    ///
    /// # Errors
    /// When it isn't that, or when `id` and the kernel don't agree.
    pub(crate) fn read(text: &str) -> Result<Who> {
        let broken = || format!("no identity in \"{text}\"");
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).with_context(broken);
        let first = value("uid=")?;
        let (uid, rest) = first.split_once(" gid=").with_context(broken)?;
        let (gid, by_id) = rest.split_once(" groups=").with_context(broken)?;
        let sorted = |list: &str| {
            let mut gids: Vec<u32> = list.split_whitespace().filter_map(|gid| gid.parse().ok()).collect();
            gids.sort_unstable();
            gids.dedup();
            gids
        };
        let groups = sorted(value("Groups:")?);
        let gid = gid.parse().with_context(broken)?;
        // id -G adds the primary gid whether or not it is in the list.
        let mut with_primary = groups.clone();
        if let Err(at) = with_primary.binary_search(&gid) {
            with_primary.insert(at, gid);
        }
        anyhow::ensure!(sorted(by_id) == with_primary, "id and the kernel don't agree: \"{text}\"");
        let no_new_privileges = value("NoNewPrivs:")?.trim() == "1";
        Ok(Who { uid: uid.parse().with_context(broken)?, gid, groups, no_new_privileges })
    }
}

/// What a container asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    pub(crate) user: Option<i64>,
    pub(crate) user_name: Option<&'static str>,
    pub(crate) group: Option<i64>,
    pub(crate) groups: Vec<i64>,
    pub(crate) privileged: bool,
    pub(crate) readonly: bool,
    pub(crate) no_capabilities: bool,
    pub(crate) stdin: bool,
    /// How often the kubelet has started it before.
    pub(crate) attempt: u32,
    /// Its limits; else a few CPU shares.
    pub(crate) resources: Option<api::LinuxContainerResources>,
    /// A shell's words; after them it says who it is and waits.
    pub(crate) ends: bool,
}

impl Wish {
    /// alice, by number as kubelets send her, with these supplemental groups declared.
    pub(crate) fn alice(groups: &[i64]) -> Wish {
        Wish { user: Some(1000), groups: groups.to_vec(), ..Wish::default() }
    }
}

/// Which pod it is, and where its cgroups are.
pub(crate) struct Place {
    /// Its logs and its name have this number.
    pub(crate) number: u32,
    pub(crate) uid: String,
    /// A slice where systemd has the cgroups, else a path.
    pub(crate) cgroup_parent: String,
}

impl Place {
    /// A pod of the run's own, beside the others.
    pub(crate) fn of(number: u32) -> Place {
        let uid = format!("{}{number:012}", uid_prefix());
        Place { number, uid, cgroup_parent: group::parent("pods") }
    }
}

/// A pod.
pub(crate) struct Pod {
    cri: Cri,
    pub(crate) id: String,
    config: api::PodSandboxConfig,
    logs: PathBuf,
}

impl Pod {
    /// Starts a pod under `handler`, with the annotations.
    ///
    /// # Errors
    /// The CRI's.
    pub(crate) fn run(
        bench: &Bench,
        handler: &str,
        annotations: &[(&str, &str)],
        wish: &Wish,
    ) -> Result<Pod> {
        let cri = bench.containerd()?.cri.clone();
        Pod::run_at(cri, &bench.room, Place::of(bench.next()), handler, annotations, wish)
    }

    /// As [`Pod::run`], from any thread, on any engine, at any place.
    pub(crate) fn run_at(
        cri: Cri,
        room: &Room,
        place: Place,
        handler: &str,
        annotations: &[(&str, &str)],
        wish: &Wish,
    ) -> Result<Pod> {
        let logs = room.dir.join(format!("logs-{}", place.number));
        std::fs::create_dir_all(&logs).context("make the pod's log folder")?;
        let security = api::LinuxSandboxSecurityContext {
            namespace_options: Some(namespaces()),
            run_as_user: wish.user.map(int),
            // The sandbox always declares one, so that a case about a container's isn't decided before it.
            run_as_group: wish.group.or_else(|| wish.user.map(|_| 65534)).map(int),
            supplemental_groups: wish.groups.clone(),
            privileged: wish.privileged,
            ..Default::default()
        };
        let config = api::PodSandboxConfig {
            metadata: Some(api::PodSandboxMetadata {
                name: format!("pod-{}", place.number),
                uid: place.uid,
                namespace: "default".to_owned(),
                attempt: 0,
            }),
            log_directory: logs.display().to_string(),
            annotations: owned(annotations),
            linux: Some(api::LinuxPodSandboxConfig {
                cgroup_parent: place.cgroup_parent,
                security_context: Some(security),
                ..Default::default()
            }),
            ..Default::default()
        };
        let id = cri.run_pod(&config, handler)?;
        Ok(Pod { cri, id, config, logs })
    }

    /// The annotations that the next container's creation carries: the kubelet reads them anew each time.
    pub(crate) fn annotate(&mut self, annotations: &[(&str, &str)]) {
        self.config.annotations = owned(annotations);
    }

    /// Creates a container of any kind, under these annotations.
    ///
    /// # Errors
    /// The CRI's.
    pub(crate) fn create(
        &self,
        config: &api::ContainerConfig,
        annotations: &[(String, String)],
    ) -> Result<String> {
        let sandbox = api::PodSandboxConfig {
            annotations: annotations.iter().cloned().collect(),
            ..self.config.clone()
        };
        self.cri.create(&self.id, config, &sandbox)
    }

    /// The log of a container.
    pub(crate) fn log(&self, config: &api::ContainerConfig) -> PathBuf {
        self.logs.join(&config.log_path)
    }

    /// Creates and starts a container. Its own output begins with who it is.
    ///
    /// # Errors
    /// The CRI's; the container is then removed by the pod.
    pub(crate) fn container(&self, name: &str, wish: &Wish) -> Result<Container<'_>> {
        let wait = if wish.ends { "" } else { "; trap 'exit 0' TERM; " };
        let rest = match (wish.ends, wish.stdin) {
            (true, _) => "",
            (false, true) => "while read line; do echo \"got $line\"; done",
            (false, false) => "sleep 2147483647 & wait",
        };
        let security = api::LinuxContainerSecurityContext {
            namespace_options: Some(namespaces()),
            run_as_user: wish.user.map(int),
            run_as_group: wish.group.map(int),
            run_as_username: wish.user_name.unwrap_or_default().to_owned(),
            supplemental_groups: wish.groups.clone(),
            privileged: wish.privileged,
            readonly_rootfs: wish.readonly,
            capabilities: wish
                .no_capabilities
                .then(|| api::Capability { drop_capabilities: vec!["ALL".to_owned()], ..Default::default() }),
            ..Default::default()
        };
        let log = format!("{name}-{}.log", wish.attempt);
        let shares = || api::LinuxContainerResources { cpu_shares: 100, ..Default::default() };
        let config = api::ContainerConfig {
            metadata: Some(api::ContainerMetadata { name: name.to_owned(), attempt: wish.attempt }),
            image: Some(api::ImageSpec { image: image::GROUPS.to_owned(), ..Default::default() }),
            command: vec!["/bin/sh".to_owned(), "-c".to_owned(), format!("{WHO}{wait}{rest}")],
            log_path: log.clone(),
            stdin: wish.stdin,
            linux: Some(api::LinuxContainerConfig {
                resources: Some(wish.resources.clone().unwrap_or_else(shares)),
                security_context: Some(security),
            }),
            ..Default::default()
        };
        let id = self.cri.create(&self.id, &config, &self.config)?;
        self.cri.start(&id)?;
        Ok(Container { pod: self, id, log: self.logs.join(log) })
    }

    /// Creates and starts a container that is described in full; its log is NAME.log.
    ///
    /// # Errors
    /// The CRI's; the container is then removed by the pod.
    pub(crate) fn described(&self, name: &str, config: api::ContainerConfig) -> Result<Container<'_>> {
        let log_path = format!("{name}.log");
        let log = self.logs.join(&log_path);
        let metadata = Some(api::ContainerMetadata { name: name.to_owned(), attempt: 0 });
        let id = self.cri.create(
            &self.id,
            &api::ContainerConfig { metadata, log_path, ..config },
            &self.config,
        )?;
        self.cri.start(&id)?;
        Ok(Container { pod: self, id, log })
    }

    /// Stops and removes the pod, and says what went wrong with that.
    pub(crate) fn remove(mut self) -> Result<()> {
        let id = std::mem::take(&mut self.id);
        self.cri.remove_pod(&id)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if !self.id.is_empty()
            && let Err(why) = self.cri.remove_pod(&self.id)
        {
            complain(&format!("pod {} could not be removed: {why:#}", self.id));
        }
    }
}

/// A container that runs.
pub(crate) struct Container<'p> {
    pod: &'p Pod,
    pub(crate) id: String,
    log: PathBuf,
}

impl Container<'_> {
    /// Who the container's first process says that it is, in its log.
    pub(crate) fn by_log(&self) -> Result<Who> {
        await_text(&self.log, |text| {
            // TIME STREAM F|P TEXT
            let words = |line: &str| line.splitn(4, ' ').nth(3).map(str::to_owned);
            let said: Vec<String> = text.lines().filter_map(words).collect();
            said.iter().any(|line| line == "ready").then(|| Who::read(&said.join("\n")))
        })?
    }

    /// Waits until the container has ended: its exit code, and its log.
    pub(crate) fn ended(&self) -> Result<(i32, String)> {
        let code = self.pod.cri.await_end(&self.id)?;
        Ok((code, std::fs::read_to_string(&self.log).context("read a container's log")?))
    }

    /// Waits for a line of the log that has `word`.
    pub(crate) fn await_line(&self, word: &str) -> Result<String> {
        await_text(&self.log, |text| text.lines().find(|line| line.contains(word)).map(str::to_owned))
    }

    /// Who a probe is.
    pub(crate) fn by_exec_sync(&self) -> Result<Who> {
        let (code, text) = self.pod.cri.exec_sync(&self.id, &["/bin/sh", "-c", WHO])?;
        anyhow::ensure!(code == 0, "ExecSync ended with {code}: \"{text}\"");
        Who::read(&text)
    }

    /// Who somebody's shell is.
    pub(crate) fn by_streaming_exec(&self) -> Result<Who> {
        let url = self.pod.cri.exec(&self.id, &["/bin/sh", "-c", WHO])?;
        Who::read(&stream::exec(&url)?)
    }

    /// By all three roads, which have to agree.
    pub(crate) fn who(&self) -> Result<Who> {
        let log = self.by_log().context("log")?;
        let probe = self.by_exec_sync().context("ExecSync")?;
        let shell = self.by_streaming_exec().context("streaming exec")?;
        anyhow::ensure!(log == probe, "the log says {log:?}, ExecSync says {probe:?}");
        anyhow::ensure!(log == shell, "the log says {log:?}, streaming exec says {shell:?}");
        Ok(log)
    }

    /// Ends its processes; the kubelet removes it some time later.
    pub(crate) fn stop(&self) -> Result<()> {
        self.pod.cri.stop(&self.id)
    }

    /// Stops and removes it.
    pub(crate) fn remove(self) -> Result<()> {
        self.pod.cri.stop(&self.id)?;
        self.pod.cri.remove(&self.id)
    }
}

pub(crate) fn namespaces() -> NamespaceOption {
    NamespaceOption {
        network: NamespaceMode::Node.into(),
        pid: NamespaceMode::Container.into(),
        ..Default::default()
    }
}

pub(crate) fn int(value: i64) -> Int64Value {
    Int64Value { value }
}

fn owned(annotations: &[(&str, &str)]) -> std::collections::HashMap<String, String> {
    annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
