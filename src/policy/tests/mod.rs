//! What users rely on, one behaviour a test: where the laws of `tests/laws.rs` hold for every container, these say
//! what becomes of a certain one. Here stand the ordinary container and policy that each test varies.

mod create;
mod exec;
mod findings;
mod sentences;

use super::capability::CapabilitySets;
use super::gid::{Gid, GidRange, GidSet};
use super::rules::Table;
use super::subject::{Declared, Process};
use super::*;

const CONFIG: &str = "/etc/runc-strict/config.toml";

/// A container of user 1000, into which its engine merged `groups`.
fn container(groups: &[u32]) -> Subject {
    let process = Process { uid: 1000, gid: 1000, groups: groups.to_vec(), ..Process::default() };
    Subject { process, ..Subject::default() }
}

fn policy() -> Policy {
    Policy { residual: true, config: CONFIG.to_owned(), ..Policy::default() }
}

fn gids(gids: &[u32]) -> GidSet {
    gids.iter().map(|gid| Gid::new(*gid).unwrap()).collect()
}

fn declares(groups: &[u32]) -> Declared {
    Declared::Known { groups: gids(groups), primary: true }
}

fn allow(ranges: &[&str]) -> Table {
    let range = |text: &&str| GidRange::try_from((*text).to_owned()).unwrap();
    Table { allow: ranges.iter().map(range).collect(), ..Table::default() }
}

/// All five sets with these names.
fn holds(names: &[&str]) -> CapabilitySets {
    CapabilitySets([(); 5].map(|()| Some(names.iter().map(|n| (*n).to_owned()).collect())))
}

/// The identity of a container that starts.
#[track_caller]
fn starts(verdict: &Verdict) -> &Identity {
    verdict.identity().unwrap_or_else(|| panic!("{verdict:?}"))
}

/// The reason of a container that doesn't start.
#[track_caller]
fn refused(verdict: Verdict) -> Reason {
    match verdict {
        Verdict::Deny(reason) => reason,
        other => panic!("{other:?}"),
    }
}

/// The rule that kept or dropped `gid`, and whether it was kept.
#[track_caller]
fn rule(identity: &Identity, gid: u32) -> (bool, Rule) {
    let ruling = identity.rulings.iter().find(|r| r.gid == gid).unwrap();
    (ruling.kept, ruling.rule)
}
