//! Which container is meant: by an id that may be shortened, by a pod, by a runtime root.
//!
//! Records come first. Where `--root` names a runtime root, its own containers count too, recorded or not.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, show};
use crate::node::process::ProcessKey;
use crate::node::record::{self, Key, Record};
use crate::node::state::{self, State};
use crate::policy::subject::Pod;
use crate::quote::quoted;

/// A container that can be looked at.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it belongs.
    pub(super) key: Key,
    /// Its record; or why there is none.
    pub(super) record: std::result::Result<Box<Record>, String>,
    /// Its init process, where it still runs.
    pub(super) init: Option<ProcessKey>,
}

impl Found {
    /// Looks at the container with this key.
    pub(super) fn look(key: Key) -> Found {
        let stored = record::stored(&key).map_err(|why| match why.is_not_found() {
            true => "there is no record of it".to_owned(),
            false => why.to_string(),
        });
        let record = stored.and_then(|record| record::checked(&key, record));
        let bond = record.as_ref().ok().and_then(|record| record.bond).map(|bond| bond.init);
        let init = bond.or_else(|| State::read(&key.root, OsStr::new(&key.id)).ok().map(|state| state.init));
        Found { key, record, init: init.filter(|init| init.lives()) }
    }

    /// The pod's names, where a record gives them.
    pub(super) fn pod(&self) -> Option<&Pod> {
        self.record.as_ref().ok().map(|record| &record.pod)
    }
}

/// All containers that are known: every record, or what is below `root`.
///
/// # Errors
/// That the records or the root can't be read.
pub(super) fn known(root: Option<&Path>) -> Result<Vec<Key>> {
    let Some(root) = root else { return record::all() };
    let root = root_of(root)?;
    let mut keys: Vec<Key> = record::all()?.into_iter().filter(|key| key.root == root).collect();
    let entries = std::fs::read_dir(&root).map_err(Error::io("read the runtime's root", &root))?;
    for entry in entries.flatten() {
        let (name, path) = (entry.file_name(), entry.path());
        let state = ["state.json", "status"].iter().any(|file| path.join(file).is_file());
        let recorded = keys.iter().any(|key| name.to_str() == Some(&key.id));
        if state && !recorded {
            keys.extend(Key::new(root.clone(), &name));
        }
    }
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(keys)
}

fn root_of(given: &Path) -> Result<PathBuf> {
    if !given.is_dir() {
        let why = "is no runtime root: there is no such folder".to_owned();
        return Err(Error::Content { path: given.to_path_buf(), why });
    }
    state::root(Some(given), || crate::node::version::Kind::Unknown)
}

/// The one container that `word` means: its id, or the beginning of one id alone.
///
/// # Errors
/// That there is none, or more than one.
pub(super) fn one(word: &str, root: Option<&Path>) -> Result<Key> {
    let keys = known(root)?;
    let exact: Vec<&Key> = keys.iter().filter(|key| key.id == word).collect();
    let begun: Vec<&Key> = keys.iter().filter(|key| key.id.starts_with(word)).collect();
    let candidates = if exact.is_empty() { begun } else { exact };
    let word = quoted(word.as_bytes());
    match candidates.as_slice() {
        [key] if word != "\"\"" => Ok((*key).clone()),
        [] | [_] => Err(Error::Other(match root {
            Some(root) => format!("there is no container {word} below {}, nor a record of one", show(root)),
            None => format!(
                "there is no record of a container {word}; for one that runc-strict didn't start, name the \
                 runtime's root by --root DIR"
            ),
        })),
        [first, rest @ ..] if rest.iter().all(|key| key.id == first.id) => Err(Error::Other(format!(
            "container {word} is in {} runtime roots: {}; name one by --root DIR",
            candidates.len(),
            some(&candidates, |key| show(&key.root))
        ))),
        _ => Err(Error::Other(format!(
            "{word} is the beginning of {} ids: {}; write more of it",
            candidates.len(),
            some(&candidates, |key| quoted(key.id.as_bytes()))
        ))),
    }
}

/// The first few of `keys`, for a message.
fn some(keys: &[&Key], name: impl Fn(&Key) -> String) -> String {
    const SHOWN: usize = 5;
    let mut names: Vec<String> = keys.iter().take(SHOWN).map(|key| name(key)).collect();
    if keys.len() > SHOWN {
        names.push("…".to_owned());
    }
    names.join(", ")
}

/// Whether `pod` is the one that `word` means: its uid, or NAMESPACE/NAME.
pub(super) fn is_pod(pod: &Pod, word: &str) -> bool {
    match word.split_once('/') {
        Some((namespace, name)) => {
            pod.namespace.as_deref() == Some(namespace) && pod.name.as_deref() == Some(name)
        }
        None => pod.uid.as_deref() == Some(word),
    }
}

/// A pod and a container in it for people, escaped: `user-1/web, container nginx`.
pub(super) fn pod_text(pod: &Pod) -> Option<String> {
    let escaped = |text: &Option<String>| crate::quote::escaped(text.as_deref().unwrap_or("-").as_bytes());
    pod.namespace.as_ref()?;
    let mut text = format!("{}/{}", escaped(&pod.namespace), escaped(&pod.name));
    if pod.container.is_some() {
        text.push_str(&format!(", container {}", escaped(&pod.container)));
    }
    Some(text)
}
