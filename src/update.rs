//! Limits that a person has set to stay, against an engine that sends its whole stored set again: `update` hands the
//! two on merged, and `create` gives a container's next attempt what the last one had.
//!
//! Nothing here stops an engine. What goes wrong is told in the audit log, and its words go through as they came.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::argv::{Source, Update};
use crate::error::{Error, Result};
use crate::node::audit::Resize;
use crate::node::bundle;
use crate::node::config::PassThrough;
use crate::node::memory::{self, Sheet};
use crate::node::overrides::{self, Overrides, Owner};
use crate::node::record::Key;
use crate::node::{file, state, version};
use crate::outcome::Account;
use crate::policy::subject::Pod;
use crate::resize::sticky::{self, Edit, Merge};
use crate::spec::{ConfigDocument, Splice, Value, resources};

/// The words to hand on in place of `words`, with their document on stdin; none where they go on as they came.
pub fn merged(
    update: &Update,
    words: &[OsString],
    settings: &PassThrough,
    runtime: &Path,
) -> Option<Vec<OsString>> {
    if !settings.check_before_update && !overrides::any() {
        return None;
    }
    let root = state::root(update.target.root.as_deref(), || version::of(runtime).kind).ok()?;
    let key = Key::new(root, &update.target.id).ok()?;
    let check = settings.check_before_update && version::of(runtime).checks_before_update();
    let found = overrides::of(&key);
    if !check && matches!(found, Ok(None)) {
        return None;
    }
    file::reserve_standard_descriptors();
    let mut account = Account::begin("update", &update.target.id);
    account.root = key.root.to_string_lossy().into_owned();
    account.runtime = version::of(runtime).name();
    account.verdict = "keep".to_owned();
    let handed = found.and_then(|_| hand_on(update, words, &key, check, &mut account));
    let told = handed.unwrap_or_else(|why| {
        account.verdict = "error".to_owned();
        account.reason = Some(format!("{why}; the engine's update goes through as it is"));
        None
    });
    if account.reason.is_some() || account.resize.as_ref().is_some_and(|resize| !resize.is_empty()) {
        account.engine_of_config();
        // nobody waits for a word of ours here
        let _ = account.write();
    }
    told
}

/// Reads what the engine sends, and puts what is handed on in its place.
fn hand_on(
    update: &Update,
    words: &[OsString],
    key: &Key,
    check: bool,
    account: &mut Account,
) -> Result<Option<Vec<OsString>>> {
    // before anything is taken from stdin, which can't be given back
    let sheet = Sheet::new("resources in memory")?;
    let by_stdin = update.source == Source::Stdin;
    let sent = match &update.source {
        Source::Stdin => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map(|_| bytes).map_err(Error::io("read", Path::new("stdin")))?
        }
        Source::File(path) => file::open_regular(path)?.read(bundle::LIMIT)?,
        Source::Flags(document) => document.to_string().into_bytes(),
        Source::Unknown(why) => return Err(Error::Other(why.clone())),
    };
    let merged = keep(&sent, key, check, account);
    let merged = merged.unwrap_or_else(|why| {
        account.verdict = "error".to_owned();
        account.reason = Some(format!("{why}; the engine's update goes through as it is"));
        None
    });
    let Some(text) = merged else {
        if by_stdin {
            sheet.write(&[&sent]).and_then(memory::as_stdin)?;
        }
        return Ok(None);
    };
    account.verdict = "change".to_owned();
    sheet.write(&[text.as_bytes()]).and_then(memory::as_stdin)?;
    Ok(Some(if by_stdin { words.to_vec() } else { update.words() }))
}

/// The engine's document with what stays written into it; none where it says that already.
fn keep(
    sent: &[u8],
    key: &Key,
    check: bool,
    account: &mut Account,
) -> std::result::Result<Option<String>, String> {
    let text = std::str::from_utf8(sent).map_err(|_| "the document is not UTF-8".to_owned())?;
    let document: Json =
        serde_json::from_str(text).map_err(|why| format!("the document can't be read: {why}"))?;
    let held = overrides::lock();
    let mut edits = Vec::new();
    if let Some((owner, file)) = overrides::of(key).map_err(|why| why.to_string())? {
        account.pod = file.pod.clone();
        edits = meet(&owner, file, &document, account).edits;
    }
    // the runtime that we become must not hold it
    drop(held);
    let mut splice = Splice::new(text);
    resources::write(Value::whole(text), "the document", &edits, check, &mut splice)?;
    let merged = Some(splice.to_text()).filter(|merged| merged != text);
    if merged.is_some() && check {
        let resize = account.resize.get_or_insert_default();
        resize.changes.push("memory.checkBeforeUpdate true".to_owned());
    }
    Ok(merged)
}

/// The container's next attempt: what has to be written into its limits. Empty where nothing stays.
pub fn reapplied(key: &Key, pod: &Pod, document: &ConfigDocument<'_>, account: &mut Account) -> Vec<Edit> {
    if !overrides::any() {
        return Vec::new();
    }
    let owner = Owner::of(key, pod);
    if pod.container.is_none() {
        // an id that is used again never meets an older container's limits
        let _ = overrides::remove(&owner);
        overrides::detach(key);
        return Vec::new();
    }
    let done = reapply(key, &owner, document, account);
    done.unwrap_or_else(|why| {
        account.reason = Some(format!("{why}; the container starts with its engine's limits"));
        Vec::new()
    })
}

fn reapply(
    key: &Key,
    owner: &Owner,
    document: &ConfigDocument<'_>,
    account: &mut Account,
) -> std::result::Result<Vec<Edit>, String> {
    let _held = overrides::lock();
    let Some(file) = overrides::at(owner).map_err(|why| why.to_string())? else { return Ok(Vec::new()) };
    overrides::attach(key, owner).map_err(|why| why.to_string())?;
    let sent = match document.resources()? {
        Some(text) => {
            serde_json::from_str(text).map_err(|why| format!("linux.resources can't be read: {why}"))?
        }
        None => json!({}),
    };
    let edits = meet(owner, file, &sent, account).edits;
    // what can't be written is found out now, when nothing is written yet
    document.write_resources(&edits, &mut Splice::new("")).map(|()| edits)
}

/// What is held meets what the engine sends: the file is brought up to date, and the account says what came of it.
fn meet(owner: &Owner, mut file: Overrides, sent: &Json, account: &mut Account) -> Merge {
    let before = file.clone();
    let last = sticky::settled(&file.last, sent);
    let merge = sticky::merge(sent, last.as_ref(), &file.values());
    let mut last = last.unwrap_or_default();
    sticky::remember(&mut last, sent);
    file.last = vec![last];
    merge.ended.iter().for_each(|ended| file.put(&ended.field, None));
    if file != before
        && let Err(why) = overrides::save(owner, &file)
    {
        account.reason = Some(format!("{why}; what the engine says now isn't remembered"));
    }
    account.resize = Some(told(&merge, sent, &file));
    merge
}

fn told(merge: &Merge, sent: &Json, file: &Overrides) -> Resize {
    let changes = merge.edits.iter().map(|edit| {
        let value = file.held.get(&edit.field).map_or(&edit.value, |held| &held.value);
        let engine = edit.field.get(sent).map(|value| format!("{} → ", sticky::words(&edit.field, value)));
        format!("{} {}{}", edit.field, engine.unwrap_or_default(), sticky::words(&edit.field, value))
    });
    let ended = merge.ended.iter().map(|ended| {
        let held = sticky::words(&ended.field, &ended.held);
        match &ended.engine {
            Some(engine) => {
                format!("{} {held}; the engine sets {}", ended.field, sticky::words(&ended.field, engine))
            }
            None => format!("{} {held}; it goes with those that the engine sets", ended.field),
        }
    });
    Resize {
        transaction: None,
        changes: changes.collect(),
        sticky: file.held.keys().map(ToString::to_string).collect(),
        ended: ended.collect(),
        waiting: merge.waiting.iter().map(ToString::to_string).collect(),
    }
}
