//! The laws of the policy (src/policy/mod.rs), held over random containers, policies and documents.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic: that is how it fails"
)]

use proptest::prelude::*;
use runc_strict::policy::capability::{CapabilitySets, is};
use runc_strict::policy::gid::{Gid, GidRange, GidSet};
use runc_strict::policy::level::{Level, SEALED_OUT};
use runc_strict::policy::rules::{AnnotationMode, Engine, Policy, PrimaryGid, Table, VulnerableRuntime};
use runc_strict::policy::subject::{
    Declared, IdRange, ImageGroup, ImageGroups, LookupTrap, Pod, Process, Runtime, Subject,
};
use runc_strict::policy::{Edits, Identity, Verdict, annotation, decide, decide_exec};
use runc_strict::spec::{ConfigDocument, ProcessObject, Splice, Value};

/// Few gids, so that sets meet; and those at the edges.
fn gid() -> impl Strategy<Value = u32> {
    prop_oneof![
        8 => 1000u32..1008,
        1 => Just(0),
        1 => Just(Gid::MAX),
        1 => prop_oneof![Just(Gid::MAX + 1), Just(u32::MAX)],
    ]
}

fn valid_gid() -> impl Strategy<Value = Gid> {
    gid().prop_filter_map("a gid", Gid::new)
}

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![Just(Level::Groups), Just(Level::Sealed), Just(Level::Paranoid)]
}

fn capability_name() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "CAP_SETGID",
        "cap_setgid",
        "6",
        "CAP_SETUID",
        "CAP_KILL",
        "CAP_CHOWN",
        "CAP_FSETID",
        "CAP_DAC_OVERRIDE",
        "CAP_OF_TOMORROW",
    ])
    .prop_map(str::to_owned)
}

fn capabilities() -> impl Strategy<Value = CapabilitySets> {
    let set = || prop::option::of(prop::collection::vec(capability_name(), 0..4));
    [set(), set(), set(), set(), set()].prop_map(CapabilitySets)
}

prop_compose! {
    fn process()(
        uid in prop_oneof![Just(0u32), Just(1000), Just(u32::MAX)],
        gid in gid(),
        groups in prop::collection::vec(gid(), 0..8),
        no_new_privileges in any::<bool>(),
        capabilities in capabilities(),
    ) -> Process {
        Process { uid, gid, groups, no_new_privileges, capabilities }
    }
}

fn annotation_text() -> impl Strategy<Value = Option<String>> {
    let list = prop::collection::vec(gid(), 0..5)
        .prop_map(|gids| gids.iter().map(u32::to_string).collect::<Vec<_>>().join(", "));
    prop_oneof![4 => Just(None), 4 => list.prop_map(Some), 1 => ".{0,12}".prop_map(Some)]
}

fn declared() -> impl Strategy<Value = Declared> {
    let known = (prop::collection::vec(valid_gid(), 0..4), any::<bool>())
        .prop_map(|(gids, primary)| Declared::Known { groups: gids.into_iter().collect(), primary });
    prop_oneof![Just(Declared::Unknown), known]
}

fn image() -> impl Strategy<Value = ImageGroups> {
    let read = prop::collection::vec(gid(), 0..5).prop_map(|gids| {
        let group = |gid| ImageGroup { gid, name: b"g".to_vec() };
        ImageGroups::Read(gids.into_iter().chain([0]).map(group).collect())
    });
    prop_oneof![1 => Just(ImageGroups::Absent), 3 => read, 1 => Just(ImageGroups::Unusable("odd".into()))]
}

prop_compose! {
    fn subject()(
        process in process(),
        namespace in prop::option::of(prop::sample::select(vec!["user-a", "user-b", "system"])),
        sandbox in prop::bool::weighted(0.1),
        requested_groups in annotation_text(),
        requested_level in prop::option::weighted(0.3, prop::sample::select(vec!["groups", "sealed", "paranoid", "x"])),
        hostile in prop::bool::weighted(0.05),
        declared in declared(),
        image in image(),
        mapped in prop::option::weighted(0.1, 1000u32..1008),
        vulnerable in prop::bool::weighted(0.2),
        trap in prop::bool::weighted(0.1),
        rootless in prop::bool::weighted(0.05),
    ) -> Subject {
        Subject {
            process,
            pod: Pod { namespace: namespace.map(str::to_owned), ..Pod::default() },
            sandbox,
            requested_groups,
            requested_level: requested_level.map(str::to_owned),
            hostile_annotation: hostile.then_some(annotation::BUNDLE_KEY),
            declared,
            image,
            gid_mappings: mapped.map(|first| IdRange { first, size: 4 }).into_iter().collect(),
            runtime: Runtime {
                looks_up_names: vulnerable.then(|| "runc 1.1.5".to_owned()),
                trap: (vulnerable && trap).then(|| LookupTrap::NumericName("60000".to_owned())),
            },
            rootless,
        }
    }
}

fn range() -> impl Strategy<Value = GidRange> {
    prop_oneof![Just("1000"), Just("1002-1004"), Just("1000-1007"), Just("0-2147483647"), Just("5000")]
        .prop_map(|text| GidRange::try_from(text.to_owned()).unwrap())
}

prop_compose! {
    fn table()(
        matches in prop::option::of(prop::sample::select(vec!["user-*", "user-a", "*"])),
        allow in prop::collection::vec(range(), 0..3),
        keep in any::<bool>(),
        ceiling in prop::bool::weighted(0.3),
        level in prop::option::weighted(0.3, level()),
    ) -> Table {
        Table { matches: matches.map(|m| vec![m.to_owned()]), allow, keep, ceiling, level }
    }
}

prop_compose! {
    fn policy()(
        trusted in any::<bool>(),
        residual in any::<bool>(),
        level in level(),
        deny in any::<bool>(),
        refuse in prop::bool::weighted(0.1),
        tables in prop::collection::vec(table(), 0..3),
    ) -> Policy {
        Policy {
            engine: Engine::Containerd,
            annotation: if trusted { AnnotationMode::Trusted } else { AnnotationMode::Narrow },
            residual,
            level,
            primary_gid: if deny { PrimaryGid::Deny } else { PrimaryGid::Warn },
            vulnerable_runtime: if refuse { VulnerableRuntime::Refuse } else { VulnerableRuntime::Check },
            tables,
            config: "/etc/runc-strict/config.toml".to_owned(),
        }
    }
}

/// The container's process as the document says after the verdict.
fn applied(process: &Process, verdict: &Verdict) -> Process {
    let Verdict::Change(change) = verdict else { return process.clone() };
    written(process, &change.edits)
}

fn written(process: &Process, edits: &Edits) -> Process {
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
    let hit = |pattern: &str| match (pattern, namespace) {
        (_, None) => false,
        ("*", Some(_)) => true,
        (pattern, Some(name)) => match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        },
    };
    let matches = |t: &&Table| t.matches.as_ref().is_none_or(|globs| globs.iter().any(|g| hit(g)));
    policy.tables.iter().filter(matches).collect()
}

/// An independent reading of section "who may have which group": is there any authority for `gid`?
fn authorised(gid: Gid, subject: &Subject, policy: &Policy) -> bool {
    let tables = matching(policy, subject);
    let node = tables.iter().any(|t| t.allow.iter().any(|r| r.contains(gid)));
    let declared = matches!(&subject.declared, Declared::Known { groups, .. } if groups.contains(gid));
    let merged = subject.process.groups.contains(&gid.get());
    let from_image = match &subject.image {
        ImageGroups::Absent => false,
        ImageGroups::Unusable(_) => true,
        ImageGroups::Read(groups) => groups.iter().any(|g| g.gid == gid.get()),
    };
    let residual = policy.residual && merged && !from_image && gid != Gid::ROOT;
    let trusted =
        policy.annotation == AnnotationMode::Trusted && listed(subject).is_some_and(|l| l.contains(gid));
    node || declared || residual || trusted
}

fn listed(subject: &Subject) -> Option<GidSet> {
    annotation::parse_groups(subject.requested_groups.as_ref()?).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_gid_is_the_primary_one_or_authorised_and_lies_under_every_ceiling(s in subject(), p in policy()) {
        let verdict = decide(&s, &p);
        if let Some(identity) = verdict.identity() {
            let tables = matching(&p, &s);
            for gid in identity.groups.iter() {
                prop_assert!(gid == identity.gid || authorised(gid, &s, &p), "{gid}");
                for table in tables.iter().filter(|t| t.ceiling) {
                    prop_assert!(table.allow.iter().any(|r| r.contains(gid)), "{gid} above a ceiling");
                }
            }
        }
    }

    #[test]
    fn the_primary_gid_is_always_in_the_result(s in subject(), p in policy()) {
        let verdict = decide(&s, &p);
        if let Some(identity) = verdict.identity() {
            prop_assert_eq!(identity.gid.get(), s.process.gid);
            prop_assert!(identity.groups.contains(identity.gid));
            if !s.rootless {
                prop_assert!(applied(&s.process, &verdict).groups.contains(&s.process.gid));
            }
        }
    }

    #[test]
    fn with_an_annotation_the_result_is_exact_or_refused(s in subject(), p in policy()) {
        let verdict = decide(&s, &p);
        if let (false, Some(identity), Some(_)) = (s.sandbox, verdict.identity(), &s.requested_groups) {
            let mut exact = listed(&s).expect("an annotation that can't be read is refused");
            exact.insert(identity.gid);
            prop_assert_eq!(&identity.groups, &exact);
        }
    }

    #[test]
    fn an_annotation_of_groups_is_for_the_containers_and_changes_nothing_for_their_sandbox(s in subject(), p in policy()) {
        let annotated = Subject { sandbox: true, ..s };
        let plain = Subject { requested_groups: None, ..annotated.clone() };
        if let Some(identity) = decide(&annotated, &p).identity() {
            let verdict = decide(&plain, &p);
            prop_assert_eq!(Some(&identity.groups), verdict.identity().map(|i| &i.groups));
        }
    }

    #[test]
    fn deciding_on_an_applied_result_keeps_it(s in subject(), p in policy()) {
        let verdict = decide(&s, &p);
        if verdict.identity().is_some() {
            let again = Subject { process: applied(&s.process, &verdict), ..s };
            let second = decide(&again, &p);
            prop_assert!(matches!(second, Verdict::Keep(_)), "{second:?}");
            prop_assert_eq!(&second.identity().unwrap().groups, &verdict.identity().unwrap().groups);
        }
    }

    #[test]
    fn the_result_is_sorted_unique_and_in_range(s in subject(), p in policy()) {
        if let Verdict::Change(change) = decide(&s, &p) {
            let gids: Vec<u32> = change.identity.groups.iter().map(Gid::get).collect();
            prop_assert!(gids.is_sorted_by(|a, b| a < b));
            prop_assert!(gids.iter().all(|g| *g <= Gid::MAX) && gids.len() <= 65536);
        }
    }

    #[test]
    fn a_gid_outside_the_user_namespace_is_never_in_a_result(s in subject(), p in policy()) {
        if let (Some(identity), [map]) = (decide(&s, &p).identity(), s.gid_mappings.as_slice()) {
            prop_assert!(identity.groups.iter().all(|g| map.contains(g.get())));
        }
    }

    #[test]
    fn a_stricter_level_never_yields_more(s in subject(), p in policy()) {
        let at = |level| decide(&s, &Policy { level, ..p.clone() });
        let steps = [at(Level::Groups), at(Level::Sealed), at(Level::Paranoid)];
        for pair in steps.windows(2) {
            let Some(strict) = pair[1].identity() else { continue };
            let mild = pair[0].identity();
            prop_assert!(mild.is_some(), "a stricter level allowed what a milder one refuses");
            let mild = mild.unwrap();
            prop_assert!(strict.groups.iter().all(|g| mild.groups.contains(g)));
            prop_assert!(strict.no_new_privileges >= mild.no_new_privileges);
            prop_assert!(strict.bounding.iter().all(|c| mild.bounding.contains(c)));
        }
    }

    #[test]
    fn above_groups_no_set_holds_what_changes_groups(s in subject(), p in policy()) {
        let verdict = decide(&s, &p);
        if verdict.identity().is_some_and(|i| i.level > Level::Groups) {
            let process = applied(&s.process, &verdict);
            prop_assert!(process.no_new_privileges);
            let names = process.capabilities.0.iter().flatten().flatten();
            for name in names {
                prop_assert!(!SEALED_OUT.iter().any(|c| is(name, *c)), "{name}");
            }
            let unknown = |sets: &CapabilitySets| {
                sets.0.iter().flatten().flatten().filter(|n| *n == "CAP_OF_TOMORROW").count()
            };
            prop_assert_eq!(unknown(&process.capabilities), unknown(&s.process.capabilities));
        }
    }

    #[test]
    fn an_exec_gets_what_the_container_got(s in subject(), p in policy(), exec in process()) {
        let container = decide(&s, &p);
        let Some(container) = container.identity() else { return Ok(()) };
        let verdict = decide_exec(&exec, container, &Runtime::default(), &p.config);
        let Some(identity) = verdict.identity() else { return Ok(()) };
        check_parity(&exec, container, identity, &verdict)?;
        let again = decide_exec(&applied(&exec, &verdict), container, &Runtime::default(), &p.config);
        prop_assert!(matches!(again, Verdict::Keep(_)), "{again:?}");
    }

    #[test]
    fn an_edit_changes_nothing_else_in_the_document(
        process in process(), edits in (prop::option::of(prop::collection::vec(valid_gid(), 1..4)), any::<Option<bool>>()),
        pad in "[ \t\n]{0,3}", number in any::<u64>(), key in "[a-z]{0,5}",
    ) {
        let text = document(&process, &pad, number, &key);
        let config = ConfigDocument::read(&text).unwrap();
        prop_assert_eq!(&config.process.process, &process);
        let edits = Edits {
            groups: edits.0.map(GidSet::from),
            no_new_privileges: edits.1,
            capabilities: process.capabilities.0.clone().map(|set| set.map(|_| vec!["CAP_KILL".to_owned()])),
        };
        let mut splice = Splice::new(&text);
        config.process.apply(&edits, &mut splice);
        let new = splice.to_text();
        prop_assert_eq!(&ConfigDocument::read(&new).unwrap().process.process, &written(&process, &edits));
        // Everything but the three values is the same text in the same order.
        let (old, new): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(&text).unwrap(), serde_json::from_str(&new).unwrap());
        prop_assert_eq!(without_ours(old), without_ours(new));
        prop_assert!(splice.to_text().contains(&number.to_string()));
    }

    #[test]
    fn reading_a_document_is_total(bytes in prop::collection::vec(any::<u8>(), 0..200), json in ".{0,200}") {
        let text = String::from_utf8_lossy(&bytes);
        let _ = ConfigDocument::read(&text);
        let _ = ConfigDocument::read(&json);
        let _ = ProcessObject::read(Value::whole(&json), "x");
        let _ = annotation::parse_groups(&json);
    }
}

fn check_parity(
    exec: &Process,
    container: &Identity,
    identity: &Identity,
    verdict: &Verdict,
) -> Result<(), TestCaseError> {
    let process = applied(exec, verdict);
    let mut expected = container.groups.clone();
    expected.insert(identity.gid);
    prop_assert_eq!(&identity.groups, &expected);
    prop_assert!(expected.is_exactly(&process.groups));
    prop_assert_eq!((process.uid, process.gid), (exec.uid, exec.gid));
    prop_assert!(process.no_new_privileges >= container.no_new_privileges);
    if container.level > Level::Groups {
        for name in process.capabilities.0.iter().flatten().flatten() {
            prop_assert!(container.bounding.contains(name), "{name}");
        }
    } else {
        prop_assert_eq!(&process.capabilities, &exec.capabilities);
    }
    Ok(())
}

fn document(process: &Process, pad: &str, number: u64, key: &str) -> String {
    let names = runc_strict::policy::capability::SET_NAMES;
    let sets = process.capabilities.0.iter().zip(names).filter_map(|(set, name)| {
        set.as_ref().map(|s| format!("\"{name}\":{pad}{}", serde_json::to_string(s).unwrap()))
    });
    let sets = sets.collect::<Vec<_>>().join(",");
    let groups = match process.groups.is_empty() {
        true => String::new(),
        false => format!(",{pad}\"additionalGids\":{:?}", process.groups),
    };
    let nnp = match process.no_new_privileges {
        true => "\"noNewPrivileges\":true,".to_owned(),
        false => String::new(),
    };
    format!(
        "{pad}{{\"a\":{number},\"process\":{pad}{{{nnp}\"x{key}\":{{\"uid\":{number}}},\"user\":{{\"uid\":{},{pad}\"gid\":{}{groups}}},\
         \"capabilities\":{{{sets}}}}}, \"z\":[{number},1e5,\"\\u0041\"]}}{pad}",
        process.uid, process.gid
    )
}

fn without_ours(mut document: serde_json::Value) -> serde_json::Value {
    let process = document["process"].as_object_mut().unwrap();
    process.remove("noNewPrivileges");
    process.remove("capabilities");
    process["user"].as_object_mut().unwrap().remove("additionalGids");
    document
}
