//! The engines' own configuration: where it names the handler that calls us, and how that name is put in and taken
//! out again without a change to anything else.
//!
//! What is planned here is text, before and after; nothing is written until [`ledger`] does it. Each engine reads
//! several files and has its own rule for which of them has the last word: those rules stand in [`containerd`],
//! [`crio`] and [`podman`].

pub mod containerd;
pub mod crio;
pub mod document;
pub mod host;
pub mod ledger;
pub mod pattern;
pub mod podman;

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::policy::rules::Engine;
use crate::quote::quoted;
use host::Host;

/// What `install` is to reach.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The handler's name, which a RuntimeClass selects.
    pub handler: String,
    /// Our program, as the host names it.
    pub binary: PathBuf,
    /// Whether the handler becomes the engine's default.
    pub default: bool,
}

/// One file that would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file, as the host names it.
    pub path: PathBuf,
    /// Its text now; none where there is no such file.
    pub before: Option<String>,
    /// Its text afterwards; none where the file goes away.
    pub after: Option<String>,
}

impl Change {
    /// Whether there is anything to do.
    pub fn is_one(&self) -> bool {
        self.before != self.after
    }
}

/// What `install` would do to an engine's configuration.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The file that names the handler.
    pub change: Change,
    /// What the reader should know beside the diff.
    pub notes: Vec<String>,
    /// The runtime that the engine's default handler runs; for our own configuration.
    pub runtime: Option<String>,
    /// containerd's socket, where it isn't the usual one; for our own configuration.
    pub address: Option<PathBuf>,
}

/// A handler in an engine's configuration that calls us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// Its name.
    pub name: String,
    /// The program that it runs, as the host names it.
    pub binary: PathBuf,
    /// The file that says so.
    pub file: PathBuf,
    /// Whether it is the engine's default.
    pub default: bool,
    /// The patterns of pod annotations that reach the runtime; none where the engine passes all.
    pub annotations: Option<Vec<String>>,
    /// Whether it has systemd make the cgroups, where the handler says.
    pub systemd_cgroup: Option<bool>,
}

/// What an engine's configuration says of us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The files that the engine reads, first to last.
    pub files: Vec<PathBuf>,
    /// The handlers that call us.
    pub handlers: Vec<Handler>,
}

/// Whether `engine` is on this host: a folder of its configuration, or its program.
pub fn is_there(engine: Engine, host: &Host) -> bool {
    let (folder, program) = traces(engine);
    host.exists(Path::new(folder)) || host.program(program).is_some()
}

/// The folder of an engine's configuration, and its program.
pub const fn traces(engine: Engine) -> (&'static str, &'static str) {
    match engine {
        Engine::Containerd => ("/etc/containerd", "containerd"),
        Engine::CriO => ("/etc/crio", "crio"),
        Engine::Podman | Engine::None => ("/etc/containers", "podman"),
    }
}

/// The unit that has to be restarted before `engine` reads its configuration anew; podman reads it at every call.
pub const fn unit(engine: Engine) -> Option<&'static str> {
    match engine {
        Engine::Containerd => Some("containerd"),
        Engine::CriO => Some("crio"),
        Engine::Podman | Engine::None => None,
    }
}

/// Plans what `wish` needs in the configuration of `engine`.
///
/// # Errors
/// Why it can't be had: one sentence, and no file is touched.
pub fn plan(engine: Engine, host: &Host, wish: &Wish) -> Result<Plan> {
    let plan = match engine {
        Engine::Containerd => containerd::plan(host, wish),
        Engine::CriO => crio::plan(host, wish),
        Engine::Podman => podman::plan(host, wish),
        Engine::None => Err(Error::Other("no engine is named".to_owned())),
    }?;
    // An edit is only as good as what the engine will read: it is read back before anything is written.
    if let Some(text) = &plan.change.after {
        document::parse(text, &plan.change.path)?;
    }
    Ok(plan)
}

/// What the configuration of `engine` says of us. `ours` is where our program is on the host.
///
/// # Errors
/// That a file of it can't be read.
pub fn found(engine: Engine, host: &Host, ours: &Path) -> Result<Found> {
    match engine {
        Engine::Containerd => containerd::found(host, ours),
        Engine::CriO => crio::found(host, ours),
        Engine::Podman => podman::found(host, ours),
        Engine::None => Ok(Found::default()),
    }
}

/// `text`, the file at `path`, without the handler; none where nothing is left that the engine would read.
/// `formerly` is what the file was before the handler was put in, where that is known.
///
/// # Errors
/// That it doesn't parse.
pub fn without(
    engine: Engine,
    path: &Path,
    text: &str,
    handler: &str,
    formerly: Option<&str>,
) -> Result<Option<String>> {
    match engine {
        Engine::Containerd => containerd::without(path, text, handler, formerly),
        Engine::CriO => crio::without(path, text, handler),
        Engine::Podman | Engine::None => podman::without(path, text, handler),
    }
}

/// The name of the drop-in file for `handler`. The number puts it behind what a distribution ships: the last file
/// has the last word.
fn drop_in(handler: &str, extension: &str) -> String {
    match handler {
        "strict" => format!("90-runc-strict.{extension}"),
        other => format!("90-runc-strict-{other}.{extension}"),
    }
}

/// What a drop-in file of ours begins with.
const HEADER: &str = "# Written by \"runc-strict install\"; \"runc-strict uninstall\" takes it away.\n";

/// Whether a handler's program is ours: the same file, or one of our name.
fn is_ours(host: &Host, binary: &Path, ours: &Path) -> bool {
    binary == ours
        || binary.file_name().is_some_and(|name| name == "runc-strict")
        || host.same_file(binary, ours)
}

/// The error for a handler's name that is in use.
fn taken(path: &Path, handler: &str, binary: &str) -> Error {
    let by =
        if binary.is_empty() { "the engine's own runtime".to_owned() } else { quoted(binary.as_bytes()) };
    let why = format!(
        "the handler {} is in use by {by}; choose another name with --handler",
        quoted(handler.as_bytes())
    );
    Error::Content { path: path.to_path_buf(), why }
}
