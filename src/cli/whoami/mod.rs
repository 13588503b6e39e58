//! `runc-strict whoami`: who the processes of a container are at this moment, by /proc, beside who the record says
//! they should be. Nobody is asked: neither the engine, which reports what it intended, nor the runtime.
//!
//! Exit codes: 0 as recorded, 1 some process differs from its record, 2 something could not be told.

mod drift;
mod json;
mod table;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::colour::Palette;
use super::selection::{self, Found};
use crate::error::{Error, Result};
use crate::node::members::{Member, Processes};
use crate::node::names::Names;
use crate::node::proc_status::{IdMap, ProcStatus};
use crate::node::process::is_unexecuted;
use drift::Drift;

/// Some process differs from its record.
const DRIFT: u8 = 1;

/// Something could not be told.
const FAILED: u8 = 2;

/// What is looked at, and how it is shown.
#[derive(Debug, Args)]
#[group(skip)]
#[command(
    after_help = "Exit code: 0 as recorded, 1 a process differs from its record, 2 it couldn't be told."
)]
pub(super) struct Arguments {
    /// A container's id, or the beginning of one
    #[arg(required_unless_present_any = ["pod", "all", "pid"])]
    container: Option<String>,
    /// All containers of a pod: its uid, or NAMESPACE/NAME
    #[arg(long, value_name = "UID", conflicts_with = "container")]
    pod: Option<String>,
    /// All containers that run
    #[arg(long, conflicts_with_all = ["container", "pod"])]
    all: bool,
    /// The container that this process belongs to, and of it this process alone
    #[arg(long, value_name = "N", conflicts_with_all = ["container", "pod", "all"])]
    pid: Option<u32>,
    /// Look at this runtime root, also at containers without a record
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// One process, or a thread with credentials of its own.
pub(super) struct Row<'r> {
    member: Member,
    /// The thread, where it isn't the main one.
    tid: Option<u32>,
    /// Who it is, in the container's ids.
    status: &'r ProcStatus,
    drift: Vec<Drift>,
}

/// How what is found is shown, piece by piece, so that a container with ten thousand processes of 65536 groups
/// each needs no memory.
trait Report {
    fn begin(&mut self, container: &Found, started: bool) -> std::io::Result<()>;
    fn row(&mut self, row: &Row<'_>, names: &mut Names) -> std::io::Result<()>;
    fn end(&mut self, drift: bool) -> std::io::Result<()>;
    fn finish(&mut self, drift: bool) -> std::io::Result<()>;
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let out = std::io::BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    let mut report: Box<dyn Report> = match arguments.json {
        true => Box::new(json::Json::new(out)),
        false => Box::new(table::Table::new(out, Palette::of_stdout())),
    };
    match look(arguments, report.as_mut()) {
        Ok(code) => code,
        Err(why) => {
            super::fail(&why);
            FAILED
        }
    }
}

fn look(arguments: &Arguments, report: &mut dyn Report) -> Result<u8> {
    let containers = chosen(arguments)?;
    let processes = Processes::now()?;
    let (mut seen, mut drift, mut failed) = (false, false, false);
    for container in containers {
        let Some(init) = container.init else {
            if arguments.container.is_some() {
                return Err(Error::Other(format!("container \"{}\" doesn't run", container.key.id)));
            }
            continue;
        };
        let mut members = processes.of_container(init);
        if let Some(pid) = arguments.pid {
            members.retain(|member| member.pid == pid);
            if members.is_empty() {
                continue;
            }
        }
        // Without a record drift can't be told; that is no fault where a root was named for this.
        if let (Err(why), None) = (&container.record, &arguments.root) {
            let _ = writeln!(std::io::stderr(), "runc-strict: container \"{}\": {why}", container.key.id);
            failed = true;
        }
        seen = true;
        drift |=
            show(&container, init.pid, &members, report).map_err(Error::io("write to", "stdout".as_ref()))?;
    }
    match (&arguments.pod, arguments.pid) {
        (Some(pod), _) if !seen => Err(Error::Other(format!(
            "there is no record of a running container of pod {}; give its uid or NAMESPACE/NAME",
            crate::quote::quoted(pod.as_bytes())
        ))),
        (None, Some(pid)) if !seen => Err(Error::Other(format!(
            "process {pid} belongs to no container that there is a record of; for another name the runtime's root \
             by --root DIR"
        ))),
        _ => {
            report.finish(drift).map_err(Error::io("write to", "stdout".as_ref()))?;
            Ok(match (failed, drift) {
                (true, _) => FAILED,
                (false, true) => DRIFT,
                (false, false) => 0,
            })
        }
    }
}

fn chosen(arguments: &Arguments) -> Result<Box<dyn Iterator<Item = Found> + '_>> {
    let root = arguments.root.as_deref();
    if let Some(word) = &arguments.container {
        return Ok(Box::new(std::iter::once(Found::look(selection::one(word, root)?))));
    }
    let all = selection::known(root)?.into_iter().map(Found::look);
    Ok(match &arguments.pod {
        None => Box::new(all),
        Some(pod) => Box::new(all.filter(move |c| c.pod().is_some_and(|p| selection::is_pod(p, pod)))),
    })
}

/// Shows one container; says whether any process of it differs from the record.
fn show(container: &Found, init: u32, members: &[Member], report: &mut dyn Report) -> std::io::Result<bool> {
    let mut names = Names::of_process(init);
    let maps = (IdMap::of(init, "uid_map"), IdMap::of(init, "gid_map"));
    let mut any = false;
    // Before it is started the init is the runtime itself, on its way to who it will be.
    let waits = is_unexecuted(init);
    report.begin(container, !waits)?;
    for member in members.iter().filter(|member| !(waits && member.pid == init)) {
        // A process that has ended meanwhile is nobody.
        let Some(main) = ProcStatus::of(member.pid) else { continue };
        let threads = ProcStatus::deviant_threads(member.pid, &main);
        let main = (None, main);
        for (tid, status) in std::iter::once(main).chain(threads.into_iter().map(|(t, s)| (Some(t), s))) {
            let status = inside(status, &maps);
            let drift = match &container.record {
                Ok(record) => drift::of(&status, member.entered, &record.identity),
                Err(_) => Vec::new(),
            };
            any |= !drift.is_empty();
            report.row(&Row { member: *member, tid, status: &status, drift }, &mut names)?;
        }
    }
    report.end(any)?;
    Ok(any)
}

/// `status` in the ids of the container's user namespace.
fn inside(status: ProcStatus, (users, groups): &(IdMap, IdMap)) -> ProcStatus {
    ProcStatus {
        uids: status.uids.map(|id| users.inside(id)),
        gids: status.gids.map(|id| groups.inside(id)),
        groups: status.groups.iter().map(|id| groups.inside(*id)).collect(),
        ..status
    }
}
