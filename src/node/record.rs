//! The record: who a container is, written when it is created and read at every exec.
//!
//! One small file per container, `containers/<root>/<id>` below our own folder, root-only, where `<root>` is the
//! runtime's state folder in percent-encoding. Its life:
//!
//! - create and run write it, before the runtime starts. A create with a living id leaves the old one alone, since
//!   the runtime will refuse it.
//! - exec reads it. The first exec checks it against the runtime's own state and binds it to the container's state
//!   folder; from then on one stat(2) tells that it is the same container.
//! - delete forgets it. What a foreground run or a crash left behind is collected by a later create.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::file::{self, Like};
use super::folder;
use super::process::ProcessKey;
use super::state::{self, FolderKey, State};
use super::version::Binary;
use crate::error::{Error, Result, show};
use crate::policy::Identity;
use crate::policy::subject::Pod;
use crate::quote::told;

/// The folder of all records.
const CONTAINERS: &str = "containers";

/// The version of the file's format.
const FORMAT: u32 = 1;

/// The marker whose modification time says when a root was collected last.
const SWEPT: &str = ".swept";

/// How often a root is collected at most.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How many records of containers that are gone one collection looks at: a create never pays for thousands.
const SWEEP_MOST: usize = 100;

/// A record is a page of text, unless the container has thousands of groups.
const LIMIT: u64 = 32 * 1024 * 1024;

/// Which container: the runtime's state folder, normalised, and the id.
#[derive(Clone, Debug)]
pub struct Key {
    /// The runtime's state folder.
    pub root: PathBuf,
    /// The container's id.
    pub id: String,
    state: PathBuf,
}

impl Key {
    /// The key of `id` below `root`, which is normalised.
    ///
    /// # Errors
    /// An id that no runtime takes.
    pub fn new(root: PathBuf, id: &OsStr) -> Result<Key> {
        let state = state::folder(&root, id)?;
        let id = id.to_str().ok_or_else(|| {
            Error::Other(format!("container id {} is not UTF-8", crate::quote::quoted(id.as_bytes())))
        })?;
        Ok(Key { root, id: id.to_owned(), state })
    }

    fn folders(&self) -> [String; 2] {
        [CONTAINERS.to_owned(), encode(self.root.as_os_str().as_bytes())]
    }

    /// Where the record is.
    ///
    /// # Errors
    /// Where we have no folder.
    pub fn path(&self) -> Result<PathBuf> {
        let [containers, root] = self.folders();
        Ok(folder::path()?.join(containers).join(root).join(encode(self.id.as_bytes())))
    }
}

/// What is known of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The version of the format.
    pub format: u32,
    /// The container's id.
    pub id: String,
    /// The runtime's state folder.
    pub root: PathBuf,
    /// The bundle that it is made from.
    pub bundle: PathBuf,
    /// The process that creates it: ours, and after execve(2) the runtime's.
    pub creator: ProcessKey,
    /// When, in RFC 3339.
    pub time: String,
    /// The real runtime, for people.
    pub runtime: String,
    /// Whether it looks gids up by name.
    #[serde(default)]
    pub looks_up_names: bool,
    /// The file that it was.
    #[serde(default)]
    pub binary: Binary,
    /// The engine's name.
    pub engine: String,
    /// The pod's names.
    pub pod: Pod,
    /// The supplementary groups that the engine asked for.
    pub before: Vec<u32>,
    /// Whether it was known what the pod declares; the rulings then name all of it.
    #[serde(default)]
    pub declared: bool,
    /// Who the container is.
    pub identity: Identity,
    /// What the first exec found.
    pub bond: Option<Bond>,
}

/// What binds a record to the container that was made by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bond {
    /// The container's state folder.
    pub folder: FolderKey,
    /// Its init process.
    pub init: ProcessKey,
}

impl Record {
    /// The version of the format that this program writes and reads.
    pub const FORMAT: u32 = FORMAT;
}

/// Writes the record of a container that is about to be created; false where one with that id lives, whose record is
/// left alone. Before that, and at most once a minute, the records below the same root are collected whose container is
/// gone.
///
/// # Errors
/// That it can't be written, or that the same container is being created right now.
pub fn write(key: &Key, record: &Record) -> Result<bool> {
    let [containers, root] = key.folders();
    let folder = folder::make(&[&containers, &root])?;
    sweep(&key.root, &folder);
    match key.state.symlink_metadata() {
        // The runtime will refuse this create.
        Ok(_) => return Ok(false),
        Err(why) if why.kind() == ErrorKind::NotFound => {}
        Err(why) => return Err(Error::io("stat", &key.state)(why)),
    }
    let path = folder.join(encode(key.id.as_bytes()));
    let text = encoded(record)?;
    // Of two creates at once one makes it, and the other finds it; where it can't be made so, it is written as an old one is.
    if file::make(&path, &[&text]).is_ok() {
        return Ok(true);
    }
    if let Ok(old) = load(&path)
        && old.creator.pid != record.creator.pid
        && !old.creator.is_gone()
    {
        return Err(Error::Other(format!(
            "container \"{}\" is being created by process {} right now; wait for it",
            key.id, old.creator.pid
        )));
    }
    replace(&path, &[&text]).map(|()| true)
}

/// Reads the record of a container, if there is one and it is this container's, and binds it to the container.
///
/// # Errors
/// A sentence that says why there is none to go by.
pub fn read(key: &Key) -> std::result::Result<Box<Record>, String> {
    let record = stored(key).map_err(|why| why.to_string())?;
    if record.bond.is_some() {
        return checked(key, record);
    }
    let record = checked(key, record)?;
    // Without the bond the next exec looks once more; that is all.
    let _ = key.path().and_then(|path| replace(&path, &[&encoded(&record)?]));
    Ok(record)
}

/// What stands in the file of a record, whether or not it is of the container that has this id now.
///
/// # Errors
/// That there is none, or that it can't be read.
pub fn stored(key: &Key) -> Result<Box<Record>> {
    load(&key.path()?)
}

/// `record`, if it is of the container that has the key now, with its bond filled in; nothing is written.
///
/// # Errors
/// A sentence that says why it isn't.
pub fn checked(key: &Key, mut record: Box<Record>) -> std::result::Result<Box<Record>, String> {
    let now = FolderKey::of(&key.state);
    if let (Some(bond), Some(now)) = (record.bond, now)
        && bond.folder == now
    {
        return Ok(record);
    }
    let path = key.path().map_err(|why| why.to_string())?;
    if record.bond.is_some() {
        return Err(format!("{} is of an earlier container", show(&path)));
    }
    let state = State::read(&key.root, OsStr::new(&key.id)).map_err(|why| why.to_string())?;
    // Runtimes go to the bundle and ask where they are: links in its name are gone in theirs.
    let resolved = |bundle: &Path| state::resolved(bundle).unwrap_or_else(|| bundle.to_path_buf());
    if resolved(&state.bundle) != resolved(&record.bundle) || state.init.start < record.creator.start {
        return Err(format!("{} is of another container", show(&path)));
    }
    record.bond = now.map(|folder| Bond { folder, init: state.init });
    Ok(record)
}

/// The keys of all records, in the order of runtime root and id.
///
/// # Errors
/// That our folder can't be read; where there is none, there is no record.
pub fn all() -> Result<Vec<Key>> {
    let mut keys = Vec::new();
    for (root, folder) in decoded_entries(&folder::path()?.join(CONTAINERS))? {
        for (id, _) in decoded_entries(&folder)? {
            keys.extend(Key::new(PathBuf::from(&root), &id));
        }
    }
    keys.sort_by(|a, b| (&a.root, &a.id).cmp(&(&b.root, &b.id)));
    Ok(keys)
}

/// How many containers of a host live that were made by us: their record is there, and so is the runtime's state.
/// `real` tells where the host's paths are.
///
/// # Errors
/// That the host's folder can't be read.
pub fn living(real: impl Fn(&Path) -> PathBuf) -> Result<usize> {
    let mut count = 0;
    for (root, folder) in decoded_entries(&real(&Path::new(folder::RUN).join(CONTAINERS)))? {
        for (id, _) in decoded_entries(&folder)? {
            let state = real(&Path::new(&root).join(id));
            count += usize::from(state.symlink_metadata().is_ok());
        }
    }
    Ok(count)
}

/// What the names in one of our folders stand for, with their paths; names with a leading dot are ours.
fn decoded_entries(folder: &Path) -> Result<Vec<(OsString, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("read the folder", folder))?,
    };
    let named = entries.flatten().map(|entry| (entry.file_name(), entry.path()));
    let visible = named.filter(|(name, _)| !name.as_bytes().starts_with(b"."));
    Ok(visible
        .filter_map(|(name, path)| Some((OsString::from_vec(decode(name.as_bytes())?), path)))
        .collect())
}

/// Forgets a container, and removes what killed processes left in its bundle.
pub fn forget(key: &Key) {
    let Ok(path) = key.path() else { return };
    if let Ok(record) = load(&path) {
        file::sweep_temporary(&record.bundle);
    }
    let _ = fs::remove_file(&path);
    if let Ok(ours) = folder::path() {
        file::sweep_temporary(&ours);
    }
}

/// Collects, at most once a minute unless there are very many, the records of `root` in the folder `records` whose container
/// is gone. What can't be looked at stays.
fn sweep(root: &Path, records: &Path) {
    let marker = records.join(SWEPT);
    let age =
        fs::metadata(&marker).and_then(|m| m.modified()).map(|t| match SystemTime::now().duration_since(t) {
            Ok(age) => age,
            Err(ahead) => ahead.duration(),
        });
    if age.is_ok_and(|age| age < SWEEP_EVERY) || replace(&marker, &[]).is_err() {
        return;
    }
    let Ok(entries) = fs::read_dir(records) else { return };
    let mut looked_at = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(id) = decode(name.as_bytes()).filter(|_| !name.as_bytes().starts_with(b".")) else {
            continue;
        };
        match root.join(OsStr::from_bytes(&id)).symlink_metadata() {
            Err(why) if why.kind() == ErrorKind::NotFound => {}
            _ => continue,
        }
        if looked_at == SWEEP_MOST {
            // The next create goes on here.
            let _ = fs::remove_file(&marker);
            return;
        }
        looked_at += 1;
        let is_stale = match load(&entry.path()) {
            // Its creator may not have come as far as making the state folder.
            Ok(record) => record.creator.is_gone(),
            Err(why) => !matches!(why, Error::Io { .. }),
        };
        if is_stale {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Replaces one of our files.
fn replace(path: &Path, pieces: &[&[u8]]) -> Result<()> {
    file::replace_by(&folder::temporary(path)?, path, pieces, Like::Mode(0o600))
}

/// Boxed, as are all that come from here: on an exec's stack each place for one more would be a seventh of a page.
fn load(path: &Path) -> Result<Box<Record>> {
    parsed(path, &file::read_text(path, LIMIT)?)
}

/// What a record's text says. Apart from `load`, so that there is no room for a record on the stack, of which a page more would
/// have to be made, while the file is read.
#[inline(never)]
fn parsed(path: &Path, text: &str) -> Result<Box<Record>> {
    let damaged = |why: String| Error::Content { path: path.to_path_buf(), why };
    let record: Box<Record> =
        serde_json::from_str(text).map_err(|why| damaged(format!("is damaged: {}", told(why))))?;
    match record.format {
        FORMAT => Ok(record),
        other => Err(damaged(format!("has format {other}, and this program reads format {FORMAT}"))),
    }
}

fn encoded(record: &Record) -> Result<Vec<u8>> {
    serde_json::to_vec(record).map_err(|why| Error::Other(format!("can't write the record: {why}")))
}

/// Percent-encoding, so that any path or id is one file name, and no two are the same. A leading dot is encoded
/// too: names with one are ours.
pub(super) fn encode(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |n: u8| DIGITS.get(usize::from(n)).copied().unwrap_or_default();
    let mut out = String::with_capacity(bytes.len() + 16);
    for (n, byte) in bytes.iter().enumerate() {
        match byte {
            b'.' if n == 0 => out.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'+' => {
                out.push(char::from(*byte))
            }
            other => out.extend(['%', digit(other >> 4), digit(other & 15)]),
        }
    }
    out
}

/// The inverse of [`encode`].
fn decode(name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    loop {
        match rest {
            [] => return Some(out),
            [b'%', high, low, tail @ ..] => {
                let hex = [*high, *low];
                out.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
                rest = tail;
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_encoded_without_loss_and_never_leads_anywhere() {
        for name in ["/run/containerd/runc/k8s.io", "a%2Fb", ".", "..", ".hidden", "ä b", "plain-ID_1.2+3"] {
            let encoded = encode(name.as_bytes());
            assert!(!encoded.contains('/') && !encoded.starts_with('.'), "{encoded}");
            assert_eq!(decode(encoded.as_bytes()).as_deref(), Some(name.as_bytes()));
        }
        assert_eq!(encode(b"/run/runc"), "%2Frun%2Frunc");
    }
}
