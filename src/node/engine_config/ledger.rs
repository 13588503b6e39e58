//! What `install` did, so that `uninstall` can undo it: for each handler a folder below /var/lib/runc-strict/install
//! with the text of every file before and after.
//!
//! The texts are kept whole and not as a checksum: a file that still is what we wrote becomes what it was, byte for
//! byte, and an administrator finds the old one without us. They may hold registry passwords, so they are for their
//! owner alone. The ledger is written before the files: whatever is interrupted, the old text is there.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Change;
use super::host::Host;
use crate::error::{Error, Result};
use crate::policy::rules::Engine;
use crate::quote::told;

/// Where the ledgers are.
const FOLDER: &str = "/var/lib/runc-strict/install";

/// The name of the list in a ledger's folder.
const LIST: &str = "ledger.json";

/// One file that was changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The file, as the host names it.
    pub path: PathBuf,
    /// Its text before; none where there was no such file.
    #[serde(skip)]
    pub before: Option<String>,
    /// The text that was written.
    #[serde(skip)]
    pub written: String,
    /// Whether there was such a file.
    existed: bool,
    /// The first folder that had to be made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<PathBuf>,
}

/// What is known of one handler.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ledger {
    v: u32,
    engine: Engine,
    handler: String,
    /// The files that were changed.
    pub files: Vec<Entry>,
}

impl Ledger {
    /// An empty one.
    pub fn new(engine: Engine, handler: &str) -> Ledger {
        Ledger { v: 1, engine, handler: handler.to_owned(), files: Vec::new() }
    }

    /// The ledger's folder.
    pub fn folder(&self) -> PathBuf {
        Path::new(FOLDER).join(format!("{}-{}", self.engine.name(), self.handler))
    }

    /// The ledger of `handler`; none where there is none.
    ///
    /// # Errors
    /// That it can't be read.
    pub fn read(host: &Host, engine: Engine, handler: &str) -> Result<Option<Ledger>> {
        let folder = Ledger::new(engine, handler).folder();
        let list = folder.join(LIST);
        let Some(text) = host.read(&list)? else { return Ok(None) };
        let mut ledger: Ledger = serde_json::from_str(&text)
            .map_err(|why| Error::Content { path: host.real(&list), why: told(why) })?;
        for (n, entry) in ledger.files.iter_mut().enumerate() {
            let stored = |name: &str| {
                let path = folder.join(format!("{n}.{name}"));
                let why = "is missing, and it is what uninstall goes by".to_owned();
                host.read(&path)?.ok_or_else(|| Error::Content { path: host.real(&path), why })
            };
            entry.before = if entry.existed { Some(stored("before")?) } else { None };
            entry.written = stored("written")?;
        }
        Ok(Some(ledger))
    }

    /// The entry of a file.
    pub fn entry(&self, path: &Path) -> Option<&Entry> {
        self.files.iter().find(|entry| entry.path == path)
    }

    /// Does what `changes` say, and remembers it. `without` gives a file's text without the handler: what it was
    /// before, where somebody else changed it since the last time.
    ///
    /// # Errors
    /// Which step failed. What was written until then is in the ledger.
    pub fn apply(
        &mut self,
        host: &Host,
        changes: &[Change],
        without: impl Fn(&Path, &str) -> Result<Option<String>>,
    ) -> Result<()> {
        for change in changes {
            let Some(after) = &change.after else { continue };
            let known = self.entry(&change.path);
            let before = match (known, &change.before) {
                (Some(entry), Some(now)) if entry.written == *now => entry.before.clone(),
                (_, Some(now)) => without(&change.path, now)?,
                (_, None) => None,
            };
            let made = known.and_then(|entry| entry.made.clone()).or_else(|| missing(host, &change.path));
            let existed = before.is_some();
            let entry = Entry { path: change.path.clone(), before, written: after.clone(), existed, made };
            // An entry keeps its number: its texts are stored under it.
            match self.files.iter_mut().find(|known| known.path == change.path) {
                Some(known) => *known = entry,
                None => self.files.push(entry),
            }
        }
        self.save(host)?;
        for change in changes {
            if let Some(after) = &change.after {
                // Engines' files are for everybody to read; one that is replaced keeps its mode.
                host.write(&change.path, after, 0o644)?;
            }
        }
        Ok(())
    }

    /// Undoes what [`Ledger::apply`] has just done with `changes`; `former` is what was known before it.
    ///
    /// # Errors
    /// Which step failed.
    pub fn revoke(&self, host: &Host, changes: &[Change], former: Option<&Ledger>) -> Result<()> {
        for change in changes.iter().rev() {
            match &change.before {
                Some(text) => host.write(&change.path, text, 0o644).map(|_| ())?,
                None => host.remove(&change.path)?,
            }
        }
        match former {
            Some(former) => former.save(host),
            None => {
                self.remove_made(host);
                self.forget(host)
            }
        }
    }

    fn save(&self, host: &Host) -> Result<()> {
        let folder = self.folder();
        for (n, entry) in self.files.iter().enumerate() {
            if let Some(before) = &entry.before {
                host.write(&folder.join(format!("{n}.before")), before, 0o600)?;
            }
            host.write(&folder.join(format!("{n}.written")), &entry.written, 0o600)?;
        }
        let text = serde_json::to_string_pretty(self).map_err(|why| Error::Other(why.to_string()))?;
        host.write(&folder.join(LIST), &format!("{text}\n"), 0o600).map(|_| ())
    }

    /// Removes the folders that were made, as far as they are empty now.
    pub fn remove_made(&self, host: &Host) {
        for folder in self.files.iter().filter_map(|entry| entry.made.as_ref()) {
            host.remove_empty(folder);
        }
    }

    /// Forgets the handler: its folder goes away.
    ///
    /// # Errors
    /// What the system said.
    pub fn forget(&self, host: &Host) -> Result<()> {
        let folder = self.folder();
        for path in host.list(&folder) {
            host.remove(&path)?;
        }
        host.remove_empty(Path::new("/var/lib/runc-strict"));
        Ok(())
    }

    /// Whether the ledger of any handler is kept.
    pub fn any(host: &Host) -> bool {
        !host.list(Path::new(FOLDER)).is_empty()
    }

    /// Whether another handler's ledger is kept beside this one.
    pub fn has_others(&self, host: &Host) -> bool {
        let ours = self.folder();
        host.list(Path::new(FOLDER)).iter().any(|folder| *folder != ours)
    }
}

/// The topmost folder that has to be made before there can be a file at `path`.
fn missing(host: &Host, path: &Path) -> Option<PathBuf> {
    path.ancestors().skip(1).take_while(|folder| !host.exists(folder)).last().map(Path::to_path_buf)
}
