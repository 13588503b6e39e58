//! What the CRI keeps with a container: JSON in one of two extensions.
//!
//! containerd: pkg/cri/store/container/metadata.go and pkg/cri/store/sandbox/metadata.go (internal/cri/store since
//! 2.0). The part below `Config` is the message that the kubelet sent, in Go's JSON: fields by their protobuf
//! names, and none for what is zero.

use serde::Deserialize;

use super::Word;
use super::message::Container;
use crate::policy::gid::{Gid, GidSet};
use crate::policy::subject::Declared;
use crate::quote::told;

/// pkg/cri/server/service.go: `containerMetadataExtension`
const CONTAINER: &str = "io.cri-containerd.container.metadata";

/// pkg/cri/server/service.go: `sandboxMetadataExtension`
const SANDBOX: &str = "io.cri-containerd.sandbox.metadata";

/// The one version of both that there is, from containerd 1.0 to 2.3.
const VERSION: &str = "v1";

/// Reads containerd's word out of the container's extensions.
///
/// # Errors
/// The rest of a sentence that begins with containerd's name.
pub(super) fn word(container: &Container) -> Result<Word, String> {
    let extension = |name: &str| container.extensions.get(name);
    match (extension(CONTAINER), extension(SANDBOX)) {
        (None, None) => Ok(Word::default()),
        (Some(any), None) => Ok(Word { declared: declared(&any.value, CONTAINER)?, sandbox: false }),
        (None, Some(any)) => {
            let primary = matches!(declared(&any.value, SANDBOX)?, Declared::Known { primary: true, .. });
            // The pause program opens no file of a volume: what the pod declares is for its containers.
            Ok(Word { declared: Declared::Known { groups: GidSet::default(), primary }, sandbox: true })
        }
        (Some(_), Some(_)) => Err("it says that the container is a sandbox and is none".to_owned()),
    }
}

fn declared(json: &[u8], name: &str) -> Result<Declared, String> {
    let stored: Stored =
        serde_json::from_slice(json).map_err(|why| format!("{name} can't be read: {}", told(why)))?;
    if stored.version != VERSION {
        let version = crate::quote::quoted(stored.version.as_bytes());
        return Err(format!(
            "{name} has version {version}, and only \"{VERSION}\" is known; install a newer runc-strict"
        ));
    }
    let context = stored.metadata.config.linux.unwrap_or_default().security_context.unwrap_or_default();
    let gid = |raw: &i64| {
        let gid = u32::try_from(*raw).ok().and_then(Gid::new);
        gid.ok_or_else(|| format!("the pod declares {raw}, which is no gid from 0 to {}", Gid::MAX))
    };
    let groups = context.supplemental_groups.unwrap_or_default();
    let groups = groups.iter().map(gid).collect::<Result<GidSet, String>>()?;
    let primary = context.run_as_group.map(|group| gid(&group.value)).transpose()?;
    Ok(Declared::Known { groups, primary: primary.is_some() })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stored {
    version: String,
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    config: Config,
}

/// `runtime.v1.ContainerConfig` or `runtime.v1.PodSandboxConfig` (k8s.io/cri-api api.proto).
#[derive(Deserialize)]
struct Config {
    linux: Option<Linux>,
}

#[derive(Default, Deserialize)]
struct Linux {
    security_context: Option<SecurityContext>,
}

#[derive(Default, Deserialize)]
struct SecurityContext {
    run_as_group: Option<Int64Value>,
    supplemental_groups: Option<Vec<i64>>,
}

/// Group 0 is `{}`: that the object is there says that the pod set it.
#[derive(Deserialize)]
struct Int64Value {
    #[serde(default)]
    value: i64,
}
