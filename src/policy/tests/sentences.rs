//! The words that people and tools read: a name that is written is one that can be read, and a sentence says on what
//! and what to do.

use std::collections::BTreeSet;

use caps::Capability;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::policy::level::Level;
use crate::policy::rules::Engine;
use crate::policy::subject::LookupTrap;

/// `name` as the configuration, the record and the audit log have it.
fn read<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_value(name.into()).unwrap()
}

fn written<T: Serialize>(value: T) -> String {
    serde_json::to_string(&value).unwrap()
}

#[test]
fn a_level_and_an_engine_are_printed_as_the_configuration_has_them() {
    for level in [Level::Groups, Level::Sealed, Level::Paranoid] {
        let name = level.to_string();
        assert_eq!((Level::parse(&name), read::<Level>(&name)), (Some(level), level));
    }
    assert_eq!(Level::parse("Groups"), None);
    for engine in [Engine::None, Engine::Containerd, Engine::CriO, Engine::Podman] {
        assert_eq!(read::<Engine>(engine.name()), engine);
    }
}

#[test]
fn a_verdict_is_called_by_what_happens() {
    let kept = decide(&container(&[1000]), &policy());
    let changed = decide(&container(&[]), &policy());
    let mut root = container(&[]);
    root.process.uid = 0;
    let denied = decide(&root, &Policy { level: Level::Paranoid, ..policy() });
    assert_eq!([kept.name(), changed.name(), denied.name()], ["keep", "change", "deny"]);
    assert!(kept.identity().is_some() && changed.identity().is_some() && denied.identity().is_none());
}

#[test]
fn each_rule_has_a_sentence_of_its_own() {
    let rules = [
        Rule::Primary,
        Rule::Annotated,
        Rule::Declared,
        Rule::Residual,
        Rule::NodeKeep,
        Rule::NotAnnotated,
        Rule::NotDeclared,
        Rule::FromImage,
        Rule::Unknown,
        Rule::OutsideCeiling,
    ];
    let sentences: BTreeSet<&str> = rules.iter().map(|rule| rule.sentence()).collect();
    assert_eq!(sentences.len(), rules.len());
}

#[test]
fn a_finding_says_on_what_it_was_found() {
    let runtime = || "runc 1.1.5".to_owned();
    let findings = [
        (Finding::UndeclaredPrimary { gid: 4711 }, "4711"),
        (Finding::RootUser, "uid 0"),
        (Finding::RootGroup, "group 0"),
        (Finding::ManyGroups { count: 17 }, "17"),
        (Finding::GroupsCanChange, "CAP_SETGID"),
        (Finding::VulnerableRuntime { runtime: runtime() }, "runc 1.1.5"),
        (Finding::LevelNotLowered { requested: Level::Groups }, "level groups"),
        (Finding::ForeignPrimary { gid: 4711 }, "4711"),
        (Finding::NoRecord, "record"),
        (Finding::GroupsNotSettable, "without root"),
        (Finding::NoCheckBeforeUpdate { runtime: runtime() }, "runc 1.1.5"),
    ];
    for (finding, names) in findings {
        assert!(finding.sentence().contains(names), "{}", finding.sentence());
    }
}

#[test]
fn a_refusal_says_of_what_and_what_to_do() {
    let config = || CONFIG.to_owned();
    let runtime = || "runc 1.1.5".to_owned();
    let lookup = |trap| Reason::Lookup { runtime: runtime(), trap };
    let unauthorised = |namespace: Option<&str>| Reason::Unauthorised {
        gid: 4711,
        namespace: namespace.map(str::to_owned),
        config: config(),
    };
    let outside = |primary| Reason::OutsideCeiling { gid: 4711, primary, config: config() };
    let refusals: [(Reason, &[&str]); 19] = [
        (Reason::HostileAnnotation("bundle"), &["\"bundle\"", "remove it"]),
        (Reason::Annotation { key: "k", why: "why".to_owned() }, &["\"k\": why"]),
        (Reason::GidTooLarge(u32::MAX), &["4294967295", "2147483647", "smaller"]),
        (Reason::TooManyGroups(65537), &["65537", "65536", "fewer"]),
        (unauthorised(None), &["gid 4711", "allow = [\"4711\"]", "table of /etc/runc-strict/config.toml"]),
        (
            unauthorised(Some("a\nb")),
            &["allow = [\"4711\"]", "that matches \"a\\u{a}b\" of /etc/runc-strict"],
        ),
        (outside(false), &["gid 4711", CONFIG, "add \"4711\" to its allow"]),
        (outside(true), &["primary gid 4711", CONFIG]),
        (Reason::CeilingWithoutNamespace { config: config() }, &[CONFIG, "\"engine\""]),
        (Reason::UndeclaredPrimary(4711), &["primary gid 4711", "set runAsGroup"]),
        (Reason::NotMapped(4711), &["gid 4711", "linux.gidMappings"]),
        (Reason::RootUser, &["uid 0", "set runAsUser"]),
        (Reason::GroupEquivalent(Capability::CAP_CHOWN), &["CAP_CHOWN", "drop ALL"]),
        (lookup(LookupTrap::NumericName("6\n".to_owned())), &["runc 1.1.5", "named \"6\\u{a}\"", "install"]),
        (
            lookup(LookupTrap::Mount("/etc/group".to_owned())),
            &["runc 1.1.5", "mount on \"/etc/group\"", "install"],
        ),
        (
            lookup(LookupTrap::Unreadable("it is odd".to_owned())),
            &["runc 1.1.5", "and it is odd;", "install"],
        ),
        (Reason::VulnerableRuntime { runtime: runtime() }, &["runc 1.1.5", "vulnerable-runtime", "install"]),
        (Reason::Restore { config: config() }, &["restore = \"allow\"", CONFIG]),
        (Reason::NoRecord("it has no state".to_owned()), &["no record", "it has no state", "create it anew"]),
    ];
    for (reason, parts) in refusals {
        let sentence = reason.to_string();
        for part in parts {
            assert!(sentence.contains(part), "{part:?} is not in {sentence:?}");
        }
        assert!(!sentence.contains('\n'), "{sentence:?}");
    }
}

#[test]
fn groups_are_written_as_a_list_without_blanks_and_read_in_any_order() {
    assert_eq!(gids(&[]).to_string(), "[]");
    assert!(gids(&[]).is_empty() && !gids(&[0]).is_empty());
    assert_eq!(gids(&[6000, 1000, 5000]).to_string(), "[1000,5000,6000]");
    assert_eq!(written(gids(&[6000, 1000])), "[1000,6000]");
    let read: GidSet = serde_json::from_str("[6000,1000,6000]").unwrap();
    assert_eq!(read, gids(&[1000, 6000]));
    assert!(serde_json::from_str::<GidSet>("[2147483648]").unwrap_err().to_string().contains("2147483648"));
}

#[test]
fn a_range_is_written_as_it_was_read() {
    for text in ["0", "5000", "60000-60999", "0-2147483647"] {
        assert_eq!(read::<GidRange>(text).to_string(), text);
        assert_eq!(written(read::<GidRange>(text)), format!("{text:?}"));
    }
    assert_eq!(read::<GidRange>("5-5"), read::<GidRange>("5"));
    for text in ["", "-", "5-", "-5", "6-5", "1-2-3", "0-2147483648", "005", "5 - 6", "x"] {
        let why = GidRange::try_from(text.to_owned()).unwrap_err();
        assert!(why.contains(&format!("{text:?} is no gid")), "{why}");
    }
}
