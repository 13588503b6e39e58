//! Containers of podman, which resizes one a call: a loop of `podman update` beside a loop of `cgroup-updater set` over the
//! same containers. `apply` takes pods of the kubelet, and podman has none. Everything of podman's lies in a private folder.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use runc_strict_integration::room::{Room as Swept, give_back_dev_null};
use runc_strict_integration::runtime::find_program;

use crate::report::{Report, Table};
use crate::room::Room;
use crate::spread::Times;

/// Containers: each has a monitor of its own, so not many.
const CONTAINERS: usize = 10;

/// Measures both loops.
pub(crate) fn measure(room: &Room, swept: Option<&Swept>, turns: usize, report: &mut Report) -> Result<()> {
    report.heading("Beside podman update");
    let Some(swept) = swept else {
        report.skipped("podman update", "the containers are root's");
        return Ok(());
    };
    let (Ok(program), Ok(runc)) = (find_program("podman"), find_program("runc")) else {
        report.skipped("podman update", "podman or runc isn't installed");
        return Ok(());
    };
    let help = Command::new(&program).args(["update", "--help"]).output().context("ask podman for help")?;
    if !help.status.success() || !String::from_utf8_lossy(&help.stdout).contains("--cpu-quota") {
        report.skipped("podman update", "this podman doesn't have it; it came with 4.3");
        return Ok(());
    }
    let runc = runc.display().to_string();
    let podman = Podman::new(swept, program, &runc)?;
    compare(room, &podman, &runc, turns, report)
}

fn compare(room: &Room, podman: &Podman, runc: &str, turns: usize, report: &mut Report) -> Result<()> {
    let rootfs = podman.folder.join("rootfs");
    for folder in ["proc", "dev", "sys", "etc", "run", "tmp"] {
        fs::create_dir_all(rootfs.join(folder))?;
    }
    room.compile("pause.c", &rootfs.join("pause").display().to_string())?;
    let rootfs = rootfs.display().to_string();
    let mut ids = Vec::new();
    for _ in 0..CONTAINERS {
        let words = [
            "run",
            "--detach",
            "--network=host",
            "--read-only",
            "--cgroup-parent",
            &podman.parent,
            "--rootfs",
        ];
        let id = podman.call(&[&words[..], &[&rootfs, "/pause"]].concat())?;
        ids.push(id.trim().to_owned());
    }
    let environment = room.node(runc)?;
    let mut times = Times::new(2);
    for turn in 0..turns {
        let since = Instant::now();
        for id in &ids {
            let (memory, quota) = (format!("{}m", 100 + 20 * turn), (10_000 + 2000 * turn).to_string());
            podman.call(&["update", "--memory", &memory, "--cpu-quota", &quota, id])?;
        }
        times.push(0, since.elapsed().as_secs_f64() * 1e3);
        let since = Instant::now();
        for id in &ids {
            let (memory, cpu) = (format!("{}Mi", 110 + 20 * turn), format!("{}m", 110 + 20 * turn));
            let mut command = Command::new(&room.product);
            command.args([
                "cgroup-updater",
                "set",
                "--once",
                "--container",
                id,
                "--memory-limit",
                &memory,
                "--cpu-limit",
                &cpu,
            ]);
            output(command.env_clear().envs(environment.iter().cloned()))?;
        }
        times.push(1, since.elapsed().as_secs_f64() * 1e3);
    }
    report.text(&format!(
        "Memory limit and CPU limit of {CONTAINERS} containers of podman, one call a container, {turns} turns; milliseconds, median \
         [quartiles]. `apply` takes pods of the kubelet, so here each call of cgroup-updater is a transaction of its own."
    ));
    let mut table = Table::new(&["way", "takes, ms", "times faster"]);
    table.row("a loop of podman update", [times.spread(0).to_string()]);
    let faster = format!("{:.1}", times.faster(1, 0).median);
    table.row("a loop of cgroup-updater set", [times.spread(1).to_string(), faster]);
    report.table(&table);
    Ok(())
}

/// A podman with its own storage and state.
struct Podman {
    program: PathBuf,
    folder: PathBuf,
    parent: String,
}

impl Podman {
    fn new(swept: &Swept, program: PathBuf, runc: &str) -> Result<Podman> {
        let folder = swept.dir.join("podman");
        fs::create_dir(&folder).context("make podman's folder")?;
        // Where root may not raise a limit (CAP_SYS_RESOURCE), podman's own defaults stop its containers.
        let conf = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n[engine]\nruntime = \"{runc}\"\n\
             cgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n"
        );
        fs::write(folder.join("containers.conf"), conf).context("write containers.conf")?;
        let parent = runc_strict_integration::cgroup::parent();
        Ok(Podman { program, folder, parent })
    }

    fn call(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        let at = |name: &str| self.folder.join(name);
        command.env("CONTAINERS_CONF", at("containers.conf")).env("TMPDIR", &self.folder);
        command.arg("--root").arg(at("root")).arg("--runroot").arg(at("run")).arg("--tmpdir").arg(at("tmp"));
        output(command.arg("--volumepath").arg(at("volumes")).args(words))
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // what it leaves is taken away by the sweep
        let _ = self.call(&["rm", "--all", "--force", "--time=0"]);
        give_back_dev_null();
        crate::resize::forget_transactions(&self.parent);
    }
}

/// What a command printed.
fn output(command: &mut Command) -> Result<String> {
    let answer =
        command.output().with_context(|| format!("can't start {}", command.get_program().display()))?;
    let why = String::from_utf8_lossy(&answer.stderr);
    ensure!(answer.status.success(), "{} failed: {}", command.get_program().display(), why.trim());
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}
