//! What becomes of a container at its creation.

use super::*;
use crate::policy::gid::NGROUPS_MAX;
use crate::policy::level::{GROUP_EQUIVALENT, Level};
use crate::policy::rules::{AnnotationMode, PrimaryGid, VulnerableRuntime};
use crate::policy::subject::{IdRange, ImageGroup, ImageGroups, LookupTrap, Pod, Runtime};

fn paranoid() -> Policy {
    Policy { level: Level::Paranoid, ..policy() }
}

#[test]
fn paranoid_starts_what_has_neither_uid_0_nor_a_capability_that_equals_a_group() {
    let mut subject = container(&[]);
    subject.process.capabilities = holds(&["CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    assert_eq!(starts(&decide(&subject, &paranoid())).level, Level::Paranoid);
}

#[test]
fn paranoid_refuses_uid_0_and_each_capability_that_equals_a_group_by_name() {
    let mut root = container(&[]);
    root.process.uid = 0;
    assert_eq!(refused(decide(&root, &paranoid())), Reason::RootUser);
    for cap in GROUP_EQUIVALENT {
        let mut subject = container(&[]);
        // one set is enough
        subject.process.capabilities.0[4] = Some(vec!["CAP_KILL".to_owned(), cap.to_string()]);
        assert_eq!(refused(decide(&subject, &paranoid())), Reason::GroupEquivalent(*cap));
        let _ = starts(&decide(&subject, &Policy { level: Level::Sealed, ..policy() }));
    }
}

#[test]
fn paranoid_lets_the_pod_s_sandbox_be_what_the_engine_makes_it() {
    let mut sandbox = Subject { sandbox: true, ..container(&[]) };
    sandbox.process.uid = 0;
    sandbox.process.capabilities = holds(&["CAP_CHOWN"]);
    let _ = starts(&decide(&sandbox, &paranoid()));
}

#[test]
fn as_many_groups_as_the_kernel_takes_start_and_one_more_is_refused() {
    let most: Vec<u32> = (0..u32::try_from(NGROUPS_MAX).unwrap()).map(|n| 1000 + n).collect();
    let mut subject = Subject { declared: declares(&most), ..container(&[]) };
    assert_eq!(starts(&decide(&subject, &policy())).groups.len(), NGROUPS_MAX);
    subject.process.gid = 7;
    assert_eq!(refused(decide(&subject, &policy())), Reason::TooManyGroups(NGROUPS_MAX + 1));
}

#[test]
fn each_gid_has_to_lie_in_one_of_the_user_namespace_s_ranges() {
    let ranges = |sizes: [u32; 2]| {
        vec![IdRange { first: 1000, size: sizes[0] }, IdRange { first: 5000, size: sizes[1] }]
    };
    let subject = Subject { gid_mappings: ranges([1, 2]), ..container(&[5000, 5001]) };
    assert_eq!(starts(&decide(&subject, &policy())).groups, gids(&[1000, 5000, 5001]));
    let subject = Subject { gid_mappings: ranges([1, 1]), ..subject };
    assert_eq!(refused(decide(&subject, &policy())), Reason::NotMapped(5001));
}

#[test]
fn the_highest_level_that_anyone_asks_for_holds() {
    let asks = |level: &str| Subject { requested_level: Some(level.to_owned()), ..container(&[]) };
    let sealed = Policy { level: Level::Sealed, ..policy() };
    let table = Policy { tables: vec![Table { level: Some(Level::Sealed), ..Table::default() }], ..policy() };
    for policy in [&sealed, &table] {
        assert_eq!(starts(&decide(&asks("groups"), policy)).level, Level::Sealed);
        assert_eq!(starts(&decide(&asks("sealed"), policy)).level, Level::Sealed);
        assert_eq!(starts(&decide(&asks(" paranoid "), policy)).level, Level::Paranoid);
    }
    assert!(matches!(refused(decide(&asks("Sealed"), &policy())), Reason::Annotation { .. }));
}

#[test]
fn what_is_dropped_tells_why() {
    let image = ImageGroups::Read(vec![ImageGroup { gid: 5000, name: b"staff".to_vec() }]);
    let subject = Subject { image, ..container(&[5000, 6000, 0]) };
    let unknown = decide(&subject, &policy());
    assert_eq!(rule(starts(&unknown), 5000), (false, Rule::FromImage));
    assert_eq!(rule(starts(&unknown), 6000), (true, Rule::Residual));
    assert_eq!(rule(starts(&unknown), 0), (false, Rule::Unknown));

    let without = Policy { residual: false, ..policy() };
    assert_eq!(rule(starts(&decide(&subject, &without)), 6000), (false, Rule::Unknown));

    let known = decide(&Subject { declared: declares(&[7000]), ..subject }, &policy());
    assert_eq!(rule(starts(&known), 5000), (false, Rule::FromImage));
    assert_eq!(rule(starts(&known), 6000), (false, Rule::NotDeclared));
    assert_eq!(rule(starts(&known), 7000), (true, Rule::Declared));
}

#[test]
fn where_a_gid_comes_from_is_told_whole() {
    let image = ImageGroups::Read(vec![ImageGroup { gid: 5000, name: b"st\naff".to_vec() }]);
    let subject = Subject { image, declared: declares(&[5000, 1000]), ..container(&[5000, 1000]) };
    let policy = Policy { tables: vec![allow(&["5000"])], ..policy() };
    let verdict = decide(&subject, &policy);
    let origins =
        |gid: u32| starts(&verdict).rulings.iter().find(|r| r.gid == gid).map(|r| r.origins.clone()).unwrap();
    assert_eq!(origins(1000), [Origin::Primary, Origin::Declared, Origin::Residual]);
    assert_eq!(origins(5000), [Origin::Declared, Origin::Node, Origin::Image("st\\u{a}aff".to_owned())]);
}

#[test]
fn an_annotation_may_name_what_the_node_allows_the_pod_declares_or_the_image_can_t_have_given() {
    let asks = |gid: &str| Subject { requested_groups: Some(gid.to_owned()), ..container(&[7000]) };
    let policy = Policy { tables: vec![allow(&["5000-5009"])], ..policy() };
    let declared = |subject: Subject| Subject { declared: declares(&[6000]), ..subject };
    for (gid, subject) in [(5000, asks("5000")), (6000, declared(asks("6000"))), (7000, asks("7000"))] {
        let verdict = decide(&subject, &policy);
        assert_eq!(starts(&verdict).groups, gids(&[1000, gid]));
        assert_eq!(rule(starts(&verdict), gid), (true, Rule::Annotated));
    }
    let reason = refused(decide(&asks("8000"), &policy));
    assert_eq!(reason, Reason::Unauthorised { gid: 8000, namespace: None, config: CONFIG.to_owned() });
    let trusted = Policy { annotation: AnnotationMode::Trusted, ..policy };
    assert_eq!(starts(&decide(&asks("8000"), &trusted)).groups, gids(&[1000, 8000]));
    assert_eq!(rule(starts(&decide(&asks("8000"), &trusted)), 7000), (false, Rule::NotAnnotated));
}

#[test]
fn a_table_with_keep_keeps_what_nobody_asked_for_and_a_ceiling_drops_it() {
    let subject = Subject { image: ImageGroups::Unusable("odd".into()), ..container(&[5000, 6000]) };
    let keep = Table { keep: true, ..allow(&["5000-6000"]) };
    let kept = Policy { tables: vec![keep.clone()], ..policy() };
    assert_eq!(starts(&decide(&subject, &kept)).groups, gids(&[1000, 5000, 6000]));
    let ceiling = Table { ceiling: true, ..allow(&["1000-5000"]) };
    let verdict = decide(&subject, &Policy { tables: vec![keep, ceiling], ..policy() });
    assert_eq!(rule(starts(&verdict), 5000), (true, Rule::NodeKeep));
    assert_eq!(rule(starts(&verdict), 6000), (false, Rule::OutsideCeiling));
}

#[test]
fn a_ceiling_refuses_what_was_declared_and_the_primary_gid_alike() {
    let ceiling = Table { ceiling: true, ..allow(&["1000", "5000"]) };
    let policy = Policy { tables: vec![ceiling], ..policy() };
    let outside = |gid, primary| Reason::OutsideCeiling { gid, primary, config: CONFIG.to_owned() };
    let subject = Subject { declared: declares(&[5000]), ..container(&[]) };
    assert_eq!(starts(&decide(&subject, &policy)).groups, gids(&[1000, 5000]));
    let declared = Subject { declared: declares(&[6000]), ..container(&[]) };
    assert_eq!(refused(decide(&declared, &policy)), outside(6000, false));
    let mut primary = subject;
    primary.process.gid = 7;
    assert_eq!(refused(decide(&primary, &policy)), outside(7, true));
}

#[test]
fn a_ceiling_of_some_namespaces_refuses_a_container_whose_namespace_is_unknown() {
    let of_users = Some(vec!["user-*".to_owned()]);
    let ceiling = Table { matches: of_users.clone(), ceiling: true, ..allow(&["5000"]) };
    let mild = Table { matches: of_users, ..allow(&["5000"]) };
    let refuses = Policy { tables: vec![ceiling, mild.clone()], ..policy() };
    let unknown = Reason::CeilingWithoutNamespace { config: CONFIG.to_owned() };
    assert_eq!(refused(decide(&container(&[]), &refuses)), unknown);
    let pod = Pod { namespace: Some("system".to_owned()), ..Pod::default() };
    let _ = starts(&decide(&Subject { pod, ..container(&[]) }, &refuses));
    let _ = starts(&decide(&container(&[]), &Policy { tables: vec![mild], ..policy() }));
}

#[test]
fn a_primary_gid_that_nobody_declared_is_told_or_refused() {
    let undeclared =
        Subject { declared: Declared::Known { groups: gids(&[5000]), primary: false }, ..container(&[1000]) };
    let verdict = decide(&undeclared, &policy());
    assert_eq!(starts(&verdict).findings, [Finding::UndeclaredPrimary { gid: 1000 }]);
    let deny = Policy { primary_gid: PrimaryGid::Deny, ..policy() };
    assert_eq!(refused(decide(&undeclared, &deny)), Reason::UndeclaredPrimary(1000));

    // runAsGroup, a declared group, the node, and an annotation that is trusted are authority; one that narrows isn't
    let asks = Subject { requested_groups: Some("1000".to_owned()), ..undeclared.clone() };
    let among = Declared::Known { groups: gids(&[1000]), primary: false };
    let trusted = Policy { annotation: AnnotationMode::Trusted, ..deny.clone() };
    for (subject, policy) in [
        (Subject { declared: declares(&[]), ..undeclared.clone() }, &deny),
        (Subject { declared: among, ..undeclared.clone() }, &deny),
        (Subject { declared: Declared::Unknown, ..undeclared.clone() }, &deny),
        (undeclared.clone(), &Policy { tables: vec![allow(&["1000"])], ..deny.clone() }),
        (asks.clone(), &trusted),
    ] {
        assert_eq!(starts(&decide(&subject, policy)).findings, []);
    }
    assert_eq!(refused(decide(&undeclared, &trusted)), Reason::UndeclaredPrimary(1000));
    let narrow = Policy { tables: vec![allow(&["5000"])], ..deny };
    assert_eq!(refused(decide(&asks, &narrow)), Reason::UndeclaredPrimary(1000));
}

#[test]
fn on_a_runtime_that_looks_gids_up_by_name_nothing_may_redirect_the_lookup() {
    let old = Some("runc 1.1.5".to_owned());
    let trap = LookupTrap::NumericName("60000".to_owned());
    let on = |trap: Option<LookupTrap>| Subject {
        runtime: Runtime { looks_up_names: old.clone(), trap },
        ..container(&[])
    };
    let runtime = "runc 1.1.5".to_owned();
    let told = Finding::VulnerableRuntime { runtime: runtime.clone() };
    assert_eq!(starts(&decide(&on(None), &policy())).findings, [told]);
    let redirected = Reason::Lookup { runtime: runtime.clone(), trap: trap.clone() };
    assert_eq!(refused(decide(&on(Some(trap)), &policy())), redirected);
    let refuse = Policy { vulnerable_runtime: VulnerableRuntime::Refuse, ..policy() };
    assert_eq!(refused(decide(&on(None), &refuse)), Reason::VulnerableRuntime { runtime });
    let _ = starts(&decide(&container(&[]), &refuse));
}

#[test]
fn without_root_only_a_list_that_nobody_asked_for_is_left_out() {
    let rootless = |groups: &[u32]| Subject { rootless: true, ..container(groups) };
    let alone = decide(&rootless(&[]), &policy());
    assert!(matches!(alone, Verdict::Keep(_)), "{alone:?}");
    assert_eq!(starts(&alone).findings, [Finding::GroupsNotSettable]);
    // What the document lists, and what the pod declares, is written as with root.
    let declared = Subject { declared: declares(&[5000]), ..rootless(&[]) };
    let image = ImageGroups::Unusable("odd".into());
    for (subject, groups) in [
        (Subject { image, ..rootless(&[5000]) }, gids(&[1000])),
        (declared, gids(&[1000, 5000])),
        (container(&[]), gids(&[1000])),
    ] {
        let Verdict::Change(change) = decide(&subject, &policy()) else { panic!("{subject:?}") };
        assert_eq!((change.edits.groups, change.identity.findings), (Some(groups), vec![]));
    }
}

#[test]
fn sealed_writes_what_it_takes_away_and_nothing_more() {
    let mut subject = container(&[1000]);
    subject.process.capabilities = CapabilitySets([
        Some(vec!["CAP_SETGID".into(), "CAP_KILL".into()]),
        Some(vec!["CAP_KILL".into()]),
        None,
        Some(vec!["CAP_SETUID".into()]),
        None,
    ]);
    let before = decide(&subject, &policy());
    assert!(matches!(before, Verdict::Keep(_)), "{before:?}");
    assert_eq!(starts(&before).bounding, ["CAP_SETGID", "CAP_KILL"]);

    let sealed = Policy { level: Level::Sealed, ..policy() };
    let Verdict::Change(change) = decide(&subject, &sealed) else { panic!("nothing was taken away") };
    assert_eq!(
        change.edits,
        Edits {
            groups: None,
            no_new_privileges: Some(true),
            capabilities: [Some(vec!["CAP_KILL".to_owned()]), None, None, Some(vec![]), None],
        }
    );
    assert_eq!(change.identity.bounding, ["CAP_KILL"]);
    assert!(change.identity.no_new_privileges);
}
