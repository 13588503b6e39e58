//! What has to be restarted before an engine reads its configuration anew. Running containers outlive it: their
//! shims and monitors are processes of their own.
//!
//! A change leaves a mark in /run until the engine has read it. So an `install --restart` that was killed after it had
//! written finishes the work the next time, and a second run restarts nothing; after a boot there is nothing to do,
//! and no mark.

use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use super::print;
use super::selection::Selection;
use crate::error::Result;
use crate::node::engine_config::host::Host;
use crate::node::engine_config::unit;
use crate::node::systemd::{self, Systemd};
use crate::policy::rules::Engine;

/// What remembers that `engine` has yet to read what was written.
fn mark(engine: Engine) -> PathBuf {
    PathBuf::from(format!("/run/runc-strict-restart-{}", engine.name()))
}

/// Leaves the mark, before anything is written. Where no systemd runs nobody asks for it.
///
/// # Errors
/// That it can't be written.
pub(in crate::cli) fn remember(host: &Host, engine: Engine) -> Result<()> {
    if unit(engine).is_some() && host.exists(systemd::SOCKET.as_ref()) {
        host.write(&mark(engine), "", 0o600)?;
    }
    Ok(())
}

/// Restarts the engine if that was asked for, or says that it has to be restarted. `changed` says that something was
/// written that it hasn't read.
///
/// # Errors
/// That systemd couldn't be reached, or the engine didn't come up.
pub(in crate::cli) fn after(selection: &Selection, host: &Host, engine: Engine, changed: bool) -> Result<()> {
    let Some(unit) = unit(engine) else {
        if changed {
            print("nothing has to be restarted: podman reads its configuration at every call\n");
        }
        return Ok(());
    };
    if !selection.restart || selection.dry_run {
        if changed {
            let reads = format!("{} reads it when it is restarted", engine.name());
            print(&format!("{reads}: systemctl restart {unit}\n"));
        }
        return Ok(());
    }
    let Some(marked) = host.metadata(&mark(engine)) else { return Ok(()) };
    let written = marked.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let written = written.map_or(0, |time| time.as_micros());
    let mut systemd = systemd_of(host)?;
    match systemd.active_since(&service(unit))? {
        None => print(&format!("{unit} isn't running: it reads it when it is started\n")),
        Some(since) if u128::from(since) > written => {}
        Some(_) => {
            systemd.restart(&service(unit))?;
            print(&format!("restarted: {unit}\n"));
        }
    }
    host.remove(&mark(engine))
}

/// Starts an engine again that didn't come up, whatever state it is in.
///
/// # Errors
/// As [`after`].
pub(super) fn again(host: &Host, engine: Engine) -> Result<()> {
    if let Some(unit) = unit(engine) {
        systemd_of(host)?.restart(&service(unit))?;
    }
    host.remove(&mark(engine))
}

fn systemd_of(host: &Host) -> Result<Systemd> {
    Systemd::connect_at(&host.real(systemd::SOCKET.as_ref()))
}

fn service(unit: &str) -> String {
    format!("{unit}.service")
}
