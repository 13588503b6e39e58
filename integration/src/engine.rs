//! What an attack needs of an engine between it and the runtime. An attack is written as a bundle; behind an engine
//! nobody hands a bundle over, so the engine is asked for what the bundle stands for: an image with this root file
//! system, and a pod with this user, these groups, capabilities, annotations and volumes.

use std::path::PathBuf;

use anyhow::Result;

use crate::bundle::Bundle;
use crate::runtime::Runtime;
use crate::trial::Front;

/// How a container's making ended.
pub enum Made {
    /// It runs, under this id.
    Container(String),
    /// It doesn't, and this is what whoever asked was told.
    Refused {
        /// The id of the container that was to run.
        id: String,
        /// The engine's error.
        error: String,
    },
}

/// By what door of the engine a process gets into a running container.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As the kubelet's probes do.
    Probe,
    /// As somebody's shell does.
    Stream,
}

/// An engine.
pub trait Engine {
    /// The road's name in the tables.
    fn name(&self) -> &'static str;

    /// Where the product behind the engine finds its configuration, and what has to stand in it: keys, then tables.
    ///
    /// # Errors
    /// When the engine doesn't start.
    fn configuration(&self, runtime: &Runtime) -> Result<(PathBuf, String, String)>;

    /// From now on the handler of the product is the real runtime (`true`), or the product again.
    ///
    /// # Errors
    /// When the handler's program can't be written.
    fn bypass(&self, runtime: &Runtime, bypassed: bool) -> Result<()>;

    /// Makes and starts a container of `words`.
    ///
    /// # Errors
    /// When the bench fails. A refusal is no error.
    fn start(&self, runtime: &Runtime, front: Front, bundle: &Bundle, words: &[&str]) -> Result<Made>;

    /// The first line that the container's first process wrote to stdout.
    ///
    /// # Errors
    /// When nothing comes.
    fn first_line(&self, id: &str) -> Result<String>;

    /// The output of a process that is put into the container, or what whoever asked was told instead.
    ///
    /// # Errors
    /// When the bench fails.
    fn exec(&self, id: &str, way: Way, words: &[&str]) -> Result<std::result::Result<String, String>>;

    /// The bundle that the engine made.
    fn bundle(&self, id: &str) -> PathBuf;

    /// The runtime's `--root`.
    fn runtime_root(&self) -> PathBuf;

    /// Removes a container, which may run.
    ///
    /// # Errors
    /// The engine's.
    fn remove(&self, id: &str) -> Result<()>;
}
