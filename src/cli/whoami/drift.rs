//! Where a process isn't who its container's record says. Pure.

use caps::Capability;
use serde::Serialize;

use crate::node::proc_status::ProcStatus;
use crate::policy::gid::Gid;
use crate::policy::level::{Level, SEALED_OUT};
use crate::policy::{Identity, capability};

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub(super) enum Drift {
    /// It has a group that the record doesn't name.
    GroupAdded {
        /// The group.
        gid: u32,
    },
    /// It lacks a group of the record: files with negative group permissions open to it.
    GroupMissing {
        /// The group.
        gid: u32,
    },
    /// One of its uids isn't the record's.
    Uid {
        /// The user.
        uid: u32,
    },
    /// One of its primary gids isn't the record's.
    Gid {
        /// The group.
        gid: u32,
    },
    /// The record says no_new_privs, and it isn't set.
    NewPrivileges,
    /// It has a capability that the record's bounding set doesn't have.
    Capability {
        /// The capability's name.
        name: String,
    },
}

impl Drift {
    /// The difference as a sentence for people.
    pub(super) fn sentence(&self) -> String {
        match self {
            Drift::GroupAdded { gid } => format!("has group {gid}, which the record doesn't name"),
            Drift::GroupMissing { gid } => format!("lacks group {gid} of the record"),
            Drift::Uid { uid } => format!("has uid {uid}, which isn't the record's"),
            Drift::Gid { gid } => format!("has primary gid {gid}, which isn't the record's"),
            Drift::NewPrivileges => "has no_new_privs off, and the record says on".to_owned(),
            Drift::Capability { name } => format!("has {name}, which the record takes away"),
        }
    }
}

/// What `process` is and `identity` doesn't say; ids are the container's.
///
/// A process that entered by an exec may run as another user, if as nobody else beside, with one of the container's
/// groups as its primary one; at level `groups` its capabilities are the engine's choice.
pub(super) fn of(process: &ProcStatus, entered: bool, identity: &Identity) -> Vec<Drift> {
    let mut drift = Vec::new();
    let recorded = |gid: u32| Gid::new(gid).is_some_and(|gid| identity.groups.contains(gid));
    let added = process.groups.iter().filter(|gid| !recorded(**gid));
    drift.extend(added.map(|gid| Drift::GroupAdded { gid: *gid }));
    // The kernel's list is sorted (groups_sort, kernel/groups.c), but a user namespace's map may mix it up.
    let mut held = process.groups.clone();
    held.sort_unstable();
    let missing = identity.groups.iter().filter(|gid| held.binary_search(&gid.get()).is_err());
    drift.extend(missing.map(|gid| Drift::GroupMissing { gid: gid.get() }));

    if !(entered && process.uids.single().is_some()) {
        drift.extend(others(process.uids.all(), identity.uid).map(|uid| Drift::Uid { uid }));
    }
    if !(entered && process.gids.single().is_some_and(recorded)) {
        drift.extend(others(process.gids.all(), identity.gid.get()).map(|gid| Drift::Gid { gid }));
    }
    if identity.no_new_privileges && !process.no_new_privileges {
        drift.push(Drift::NewPrivileges);
    }
    let sealed = identity.level >= Level::Sealed;
    if entered && !sealed {
        return drift;
    }
    let mut allowed = mask(&identity.bounding);
    if sealed {
        allowed &= !SEALED_OUT.iter().fold(0, |bits, capability| bits | capability.bitmask());
    }
    let gained = process.capabilities.any() & !allowed;
    if gained != 0 {
        let mut known: Vec<Capability> =
            caps::all().into_iter().filter(|c| gained & c.bitmask() != 0).collect();
        known.sort_by_key(Capability::index);
        drift.extend(known.into_iter().map(|cap| Drift::Capability { name: cap.to_string() }));
    }
    drift
}

/// The bits of a set that is given by names, in any spelling that a runtime takes.
fn mask(names: &[String]) -> u64 {
    let spelt = |name: &String| {
        let known = caps::all().into_iter().filter(|cap| capability::is(name, *cap));
        known.fold(0, |bits, cap| bits | cap.bitmask())
    };
    // The usual spelling is looked up without trying every other one.
    let bits = |name: &String| name.parse().map_or_else(|_| spelt(name), |cap: Capability| cap.bitmask());
    names.iter().fold(0, |all, name| all | bits(name))
}

/// Those of the four ids that aren't `recorded`, each once.
fn others(ids: [u32; 4], recorded: u32) -> impl Iterator<Item = u32> {
    let mut others: Vec<u32> = ids.into_iter().filter(|id| *id != recorded).collect();
    others.sort_unstable();
    others.dedup();
    others.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::proc_status::{CapabilityMasks, Ids};
    use crate::policy::Limits;

    fn ids(id: u32) -> Ids {
        Ids::default().map(|_| id)
    }

    fn identity() -> Identity {
        Identity {
            uid: 1000,
            gid: Gid::new(1000).unwrap(),
            groups: [1000, 60000].into_iter().filter_map(Gid::new).collect(),
            no_new_privileges: true,
            bounding: vec!["CAP_CHOWN".to_owned(), "CAP_SETGID".to_owned()],
            level: Level::Groups,
            limits: Limits::default(),
            rulings: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn process() -> ProcStatus {
        ProcStatus {
            uids: ids(1000),
            gids: ids(1000),
            groups: vec![1000, 60000],
            no_new_privileges: true,
            capabilities: CapabilityMasks {
                bounding: Capability::CAP_SETGID.bitmask(),
                ..CapabilityMasks::default()
            },
            ..ProcStatus::default()
        }
    }

    #[test]
    fn who_is_as_recorded_has_no_drift() {
        assert_eq!(of(&process(), false, &identity()), []);
    }

    #[test]
    fn groups_that_were_added_or_given_up_are_drift() {
        let process = ProcStatus { groups: vec![50000, 60000], ..process() };
        assert_eq!(
            of(&process, false, &identity()),
            [Drift::GroupAdded { gid: 50000 }, Drift::GroupMissing { gid: 1000 }]
        );
    }

    #[test]
    fn the_gid_of_a_setgid_file_is_drift_also_in_an_exec() {
        let gids = Ids { effective: 50000, saved: 50000, fs: 50000, ..ids(1000) };
        let process = ProcStatus { gids, ..process() };
        for entered in [false, true] {
            assert_eq!(of(&process, entered, &identity()), [Drift::Gid { gid: 50000 }]);
        }
    }

    #[test]
    fn an_exec_may_run_as_another_user_but_not_as_two() {
        let other = ProcStatus { uids: ids(7), ..process() };
        assert_eq!(of(&other, true, &identity()), []);
        assert_eq!(of(&other, false, &identity()), [Drift::Uid { uid: 7 }]);
        let two = ProcStatus { uids: Ids { saved: 0, ..ids(1000) }, ..process() };
        assert_eq!(of(&two, true, &identity()), [Drift::Uid { uid: 0 }]);
    }

    #[test]
    fn an_exec_may_have_a_group_of_the_container_as_its_primary_one() {
        let inside = ProcStatus { gids: ids(60000), ..process() };
        assert_eq!(of(&inside, true, &identity()), []);
        assert_eq!(of(&inside, false, &identity()), [Drift::Gid { gid: 60000 }]);
        let foreign = ProcStatus { gids: ids(7), ..process() };
        assert_eq!(of(&foreign, true, &identity()), [Drift::Gid { gid: 7 }]);
    }

    #[test]
    fn privileges_beyond_the_record_are_drift_and_fewer_are_not() {
        let freer = ProcStatus { no_new_privileges: false, ..process() };
        assert_eq!(of(&freer, false, &identity()), [Drift::NewPrivileges]);
        let lenient = Identity { no_new_privileges: false, ..identity() };
        assert_eq!(of(&process(), false, &lenient), []);

        let mut strong = process();
        strong.capabilities.effective = Capability::CAP_SYS_ADMIN.bitmask();
        assert_eq!(of(&strong, false, &identity()), [Drift::Capability { name: "CAP_SYS_ADMIN".to_owned() }]);
        assert_eq!(
            of(&strong, true, &identity()),
            [],
            "at level groups an exec's capabilities are left alone"
        );
    }

    #[test]
    fn a_capability_of_the_record_counts_in_every_spelling() {
        for name in ["CAP_SETGID", "setgid", "cap_setgid", "6"] {
            let identity = Identity { bounding: vec![name.to_owned()], ..identity() };
            assert_eq!(of(&process(), false, &identity), [], "{name}");
        }
    }

    #[test]
    fn above_level_groups_setgid_is_drift_whatever_the_record_s_set_says() {
        let sealed = Identity { level: Level::Sealed, ..identity() };
        assert_eq!(of(&process(), false, &sealed), [Drift::Capability { name: "CAP_SETGID".to_owned() }]);
    }
}
