//! The laws of the policy (src/policy/mod.rs), on one container. tests/laws.rs holds them over random ones; here the
//! fuzzer looks for the one that breaks them.

use runc_strict::policy::gid::{Gid, GidSet, NGROUPS_MAX};
use runc_strict::policy::level::Level;
use runc_strict::policy::rules::{AnnotationMode, Table};
use runc_strict::policy::subject::{Declared, ImageGroups, Process, Runtime};
use runc_strict::policy::{Edits, Identity, Policy, Subject, Verdict, annotation, decide, decide_exec};

use crate::assert_one_line;

/// Judges, holds the verdict against the laws, and gives who the container is.
pub(crate) fn hold(subject: &Subject, policy: &Policy) -> Option<Identity> {
    let verdict = decide(subject, policy);
    let identity = match &verdict {
        Verdict::Deny(reason) => {
            assert_one_line(&reason.to_string());
            return None;
        }
        Verdict::Keep(identity) => identity.clone(),
        Verdict::Change(change) => change.identity.clone(),
    };
    for gid in identity.groups.iter() {
        let is_authorised = gid == identity.gid || authorised(gid, subject, policy);
        assert!(is_authorised, "{gid} is kept by no one's word");
        let ceilings = matching(policy, subject).into_iter().filter(|table| table.ceiling);
        ceilings.for_each(|table| assert!(table.allow.iter().any(|range| range.contains(gid))));
    }
    assert_eq!(identity.gid.get(), subject.process.gid, "the primary gid is kept");
    assert!(identity.groups.contains(identity.gid));
    if let (Some(text), false) = (&subject.requested_groups, subject.sandbox) {
        let mut exact = annotation::parse_groups(text).expect("an annotation that can't be read is refused");
        exact.insert(identity.gid);
        assert_eq!(identity.groups, exact, "with an annotation the result is exact");
    }
    let gids: Vec<Gid> = identity.groups.iter().collect();
    assert!(gids.is_sorted_by(|a, b| a < b) && gids.len() <= NGROUPS_MAX);
    let edits = match &verdict {
        Verdict::Change(change) => change.edits.clone(),
        _ => Edits::default(),
    };
    let again = Subject { process: written(&subject.process, &edits), ..subject.clone() };
    let second = decide(&again, policy);
    assert!(matches!(&second, Verdict::Keep(kept) if kept.groups == identity.groups), "{second:?}");
    Some(identity)
}

/// Judges an exec, and holds it against the law of parity.
pub(crate) fn hold_exec(exec: &Process, container: &Identity) -> Verdict {
    let judge = |process: &Process| decide_exec(process, container, &Runtime::default(), "config.toml");
    let verdict = judge(exec);
    let Some(identity) = verdict.identity() else { return verdict };
    let edits = match &verdict {
        Verdict::Change(change) => change.edits.clone(),
        _ => Edits::default(),
    };
    let process = written(exec, &edits);
    let mut expected = container.groups.clone();
    expected.insert(identity.gid);
    assert!(expected.is_exactly(&process.groups), "an exec gets what the container got");
    assert_eq!((process.uid, process.gid), (exec.uid, exec.gid));
    assert!(process.no_new_privileges >= container.no_new_privileges);
    if container.level > Level::Groups {
        let mut names = process.capabilities.0.iter().flatten().flatten();
        assert!(names.all(|name| container.bounding.contains(name)));
    } else {
        assert_eq!(process.capabilities, exec.capabilities);
    }
    assert!(matches!(judge(&process), Verdict::Keep(_)));
    verdict
}

/// A process as its document says after the edits.
pub(crate) fn written(process: &Process, edits: &Edits) -> Process {
    let mut new = process.clone();
    if let Some(groups) = &edits.groups {
        new.groups = groups.iter().map(Gid::get).collect();
    }
    new.no_new_privileges = edits.no_new_privileges.unwrap_or(new.no_new_privileges);
    for (set, edit) in new.capabilities.0.iter_mut().zip(&edits.capabilities) {
        if edit.is_some() {
            set.clone_from(edit);
        }
    }
    new
}

fn matching<'p>(policy: &'p Policy, subject: &Subject) -> Vec<&'p Table> {
    let namespace = subject.pod.namespace.as_deref();
    let hit = |pattern: &String| match (pattern.as_str(), namespace) {
        (_, None) => false,
        ("user-?", Some(name)) => name.strip_prefix("user-").is_some_and(|rest| rest.len() == 1),
        (pattern, Some(name)) => match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        },
    };
    let matches = |table: &&Table| table.matches.as_ref().is_none_or(|globs| globs.iter().any(hit));
    policy.tables.iter().filter(matches).collect()
}

/// Another reading of who may have which group: is there any authority for `gid`?
fn authorised(gid: Gid, subject: &Subject, policy: &Policy) -> bool {
    let tables = matching(policy, subject);
    let node = tables.iter().any(|table| table.allow.iter().any(|range| range.contains(gid)));
    let declared = matches!(&subject.declared, Declared::Known { groups, .. } if groups.contains(gid));
    let from_image = match &subject.image {
        ImageGroups::Absent => false,
        ImageGroups::Unusable(_) => true,
        ImageGroups::Read(groups) => groups.iter().any(|group| group.gid == gid.get()),
    };
    let merged = subject.process.groups.contains(&gid.get());
    let residual = policy.residual && merged && !from_image && gid != Gid::ROOT;
    let listed: Option<GidSet> =
        subject.requested_groups.as_ref().and_then(|text| annotation::parse_groups(text).ok());
    let trusted =
        policy.annotation == AnnotationMode::Trusted && listed.is_some_and(|list| list.contains(gid));
    node || declared || residual || trusted
}
