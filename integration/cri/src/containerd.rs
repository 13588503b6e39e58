//! A private containerd: its own root, state, socket, runtimes' state and cgroups below one folder, one handler for
//! each bare runtime and for each configuration of the product.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runc_strict_integration::program::Bench as _;
use runc_strict_integration::report::say;
use runc_strict_integration::room::{Room, give_back_dev_null};
use runc_strict_integration::trial::Front;

use crate::attack;
use crate::bench::{Bench, CONFIGURATIONS, find, output, version};
use crate::cri::Cri;
use crate::group;
use crate::image;
use crate::watch::await_text;

/// The handler that calls the product without a script between: for figures.
pub(crate) const DIRECT: &str = "direct";

/// A running containerd.
pub(crate) struct Containerd {
    pub(crate) cri: Cri,
    room: Arc<Room>,
    child: RefCell<Option<Child>>,
    environment: PathBuf,
    probe: PathBuf,
}

impl Containerd {
    /// Starts it, waits until it serves, and imports the images.
    ///
    /// # Errors
    /// When it isn't there, or doesn't come up; its own log is then told.
    pub(crate) fn start(bench: &Bench) -> Result<Self> {
        let room = Arc::clone(&bench.room);
        let program = find("containerd").context("install the package containerd")?;
        say(&format!("note: containerd is {}, {}", program.display(), version(&program)));
        fs::write(room.dir.join("containerd.toml"), configuration(bench)?)?;
        let first = bench.kinds.first().map_or("runc", |kind| kind.name());
        let environment = room.dir.join(format!("strict-{first}.toml"));
        let cri = Cri::new(room.dir.join("c.sock"))?;
        let probe = bench.lab().probe.clone();
        let containerd = Self { cri, room, child: RefCell::new(None), environment, probe };
        containerd.up()?;
        for name in ["groups", "pause"] {
            let archive = containerd.room.dir.join(format!("{name}.tar"));
            output(containerd.ctr().args(["images", "import"]).arg(archive))?;
        }
        for name in [image::GROUPS, image::PAUSE] {
            containerd.cri.await_image(name)?;
        }
        Ok(containerd)
    }

    /// Starts the process and waits until the CRI serves.
    ///
    /// # Errors
    /// As [`Containerd::start`].
    pub(crate) fn up(&self) -> Result<()> {
        ensure!(!runc_strict_integration::room::ending(), "the run is ending");
        let log = self.room.dir.join("containerd.log");
        let file = File::create(&log).context("make containerd's log")?;
        // In a group that no container may have: crun can be told to hand on the caller's groups.
        let mut command = Command::new(&self.probe);
        command.args(["with-groups", "0,50000"]).arg(find("containerd")?);
        command.arg("--config").arg(self.room.dir.join("containerd.toml"));
        command.env("RUNC_STRICT_CONFIG", &self.environment);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = self.room.spawn(&mut command).context("start containerd")?;
        *self.child.borrow_mut() = Some(child);
        await_text(&log, |text| text.contains("containerd successfully booted").then_some(()))?;
        self.cri.await_ready()
    }

    /// Ends the process by SIGTERM. Its shims, and the containers below them, live on.
    ///
    /// # Errors
    /// When it can't be ended.
    pub(crate) fn down(&self) -> Result<()> {
        let Some(mut child) = self.child.borrow_mut().take() else { return Ok(()) };
        let pid = child.id();
        kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM).context("end containerd")?;
        child.wait().context("wait for containerd")?;
        self.room.child_ended(pid);
        Ok(())
    }

    /// `ctr` on this containerd.
    pub(crate) fn ctr(&self) -> Command {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.room.dir.join("c.sock")).args(["--namespace", "k8s.io"]);
        command
    }

    /// The runtime's `--root` for containers of the CRI.
    pub(crate) fn runtime_root(&self) -> PathBuf {
        self.room.dir.join("runtime").join("k8s.io")
    }

    /// A container's bundle.
    pub(crate) fn bundle(&self, id: &str) -> PathBuf {
        self.room.dir.join("state/io.containerd.runtime.v2.task/k8s.io").join(id)
    }

    /// What is left of containers when no pod is: shims, mounts, state folders, records, cgroups.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        let own = self.child.borrow().as_ref().map(Child::id);
        let shims = self.room.processes().into_iter().filter(|pid| Some(*pid) != own);
        found.extend(shims.map(|pid| format!("process {pid}")));
        found.extend(self.room.mounts().iter().map(|mount| format!("mount {}", mount.display())));
        let records = self.room.records();
        for folder in [self.runtime_root(), self.bundle("")].into_iter().chain(records) {
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            let entries = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
            found.extend(entries.map(|entry| format!("{}", entry.path().display())));
        }
        let pods = format!("{}/", group::folder_of("pods"));
        let cgroups = group::folders().into_iter().filter(|f| f.to_string_lossy().contains(&pods));
        found.extend(cgroups.map(|folder| format!("cgroup {}", folder.display())));
        found
    }

    /// Removes every pod and ends the process.
    ///
    /// # Errors
    /// When a pod can't be removed, or something is left.
    pub(crate) fn close(&self) -> Result<()> {
        self.cri.remove_all()?;
        let left = self.leftovers();
        self.down()?;
        give_back_dev_null();
        ensure!(left.is_empty(), "left: {}", left.join(", "));
        Ok(())
    }
}

fn configuration(bench: &Bench) -> Result<String> {
    let dir = bench.room.dir.display();
    let mut text = format!(
        r#"version = 2
root = "{dir}/root"
state = "{dir}/state"
[grpc]
address = "{dir}/c.sock"
[ttrpc]
address = "{dir}/c.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
path = "{dir}/opt"
[plugins."io.containerd.grpc.v1.cri"]
restrict_oom_score_adj = true
sandbox_image = "{}"
stream_server_address = "127.0.0.1"
stream_server_port = "0"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "{DIRECT}"
"#,
        image::PAUSE
    );
    let mut handler = |name: &str, binary: &std::path::Path, annotations: &str| {
        text.push_str(&format!(
            r#"[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}]
runtime_type = "io.containerd.runc.v2"
pod_annotations = [{annotations}]
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{name}.options]
BinaryName = "{}"
Root = "{dir}/runtime"
SystemdCgroup = {}
"#,
            binary.display(),
            group::systemd_has_them(),
        ));
    };
    const OURS: &str = "\"runc-strict/*\"";
    // As no administrator should configure it: whatever the pod says reaches the runtime.
    const ALL: &str = "\"*\", \"*/*\"";
    handler(DIRECT, &bench.product, OURS);
    for kind in &bench.kinds {
        handler(&attack::handler(Front::Bare, *kind), bench.real(*kind)?, ALL);
        let name = attack::handler(Front::Product, *kind);
        handler(&name, &bench.room.dir.join(&name), ALL);
        for (name, _) in CONFIGURATIONS {
            let name = format!("{name}-{}", kind.name());
            handler(&name, &bench.room.dir.join(&name), OURS);
        }
    }
    Ok(text)
}
