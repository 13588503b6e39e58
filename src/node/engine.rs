//! Which annotations name the pod: those of the configured engine, and of no other.
//!
//! An engine sets its own keys last, so they can't be forged; another engine's keys are the pod's to write. So the
//! engine is configured, not guessed.

use crate::policy::annotation::{BUNDLE_KEY, GROUPS_KEY, KEEP_ORIGINAL_GROUPS_KEY, LEVEL_KEY};
use crate::policy::rules::Engine;
use crate::policy::subject::Pod;
use crate::spec::ConfigDocument;

/// What the annotations of a container say to us.
#[derive(Debug, Default)]
pub struct Annotations {
    /// `runc-strict/supplemental-groups`.
    pub groups: Option<String>,
    /// `runc-strict/level`.
    pub level: Option<String>,
    /// One that would undo us.
    pub hostile: Option<&'static str>,
    /// The pod's names.
    pub pod: Pod,
}

/// The keys of an engine, in the order namespace, name, uid, container.
const fn keys(engine: Engine) -> [&'static str; 4] {
    match engine {
        // containerd: internal/cri/annotations/annotations.go
        Engine::Containerd => [
            "io.kubernetes.cri.sandbox-namespace",
            "io.kubernetes.cri.sandbox-name",
            "io.kubernetes.cri.sandbox-uid",
            "io.kubernetes.cri.container-name",
        ],
        // the kubelet's labels, which CRI-O copies: kubernetes pkg/kubelet/types/labels.go
        Engine::CriO => [
            "io.kubernetes.pod.namespace",
            "io.kubernetes.pod.name",
            "io.kubernetes.pod.uid",
            "io.kubernetes.container.name",
        ],
        // Nobody's keys: an image or a user could have written any.
        Engine::Podman | Engine::None => ["", "", "", ""],
    }
}

/// Reads the annotations of `document` that concern us.
///
/// # Errors
/// A sentence, where they can't be read.
pub fn annotations(document: &ConfigDocument<'_>, engine: Engine) -> Result<Annotations, String> {
    let [groups, level, keep, bundle] =
        document.annotations([GROUPS_KEY, LEVEL_KEY, KEEP_ORIGINAL_GROUPS_KEY, BUNDLE_KEY])?;
    let hostile = match (keep, bundle) {
        (Some(_), _) => Some(KEEP_ORIGINAL_GROUPS_KEY),
        (None, Some(_)) => Some(BUNDLE_KEY),
        (None, None) => None,
    };
    let pod = match engine {
        Engine::Podman | Engine::None => Pod::default(),
        Engine::Containerd | Engine::CriO => {
            let [namespace, name, uid, container] = document.annotations(keys(engine))?;
            Pod { namespace, name, uid, container }
        }
    };
    Ok(Annotations { groups, level, hostile, pod })
}
