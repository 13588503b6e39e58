//! What the real runtime itself knows of a container: its state folder, `<root>/<id>`.
//!
//! runc and youki keep `state.json` there, crun keeps `status`. We read where the bundle is and who the init
//! process is; the rest is the runtime's business.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use serde::{Deserialize, Serialize};

use super::file;
use super::process::{ProcessKey, is_host_root};
use super::version::Kind;
use crate::error::{Error, Result};
use crate::quote::told;

/// runc's state holds its whole configuration.
const LIMIT: u64 = 64 * 1024 * 1024;

/// The runtime's state folder in one spelling: absolute, without `.`, `..` and links.
///
/// # Errors
/// Where the working directory can't be told.
pub fn root(given: Option<&Path>, kind: impl FnOnce() -> Kind) -> Result<PathBuf> {
    match given {
        Some(path) => normalise(path),
        None => normalise(&default_root(kind())),
    }
}

/// Where a runtime keeps its state without `--root`.
fn default_root(kind: Kind) -> PathBuf {
    let name = match kind {
        Kind::Runc | Kind::Unknown => "runc",
        Kind::Crun => "crun",
        Kind::Youki => "youki",
    };
    let xdg = || env::var_os("XDG_RUNTIME_DIR").filter(|v| !v.is_empty()).map(PathBuf::from);
    match is_host_root() {
        true => Path::new("/run").join(name),
        false => xdg().unwrap_or_else(|| PathBuf::from("/run")).join(name),
    }
}

/// The longest part that exists is resolved by the kernel; what follows is taken as it is written.
fn normalise(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(Error::io("resolve", path))?;
    let mut tail: Vec<&OsStr> = Vec::new();
    let mut head = absolute.as_path();
    loop {
        if let Some(mut real) = resolved(head) {
            real.extend(tail.iter().rev());
            return Ok(lexical(&real));
        }
        match (head.parent(), head.components().next_back()) {
            (Some(parent), Some(last)) => {
                tail.push(last.as_os_str());
                head = parent;
            }
            _ => return Ok(lexical(&absolute)),
        }
    }
}

/// The path of what is at `path`, by the kernel's word; none where there is nothing.
pub fn resolved(path: &Path) -> Option<PathBuf> {
    // Most paths lead over no link, and are what they say; one that does takes a look into /proc.
    if path.as_os_str() == lexical(path).as_os_str() {
        let how =
            OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        if openat2(AT_FDCWD, path, how).is_ok() {
            return Some(path.to_path_buf());
        }
    }
    let found = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).ok()?;
    fs::read_link(format!("/proc/self/fd/{}", found.as_raw_fd())).ok()
}

/// `path` without `.` and `..`, by its letters alone.
pub fn lexical(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            Component::Normal(name) => clean.push(name),
            _ => {}
        }
    }
    clean
}

/// The state folder of a container, as one that can't be taken for a later one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderKey {
    dev: u64,
    ino: u64,
    /// When it was made, in nanoseconds since the epoch; 0 where the file system doesn't say.
    born: u128,
}

impl FolderKey {
    /// The key of the folder at `path`; none where there is none.
    pub fn of(path: &Path) -> Option<FolderKey> {
        let found = fs::symlink_metadata(path).ok()?;
        let born = found.created().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        Some(FolderKey { dev: found.dev(), ino: found.ino(), born: born.map_or(0, |d| d.as_nanos()) })
    }
}

/// How a runtime writes down what it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `state.json`, as runc and youki do.
    StateJson,
    /// `status`, as crun does.
    Status,
}

/// A container, by the runtime's word.
#[derive(Clone, Debug)]
pub struct State {
    /// Whose format it has; runc and youki share one.
    pub format: Format,
    /// The bundle that it was made from.
    pub bundle: PathBuf,
    /// Its init process.
    pub init: ProcessKey,
    /// Where a runtime that execs without a document takes the process from.
    pub document: PathBuf,
}

impl State {
    /// Reads the state of `id` below `root`.
    ///
    /// # Errors
    /// That there is none, or that it can't be read.
    pub fn read(root: &Path, id: &OsStr) -> Result<State> {
        let folder = folder(root, id)?;
        let crun = folder.join("status");
        if crun.exists() {
            let status: CrunStatus = parse(&crun)?;
            let init = ProcessKey { pid: status.pid, start: status.start };
            // crun keeps its own copy of config.json and execs by that.
            let copy = folder.join("config.json");
            let document = if copy.exists() { copy } else { status.bundle.join("config.json") };
            return Ok(State { format: Format::Status, bundle: status.bundle, init, document });
        }
        let path = folder.join("state.json");
        let state: StateJson = parse(&path)?;
        let labels = state.config.map(|c| c.labels).unwrap_or_default();
        let labelled = labels.iter().find_map(|l| l.strip_prefix("bundle=")).map(PathBuf::from);
        let bundle = labelled.or(state.bundle).ok_or_else(|| Error::Content {
            path: path.clone(),
            why: "doesn't say where the bundle is".to_owned(),
        })?;
        let pid = state.init_process_pid.or(state.pid).unwrap_or_default();
        let start = match state.init_process_start {
            Some(start) => start,
            None => ProcessKey::of(pid).map_or(0, |k| k.start),
        };
        let (document, init) = (bundle.join("config.json"), ProcessKey { pid, start });
        Ok(State { format: Format::StateJson, bundle, init, document })
    }
}

/// The state folder of `id`.
///
/// # Errors
/// An id that would lead out of the root.
pub fn folder(root: &Path, id: &OsStr) -> Result<PathBuf> {
    if matches!(id.as_bytes(), b"" | b"." | b"..") || id.as_bytes().contains(&b'/') {
        return Err(Error::Other(format!(
            "{} is no container id; use letters, digits and \"_+-.\"",
            crate::quote::quoted(id.as_bytes())
        )));
    }
    Ok(root.join(id))
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = file::read_text(path, LIMIT)?;
    serde_json::from_str(&text).map_err(|why| Error::Content {
        path: path.to_path_buf(),
        why: format!("can't be read as the runtime's state: {}", told(why)),
    })
}

/// crun's `status`: crun src/libcrun/status.c.
#[derive(Deserialize)]
struct CrunStatus {
    pid: u32,
    #[serde(rename = "process-start-time", default)]
    start: u64,
    bundle: PathBuf,
}

/// runc's state.json (libcontainer `State`), and youki's.
#[derive(Deserialize)]
struct StateJson {
    init_process_pid: Option<u32>,
    init_process_start: Option<u64>,
    config: Option<StateConfig>,
    pid: Option<u32>,
    bundle: Option<PathBuf>,
}

#[derive(Deserialize)]
struct StateConfig {
    #[serde(default, alias = "Labels")]
    labels: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_resolved_alike_whether_or_not_it_leads_over_a_link() {
        let room = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(room.path()).unwrap();
        fs::create_dir_all(real.join("a/b")).unwrap();
        std::os::unix::fs::symlink("a", real.join("link")).unwrap();
        for path in ["a/b", "link/b", "a/../link/b", "a/./b", "a//b", "a/b/"] {
            assert_eq!(resolved(&real.join(path)).unwrap(), real.join("a/b"), "{path}");
        }
        assert_eq!(resolved(&real.join("link")).unwrap(), real.join("a"), "a link at the end");
        assert_eq!(resolved(&real.join("none")), None);
        assert_eq!(resolved(Path::new(".")).unwrap(), std::env::current_dir().unwrap());
    }
}
