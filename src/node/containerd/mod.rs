//! What containerd itself says of a container: which groups the pod declares, and whether it is the pod's sandbox.
//!
//! containerd's CRI stores the container's configuration, as the kubelet sent it, in its own metadata before it
//! calls the runtime. One unary gRPC call over containerd's socket reads it. The pod can't write there, unlike the
//! merged list, into which the image's etc/group has gone. create and run ask; exec goes by the record.
//!
//! Here fails closed what can fail: without an answer there is no container.

mod call;
#[cfg(test)]
mod fake;
mod message;
mod metadata;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use prost::Message;

use message::GetContainerResponse;

use super::config::{Config, Containerd};
use crate::error::{Error, Result};
use crate::policy::Subject;
use crate::policy::rules::Engine;
use crate::policy::subject::Declared;

/// containerd's word on a container.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// What the pod declares; unknown for a container that is none of the CRI's (ctr's, docker's).
    pub declared: Declared,
    /// Whether it is the pod's sandbox.
    pub sandbox: bool,
}

/// Asks the configured engine what `subject` lacks, where the engine is one that can be asked. `place` is a folder
/// that is named after the containerd namespace: the runtime's `--root`, or the folder that the bundle is in.
///
/// # Errors
/// That containerd doesn't answer in time, doesn't know the container, or says what can't be right.
pub fn complete(subject: &mut Subject, config: &Config, place: &Path, id: &str) -> Result<()> {
    if config.engine != Engine::Containerd {
        return Ok(());
    }
    let Word { declared, sandbox } = ask(&config.containerd, place, id)?;
    subject.declared = declared;
    subject.sandbox = sandbox;
    Ok(())
}

/// The id of no container: runtimes' ids from the CRI are hexadecimal.
const NOBODY: &str = "runc-strict-check";

/// Whether containerd answers: it is asked for a container that no engine makes, and says that it knows none.
///
/// # Errors
/// That it gives no answer, or another one.
pub fn answers(config: &Containerd) -> Result<()> {
    const NAMESPACE: &str = "k8s.io";
    let deadline = Duration::from_millis(config.timeout_ms.into());
    match call::get(&config.address, deadline, NAMESPACE, NOBODY) {
        Err(why) if why != call::unknown(NAMESPACE, NOBODY) => {
            Err(Error::Other(format!("containerd at {}: {why}", crate::error::show(&config.address))))
        }
        _ => Ok(()),
    }
}

/// containerd's word in the bytes of an answer to the question for the container `id`, as [`complete`] reads it.
///
/// # Errors
/// The rest of a sentence that begins with containerd's name.
pub fn word_in(answer: &[u8], id: &str) -> std::result::Result<Word, String> {
    let answer = GetContainerResponse::decode(answer).map_err(|why| call::unusable(&why.to_string()))?;
    call::container_of(answer, id).and_then(|container| metadata::word(&container))
}

/// Asks containerd for its word on the container `id`.
///
/// # Errors
/// As [`complete`].
fn ask(config: &Containerd, place: &Path, id: &str) -> Result<Word> {
    let namespace = place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let deadline = Duration::from_millis(config.timeout_ms.into());
    let word = call::get(&config.address, deadline, namespace, id).and_then(|c| metadata::word(&c));
    word.map_err(|why| {
        Error::Other(format!(
            "containerd at {} was asked which groups the pod declares, and {why}",
            crate::error::show(&config.address)
        ))
    })
}
