//! docker: a private dockerd with a containerd of its own below the room, one runtime for each bare one and for each
//! configuration of the product. docker merges as the others do; its containers have no metadata of the CRI, so
//! nothing but the residual and the node's word can authorise a group.

use std::cell::RefCell;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runc_strict_integration::case::{Case, Outcome, Suite};
use runc_strict_integration::report::say;
use runc_strict_integration::room::{Room, give_back_dev_null, unmount_below};
use runc_strict_integration::runtime::Kind;

use crate::bench::{Bench, find, output, version};
use crate::group;
use crate::image;
use crate::pod::{WHO, Who};
use crate::watch::await_text;

pub(crate) const SUITE: Suite<Bench> = Suite {
    name: "docker",
    about: "docker run, exec and a restart: who their processes are",
    headings: &["command", "runtime", "bare", "runc-strict"],
    cases,
};

/// What has to become of a container.
#[derive(Clone, Copy)]
enum Expected {
    Groups(&'static [u32]),
    /// docker's error has this in it.
    Refused(&'static str),
}

use Expected::{Groups, Refused};

/// The configurations behind the runtimes: their names and what they set.
const LEVELS: [(&str, &str); 2] = [("strict", ""), ("paranoid", "level = \"paranoid\"\n")];

/// One `docker run` with these flags, asked of both.
type Run = (&'static str, &'static str, &'static [&'static str], &'static [u32], Expected);

fn cases(bench: &Bench) -> Vec<Case<Bench>> {
    const MERGED: &[u32] = &[1000, 3000, 50000, 60000];
    const ADDED: &[u32] = &[1000, 3000, 50000, 60000, 60001];
    const RUNS: [Run; 6] = [
        ("run", "strict", &[], MERGED, Groups(&[1000])),
        ("run --group-add 60001", "strict", &["--group-add=60001"], ADDED, Groups(&[1000, 60001])),
        // The image names it too, and no engine's word says otherwise.
        (
            "run --group-add 60000, which the image names",
            "strict",
            &["--group-add=60000"],
            MERGED,
            Groups(&[1000]),
        ),
        // Whoever calls docker named the group, and docker then merges nothing.
        ("run --user alice:50000", "strict", &["--user=alice:50000"], &[50000], Groups(&[50000])),
        ("run --privileged", "strict", &["--privileged"], MERGED, Groups(&[1000])),
        ("run --user root, at paranoid", "paranoid", &["--user=root"], &[0, 50000], Refused("uid 0")),
    ];
    let of = |kind: Kind| {
        let runs = RUNS.map(|(name, configuration, flags, bare, expected)| {
            Case::new([name, kind.name()], move |bench| {
                both(bare, expected, configuration, |handler| run(bench, kind, handler, flags))
            })
        });
        let others = [
            Case::new(["exec", kind.name()], move |bench| {
                both(MERGED, Groups(&[1000]), "strict", |handler| exec(bench, kind, handler, &[], false))
            }),
            Case::new(["exec --user carol", kind.name()], move |bench| {
                both(&[1002, 50000], Groups(&[1000, 1002]), "strict", |handler| {
                    exec(bench, kind, handler, &["--user=carol"], false)
                })
            }),
            Case::new(["stop, start, exec", kind.name()], move |bench| {
                both(MERGED, Groups(&[1000]), "strict", |handler| exec(bench, kind, handler, &[], true))
            }),
        ];
        runs.into_iter().chain(others)
    };
    bench.kinds.iter().flat_map(|kind| of(*kind)).collect()
}

/// Asks behind both runtimes and compares with what is expected of each.
fn both(
    bare: &[u32],
    expected: Expected,
    configuration: &str,
    ask: impl Fn(&str) -> Result<Who>,
) -> Result<Outcome> {
    let hole = ask("bare").context("bare")?;
    ensure!(hole.groups == bare, "bare: {:?} instead of {bare:?}", hole.groups);
    let seen = match (expected, ask(configuration)) {
        (Groups(groups), Ok(who)) if who.groups == groups => list(groups),
        (Refused(word), Err(why)) if format!("{why:#}").contains(word) => "refused".to_owned(),
        (_, Ok(who)) => bail!("{who:?}"),
        (_, Err(why)) => return Err(why),
    };
    Ok(Outcome::Passed(vec![list(bare), seen]))
}

/// `docker run` of the identity's words; where the container must not start, docker's error is the answer.
fn run(bench: &Bench, kind: Kind, handler: &str, flags: &[&str]) -> Result<Who> {
    let docker = bench.docker()?;
    let mut command = docker.run(handler, kind, "--rm");
    Who::read(&output(command.args(flags).args([image::GROUPS, "/bin/sh", "-c", WHO]))?)
}

/// `docker exec` into a container that sleeps, which may have been stopped and started again before.
fn exec(bench: &Bench, kind: Kind, handler: &str, flags: &[&str], again: bool) -> Result<Who> {
    let docker = bench.docker()?;
    let words = [image::GROUPS, "/bin/sleep", "2147483647"];
    let id = output(docker.run(handler, kind, "--detach").args(words))?;
    let id = id.trim();
    if again {
        output(docker.command().args(["stop", "--time=0", id]))?;
        output(docker.command().args(["start", id]))?;
    }
    let who = output(docker.command().arg("exec").args(flags).args([id, "/bin/sh", "-c", WHO]));
    output(docker.command().args(["rm", "--force", id]))?;
    Who::read(&who?)
}

/// A running dockerd.
pub(crate) struct Docker {
    room: Arc<Room>,
    child: RefCell<Option<Child>>,
}

impl Docker {
    /// Starts it, waits until it serves, and imports the image.
    ///
    /// # Errors
    /// When it isn't there, or doesn't come up; its own log is then told.
    pub(crate) fn start(bench: &Bench) -> Result<Self> {
        let program =
            find("dockerd").context("install Debian's package of docker: integration/need dockerd=docker")?;
        say(&format!("note: dockerd is {}, {}", program.display(), version(&program)));
        let docker = Self { room: Arc::clone(&bench.room), child: RefCell::new(None) };
        let dir = docker.dir();
        fs::create_dir(&dir).context("make docker's folder")?;
        let mut command = Command::new(program);
        for (flag, name) in
            [("data-root", "data"), ("exec-root", "exec"), ("pidfile", "pid"), ("config-file", "daemon.json")]
        {
            command.arg(format!("--{flag}={}", dir.join(name).display()));
        }
        command.arg(format!("--host=unix://{}", docker.socket().display()));
        command.arg(format!("--cgroup-parent={}", group::parent("docker")));
        let driver = if group::systemd_has_them() { "systemd" } else { "cgroupfs" };
        command.arg(format!("--exec-opt=native.cgroupdriver={driver}"));
        // Nothing of the machine's network changes: the containers are on the host's.
        command.args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]);
        for kind in &bench.kinds {
            let real = bench.real(*kind)?;
            command.arg(format!("--add-runtime=bare-{}={}", kind.name(), real.display()));
            for (name, extra) in LEVELS {
                let name = format!("{name}-{}", kind.name());
                let config = dir.join(format!("{name}.toml"));
                let log = bench.room.dir.join("audit.log");
                let text = format!(
                    "runtime = \"{}\"\nengine = \"none\"\n{extra}[audit]\npath = \"{}\"\n",
                    real.display(),
                    log.display()
                );
                fs::write(&config, text).with_context(|| format!("write {}", config.display()))?;
                let script = bench.script(&format!("docker-{name}"), &config)?;
                command.arg(format!("--add-runtime={name}={}", script.display()));
            }
        }
        // The daemon's own identity would otherwise be written to /etc/docker.
        let key = serde_json::json!({"deprecated-key-path": dir.join("key.json")});
        fs::write(dir.join("daemon.json"), key.to_string()).context("write docker's configuration")?;
        let log = dir.join("log");
        let file = File::create(&log).context("make docker's log")?;
        ensure!(!runc_strict_integration::room::ending(), "the run is ending");
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = docker.room.spawn(&mut command).context("start dockerd")?;
        *docker.child.borrow_mut() = Some(child);
        await_text(&log, |text| text.contains("API listen on").then_some(()))?;
        let layer = docker.room.dir.join("groups.layer.tar");
        output(docker.command().args(["import", "--change=USER alice"]).arg(layer).arg(image::GROUPS))?;
        Ok(docker)
    }

    fn dir(&self) -> PathBuf {
        self.room.dir.join("docker")
    }

    fn socket(&self) -> PathBuf {
        self.dir().join("sock")
    }

    fn command(&self) -> Command {
        let mut command = Command::new("docker");
        command.env("DOCKER_CONFIG", self.dir()).env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
        command.arg(format!("--host=unix://{}", self.socket().display()));
        command
    }

    /// `docker run` with what all containers here have in common.
    fn run(&self, handler: &str, kind: Kind, flag: &str) -> Command {
        let mut command = self.command();
        command.args(["run", "--network=host", flag]);
        command.arg(format!("--runtime={handler}-{}", kind.name()));
        command
    }

    /// Ends the daemon, which takes its containerd along, and says what of its containers is left.
    ///
    /// # Errors
    /// When it can't be ended, or something is left.
    pub(crate) fn close(&self) -> Result<()> {
        let left = output(self.command().args(["ps", "--all", "--quiet", "--no-trunc"]))?;
        for id in left.split_whitespace() {
            output(self.command().args(["rm", "--force", id]))?;
        }
        let Some(mut child) = self.child.borrow_mut().take() else { return Ok(()) };
        let pid = child.id();
        kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGTERM).context("end dockerd")?;
        child.wait().context("wait for dockerd")?;
        self.room.child_ended(pid);
        // The host's network namespace stays mounted when dockerd ends.
        unmount_below(&self.dir().join("exec/netns"));
        give_back_dev_null();
        let mut left: Vec<String> = left.split_whitespace().map(|id| format!("container {id}")).collect();
        let dir = self.dir().display().to_string();
        let records = self.room.records().into_iter();
        let folders = records.filter(|path| path.to_string_lossy().contains("docker"));
        let entries = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
        let entries = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
        left.extend(entries.map(|entry| entry.path().display().to_string()));
        for pid in self.room.processes() {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if String::from_utf8_lossy(&line).contains(&dir) {
                left.push(format!("process {pid}"));
            }
        }
        ensure!(left.is_empty(), "docker left {}", left.join(", "));
        Ok(())
    }
}

fn list(groups: &[u32]) -> String {
    groups.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}
