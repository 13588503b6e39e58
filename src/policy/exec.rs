//! Judges a further process in a container: it gets what the container's init got.
//!
//! Engines build an exec's document from their own memory, so the groups that were dropped at create come back
//! with every probe. The uid and gid of the document are kept, since only who may call the runtime sets them
//! (`podman exec --user`); they pass the same limits as the container's own.

use super::decide::{look, refuse_paranoid};
use super::gid::Gid;
use super::level::Level;
use super::reason::Reason;
use super::rules::within;
use super::sealed_out;
use super::subject::{Process, Runtime};
use super::verdict::{Change, Edits, Finding, Identity, Origin, Rule, Ruling, Verdict, changed};

/// Judges the process that an exec's document describes by who the container is.
///
/// `runtime` is what has to be known of the real runtime now; `config` the configuration file's name, for
/// messages.
pub fn decide_exec(process: &Process, container: &Identity, runtime: &Runtime, config: &str) -> Verdict {
    match judge(process, container, runtime, config) {
        Ok(verdict) => verdict,
        Err(reason) => Verdict::Deny(reason),
    }
}

fn judge(
    process: &Process,
    container: &Identity,
    runtime: &Runtime,
    config: &str,
) -> Result<Verdict, Reason> {
    let primary = Gid::new(process.gid).ok_or(Reason::GidTooLarge(process.gid))?;
    // What an exec adds to what the container's record says, and that there is none.
    let mut findings: Vec<Finding> =
        container.findings.iter().filter(|f| matches!(f, Finding::NoRecord)).cloned().collect();
    if !container.groups.contains(primary) {
        check_foreign_primary(primary, container, config)?;
        findings.push(Finding::ForeignPrimary { gid: primary.get() });
    }
    if let Some(name) = &runtime.looks_up_names {
        if let Some(trap) = &runtime.trap {
            return Err(Reason::Lookup { runtime: name.clone(), trap: trap.clone() });
        }
        // A process in the container can still write the file before the runtime reads it.
        findings.push(Finding::VulnerableRuntime { runtime: name.clone() });
    }
    if container.level >= Level::Paranoid && (process.uid != container.uid) {
        refuse_paranoid(&Process { capabilities: Default::default(), ..process.clone() })?;
    }

    let mut groups = container.groups.clone();
    groups.insert(primary);
    let mut edits = Edits::default();
    if !groups.is_exactly(&process.groups) {
        edits.groups = Some(groups.clone());
    }
    if container.no_new_privileges && !process.no_new_privileges {
        edits.no_new_privileges = Some(true);
    }
    if container.level > Level::Groups {
        // An engine that execs "privileged" hands over every capability there is.
        let foreign = |name: &str| !container.bounding.iter().any(|b| b == name);
        edits.capabilities = changed(&process.capabilities, |name| sealed_out(name) || foreign(name));
    }
    let mut identity = Identity {
        uid: process.uid,
        gid: primary,
        no_new_privileges: process.no_new_privileges || container.no_new_privileges,
        rulings: rulings(process, container, primary),
        findings,
        groups,
        bounding: container.bounding.clone(),
        level: container.level,
        limits: container.limits.clone(),
    };
    look(&mut identity);
    Ok(if edits.is_empty() { Verdict::Keep(identity) } else { Verdict::Change(Change { identity, edits }) })
}

/// A primary gid that the container's init doesn't have: under every ceiling, and declared if that is asked for.
fn check_foreign_primary(primary: Gid, container: &Identity, config: &str) -> Result<(), Reason> {
    let limits = &container.limits;
    if limits.ceilings.iter().any(|c| !within(c, primary)) {
        return Err(Reason::OutsideCeiling { gid: primary.get(), primary: true, config: config.to_owned() });
    }
    if limits.deny_undeclared_primary && !within(&limits.allow, primary) {
        return Err(Reason::UndeclaredPrimary(primary.get()));
    }
    Ok(())
}

/// What became of each gid of the exec's document.
fn rulings(process: &Process, container: &Identity, primary: Gid) -> Vec<Ruling> {
    let mut named = process.groups.clone();
    named.push(primary.get());
    named.extend(container.groups.iter().map(Gid::get));
    named.sort_unstable();
    named.dedup();
    let ruling = |gid: u32| {
        if gid == primary.get() {
            return Ruling { gid, origins: vec![Origin::Primary], kept: true, rule: Rule::Primary };
        }
        match container.rulings.iter().find(|r| r.gid == gid) {
            Some(known) => known.clone(),
            None => Ruling { gid, origins: vec![Origin::Merged], kept: false, rule: Rule::Unknown },
        }
    };
    named.into_iter().map(ruling).collect()
}
