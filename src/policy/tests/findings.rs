//! What starts, and still deserves a look.

use super::*;
use crate::policy::level::Level;

#[track_caller]
fn findings(subject: &Subject) -> Vec<Finding> {
    starts(&decide(subject, &policy())).findings.clone()
}

#[test]
fn an_ordinary_container_has_no_finding() {
    assert_eq!(findings(&container(&[5000])), []);
}

#[test]
fn the_root_user_and_the_root_group_are_told() {
    let mut subject = container(&[]);
    subject.process.uid = 0;
    assert_eq!(findings(&subject), [Finding::RootUser]);
    subject.process.gid = 0;
    assert_eq!(findings(&subject), [Finding::RootUser, Finding::RootGroup]);
}

#[test]
fn more_groups_than_nfs_carries_are_told_the_primary_one_apart() {
    let groups: Vec<u32> = (1..=17).map(|n| 1000 + n).collect();
    assert_eq!(findings(&container(&groups[..16])), []);
    assert_eq!(findings(&container(&groups)), [Finding::ManyGroups { count: 17 }]);
    let all: Vec<u32> = (1..=40).map(|n| 1000 + n).collect();
    assert_eq!(findings(&container(&all)), [Finding::ManyGroups { count: 40 }]);
}

#[test]
fn capabilities_by_which_a_setuid_program_changes_groups_are_told() {
    for name in ["CAP_SETGID", "CAP_SETUID"] {
        let mut subject = container(&[]);
        subject.process.capabilities = holds(&["CAP_KILL", name]);
        assert_eq!(findings(&subject), [Finding::GroupsCanChange]);
        subject.process.no_new_privileges = true;
        assert_eq!(findings(&subject), []);
    }
    let mut subject = container(&[]);
    subject.process.capabilities = holds(&["CAP_KILL"]);
    assert_eq!(findings(&subject), []);
}

#[test]
fn a_wish_for_a_lower_level_is_told() {
    let asks = |level: &str| Subject { requested_level: Some(level.to_owned()), ..container(&[]) };
    let told = |level: &str| {
        let verdict = decide(&asks(level), &Policy { level: Level::Sealed, ..policy() });
        starts(&verdict).findings.clone()
    };
    assert_eq!(told("groups"), [Finding::LevelNotLowered { requested: Level::Groups }]);
    assert_eq!(told("sealed"), []);
    assert_eq!(told("paranoid"), []);
}
