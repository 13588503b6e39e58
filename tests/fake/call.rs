//! What the fake runtime writes down of one call. The fake writes it and the tests read it, so both include this
//! file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One call, as the process saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// The words, with argv[0].
    pub(crate) argv: Vec<Vec<u8>>,
    /// The environment, in its order: `KEY=VALUE`.
    pub(crate) env: Vec<Vec<u8>>,
    /// The working directory.
    pub(crate) cwd: Vec<u8>,
    /// Everything that stdin held; none where it is closed.
    pub(crate) stdin: Option<Vec<u8>>,
    /// The open file descriptors.
    pub(crate) descriptors: BTreeMap<i32, Descriptor>,
    /// `SigBlk`, `SigIgn` and `Umask` of /proc/self/status.
    pub(crate) status: BTreeMap<String, String>,
    /// The file that `--process` names, read under that name.
    pub(crate) document: Option<Vec<u8>>,
    /// The bundle's config.json, for a call with `--bundle`.
    pub(crate) config: Option<Vec<u8>>,
}

/// An open file descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Descriptor {
    /// What it points to: the link in /proc/self/fd.
    pub(crate) target: String,
    /// Its position and its flags: /proc/self/fdinfo.
    pub(crate) info: String,
}
