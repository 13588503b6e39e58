//! `runc-strict install`: name us to an engine. What would change is shown as a diff; what has to be restarted is
//! said, and done only when asked for.

pub(super) mod copy;
mod diff;
mod own;
pub(super) mod restart;
pub(super) mod selection;

use std::path::PathBuf;

use clap::Args;

use super::colour::Palette;
use super::{fail, print};
use crate::error::{Error, Result};
use crate::node::engine_config::host::Host;
use crate::node::engine_config::ledger::Ledger;
use crate::node::engine_config::{self, Change, Wish, is_there, traces, without};
use crate::policy::rules::Engine;
use own::Given;
use selection::{Selection, our_program};

/// What is set up, and how.
#[derive(Debug, Args)]
#[command(
    after_help = "The old files are kept in /var/lib/runc-strict/install, for \"runc-strict uninstall\"."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The real runtime, for our own configuration; otherwise the one that the engine runs by default
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    runtime: Option<String>,
    /// Make FILE our own configuration, in place of the one that is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Make the handler the engine's default, so that every pod runs by it
    #[arg(long)]
    default: bool,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    match install(arguments) {
        Ok(()) => 0,
        Err(why) => fail(&why),
    }
}

fn install(arguments: &Arguments) -> Result<()> {
    let selection = &arguments.selection;
    let host = selection.host()?;
    let engines = selection.engines(&host)?;
    for engine in &engines {
        if !selection.dry_run && !is_there(*engine, &host) {
            let (folder, program) = traces(*engine);
            return Err(Error::Other(format!(
                "there is no {} here: neither \"{folder}\" nor a program \"{program}\"; --dry-run shows what would \
                 be written",
                engine.name()
            )));
        }
    }
    let given = arguments.config.as_deref().map(Given::read).transpose()?;
    let binary = match &selection.copy {
        Some(folder) => copy::bring(&host, folder, selection.dry_run)?,
        None => match our_program(&host) {
            // Where nothing is written, the place that it would have is as good.
            Err(_) if selection.dry_run => "/usr/local/sbin/runc-strict".into(),
            other => other?,
        },
    };
    let wish = Wish { handler: selection.handler.clone(), binary, default: arguments.default };
    each(&engines, |engine| install_for(arguments, given.as_ref(), &host, engine, &wish))
}

/// Does it for each engine: one that can't be set up doesn't keep the others from it.
///
/// # Errors
/// What went wrong with any.
pub(super) fn each(engines: &[Engine], mut run: impl FnMut(Engine) -> Result<()>) -> Result<()> {
    let mut failed: Vec<Error> = engines.iter().filter_map(|engine| run(*engine).err()).collect();
    match failed.len() {
        0 => Ok(()),
        1 => Err(failed.remove(0)),
        _ => {
            let all: Vec<String> = failed.iter().map(Error::to_string).collect();
            Err(Error::Other(all.join("; and ")))
        }
    }
}

fn install_for(
    arguments: &Arguments,
    given: Option<&Given>,
    host: &Host,
    engine: Engine,
    wish: &Wish,
) -> Result<()> {
    let selection = &arguments.selection;
    let plan = engine_config::plan(engine, host, wish)?;
    let own = match given {
        Some(given) => given.plan(host, engine, plan.runtime.as_deref())?,
        None => own::plan(host, engine, arguments.runtime.as_deref(), &plan)?,
    };
    let mut notes = plan.notes;
    notes.extend(own.notes);
    let changes: Vec<Change> =
        [Some(plan.change), own.change].into_iter().flatten().filter(Change::is_one).collect();
    // We read our own configuration at each call.
    let unread = changes.iter().any(|change| !is_own(&change.path));

    show(&changes, &notes);
    if changes.is_empty() {
        print(&format!("nothing to change: {} has the handler \"{}\"\n", engine.name(), wish.handler));
    } else if selection.dry_run {
        print("nothing was written: --dry-run\n");
    } else {
        let former = Ledger::read(host, engine, &wish.handler)?;
        let mut ledger = former.clone().unwrap_or_else(|| Ledger::new(engine, &wish.handler));
        if unread {
            restart::remember(host, engine)?;
        }
        ledger.apply(host, &changes, |path, text| match is_own(path) {
            true => Ok(Some(text.to_owned())),
            false => without(engine, path, text, &wish.handler, None),
        })?;
        told(&changes, host, &ledger);
        let Err(why) = restart::after(selection, host, engine, unread) else { return Ok(()) };
        let back = ledger.revoke(host, &changes, former.as_ref()).and_then(|()| restart::again(host, engine));
        return Err(taken_back(engine, &why, back));
    }
    restart::after(selection, host, engine, unread)
}

/// An engine that doesn't come up takes its node with it, and with the node whoever could mend it: so it got back what
/// it ran with, and this says how that went.
fn taken_back(engine: Engine, why: &Error, back: Result<()>) -> Error {
    let name = engine.name();
    Error::Other(match back {
        Ok(()) => format!("{why}; what was written is taken back, and {name} runs on what it had"),
        Err(second) => format!("{why}; taking back what was written failed too: {second}"),
    })
}

/// Prints the diffs and the notes.
pub(super) fn show(changes: &[Change], notes: &[String]) {
    let palette = Palette::of_stdout();
    for change in changes {
        print(&diff::text(change, palette));
    }
    for note in notes {
        print(&format!("note: {note}\n"));
    }
}

fn told(changes: &[Change], host: &Host, ledger: &Ledger) {
    for change in changes {
        print(&format!("written: {}\n", host.real(&change.path).display()));
    }
    if ledger.files.iter().any(|entry| entry.before.is_some()) {
        print(&format!("the old text is kept in {}\n", host.real(&ledger.folder()).display()));
    }
}

/// Whether a file is our own configuration.
pub(super) fn is_own(path: &std::path::Path) -> bool {
    path == own::path()
}
