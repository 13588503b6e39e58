//! Containers and policies out of the fuzzer's bytes. Few gids, so that sets meet, and those at the edges.

use arbitrary::{Result, Unstructured};
use runc_strict::policy::Policy;
use runc_strict::policy::annotation::KEEP_ORIGINAL_GROUPS_KEY;
use runc_strict::policy::capability::CapabilitySets;
use runc_strict::policy::gid::{Gid, GidRange, GidSet};
use runc_strict::policy::level::Level;
use runc_strict::policy::rules::{AnnotationMode, Engine, PrimaryGid, Table, VulnerableRuntime};
use runc_strict::policy::subject::{
    Declared, IdRange, ImageGroup, ImageGroups, LookupTrap, Pod, Process, Runtime, Subject,
};

const GIDS: [u32; 12] = [0, 1, 1000, 1001, 1002, 1003, 5000, 50000, 60000, Gid::MAX, Gid::MAX + 1, u32::MAX];

const CAPABILITIES: [&str; 9] = [
    "CAP_SETGID",
    "cap_setgid",
    "6",
    "SETUID",
    "CAP_KILL",
    "CAP_CHOWN",
    "CAP_FSETID",
    "CAP_DAC_OVERRIDE",
    "CAP_OF_TOMORROW",
];

const RANGES: [&str; 5] = ["1000", "1001-1003", "1000-60000", "0-2147483647", "5000"];

const GLOBS: [&str; 4] = ["user-*", "user-?", "*", "system"];

const LEVELS: [Level; 3] = [Level::Groups, Level::Sealed, Level::Paranoid];

fn some<T>(
    u: &mut Unstructured<'_>,
    make: impl FnOnce(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Option<T>> {
    if u.arbitrary()? { make(u).map(Some) } else { Ok(None) }
}

fn several<T>(
    u: &mut Unstructured<'_>,
    most: usize,
    mut make: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    (0..u.int_in_range(0..=most)?).map(|_| make(u)).collect()
}

fn gid(u: &mut Unstructured<'_>) -> Result<u32> {
    u.choose(&GIDS).copied()
}

fn gids(u: &mut Unstructured<'_>) -> Result<GidSet> {
    Ok(several(u, 4, gid)?.into_iter().filter_map(Gid::new).collect())
}

fn one_in_eight(u: &mut Unstructured<'_>) -> Result<bool> {
    u.ratio(1, 8)
}

pub(crate) fn process(u: &mut Unstructured<'_>) -> Result<Process> {
    let mut sets: [Option<Vec<String>>; 5] = Default::default();
    for set in &mut sets {
        *set = some(u, |u| several(u, 3, |u| u.choose(&CAPABILITIES).map(|name| (*name).to_owned())))?;
    }
    Ok(Process {
        uid: *u.choose(&[0, 1000, u32::MAX])?,
        gid: gid(u)?,
        groups: several(u, 6, gid)?,
        no_new_privileges: u.arbitrary()?,
        capabilities: CapabilitySets(sets),
    })
}

/// A container whose annotation has this text; what the bytes don't say is what a plain container has.
pub(crate) fn subject(u: &mut Unstructured<'_>, annotation: Option<String>) -> Result<Subject> {
    let vulnerable = one_in_eight(u)?;
    Ok(Subject {
        process: process(u)?,
        pod: Pod {
            namespace: some(u, |u| {
                u.choose(&["user-a", "user-bc", "system"]).map(|name| (*name).to_owned())
            })?,
            ..Pod::default()
        },
        sandbox: one_in_eight(u)?,
        requested_groups: annotation,
        requested_level: some(u, |u| {
            u.choose(&["groups", "sealed", " paranoid", "x"]).map(|l| (*l).to_owned())
        })?,
        hostile_annotation: one_in_eight(u)?.then_some(KEEP_ORIGINAL_GROUPS_KEY),
        declared: match u.arbitrary()? {
            true => Declared::Unknown,
            false => Declared::Known { groups: gids(u)?, primary: u.arbitrary()? },
        },
        image: match u.int_in_range(0..=3)? {
            0 => ImageGroups::Absent,
            1 => ImageGroups::Unusable("it is odd".to_owned()),
            _ => {
                let group = |gid| ImageGroup { gid, name: b"g\xff\"".to_vec() };
                let from_image = several(u, 4, gid)?.into_iter().chain([0]);
                ImageGroups::Read(from_image.map(group).collect())
            }
        },
        gid_mappings: match one_in_eight(u)? {
            true => vec![IdRange { first: gid(u)?, size: 4 }],
            false => Vec::new(),
        },
        runtime: Runtime {
            looks_up_names: vulnerable.then(|| "runc 1.1.5".to_owned()),
            trap: (vulnerable && u.arbitrary()?).then(|| LookupTrap::NumericName("60000".to_owned())),
        },
        rootless: one_in_eight(u)?,
    })
}

fn table(u: &mut Unstructured<'_>) -> Result<Table> {
    let range = |u: &mut Unstructured<'_>| {
        let text = u.choose(&RANGES)?;
        GidRange::try_from((*text).to_owned()).map_err(|_| arbitrary::Error::IncorrectFormat)
    };
    Ok(Table {
        matches: some(u, |u| several(u, 2, |u| u.choose(&GLOBS).map(|glob| (*glob).to_owned())))?,
        allow: several(u, 3, range)?,
        keep: u.arbitrary()?,
        ceiling: one_in_eight(u)?,
        level: some(u, |u| u.choose(&LEVELS).copied())?,
    })
}

pub(crate) fn policy(u: &mut Unstructured<'_>) -> Result<Policy> {
    Ok(Policy {
        engine: Engine::Containerd,
        annotation: if u.arbitrary()? { AnnotationMode::Trusted } else { AnnotationMode::Narrow },
        residual: u.arbitrary()?,
        level: *u.choose(&LEVELS)?,
        primary_gid: if one_in_eight(u)? { PrimaryGid::Deny } else { PrimaryGid::Warn },
        vulnerable_runtime: match one_in_eight(u)? {
            true => VulnerableRuntime::Refuse,
            false => VulnerableRuntime::Check,
        },
        tables: several(u, 3, table)?,
        config: "/etc/runc-strict/config.toml".to_owned(),
    })
}
