//! What `runc-strict install` writes is what containerd reads: a containerd is started on it, runs a pod by our
//! handler and one by its own, and forgets our handler after `uninstall`.
//!
//! The host that is set up is a folder of the room. The product lies there under the name that it has for this
//! machine too, so that the path in containerd's configuration is one that can be called.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runc_strict_integration::case::{Case, Outcome, Suite};
use runc_strict_integration::room::give_back_dev_null;

use crate::bench::{Bench, find, output};
use crate::cri::Cri;
use crate::image;
use crate::pod::{Place, Pod, Wish};
use crate::watch::await_text;

pub(crate) const SUITE: Suite<Bench> = Suite {
    name: "install",
    about: "containerd on what install writes, and after uninstall",
    headings: &["configuration", "seen"],
    cases,
};

fn cases(_: &Bench) -> Vec<Case<Bench>> {
    vec![
        Case::new(["edited: a pod by each handler, and none after uninstall"], pods),
        Case::new(["edited: Debian's, where ours is the first handler"], |bench| read_back(bench, DEBIAN)),
        Case::new(["written: there was none"], |bench| read_back(bench, "")),
    ]
}

/// As Debian ships it: the CRI's section without a handler.
const DEBIAN: &str = r#"version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
      conf_dir = "/etc/cni/net.d"
"#;

/// A host below the room.
pub(crate) struct Host<'b> {
    pub(crate) bench: &'b Bench,
    pub(crate) root: PathBuf,
    program: PathBuf,
    pub(crate) config: PathBuf,
}

impl<'b> Host<'b> {
    pub(crate) fn new(bench: &'b Bench, config: &str) -> Result<Host<'b>> {
        let root = bench.room.dir.join(format!("host-{}", bench.next()));
        let own = bench.room.dir.join("runc-strict");
        let program = root.join(own.strip_prefix("/").context("the room has an absolute path")?);
        for copy in [&own, &program] {
            let folder = copy.parent().context("a program has a folder")?;
            fs::create_dir_all(folder).context("make the host's folders")?;
            fs::copy(&bench.product, copy).context("copy the product")?;
            fs::set_permissions(copy, fs::Permissions::from_mode(0o755)).context("make it executable")?;
        }
        let path = root.join("etc/containerd/config.toml");
        fs::create_dir_all(root.join("etc/containerd")).context("make containerd's folder")?;
        if !config.is_empty() {
            fs::write(&path, config).context("write containerd's configuration")?;
        }
        Ok(Host { bench, root, program, config: path })
    }

    fn run(&self, command: &str) -> Result<String> {
        let mut run = Command::new(&self.program);
        run.args([command, "--engine", "containerd", "--host-prefix"]).arg(&self.root);
        output(&mut run)
    }

    /// Where the log of this host's containers is.
    pub(crate) fn log_folder(&self) -> PathBuf {
        self.root.join("var/log/runc-strict")
    }

    /// Our own configuration, as install wrote it, with a log in the room.
    pub(crate) fn own(&self) -> Result<PathBuf> {
        let path = self.root.join("etc/runc-strict/config.toml");
        let written = fs::read_to_string(&path).context("read what install wrote for us")?;
        let log = self.log_folder().join("runc-strict.log");
        let copy = self.root.join("runc-strict.toml");
        fs::write(&copy, format!("{written}\n[audit]\npath = \"{}\"\n", log.display()))
            .context("write it")?;
        Ok(copy)
    }
}

/// containerd itself says which handlers it has from the configuration.
fn read_back(bench: &Bench, config: &str) -> Result<Outcome> {
    let host = Host::new(bench, config)?;
    host.run("install")?;
    let dump =
        output(Command::new(find("containerd")?).arg("--config").arg(&host.config).args(["config", "dump"]))?;
    for handler in ["runc", "strict"] {
        let header = format!("containerd.runtimes.{handler}]");
        ensure!(dump.contains(&header), "containerd has no handler {handler}: {dump}");
    }
    ensure!(dump.contains("pod_annotations = [\"runc-strict/*\"]"), "the annotations don't pass: {dump}");
    host.run("uninstall")?;
    let left = fs::read_to_string(&host.config).unwrap_or_default();
    ensure!(left == config, "uninstall left \"{left}\"");
    Ok(Outcome::Passed(vec!["runc and strict".to_owned()]))
}

/// A containerd on a host's configuration.
pub(crate) struct Engine<'h, 'b> {
    host: &'h Host<'b>,
    child: Child,
    pub(crate) cri: Cri,
}

impl<'h, 'b> Engine<'h, 'b> {
    pub(crate) fn start(host: &'h Host<'b>, own: &Path) -> Result<Engine<'h, 'b>> {
        let room = &host.bench.room;
        let log = host.root.join("containerd.log");
        let file = File::create(&log).context("make containerd's log")?;
        let mut command = Command::new(find("containerd")?);
        command.arg("--config").arg(&host.config).env("RUNC_STRICT_CONFIG", own);
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = room.spawn(&mut command).context("start containerd")?;
        let cri = Cri::new(room.dir.join("i.sock"))?;
        let engine = Engine { host, child, cri };
        await_text(&log, |text| text.contains("containerd successfully booted").then_some(()))?;
        engine.cri.await_ready()?;
        Ok(engine)
    }

    pub(crate) fn import(&self) -> Result<()> {
        let dir = &self.host.bench.room.dir;
        self.import_as(&dir.join("groups.tar"), image::GROUPS)?;
        self.import_as(&dir.join("pause.tar"), image::PAUSE)
    }

    /// ctr, with the socket and the namespace of the CRI.
    pub(crate) fn ctr(&self) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.host.bench.room.dir.join("i.sock")).args(["--namespace", "k8s.io"]);
        ctr
    }

    pub(crate) fn import_as(&self, archive: &Path, name: &str) -> Result<()> {
        output(self.ctr().args(["images", "import"]).arg(archive))?;
        self.cri.await_image(name)
    }

    /// The groups of a pod's process by `handler`, and its CRI's error where there is none.
    pub(crate) fn groups(&self, handler: &str) -> Result<Vec<u32>> {
        let bench = self.host.bench;
        let wish = Wish { group: Some(1000), ..Wish::alice(&[5000]) };
        let pod = Pod::run_at(self.cri.clone(), &bench.room, Place::of(bench.next()), handler, &[], &wish)?;
        let who = pod.container("main", &wish)?.who()?;
        pod.remove()?;
        Ok(who.groups)
    }
}

impl Drop for Engine<'_, '_> {
    fn drop(&mut self) {
        let pid = self.child.id();
        // What can't be ended here is swept with the room.
        let _ = i32::try_from(pid).map(|pid| kill(Pid::from_raw(pid), Signal::SIGTERM));
        if self.child.wait().is_ok() {
            self.host.bench.room.child_ended(pid);
        }
        give_back_dev_null();
    }
}

fn pods(bench: &Bench) -> Result<Outcome> {
    let config = configuration(bench);
    let host = Host::new(bench, &config)?;
    host.run("install")?;
    let own = host.own()?;
    let (bare, strict) = {
        let engine = Engine::start(&host, &own)?;
        engine.import()?;
        (engine.groups("").context("the default handler")?, engine.groups("strict").context("our handler")?)
    };
    ensure!(bare.contains(&50000), "the default handler gives {bare:?}: the hole isn't shown");
    ensure!(strict == [1000, 5000], "our handler gives {strict:?}");

    host.run("uninstall")?;
    let left = fs::read_to_string(&host.config).context("read containerd's configuration")?;
    ensure!(left == config, "uninstall left \"{left}\"");
    let engine = Engine::start(&host, &own)?;
    match engine.groups("strict") {
        Ok(groups) => bail!("the handler is there after uninstall, and gives {groups:?}"),
        Err(why) if format!("{why:#}").contains("no runtime for \"strict\"") => {}
        Err(why) => return Err(why.context("after uninstall")),
    }
    Ok(Outcome::Passed(vec!["by runc as merged, by strict 1000 5000".to_owned()]))
}

/// Comments, a default handler with options of its own, and everything below the room.
pub(crate) fn configuration(bench: &Bench) -> String {
    let dir = bench.room.dir.display();
    format!(
        r#"# The administrator's own.
version = 2
root = "{dir}/installed"   # nobody else's
state = "{dir}/installed-state"

[grpc]
  address = "{dir}/i.sock"

[ttrpc]
  address = "{dir}/i.sock.ttrpc"

[plugins]
  [plugins."io.containerd.internal.v1.opt"]
    path = "{dir}/opt"
  [plugins."io.containerd.grpc.v1.cri"]
    restrict_oom_score_adj = true
    sandbox_image = "{}"
    stream_server_address = "127.0.0.1"
    stream_server_port = "0"

    # what pods run by
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{dir}/runtime"
        SystemdCgroup = {}
"#,
        image::PAUSE,
        crate::group::systemd_has_them(),
    )
}
