//! What is judged: everything about one container that the decision may depend on, gathered beforehand.

use serde::{Deserialize, Serialize};

use super::capability::CapabilitySets;
use super::gid::GidSet;

/// The identity that a document gives to a process, as it stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// `process.user.uid`.
    pub uid: u32,
    /// `process.user.gid`: the primary group.
    pub gid: u32,
    /// `process.user.additionalGids`, in the document's order; empty where it is absent.
    pub groups: Vec<u32>,
    /// `process.noNewPrivileges`; false where it is absent.
    pub no_new_privileges: bool,
    /// `process.capabilities`.
    pub capabilities: CapabilitySets,
}

/// A container that is about to be created.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// What its document says.
    pub process: Process,
    /// The pod that it belongs to, by the configured engine's word.
    pub pod: Pod,
    /// Whether the engine itself says that it is the pod's sandbox. Annotations can't say so.
    pub sandbox: bool,
    /// The text of the annotation `runc-strict/supplemental-groups`.
    pub requested_groups: Option<String>,
    /// The text of the annotation `runc-strict/level`.
    pub requested_level: Option<String>,
    /// Which of the annotations that undo us it carries.
    pub hostile_annotation: Option<&'static str>,
    /// What the pod's securityContext declares.
    pub declared: Declared,
    /// What the image's etc/group could have given.
    pub image: ImageGroups,
    /// `linux.gidMappings`; empty without a user namespace of its own.
    pub gid_mappings: Vec<IdRange>,
    /// What has to be known of the real runtime.
    pub runtime: Runtime,
    /// Whether the runtime will run without root, where setgroups(2) isn't to be had.
    pub rootless: bool,
}

/// The pod's names, where the engine's annotations give them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// The pod's namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The pod's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The pod's uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The container's name in the pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// What the engine says that the pod declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Declared {
    /// This engine can't be asked.
    #[default]
    Unknown,
    /// fsGroup, the gids of persistent volumes and supplementalGroups.
    Known {
        /// Their union.
        groups: GidSet,
        /// Whether runAsGroup is set; else the primary gid comes from the image.
        primary: bool,
    },
}

/// What the image's etc/group says of the gids in the merged list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ImageGroups {
    /// There is no such file: the image gave nothing.
    #[default]
    Absent,
    /// The file was read; these gids of the merged list can come from it.
    Read(Vec<ImageGroup>),
    /// It can't be trusted to be what the engine read; the sentence says why.
    Unusable(String),
}

/// A gid that a line of the image's etc/group can have given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageGroup {
    /// The gid.
    pub gid: u32,
    /// The first field of the line: the group's name, in the image's own bytes.
    pub name: Vec<u8>,
}

/// A range of ids inside a user namespace, from `linux.gidMappings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id inside the container.
    pub first: u32,
    /// How many there are.
    pub size: u32,
}

impl IdRange {
    /// Whether `id` is mapped by this range.
    pub fn contains(self, id: u32) -> bool {
        id >= self.first && u64::from(id) < u64::from(self.first) + u64::from(self.size)
    }
}

/// What has to be known of the real runtime: whether it looks gids up by name.
///
/// runc before 1.3.0 takes an additional gid for a name too: a line `60000:x:50000:` in the image's etc/group
/// turns 60000 into 50000.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runtime {
    /// Name and version for people: `runc 1.1.5`; none for a runtime that doesn't look up names.
    pub looks_up_names: Option<String>,
    /// On such a runtime: what in the image or the mounts could redirect the lookup.
    pub trap: Option<LookupTrap>,
}

/// What could redirect a lookup of gids by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupTrap {
    /// etc/group has a group whose name is this number.
    NumericName(String),
    /// A mount will cover etc/group; its destination.
    Mount(String),
    /// etc/group can't be read; the sentence says why.
    Unreadable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_first_id_and_ends_before_first_plus_size() {
        let range = IdRange { first: 1000, size: 3 };
        assert_eq!([999, 1000, 1002, 1003].map(|id| range.contains(id)), [false, true, true, false]);
        assert!(!IdRange { first: 1000, size: 0 }.contains(1000));
        // a range may reach beyond the last id there is
        let end = IdRange { first: u32::MAX - 1, size: u32::MAX };
        assert!(end.contains(u32::MAX) && !end.contains(0));
    }
}
