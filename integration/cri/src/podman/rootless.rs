//! podman without root: the user nobody with storage of his own, no subordinate ids, and so no setgroups(2).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use runc_strict_integration::case::Outcome;
use runc_strict_integration::room::{end_process, give_back_dev_null};
use runc_strict_integration::runtime::Kind;

use super::{Refused, both};
use crate::bench::{Bench, find, output};
use crate::image;
use crate::pod::{WHO, Who};

/// As the user nobody, who owns no subordinate ids: one user and one group are mapped.
pub(super) fn run(bench: &Bench, kind: Kind, road: &str, caller: &str, flags: &[&str]) -> Result<Who> {
    let home = Rootless::open(bench, kind, road)?;
    output(home.podman(caller)?.args(["load", "--quiet", "--input"]).arg(bench.room.dir.join("groups.tar")))?;
    let mut command = home.podman(caller)?;
    command.args(["run", "--rm", "--pull=never", "--network=host", "--user=0"]).args(flags);
    Who::read(&output(command.args([image::GROUPS, "/bin/sh", "-c", WHO]))?)
}

pub(super) fn keep_groups(bench: &Bench, kind: Kind) -> Result<Outcome> {
    const FLAGS: [&str; 2] = ["--group-add", "keep-groups"];
    if kind == Kind::Runc {
        return Ok(Outcome::Skipped("only crun has run.oci.keep_original_groups".to_owned()));
    }
    // podman's way to hand the caller's groups on is crun's annotation. Not mapped, 50000 is shown as the overflow gid (user_namespaces(7)); files of the group open all the same.
    both(&[65534], Refused("run.oci.keep_original_groups"), |road| {
        run(bench, kind, road, "--groups=50000", &FLAGS)
    })
}

/// The room as nobody sees it while a rootless podman runs: a folder of his own in it.
struct Rootless {
    dir: PathBuf,
    room: PathBuf,
}

impl Rootless {
    const NOBODY: u32 = 65534;

    fn open(bench: &Bench, kind: Kind, road: &str) -> Result<Rootless> {
        let room = bench.room.dir.clone();
        fs::set_permissions(&room, fs::Permissions::from_mode(0o711)).context("open the room")?;
        let home = Rootless { dir: room.join(format!("nobody-{}", bench.next())), room };
        let product = home.dir.join("runc-strict");
        for folder in ["", "home", "xdg", "tmp", "log"] {
            let path = home.dir.join(folder);
            fs::create_dir(&path).with_context(|| format!("make {}", path.display()))?;
            chown(&path, Some(Self::NOBODY), Some(Self::NOBODY)).context("give it to nobody")?;
        }
        let real = bench.real(kind)?.to_owned();
        fs::copy(&bench.product, &product).context("copy the product")?;
        let write = |name: &str, text: String, mode: u32| -> Result<PathBuf> {
            let path = home.dir.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).context("set its mode")?;
            Ok(path)
        };
        let dir = home.dir.display();
        let config = format!(
            "runtime = \"{}\"\nengine = \"podman\"\n[audit]\npath = \"{dir}/log/audit.log\"\n",
            real.display()
        );
        let config = write("config.toml", config, 0o644)?;
        let script =
            format!("#!/bin/sh\nRUNC_STRICT_CONFIG={} exec {} \"$@\"\n", config.display(), product.display());
        let strict = write("strict", script, 0o755)?;
        let runtime = if road == "bare" { real } else { strict };
        let conf = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n[engine]\nruntime = \"{road}\"\n\
             runtime_supports_json = [\"{road}\"]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n\
             [engine.runtimes]\n{road} = [\"{}\"]\n",
            runtime.display()
        );
        write("containers.conf", conf, 0o644)?;
        write(
            "storage.conf",
            "[storage]\ndriver = \"vfs\"\n[storage.options]\nignore_chown_errors = \"true\"\n".to_owned(),
            0o644,
        )?;
        Ok(home)
    }

    /// podman as nobody; `caller` is setpriv's word on the supplementary groups.
    fn podman(&self, caller: &str) -> Result<Command> {
        let mut command = Command::new(find("setpriv").context("install the package util-linux")?);
        command.args(["--reuid=65534", "--regid=65534", caller]).arg(find("podman")?);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir(self.dir.join("home"));
        for (name, file) in [
            ("HOME", "home"),
            ("XDG_RUNTIME_DIR", "xdg"),
            ("TMPDIR", "tmp"),
            ("CONTAINERS_CONF", "containers.conf"),
            ("CONTAINERS_STORAGE_CONF", "storage.conf"),
        ] {
            command.env(name, self.dir.join(file));
        }
        Ok(command)
    }
}

impl Drop for Rootless {
    fn drop(&mut self) {
        // podman's pause process, which keeps the user namespace, goes with the room: its command line names podman,
        // so it is found by its own pid file.
        let pid = fs::read_to_string(self.dir.join("xdg/libpod/tmp/pause.pid")).unwrap_or_default();
        if let Ok(pid) = pid.trim().parse() {
            end_process(pid);
        }
        give_back_dev_null();
        let _ = fs::set_permissions(&self.room, fs::Permissions::from_mode(0o700));
    }
}
