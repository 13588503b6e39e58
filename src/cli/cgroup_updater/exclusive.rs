//! Which containers have CPUs of their own: the kubelet's static CPU manager writes that down, by pod and container.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::node::file;

/// The kubelet's checkpoint of its CPU manager (pkg/kubelet/cm/cpumanager/state/checkpoint.go).
const STATE: &str = "/var/lib/kubelet/cpu_manager_state";

/// It grows with the pods of one node.
const LIMIT: u64 = 16 * 1024 * 1024;

/// The CPUs that the kubelet has given away.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ExclusiveCpus {
    /// By the pod's uid and the container's name.
    #[serde(default)]
    entries: BTreeMap<String, BTreeMap<String, String>>,
}

impl ExclusiveCpus {
    /// What the kubelet of this node has written; without a kubelet, and without the static policy, there is none.
    pub(super) fn load() -> ExclusiveCpus {
        Self::parse(&file::read_text(Path::new(STATE), LIMIT).unwrap_or_default())
    }

    fn parse(text: &str) -> ExclusiveCpus {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// True if the container has CPUs that no other one may use.
    pub(super) fn has(&self, uid: Option<&str>, container: &str) -> bool {
        let cpus = uid.and_then(|uid| self.entries.get(uid)?.get(container));
        cpus.is_some_and(|cpus| !cpus.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelets_checkpoint_tells_who_has_cpus_of_its_own() {
        let text = r#"{"policyName":"static","defaultCpuSet":"0,3","entries":{"uid-1":{"app":"1-2","log":""}},"checksum":1}"#;
        let cpus = ExclusiveCpus::parse(text);
        assert!(cpus.has(Some("uid-1"), "app"));
        assert!(!cpus.has(Some("uid-1"), "log") && !cpus.has(Some("uid-1"), "other"));
        assert!(!cpus.has(Some("uid-2"), "app") && !cpus.has(None, "app"));
    }

    #[test]
    fn without_a_readable_checkpoint_nobody_has() {
        for text in ["", "{", "[]", r#"{"policyName":"none","defaultCpuSet":""}"#] {
            assert!(!ExclusiveCpus::parse(text).has(Some("uid-1"), "app"), "{text}");
        }
    }
}
