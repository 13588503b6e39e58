//! `runc-strict install`: name us to an engine. What would change is shown as a diff; what has to be restarted is
//! said, and done only when asked for.

mod diff;
mod own;
mod restart;
pub(super) mod selection;

use clap::Args;

use super::colour::Palette;
use super::{fail, print};
use crate::error::{Error, Result};
use crate::node::engine_config::host::Host;
use crate::node::engine_config::ledger::Ledger;
use crate::node::engine_config::{self, Change, Wish, is_there, traces, without};
use crate::policy::rules::Engine;
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
    #[arg(long, value_name = "PATH")]
    runtime: Option<String>,
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
    let engine = selection.engine.engine();
    let host = selection.host()?;
    if !selection.dry_run && !is_there(engine, &host) {
        let (folder, program) = traces(engine);
        return Err(Error::Other(format!(
            "there is no {} here: neither \"{folder}\" nor a program \"{program}\"; --dry-run shows what would be \
             written",
            engine.name()
        )));
    }
    let binary = match our_program(&host) {
        // Where nothing is written, the place that it would have is as good.
        Err(_) if selection.dry_run => "/usr/local/sbin/runc-strict".into(),
        other => other?,
    };
    let wish = Wish { handler: selection.handler.clone(), binary, default: arguments.default };
    let plan = engine_config::plan(engine, &host, &wish)?;
    let own = own::plan(&host, engine, arguments.runtime.as_deref(), &plan)?;
    let mut notes = plan.notes;
    notes.extend(own.notes);
    let changes: Vec<Change> =
        [Some(plan.change), own.change].into_iter().flatten().filter(Change::is_one).collect();

    show(&changes, &notes);
    if changes.is_empty() {
        print(&format!("nothing to change: {} has the handler \"{}\"\n", engine.name(), wish.handler));
    } else if selection.dry_run {
        print("nothing was written: --dry-run\n");
    } else {
        let ledger = Ledger::read(&host, engine, &wish.handler)?;
        let mut ledger = ledger.unwrap_or_else(|| Ledger::new(engine, &wish.handler));
        ledger.apply(&host, &changes, |path, text| match path == own::path() {
            true => Ok(Some(text.to_owned())),
            false => without(engine, path, text, &wish.handler, None),
        })?;
        told(&changes, &host, &ledger);
    }
    restart::after(selection, engine, !changes.is_empty())
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

/// Restarts the engine, or says that it has to be restarted.
pub(super) fn restart(selection: &Selection, engine: Engine, changed: bool) -> Result<()> {
    restart::after(selection, engine, changed)
}

/// Whether a file is our own configuration.
pub(super) fn is_own(path: &std::path::Path) -> bool {
    path == own::path()
}
