//! What all cases of a run share: the room, the real runtimes, the product with its configurations, and containerd,
//! which is started when a case first needs it.

use std::cell::{Cell, OnceCell};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use runc_strict_integration::engine::Engine;
use runc_strict_integration::lab::Lab;
use runc_strict_integration::options::Options;
use runc_strict_integration::report::{complain, printable};
use runc_strict_integration::room::{self, Room};
use runc_strict_integration::runtime::Kind;

use crate::attack::Attacks;
use crate::containerd::Containerd;
use crate::docker::Docker;
use crate::{group, image, shim};

pub(crate) use runc_strict_integration::runtime::find_program as find;

/// How the product is configured behind a handler. A handler's name is this name and the runtime's.
pub(crate) const CONFIGURATIONS: [(&str, &str); 5] = [
    ("strict", ""),
    ("sealed", "level = \"sealed\"\n"),
    ("deny", "primary-gid = \"deny\"\n"),
    (
        "allow",
        "\n[[namespace]]\nallow = [\"3000\"]\n\n[[namespace]]\nmatch = [\"other\"]\nallow = [\"50000\"]\n",
    ),
    ("missing", ""),
];

/// The bench of a run.
pub(crate) struct Bench {
    lab: Lab,
    pub(crate) room: Arc<Room>,
    pub(crate) product: PathBuf,
    pub(crate) kinds: Vec<Kind>,
    /// The pods and images of attacks.
    pub(crate) attacks: Attacks,
    /// Whether cases may change the machine's own engine.
    pub(crate) whole_machine: bool,
    containerd: OnceCell<Result<Containerd, String>>,
    docker: OnceCell<Result<Docker, String>>,
    counter: Cell<u32>,
}

impl Bench {
    /// Prepares the room: configurations, handlers' programs, images.
    ///
    /// # Errors
    /// When a program is missing or the folder can't be filled.
    pub(crate) fn open(options: &Options) -> Result<Self> {
        let lab = Lab::open(options)?;
        let product = lab.product.clone().context("engines are tried with a product: give --product PATH")?;
        let room = Arc::clone(&lab.room);
        room.on_sweep(shim::remove_sockets);
        if group::systemd_has_them() {
            room.on_sweep(|_| group::stop(&group::run()));
        }
        image::write_both(&room.dir, &lab.busybox)?;
        let kinds: Vec<Kind> = lab.runtimes.iter().map(|runtime| runtime.kind).collect();
        ensure!(!kinds.is_empty(), "there is no runtime to try");
        let bench = Self {
            lab,
            room,
            product,
            kinds,
            attacks: Attacks::default(),
            whole_machine: options.whole_machine,
            containerd: OnceCell::new(),
            docker: OnceCell::new(),
            counter: Cell::new(0),
        };
        for kind in &bench.kinds {
            for (name, extra) in CONFIGURATIONS {
                let socket = bench.room.dir.join(if name == "missing" { "nowhere.sock" } else { "c.sock" });
                bench.write_handler(&format!("{name}-{}", kind.name()), *kind, &socket, extra)?;
            }
            bench.attack_handler(*kind, false)?;
        }
        Ok(bench)
    }

    /// The path of a real runtime under trial.
    ///
    /// # Errors
    /// When it isn't under trial.
    pub(crate) fn real(&self, kind: Kind) -> Result<&Path> {
        let runtime = self.lab.runtimes.iter().find(|runtime| runtime.kind == kind);
        runtime.map(|runtime| runtime.path.as_path()).with_context(|| format!("no {}", kind.name()))
    }

    /// A handler: a configuration, and a program that names it to the product.
    fn write_handler(&self, name: &str, kind: Kind, socket: &Path, extra: &str) -> Result<()> {
        let log = self.room.dir.join("audit.log");
        let (tables, keys): (Vec<&str>, Vec<&str>) = match extra.split_once("\n[[") {
            Some((keys, _)) => (vec![extra.get(keys.len()..).unwrap_or_default()], vec![keys]),
            None => (Vec::new(), vec![extra]),
        };
        let text = format!(
            "runtime = \"{}\"\nengine = \"containerd\"\n{}\n[containerd]\naddress = \"{}\"\n[audit]\npath = \"{}\"\n{}",
            self.real(kind)?.display(),
            keys.concat(),
            socket.display(),
            log.display(),
            tables.concat(),
        );
        let config = self.room.dir.join(format!("{name}.toml"));
        fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
        self.script(name, &config)?;
        Ok(())
    }

    /// A program that calls the product with the configuration at `config`.
    pub(crate) fn script(&self, name: &str, config: &Path) -> Result<PathBuf> {
        let path = self.room.dir.join(name);
        let text = format!(
            "#!/bin/sh\nRUNC_STRICT_CONFIG={} exec {} \"$@\"\n",
            config.display(),
            self.product.display()
        );
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("make it executable")?;
        Ok(path)
    }

    /// containerd, which is started at the first call.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub(crate) fn containerd(&self) -> Result<&Containerd> {
        // A containerd that didn't start once isn't tried again by each case.
        let start = || Containerd::start(self);
        let started = self.containerd.get_or_init(|| start().map_err(|why| format!("{why:#}")));
        started.as_ref().map_err(|why| anyhow::anyhow!("containerd doesn't start: {why}"))
    }

    /// dockerd, which is started at the first call.
    ///
    /// # Errors
    /// When it isn't installed or doesn't start.
    pub(crate) fn docker(&self) -> Result<&Docker> {
        let started = self.docker.get_or_init(|| Docker::start(self).map_err(|why| format!("{why:#}")));
        started.as_ref().map_err(|why| anyhow::anyhow!("dockerd doesn't start: {why}"))
    }

    /// A number that no other case of this run has.
    pub(crate) fn next(&self) -> u32 {
        self.counter.set(self.counter.get() + 1);
        self.counter.get()
    }
}

impl runc_strict_integration::program::Bench for Bench {
    fn lab(&self) -> &Lab {
        &self.lab
    }

    fn engine(&self) -> Option<&dyn Engine> {
        Some(self)
    }

    fn close(&self) -> bool {
        self.attacks.forget();
        // docker first: to containerd every other process of the room is one that was left.
        let docker = self.docker.get().and_then(|docker| docker.as_ref().ok()).map(Docker::close);
        let containerd =
            self.containerd.get().and_then(|started| started.as_ref().ok()).map(Containerd::close);
        let mut clean = true;
        for (name, closed) in [("docker", docker), ("containerd", containerd)] {
            if let Some(Err(why)) = closed {
                complain(&format!("{name} was not left as it should be: {why:#}"));
                clean = false;
            }
        }
        clean
    }
}

/// The first line of what `path --version` prints.
pub(crate) fn version(path: &Path) -> String {
    let output = Command::new(path).arg("--version").output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("of no version").to_owned()
}

/// Runs a program to its end and gives back its stdout.
///
/// # Errors
/// When it fails, with what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    ensure!(!room::ending(), "the run is ending");
    let done = command.output().with_context(|| format!("start {:?}", command.get_program()))?;
    let text = |bytes: &[u8]| printable(&String::from_utf8_lossy(bytes));
    if !done.status.success() {
        let words: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        bail!(
            "{:?} {}: {} {}",
            command.get_program(),
            words.join(" "),
            text(&done.stdout),
            text(&done.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
