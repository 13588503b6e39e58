//! What has to be restarted before an engine reads its configuration anew. Running containers outlive it: their
//! shims and monitors are processes of their own.

use std::process::Command;

use super::print;
use super::selection::Selection;
use crate::error::{Error, Result};
use crate::node::engine_config::unit;
use crate::policy::rules::Engine;

/// Restarts the engine if that was asked for, or says that it has to be restarted.
///
/// # Errors
/// That systemctl failed.
pub(super) fn after(selection: &Selection, engine: Engine, changed: bool) -> Result<()> {
    let Some(unit) = unit(engine) else {
        if changed {
            print("nothing has to be restarted: podman reads its configuration at every call\n");
        }
        return Ok(());
    };
    let command = format!("systemctl restart {unit}");
    match (changed, selection.restart, selection.dry_run) {
        (false, _, _) => Ok(()),
        (true, true, false) => {
            let status = Command::new("systemctl").args(["restart", unit]).status();
            let status = status.map_err(|why| Error::Other(format!("can't run \"{command}\": {why}")))?;
            if !status.success() {
                return Err(Error::Other(format!(
                    "\"{command}\" failed; the configuration is written, and \"runc-strict uninstall\" takes it back"
                )));
            }
            print(&format!("restarted: {unit}\n"));
            Ok(())
        }
        (true, _, _) => {
            print(&format!("{} reads it when it is restarted: {command}\n", engine.name()));
            Ok(())
        }
    }
}
