//! A node with systemd and its own containerd is set up by `install --restart`, looked at by `check`, runs pods, and is
//! given back by `uninstall --restart`. This is the machine's own engine, with a real `systemctl restart containerd`, so
//! the case is only tried where somebody said that the machine is there for it.
#![allow(clippy::indexing_slicing, reason = "serde_json gives null for what is missing")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::bench::{Bench, output};
use crate::cri::Cri;
use crate::kubelet::{self, Qos, next_slice, property};
use crate::pod::{Pod, Who, Wish};
use runc_strict_integration::case::{Case, Outcome, Suite};

pub(crate) const SUITE: Suite<Bench> = Suite {
    name: "node",
    about: "install --restart, check, a pod, uninstall --restart on the machine's own containerd",
    headings: &["what", "seen"],
    cases,
};

const SOCKET: &str = "/run/containerd/containerd.sock";
const CONFIG: &str = "/etc/containerd/config.toml";

fn cases(bench: &Bench) -> Vec<Case<Bench>> {
    const NAME: &str = "installed, checked, used, restarted under a pod, uninstalled";
    if !bench.whole_machine {
        let why = "changes the machine's own containerd; --whole-machine allows it";
        return vec![Case::new([NAME], move |_: &Bench| {
            Ok::<_, anyhow::Error>(Outcome::Skipped(why.to_owned()))
        })];
    }
    vec![kubelet::on_systemd(&[NAME], installed)]
}

/// The product where an administrator puts it; it goes away with this value.
struct Program(PathBuf);

impl Program {
    fn put(product: &Path) -> Result<Program> {
        let path = PathBuf::from("/usr/local/sbin/runc-strict");
        ensure!(!path.exists(), "there is a {} already", path.display());
        fs::create_dir_all("/usr/local/sbin").context("make /usr/local/sbin")?;
        fs::copy(product, &path).context("copy the product")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).context("make it executable")?;
        Ok(Program(path))
    }

    fn run(&self, words: &[&str]) -> Result<String> {
        output(Command::new(&self.0).args(words))
    }

    /// check's exit code and its document.
    fn check(&self) -> Result<(i32, Value)> {
        let done = Command::new(&self.0).args(["check", "--json"]).output().context("run check")?;
        ensure!(done.stderr.is_empty(), "check --json wrote \"{}\"", String::from_utf8_lossy(&done.stderr));
        let document = serde_json::from_slice(&done.stdout).context("read check's document")?;
        Ok((done.status.code().context("ended by a signal")?, document))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = Command::new(&self.0).args(["uninstall", "--engine", "containerd", "--restart"]).output();
        let _ = fs::remove_file(&self.0);
    }
}

fn installed(bench: &Bench) -> Result<Outcome> {
    let before = fs::read_to_string(CONFIG).context("read containerd's configuration")?;
    let program = Program::put(&bench.product)?;
    let cri = Cri::new(PathBuf::from(SOCKET))?;
    cri.await_ready()?;
    kubelet::import(&cri, &bench.room, Path::new(SOCKET))?;
    has_no_handler(bench, &cri).context("before install")?;

    let first = main_pid()?;
    let said = program.run(&["install", "--engine", "containerd", "--restart"])?;
    ensure!(said.contains("restarted: containerd"), "install said \"{said}\"");
    let second = main_pid()?;
    ensure!(second != first, "containerd has the same process {first} after --restart");
    cri.await_ready()?;
    let (code, document) = program.check()?;
    ensure!(code == 0, "check fails with {code}: {document}");
    let text = document.to_string();
    ensure!(text.contains("strict"), "check doesn't see the handler: {text}");

    let bare = pod(bench, &cri, "", |_| Ok(()))?;
    ensure!(bare.groups.contains(&50000), "the default handler gives {bare:?}: the hole isn't shown");
    let strict = pod(bench, &cri, "strict", |cri| {
        output(Command::new("systemctl").args(["restart", "containerd"]))?;
        cri.await_ready()
    })?;
    ensure!(strict.groups == [1000, 60000], "our handler gives {strict:?}");

    let third = main_pid()?;
    program.run(&["uninstall", "--engine", "containerd", "--restart"])?;
    ensure!(main_pid()? != third, "containerd has the same process {third} after uninstall --restart");
    cri.await_ready()?;
    let after = fs::read_to_string(CONFIG).context("read containerd's configuration")?;
    ensure!(after == before, "uninstall left \"{after}\"");
    let own = Path::new("/etc/runc-strict/config.toml");
    ensure!(!own.exists(), "uninstall left {}", own.display());
    has_no_handler(bench, &cri).context("after uninstall")?;
    let (bare, strict) = (list(&bare), list(&strict));
    Ok(Outcome::Passed(vec![format!(
        "runc {bare}; strict {strict}, also after a restart under it; then gone"
    )]))
}

/// A burstable pod of the kubelet by `handler`: who its container is before and after something happens.
fn pod(bench: &Bench, cri: &Cri, handler: &str, meanwhile: impl Fn(&Cri) -> Result<()>) -> Result<Who> {
    let (slice, place) = next_slice(bench, Qos::Burstable)?;
    let resources = Some(kubelet::limits(Qos::Burstable).1);
    let wish = Wish { resources, group: Some(1000), ..Wish::alice(&[60000]) };
    let pod = Pod::run_at(cri.clone(), &bench.room, place, handler, &[], &wish)?;
    let container = pod.container("main", &wish)?;
    let who = container.who()?;
    meanwhile(cri)?;
    let again = container.by_exec_sync()?;
    ensure!(again == who, "an exec is {again:?} where the container is {who:?}");
    let scope = slice.scope(&container.id);
    ensure!(scope.is_dir(), "there is no cgroup {}", scope.display());
    pod.remove()?;
    Ok(who)
}

fn has_no_handler(bench: &Bench, cri: &Cri) -> Result<()> {
    match pod(bench, cri, "strict", |_| Ok(())) {
        Ok(who) => bail!("there is a handler strict, and it gives {who:?}"),
        Err(why) if format!("{why:#}").contains("no runtime for \"strict\"") => Ok(()),
        Err(why) => Err(why),
    }
}

fn main_pid() -> Result<String> {
    property("containerd.service", "MainPID")
}

fn list(who: &Who) -> String {
    who.groups.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}
