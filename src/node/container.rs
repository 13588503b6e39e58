//! Who an existing container is: by its record, or judged anew from the runtime's own state and the bundle.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::bundle::{self, ConfigFile};
use super::config::Config;
use super::image::{GroupFile, Root};
use super::lookup;
use super::process::ProcessKey;
use super::record::Key;
use super::state::State;
use super::version::{Known, Version};
use crate::error::Result;
use crate::policy::gid::GidSet;
use crate::policy::subject::{Pod, Runtime};
use crate::policy::{Finding, Identity, Reason, Verdict, decide};

/// A container that runs.
#[derive(Debug)]
pub struct Container {
    /// Who it is.
    pub identity: Identity,
    /// The pod's names.
    pub pod: Pod,
}

/// Judges a container that has no record (it is older than the installation, or half deleted) anew: what the
/// decision gives, and of that no group that the bundle doesn't list.
///
/// # Errors
/// What can't be read.
pub fn judge_anew(
    key: &Key,
    no_record: &str,
    config: &Config,
    version: &Version,
) -> Result<std::result::Result<Container, Reason>> {
    let state = match State::read(&key.root, OsStr::new(&key.id)) {
        Ok(state) => state,
        Err(why) => return Ok(Err(Reason::NoRecord(format!("{no_record}; {why}")))),
    };
    let file = ConfigFile::of_bundle(&state.bundle)?;
    let document = file.document()?;
    let mut subject = bundle::subject(&state.bundle, &key.id, &file, &document, config, version)?;
    // The traps of the lookup are looked for in the container as it is now.
    subject.runtime = Runtime::default();
    let listed = subject.process.groups.clone();
    let pod = subject.pod.clone();
    let verdict = decide(&subject, &config.policy());
    let mut identity = match verdict {
        Verdict::Deny(reason) => return Ok(Err(reason)),
        Verdict::Keep(identity) => identity,
        Verdict::Change(change) => change.identity,
    };
    let kept: GidSet =
        identity.groups.iter().filter(|g| *g == identity.gid || listed.contains(&g.get())).collect();
    identity.groups = kept;
    identity.findings.push(Finding::NoRecord);
    Ok(Ok(Container { identity, pod }))
}

/// What has to be known of the runtime for an exec: on one that looks gids up by name, whether the container's
/// own etc/group, as its mounts and processes have made it, could redirect the lookup.
pub fn lookup_at_exec(runtime: &Known, init: impl FnOnce() -> Option<ProcessKey>) -> Runtime {
    if !runtime.looks_up_names {
        return Runtime::default();
    }
    let found = match init().filter(|init| init.lives()) {
        Some(init) => group_file_of(&PathBuf::from(format!("/proc/{}/root", init.pid))),
        None => GroupFile::Unusable("its init process can't be found to read it".to_owned()),
    };
    Runtime { looks_up_names: Some(runtime.name.clone()), trap: lookup::trap_in(&found) }
}

fn group_file_of(root: &Path) -> GroupFile {
    match Root::open(root) {
        Ok(root) => root.group_file().unwrap_or_else(|why| GroupFile::Unusable(why.to_string())),
        Err(why) => GroupFile::Unusable(format!("{} can't be opened: {why}", root.display())),
    }
}
