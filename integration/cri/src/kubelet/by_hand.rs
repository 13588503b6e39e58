//! `cri-suites kubelet`: one pod as the kubelet makes it, for a person, in an engine that runs already. It stays until
//! the input ends, and goes away with its slice.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use runc_strict_integration::report::{complain, say};
use runc_strict_integration::room::Room;

use super::{PodSlice, Qos, limits};
use crate::bench::{find, output};
use crate::cri::Cri;
use crate::group;
use crate::image;
use crate::pod::{Place, Pod, Wish};

/// What was asked for.
struct Wanted {
    socket: PathBuf,
    handler: String,
    qos: Qos,
    /// The supplemental groups that the pod declares.
    groups: Vec<i64>,
}

/// Printed for a wrong command line.
const USAGE: &str = "\
usage: cri-suites kubelet [--socket PATH] [--handler NAME] [--qos Guaranteed|Burstable|BestEffort] [--group GID]...

makes one pod as the kubelet does, in a slice of its own, and says what is where:
  --socket     the engine's; /run/containerd/containerd.sock is the default
  --handler    the runtime handler; strict is the default
  --qos        the pod's class; Burstable is the default
  --group      a supplemental group that the pod declares";

/// `cri-suites kubelet` with these words after it.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let wanted = match parse(words) {
        Ok(wanted) => wanted,
        Err(wrong) => {
            complain(&format!("{wrong}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match Room::open().and_then(|room| {
        let made = make(&wanted, &room);
        room.sweep();
        made
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(&format!("{why:#}"));
            ExitCode::FAILURE
        }
    }
}

fn parse(words: &[String]) -> Result<Wanted, String> {
    let mut wanted = Wanted {
        socket: PathBuf::from("/run/containerd/containerd.sock"),
        handler: "strict".to_owned(),
        qos: Qos::Burstable,
        groups: Vec::new(),
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--socket" => wanted.socket = PathBuf::from(value()?),
            "--handler" => value()?.clone_into(&mut wanted.handler),
            "--qos" => wanted.qos = class(value()?)?,
            "--group" => {
                let gid = value()?;
                wanted.groups.push(gid.parse().map_err(|_| format!("\"{gid}\" is no gid"))?);
            }
            other => return Err(format!("unknown word \"{other}\"")),
        }
    }
    Ok(wanted)
}

fn class(word: &str) -> Result<Qos, String> {
    let found = Qos::ALL.into_iter().find(|qos| qos.name() == word);
    found.ok_or_else(|| format!("unknown class \"{word}\": Guaranteed, Burstable or BestEffort"))
}

/// Makes the pod, says what is where, and takes it away when standard input ends.
fn make(wanted: &Wanted, room: &Room) -> Result<()> {
    ensure!(
        group::systemd_has_them(),
        "systemd doesn't have the cgroups here; make vm-shell opens a machine where it does"
    );
    let cri = Cri::new(wanted.socket.clone())?;
    image::write_both(&room.dir, &find("busybox")?)?;
    import(&cri, room, &wanted.socket)?;
    let uid = format!("7b1f3a2e-0c5d-4e6f-8a9b-{:012}", std::process::id());
    let slice = PodSlice::make(room, wanted.qos, &uid, limits(wanted.qos).0)?;
    let place = Place { number: std::process::id(), uid, cgroup_parent: slice.name.clone() };
    let wish =
        Wish { resources: Some(limits(wanted.qos).1), group: Some(1000), ..Wish::alice(&wanted.groups) };
    let pod = Pod::run_at(cri, room, place, &wanted.handler, &[], &wish)?;
    let container = pod.container("main", &wish)?;
    let who = container.by_log()?;
    let line = |name: &str, value: &str| say(&format!("{name:10} {value}"));
    line("pod", &slice.uid);
    line("slice", &slice.folder.display().to_string());
    line("container", &container.id);
    line("cgroup", &slice.scope(&container.id).display().to_string());
    line("identity", &format!("uid {}, gid {}, groups {:?}", who.uid, who.gid, who.groups));
    say("The pod stays until the input ends: Ctrl-D.");
    std::io::stdin().read_to_end(&mut Vec::new()).context("wait for the end of the input")?;
    drop(container);
    pod.remove()?;
    drop(slice);
    Ok(())
}

/// Brings both images into a containerd that runs already.
///
/// # Errors
/// ctr's.
pub(crate) fn import(cri: &Cri, room: &Room, socket: &std::path::Path) -> Result<()> {
    for (file, name) in [("groups", image::GROUPS), ("pause", image::PAUSE)] {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(socket).args(["--namespace", "k8s.io", "images", "import"]);
        output(ctr.arg(room.dir.join(format!("{file}.tar"))))?;
        cri.await_image(name)?;
    }
    Ok(())
}
