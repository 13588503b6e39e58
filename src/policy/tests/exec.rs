//! What becomes of a further process in a container.

use super::*;
use crate::policy::level::Level;
use crate::policy::rules::PrimaryGid;
use crate::policy::subject::{LookupTrap, Runtime};

/// The record of a container with groups 1000 and 5000.
fn record(policy: &Policy) -> Identity {
    let mut subject = Subject { declared: declares(&[5000]), ..container(&[5000, 6000]) };
    subject.process.capabilities = holds(&["CAP_KILL"]);
    starts(&decide(&subject, policy)).clone()
}

fn level(level: Level) -> Policy {
    Policy { level, ..policy() }
}

/// A process of user 1000 with all that the container's engine remembers.
fn process() -> Process {
    container(&[5000, 6000]).process
}

fn exec(process: &Process, container: &Identity) -> Verdict {
    decide_exec(process, container, &Runtime::default(), CONFIG)
}

#[test]
fn a_process_that_asks_for_what_the_container_has_is_left_alone() {
    let mut process = process();
    process.groups = vec![1000, 5000];
    let verdict = exec(&process, &record(&policy()));
    assert!(matches!(verdict, Verdict::Keep(_)), "{verdict:?}");
    assert_eq!(starts(&verdict).findings, []);
}

#[test]
fn each_gid_is_told_with_the_rule_of_the_container_s_creation() {
    let process = Process { groups: vec![5000, 6000, 7000], ..process() };
    let verdict = exec(&process, &record(&policy()));
    let identity = starts(&verdict);
    assert_eq!(identity.groups, gids(&[1000, 5000]));
    let named: Vec<u32> = identity.rulings.iter().map(|r| r.gid).collect();
    assert_eq!(named, [1000, 5000, 6000, 7000]);
    assert_eq!(rule(identity, 1000), (true, Rule::Primary));
    assert_eq!(rule(identity, 5000), (true, Rule::Declared));
    assert_eq!(rule(identity, 6000), (false, Rule::NotDeclared));
    assert_eq!(rule(identity, 7000), (false, Rule::Unknown));
}

#[test]
fn the_user_that_the_document_names_is_kept_and_told() {
    let process = Process { uid: 0, gid: 7, ..process() };
    let verdict = exec(&process, &record(&policy()));
    let identity = starts(&verdict);
    assert_eq!((identity.uid, identity.gid.get()), (0, 7));
    assert_eq!(identity.groups, gids(&[7, 1000, 5000]));
    assert_eq!(identity.findings, [Finding::ForeignPrimary { gid: 7 }, Finding::RootUser]);
}

#[test]
fn a_primary_gid_that_init_didn_t_have_passes_the_same_limits() {
    let process = Process { gid: 7, ..process() };
    let ceiling = Table { ceiling: true, ..allow(&["1000", "5000"]) };
    let outside = Reason::OutsideCeiling { gid: 7, primary: true, config: CONFIG.to_owned() };
    let under = record(&Policy { tables: vec![ceiling.clone()], ..policy() });
    assert_eq!(refused(exec(&process, &under)), outside);
    let wider = Table { ceiling: true, ..allow(&["7", "1000", "5000"]) };
    let _ = starts(&exec(&process, &record(&Policy { tables: vec![wider.clone()], ..policy() })));
    // several ceilings intersect
    let both = record(&Policy { tables: vec![wider, ceiling], ..policy() });
    assert_eq!(refused(exec(&process, &both)), outside);

    let deny = Policy { primary_gid: PrimaryGid::Deny, ..policy() };
    assert_eq!(refused(exec(&process, &record(&deny))), Reason::UndeclaredPrimary(7));
    let _ = starts(&exec(&process, &record(&Policy { tables: vec![allow(&["7"])], ..deny.clone() })));
    // what init has was judged when it started
    let _ = starts(&exec(&Process { gid: 5000, ..process }, &record(&deny)));
}

#[test]
fn a_process_has_no_new_privileges_where_the_container_has_none() {
    let sealed = record(&level(Level::Sealed));
    let Verdict::Change(change) = exec(&process(), &sealed) else { panic!("it is as it was") };
    assert_eq!(change.edits.no_new_privileges, Some(true));
    assert!(change.identity.no_new_privileges);

    let already = Process { no_new_privileges: true, groups: vec![1000, 5000], ..process() };
    let verdict = exec(&already, &sealed);
    assert!(matches!(verdict, Verdict::Keep(_)), "{verdict:?}");
    // a process may give up more than its container
    let verdict = exec(&already, &record(&policy()));
    assert!(matches!(&verdict, Verdict::Keep(identity) if identity.no_new_privileges), "{verdict:?}");
    let mild = exec(&process(), &record(&policy()));
    assert!(!starts(&mild).no_new_privileges);
}

#[test]
fn above_level_groups_a_privileged_exec_gets_the_container_s_capabilities() {
    let all = ["CAP_KILL", "CAP_SYS_ADMIN", "CAP_SETGID"];
    let process = Process { capabilities: holds(&all), ..process() };
    for strict in [Level::Sealed, Level::Paranoid] {
        // also as another user than the container's
        for uid in [1000, 1001] {
            let process = Process { uid, ..process.clone() };
            let Verdict::Change(change) = exec(&process, &record(&level(strict))) else { panic!("{strict}") };
            assert_eq!(change.edits.capabilities, [(); 5].map(|()| Some(vec!["CAP_KILL".to_owned()])));
        }
    }
    let Verdict::Change(change) = exec(&process, &record(&policy())) else {
        panic!("groups are as they were")
    };
    assert_eq!(change.edits.capabilities, [const { None }; 5]);
}

#[test]
fn a_sealed_container_never_gives_back_what_changes_groups() {
    // whatever its record lists
    let sealed = Identity { bounding: vec!["CAP_SETGID".to_owned()], ..record(&level(Level::Sealed)) };
    let process = Process { capabilities: holds(&["CAP_SETGID"]), ..process() };
    let Verdict::Change(change) = exec(&process, &sealed) else { panic!("it kept CAP_SETGID") };
    assert_eq!(change.edits.capabilities, [(); 5].map(|()| Some(vec![])));
}

#[test]
fn paranoid_refuses_an_exec_as_root_where_the_container_isn_t() {
    let root = Process { uid: 0, ..process() };
    assert_eq!(refused(exec(&root, &record(&level(Level::Paranoid)))), Reason::RootUser);
    let _ = starts(&exec(&root, &record(&level(Level::Sealed))));
    // a sandbox that was let be root stays enterable
    let sandbox = Identity { uid: 0, ..record(&level(Level::Paranoid)) };
    let _ = starts(&exec(&root, &sandbox));
}

#[test]
fn a_runtime_that_looks_gids_up_by_name_is_told_and_a_trap_is_refused() {
    let runtime = "runc 1.1.5".to_owned();
    let on = |trap| Runtime { looks_up_names: Some(runtime.clone()), trap };
    let record = record(&policy());
    let told = Finding::VulnerableRuntime { runtime: runtime.clone() };
    assert_eq!(starts(&decide_exec(&process(), &record, &on(None), CONFIG)).findings, [told]);
    let trap = LookupTrap::Mount("/etc/group".to_owned());
    let reason = refused(decide_exec(&process(), &record, &on(Some(trap.clone())), CONFIG));
    assert_eq!(reason, Reason::Lookup { runtime, trap });
}

#[test]
fn that_there_was_no_record_is_told_and_no_other_finding_of_the_creation_is() {
    let findings = vec![Finding::RootUser, Finding::NoRecord];
    let anew = Identity { findings, ..record(&policy()) };
    assert_eq!(starts(&exec(&process(), &anew)).findings, [Finding::NoRecord]);
}
