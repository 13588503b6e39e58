//! `runc-strict uninstall`: take us out of an engine's configuration. A file that still is what `install` wrote
//! becomes what it was, byte for byte; in one that somebody else has changed since, only our handler goes.

use clap::Args;

use super::install::selection::{Selection, our_program};
use super::install::{copy, each, is_own, restart, show};
use super::{fail, print};
use crate::error::Result;
use crate::node::engine_config::host::Host;
use crate::node::engine_config::ledger::{Entry, Ledger};
use crate::node::engine_config::{Change, found, without};
use crate::policy::rules::Engine;

/// What is taken away.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    match uninstall(&arguments.selection) {
        Ok(()) => 0,
        Err(why) => fail(&why),
    }
}

fn uninstall(selection: &Selection) -> Result<()> {
    let host = selection.host()?;
    // The last that came goes first: our own configuration belongs to the first.
    let mut engines = selection.engines(&host)?;
    engines.reverse();
    each(&engines, |engine| uninstall_from(selection, &host, engine))?;
    match &selection.copy {
        Some(folder) if !Ledger::any(&host) || selection.dry_run => {
            copy::take(&host, folder, selection.dry_run)
        }
        _ => Ok(()),
    }
}

fn uninstall_from(selection: &Selection, host: &Host, engine: Engine) -> Result<()> {
    let ledger = Ledger::read(host, engine, &selection.handler)?;
    let (changes, notes) = match &ledger {
        Some(ledger) => undo(host, engine, &selection.handler, ledger)?,
        None => (by_hand(host, engine, &selection.handler)?, Vec::new()),
    };
    let changes: Vec<Change> = changes.into_iter().filter(Change::is_one).collect();
    show(&changes, &notes);
    let unread = changes.iter().any(|change| !is_own(&change.path));
    if changes.is_empty() {
        print(&format!(
            "nothing to take away: {} has no handler \"{}\" of ours\n",
            engine.name(),
            selection.handler
        ));
    } else if selection.dry_run {
        print("nothing was written: --dry-run\n");
    }
    if !selection.dry_run {
        if unread {
            restart::remember(host, engine)?;
        }
        apply(host, &changes)?;
        if let Some(ledger) = &ledger {
            ledger.remove_made(host);
            ledger.forget(host)?;
        }
    }
    restart::after(selection, host, engine, unread)
}

/// What gives every file of the ledger back.
fn undo(host: &Host, engine: Engine, handler: &str, ledger: &Ledger) -> Result<(Vec<Change>, Vec<String>)> {
    let mut changes = Vec::new();
    let mut notes = Vec::new();
    for entry in &ledger.files {
        let path = &entry.path;
        let shown = path.display();
        let Some(now) = host.read_for_change(path)? else {
            notes.push(format!("{shown} is gone already"));
            continue;
        };
        let after = if is_own(path) {
            match own(host, entry, &now, ledger) {
                Ok(after) => after,
                Err(why) => {
                    notes.push(format!("{shown} stays: {why}"));
                    continue;
                }
            }
        } else if now == entry.written {
            entry.before.clone()
        } else {
            let after = without(engine, &host.real(path), &now, handler, entry.before.as_deref())?;
            if after.as_deref() != Some(&now) {
                notes.push(format!("somebody else has changed {shown} since: only the handler is taken out"));
            }
            after
        };
        changes.push(Change { path: path.clone(), before: Some(now), after });
    }
    Ok((changes, notes))
}

/// Our own configuration goes only where nobody has made it theirs.
fn own(
    host: &Host,
    entry: &Entry,
    now: &str,
    ledger: &Ledger,
) -> std::result::Result<Option<String>, &'static str> {
    if now != entry.written {
        return Err("somebody else has changed it since");
    }
    if ledger.has_others(host) {
        return Err("another handler goes by it");
    }
    Ok(entry.before.clone())
}

/// A handler that was put in by hand, or whose ledger is lost.
fn by_hand(host: &Host, engine: Engine, handler: &str) -> Result<Vec<Change>> {
    let ours = our_program(host).unwrap_or_else(|_| "/usr/local/sbin/runc-strict".into());
    let found = found(engine, host, &ours)?;
    let mut changes = Vec::new();
    for known in found.handlers.iter().filter(|known| known.name == handler) {
        let path = known.file.clone();
        if let Some(now) = host.read_for_change(&path)? {
            let after = without(engine, &host.real(&path), &now, handler, None)?;
            changes.push(Change { path, before: Some(now), after });
        }
    }
    Ok(changes)
}

fn apply(host: &Host, changes: &[Change]) -> Result<()> {
    for change in changes {
        match &change.after {
            Some(text) => {
                host.write(&change.path, text, 0o644)?;
                print(&format!("written: {}\n", host.real(&change.path).display()));
            }
            None => {
                host.remove(&change.path)?;
                print(&format!("removed: {}\n", host.real(&change.path).display()));
            }
        }
    }
    Ok(())
}
