//! podman, with its own root, run root and temporary folder below the room, and one runtime for each of its names in
//! a containers.conf of ours. It merges like the other engines, and hands annotations on as they are.

mod rootless;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use runc_strict_integration::case::{Case, Outcome, Suite};
use runc_strict_integration::room::give_back_dev_null;
use runc_strict_integration::runtime::Kind;

use crate::bench::{Bench, find, output, version};
use crate::group;
use crate::image;
use crate::pod::{WHO, Who};

const GROUPS: &str = "runc-strict/supplemental-groups";

pub(crate) const SUITE: Suite<Bench> = Suite {
    name: "podman",
    about: "podman run, exec and kube play: who their processes are",
    headings: &["command", "runtime", "bare", "runc-strict"],
    cases,
};

/// What has to become of a container.
#[derive(Clone, Copy)]
enum Expected {
    Groups(&'static [u32]),
    /// podman's error has this in it.
    Refused(&'static str),
}

use Expected::{Groups, Refused};

fn cases(bench: &Bench) -> Vec<Case<Bench>> {
    const MERGED: &[u32] = &[1000, 3000, 50000, 60000];
    // podman exec leaves the primary gid out of its list, which the law of parity puts right too.
    const EXEC: &[u32] = &[3000, 50000, 60000];
    const ADDED: &[u32] = &[1000, 3000, 50000, 60000, 60001];
    const NARROW: &str = "--annotation=runc-strict/supplemental-groups=60001";
    const USERNS: &[&str] = &["--uidmap=0:100000:65536", "--gidmap=0:100000:65536"];
    const WIDEN: &str = "--annotation=runc-strict/supplemental-groups=50000";
    let of = |kind: Kind| {
        let runs: [(&'static str, &'static [&'static str], &'static [u32], Expected); 7] = [
            ("run", &[], MERGED, Groups(&[1000])),
            ("run --group-add 60001", &["--group-add=60001"], ADDED, Groups(&[1000, 60001])),
            ("run --group-add 60000, which the image names", &["--group-add=60000"], MERGED, Groups(&[1000])),
            (
                "run, annotation narrows",
                &["--group-add=60001,60002", NARROW],
                &[1000, 3000, 50000, 60000, 60001, 60002],
                Groups(&[1000, 60001]),
            ),
            ("run, annotation widens", &[WIDEN], MERGED, Refused("gid 50000")),
            ("run --privileged", &["--privileged"], MERGED, Groups(&[1000])),
            ("run in a user namespace", USERNS, MERGED, Groups(&[1000])),
        ];
        let runs = runs.map(|(name, flags, bare, expected)| {
            Case::new([name, kind.name()], move |bench| {
                both(bare, expected, |road| run(bench, kind, road, flags))
            })
        });
        let others = [
            Case::new(["exec", kind.name()], move |bench| {
                both(EXEC, Groups(&[1000]), |road| exec(bench, kind, road, &[]))
            }),
            Case::new(["exec --user carol", kind.name()], move |bench| {
                both(&[50000], Groups(&[1000, 1002]), |road| exec(bench, kind, road, &["--user", "carol"]))
            }),
            Case::new(["kube play, annotation narrows to none", kind.name()], move |bench| {
                both(EXEC, Groups(&[1000]), |road| kube_play(bench, kind, road))
            }),
            Case::new(["run, rootless", kind.name()], move |bench| {
                // One user and one group are mapped, so nothing can be gained; it has to go on working.
                both(&[], Groups(&[]), |road| rootless::run(bench, kind, road, "--clear-groups", &[]))
            }),
            Case::new(["run, rootless, the caller in a group of its own", kind.name()], move |bench| {
                // Without setgroups(2) no runtime can take it away: it is the caller's, not the image's.
                both(&[65534], Groups(&[65534]), |road| {
                    rootless::run(bench, kind, road, "--groups=50000", &[])
                })
            }),
            Case::new(["run, rootless, --group-add keep-groups", kind.name()], move |bench| {
                rootless::keep_groups(bench, kind)
            }),
        ];
        runs.into_iter().chain(others)
    };
    bench.kinds.iter().flat_map(|kind| of(*kind)).collect()
}

/// Asks on both roads and compares with what is expected of each.
fn both(bare: &[u32], expected: Expected, ask: impl Fn(&str) -> Result<Who>) -> Result<Outcome> {
    let hole = ask("bare").context("bare")?;
    ensure!(hole.groups == bare, "bare: {:?} instead of {bare:?}", hole.groups);
    let seen = match (expected, ask("strict")) {
        (Groups(groups), Ok(who)) if who.groups == groups => list(groups),
        (Refused(word), Err(why)) if format!("{why:#}").contains(word) => "refused".to_owned(),
        (_, Ok(who)) => bail!("{who:?}"),
        (_, Err(why)) => return Err(why),
    };
    Ok(Outcome::Passed(vec![list(bare), seen]))
}

/// A podman of the room, with its image, which goes away with everything that it made.
struct Podman {
    dir: PathBuf,
    conf: PathBuf,
}

impl Podman {
    fn open(bench: &Bench, kind: Kind, road: &str) -> Result<Podman> {
        let program = find("podman").context("install the package podman")?;
        let dir = bench.room.dir.join("podman");
        let conf = dir.join("containers.conf");
        if !dir.is_dir() {
            runc_strict_integration::report::say(&format!(
                "note: podman is {}, {}",
                program.display(),
                version(&program)
            ));
            fs::create_dir(&dir).context("make podman's folder")?;
        }
        let config = dir.join(format!("{}.toml", kind.name()));
        let log = bench.room.dir.join("audit.log");
        let real = bench.real(kind)?.to_owned();
        fs::write(
            &config,
            format!(
                "runtime = \"{}\"\nengine = \"podman\"\n[audit]\npath = \"{}\"\n",
                real.display(),
                log.display()
            ),
        )?;
        let strict = bench.script(&format!("podman-{}", kind.name()), &config)?;
        let runtime: &Path = if road == "bare" { &real } else { &strict };
        // Where root may not raise a limit (CAP_SYS_RESOURCE), podman's own defaults stop the bare runtime too.
        fs::write(
            &conf,
            format!(
                "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n[engine]\nruntime = \"{road}\"\nruntime_supports_json = [\"bare\", \"strict\"]\ncgroup_manager = \"{}\"\n\
                 infra_image = \"{}\"\nevents_logger = \"file\"\n[engine.runtimes]\n{road} = [\"{}\"]\n",
                if group::systemd_has_them() { "systemd" } else { "cgroupfs" },
                image::PAUSE,
                runtime.display()
            ),
        )?;
        let podman = Podman { dir, conf };
        // The storage is one for all cases, so each image is loaded once.
        for archive in ["groups.tar", "pause.tar"] {
            let loaded = podman.dir.join(format!("{archive}.loaded"));
            if !loaded.exists() {
                let archive = bench.room.dir.join(archive);
                output(podman.command().args(["load", "--quiet", "--input"]).arg(archive))?;
                fs::write(&loaded, "").context("remember the image")?;
            }
        }
        Ok(podman)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("podman");
        command.env("CONTAINERS_CONF", &self.conf).env("TMPDIR", &self.dir);
        let folder = |name: &str| self.dir.join(name);
        command.arg("--root").arg(folder("root")).arg("--runroot").arg(folder("run"));
        command.arg("--tmpdir").arg(folder("tmp")).arg("--volumepath").arg(folder("volumes"));
        command
    }

    /// `podman run` with what all containers here have in common.
    fn run(&self) -> Command {
        let mut command = self.command();
        command.args(["run", "--network=host", "--user=alice", "--pull=never"]);
        command.arg(format!("--cgroup-parent={}", group::parent("podman")));
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        for words in [
            ["pod", "rm", "--all", "--force", "--time=0"],
            ["rm", "--all", "--force", "--time=0", "--volumes"],
        ] {
            if let Err(why) = output(self.command().args(words)) {
                runc_strict_integration::report::complain(&format!("podman left something: {why:#}"));
            }
        }
        give_back_dev_null();
    }
}

fn run(bench: &Bench, kind: Kind, road: &str, flags: &[&str]) -> Result<Who> {
    let podman = Podman::open(bench, kind, road)?;
    Who::read(&output(podman.run().args(["--rm"]).args(flags).args([image::GROUPS, "/bin/sh", "-c", WHO]))?)
}

fn exec(bench: &Bench, kind: Kind, road: &str, flags: &[&str]) -> Result<Who> {
    let podman = Podman::open(bench, kind, road)?;
    let id = output(podman.run().args(["--detach", image::GROUPS, "/bin/sleep", "2147483647"]))?;
    Who::read(&output(podman.command().arg("exec").args(flags).args([id.trim(), "/bin/sh", "-c", WHO]))?)
}

fn kube_play(bench: &Bench, kind: Kind, road: &str) -> Result<Who> {
    let podman = Podman::open(bench, kind, road)?;
    let manifest = podman.dir.join("pod.yaml");
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: play\n  annotations:\n    {GROUPS}: \"\"\nspec:\n  hostNetwork: true\n  \
         containers:\n  - name: main\n    image: {}\n    imagePullPolicy: Never\n    command: [/bin/sleep, \"2147483647\"]\n",
        image::GROUPS
    );
    fs::write(&manifest, text).context("write the pod")?;
    output(podman.command().args(["kube", "play"]).arg(&manifest))?;
    // The container's own first process can't be asked, so its shell is; parity is exec's own case.
    Who::read(&output(podman.command().args(["exec", "play-main", "/bin/sh", "-c", WHO]))?)
}

fn list(groups: &[u32]) -> String {
    groups.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}
