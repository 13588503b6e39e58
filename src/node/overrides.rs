//! The override file: which limits of a container a person has set to stay, and what its engine itself sent last.
//!
//! Two names lead to it below our own folder, for root alone like the records:
//!
//! - `overrides/<pod>/<container>` is the file. It belongs to the pod and the container's name in it, so that the next
//!   attempt of a container finds what the last one had. Without a pod it belongs to the runtime's root and the id.
//! - `overridden/<root>/<id>` is a link to it, made where the file is first needed: by it an engine's `update` finds
//!   out with one failed lookup that there is nothing to keep.
//!
//! Its life: `cgroup-updater` makes it, `create` hands it on to the next attempt, and it goes away with the pod's last
//! container, the sandbox counted, or with the delete of a container that is in no pod. What a crash left behind is
//! collected by the next `cgroup-updater set`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::file::{self, Like};
use super::record::{self, Key, encode};
use super::transaction::Lock;
use super::{clock, folder};
use crate::error::{Error, Result};
use crate::policy::subject::Pod;
use crate::quote::told;
use crate::resize::field::Field;
use crate::resize::sticky::settled;

/// The folder of the files.
const OVERRIDES: &str = "overrides";

/// The folder of the links.
const OVERRIDDEN: &str = "overridden";

/// The version of the file's format.
const FORMAT: u32 = 1;

/// A file is a page of text.
const LIMIT: u64 = 4 * 1024 * 1024;

/// How long one waits for another who changes a file: that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whose file it is, as the names of its folder and of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    folder: String,
    name: String,
}

impl Owner {
    /// The owner of a container's file.
    pub fn of(key: &Key, pod: &Pod) -> Owner {
        let (group, name) = match (pod_words(pod), &pod.container) {
            (Some(group), Some(name)) => (group, name.as_bytes()),
            _ => (words(&[b"root", key.root.as_os_str().as_bytes()]), key.id.as_bytes()),
        };
        Owner { folder: encode(&group), name: encode(name) }
    }

    /// The owner for a container of a pod that is known only by its uid.
    pub fn in_pod(uid: &str, container: &str) -> Owner {
        Owner { folder: encode(&words(&[b"uid", uid.as_bytes()])), name: encode(container.as_bytes()) }
    }

    fn path(&self) -> Result<PathBuf> {
        Ok(folder::path()?.join(OVERRIDES).join(&self.folder).join(&self.name))
    }
}

/// What a pod's folder is called after: its uid, else its name. Kinds don't meet.
fn pod_words(pod: &Pod) -> Option<Vec<u8>> {
    match (&pod.uid, &pod.namespace, &pod.name) {
        (Some(uid), _, _) => Some(words(&[b"uid", uid.as_bytes()])),
        (None, Some(namespace), Some(name)) => Some(words(&[b"pod", namespace.as_bytes(), name.as_bytes()])),
        _ => None,
    }
}

fn words(parts: &[&[u8]]) -> Vec<u8> {
    parts.join(&b'/')
}

/// One override.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// What stays, as the field's value in a document.
    pub value: Json,
    /// Since when, in RFC 3339.
    pub since: String,
}

/// The file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overrides {
    format: u32,
    /// The pod's names and the container's.
    pub pod: Pod,
    /// What stays.
    pub held: BTreeMap<Field, Held>,
    /// What the engine sent last, all documents together. Until its first update since the file was made that isn't
    /// known for sure: then several documents stand here, the likeliest first.
    pub last: Vec<Json>,
}

impl Overrides {
    /// A file that holds nothing yet.
    pub fn new(pod: Pod, last: Vec<Json>) -> Overrides {
        Overrides { format: FORMAT, pod, held: BTreeMap::new(), last }
    }

    /// The values that stay.
    pub fn values(&self) -> BTreeMap<Field, Json> {
        self.held.iter().map(|(field, held)| (field.clone(), held.value.clone())).collect()
    }

    /// What the engine says now, as far as it is known.
    pub fn engines(&self) -> Json {
        settled(&self.last, &Json::Null).unwrap_or_default()
    }

    /// Sets an override, or ends it.
    pub fn put(&mut self, field: &Field, value: Option<&Json>) {
        match value {
            None => drop(self.held.remove(field)),
            Some(value) if self.held.get(field).is_some_and(|held| held.value == *value) => {}
            Some(value) => {
                drop(self.held.insert(field.clone(), Held { value: value.clone(), since: clock::now() }));
            }
        }
    }
}

/// Whether there may be any override file at all.
pub fn any() -> bool {
    folder::may_hold(OVERRIDDEN)
}

/// The file of a container, by the link.
///
/// # Errors
/// That it is damaged.
pub fn of(key: &Key) -> Result<Option<(Owner, Overrides)>> {
    let link = link(key)?;
    let Ok(target) = fs::read_link(&link) else { return Ok(None) };
    let part =
        |path: Option<&Path>| path.and_then(Path::file_name).and_then(OsStr::to_str).map(str::to_owned);
    let (Some(folder), Some(name)) = (part(target.parent()), part(Some(&target))) else { return Ok(None) };
    let owner = Owner { folder, name };
    Ok(at(&owner)?.map(|file| (owner, file)))
}

/// The file of an owner.
///
/// # Errors
/// That it is damaged.
pub fn at(owner: &Owner) -> Result<Option<Overrides>> {
    let path = owner.path()?;
    let text = match file::read_text(&path, LIMIT) {
        Err(why) if why.is_not_found() => return Ok(None),
        other => other?,
    };
    let damaged = |why: String| Error::Content { path: path.clone(), why };
    let found: Overrides =
        serde_json::from_str(&text).map_err(|why| damaged(format!("is damaged: {}", told(why))))?;
    match found.format {
        FORMAT => Ok(Some(found)),
        other => Err(damaged(format!("has format {other}, and this program reads format {FORMAT}"))),
    }
}

/// Writes the file of an owner.
///
/// # Errors
/// That it can't be written; the old one is then untouched.
pub fn save(owner: &Owner, overrides: &Overrides) -> Result<()> {
    let text = serde_json::to_vec(overrides).map_err(|why| Error::Other(why.to_string()))?;
    let write = || {
        folder::make(&[OVERRIDES, &owner.folder])?;
        file::replace(&owner.path()?, &[&text], Like::Mode(0o600))
    };
    // the folder goes away with its last file, which may be now
    write().or_else(|why| if why.is_not_found() { write() } else { Err(why) })
}

/// Takes the file away.
///
/// # Errors
/// That it is there, and can't be removed.
pub fn remove(owner: &Owner) -> Result<()> {
    let path = owner.path()?;
    match fs::remove_file(&path) {
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::io("remove", &path))?,
    }
    // one that holds more stays
    let _ = path.parent().map(fs::remove_dir);
    Ok(())
}

/// Has the container's updates find the file.
///
/// # Errors
/// That the link can't be made.
pub fn attach(key: &Key, owner: &Owner) -> Result<()> {
    folder::make(&[OVERRIDDEN, &encode(key.root.as_os_str().as_bytes())])?;
    let (link, target) =
        (link(key)?, Path::new("../..").join(OVERRIDES).join(&owner.folder).join(&owner.name));
    if fs::read_link(&link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let _ = fs::remove_file(&link);
    symlink(&target, &link).map_err(Error::io("make the link", &link))
}

/// Takes the container's link away.
pub fn detach(key: &Key) {
    if let Ok(link) = link(key) {
        let _ = fs::remove_file(link);
    }
}

fn link(key: &Key) -> Result<PathBuf> {
    let root = encode(key.root.as_os_str().as_bytes());
    Ok(folder::path()?.join(OVERRIDDEN).join(root).join(encode(key.id.as_bytes())))
}

/// Forgets a container that is deleted, and its record with it: its file goes away with the last container of the pod.
pub fn forget(key: &Key) {
    if !any() {
        return record::forget(key);
    }
    let pod = record::stored(key).map(|record| record.pod);
    detach(key);
    record::forget(key);
    let Ok(pod) = pod else { return };
    let Ok(files) = folder::path().map(|ours| ours.join(OVERRIDES)) else { return };
    match pod_words(&pod).map(|group| files.join(encode(&group))) {
        Some(group) if group.exists() && !is_inhabited(&pod) => drop(fs::remove_dir_all(group)),
        Some(_) => {}
        None => drop(remove(&Owner::of(key, &pod))),
    }
}

/// Whether a container of this pod has a record.
fn is_inhabited(pod: &Pod) -> bool {
    let records = record::all().unwrap_or_default();
    let mut pods = records.iter().filter_map(|key| record::stored(key).ok()).map(|record| record.pod);
    let group = pod_words(pod);
    pods.any(|other| pod_words(&other) == group)
}

/// Collects the files that no container has a record for any more: what was never deleted left them.
pub fn sweep() {
    let Ok(files) = folder::path().map(|ours| ours.join(OVERRIDES)) else { return };
    let Ok(entries) = fs::read_dir(files) else { return };
    let records = record::all().unwrap_or_default();
    let known = records.iter().filter_map(|key| Some((key, record::stored(key).ok()?.pod)));
    // a sandbox has no file of its own, and keeps those of its pod
    let known = known.flat_map(|(key, pod)| {
        [Some(Owner::of(key, &pod).folder), pod_words(&pod).map(|group| encode(&group))]
    });
    let known: Vec<String> = known.flatten().collect();
    for entry in entries.flatten() {
        if !known.iter().any(|folder| entry.file_name() == folder.as_str()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Reads and writes of one file don't meet while this is held; `None` where somebody holds it for too long, or it can't
/// be had: then it goes without.
pub fn lock() -> Option<Lock> {
    Lock::take([OVERRIDES], Instant::now() + PATIENCE).ok().flatten()
}
