//! The real runtime: where it is, what kind it is, and how we become it.
//!
//! We become it by execve(2) and never by fork(2): the parent-death signal, stdin, inherited file descriptors,
//! the exit code and the console socket then pass through without our doing.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{file, folder, version};
use crate::error::{Error, Result, show};
use crate::quote::quoted;

/// Where a runtime that is given by name is looked for. An engine may call us without PATH, and PATH is nothing
/// to trust.
pub const SEARCH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Counts how often we became a runtime that became us again. It is the only thing that we add to the runtime's
/// environment.
pub const DEPTH: &str = "RUNC_STRICT_DEPTH";

/// A runtime may call us again on purpose (a hook that asks for a state); a loop goes on for ever.
const DEPTH_MAX: u32 = 8;

/// The name of the link to the runtime that was found last.
const LINK: &str = "runtime";

/// Finds the runtime that `word` names: an absolute path, or a name on the search path.
///
/// # Errors
/// That there is none, or that it is ourselves.
pub fn locate(word: &str) -> Result<PathBuf> {
    let (path, found) = find(word)?;
    if word.starts_with('/') {
        check(&path, &found)?;
    }
    Ok(path)
}

/// That what was found isn't ourselves.
///
/// # Errors
/// That it is.
pub fn check(path: &Path, found: &Metadata) -> Result<()> {
    if !is_us(found) {
        return Ok(());
    }
    Err(Error::Other(format!(
        "the real runtime {} is runc-strict itself; set runtime to runc or crun in {}",
        show(path),
        show(&super::config::path())
    )))
}

/// As [`check`], of a binary that is known to have answered.
///
/// # Errors
/// As [`check`].
pub fn check_answered(path: &Path, found: &Metadata) -> Result<()> {
    if is_first_round() { Ok(()) } else { check(path, found) }
}

/// Who has answered to us is another program; so /proc isn't asked, whose entries the kernel makes anew for each process,
/// which takes ten times as long as reading a link. It may be another copy of ours that was answered, by us: then we become
/// ourselves once, and the next round asks /proc.
fn is_us(found: &Metadata) -> bool {
    let same = |us: Metadata| (us.dev(), us.ino()) == (found.dev(), found.ino());
    let is_another = is_first_round() && version::is_known(found);
    !is_another && fs::metadata("/proc/self/exe").is_ok_and(same)
}

/// Whether nobody has become a runtime before us.
fn is_first_round() -> bool {
    env::var_os(DEPTH).is_none()
}

/// As [`locate`], with what was found there; but what an absolute path names may be ourselves: [`check`] tells.
///
/// # Errors
/// That there is no program.
pub fn find(word: &str) -> Result<(PathBuf, Metadata)> {
    if word.starts_with('/') {
        let path = PathBuf::from(word);
        let found = fs::metadata(&path).map_err(Error::io("find the real runtime", &path))?;
        if !is_program(&found) {
            let why = "is the configured runtime, and no program that can be executed".to_owned();
            return Err(Error::Content { path, why });
        }
        return Ok((path, found));
    }
    if word.is_empty() || word.contains('/') {
        return Err(Error::Other(format!(
            "runtime = {} in {} is neither an absolute path nor a name",
            quoted(word.as_bytes()),
            show(&super::config::path())
        )));
    }
    let usable = |folder: &&str| {
        let path = Path::new(folder).join(word);
        let found = fs::metadata(&path).ok().filter(|found| is_program(found) && !is_us(found))?;
        Some((path, found))
    };
    SEARCH.iter().find_map(usable).ok_or_else(|| {
        Error::Other(format!(
            "there is no runtime called {} in {}; install it, or set runtime in {}",
            quoted(word.as_bytes()),
            SEARCH.join(":"),
            show(&super::config::path())
        ))
    })
}

fn is_program(found: &Metadata) -> bool {
    found.is_file() && found.mode() & 0o111 != 0
}

/// The runtime for pass-through: as configured, else the one that was found last; where the configuration can't be read
/// that one comes first, because the default may be a runtime that has none of the containers.
///
/// # Errors
/// What kept the configured one from being found, where nothing was found before either.
pub fn for_pass_through() -> Result<PathBuf> {
    configured(&super::config::for_pass_through())
}

/// The same, by what was read already.
///
/// # Errors
/// As [`for_pass_through`].
pub fn configured(settings: &super::config::PassThrough) -> Result<PathBuf> {
    match &settings.runtime {
        Some(word) => locate(word).or_else(|why| last().ok_or(why)),
        None => last().map_or_else(|| locate(super::config::RUNTIME), Ok),
    }
}

/// The runtime that was found last, if it is still there.
fn last() -> Option<PathBuf> {
    let link = folder::path().ok()?.join(LINK);
    fs::read_link(link).ok().filter(|path| path.exists())
}

/// Remembers where the runtime is, for a day on which the configuration can't be read. What fails is no reason
/// to stop a container.
pub fn remember(runtime: &Path) {
    let Ok(link) = folder::path().map(|folder| folder.join(LINK)) else { return };
    if fs::read_link(&link).is_ok_and(|old| old == runtime) {
        return;
    }
    if folder::make(&[]).is_err() {
        return;
    }
    let _ = file::replace_link(&link, runtime);
}

/// Becomes the runtime: execve(2) with its path as `argv[0]` (crun reads a handler from there) and `words` after it.
/// It comes back only if that failed.
///
/// # Errors
/// That it can't be executed, or that we have become each other too often.
pub fn become_it(runtime: &Path, words: &[OsString]) -> Result<std::convert::Infallible> {
    let depth = env::var(DEPTH).ok().and_then(|d| d.parse().ok()).unwrap_or(0u32);
    if depth >= DEPTH_MAX {
        return Err(Error::Other(format!(
            "the real runtime {} calls runc-strict again without end; set runtime in {} to runc or crun itself",
            show(runtime),
            show(&super::config::path())
        )));
    }
    let nul = |_| Error::Other("an argument holds a NUL character".to_owned());
    let c_string = |text: &OsStr| CString::new(text.as_bytes()).map_err(nul);
    let path = c_string(runtime.as_os_str())?;
    let mut argv = Vec::with_capacity(words.len() + 1);
    argv.push(path.clone());
    for word in words {
        argv.push(c_string(word)?);
    }
    let mut environment = Vec::with_capacity(32);
    for (key, value) in env::vars_os().filter(|(key, _)| key != DEPTH) {
        let mut entry = key.into_vec();
        entry.push(b'=');
        entry.extend(value.into_vec());
        environment.push(CString::new(entry).map_err(nul)?);
    }
    environment.push(CString::new([DEPTH, "=", &(depth + 1).to_string()].concat()).map_err(nul)?);
    nix::unistd::execve(&path, &argv, &environment).map_err(Error::io("execute", runtime))
}
