//! CRI-O's configuration: crio.conf and then every file of crio.conf.d in the order of names; the last one that sets
//! a key, or a handler, has the last word (CRI-O: pkg/config/config.go, UpdateFromPath). A handler is a drop-in file
//! of its own. CRI-O hands every pod annotation to the runtime.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::document::{self, is_zero};
use super::host::Host;
use super::{Change, Found, HEADER, Handler, Plan, Wish, drop_in, is_ours, taken};
use crate::error::{Error, Result};
use crate::quote::quoted;

/// The main file.
const PATH: &str = "/etc/crio/crio.conf";

/// The folder of drop-in files.
const FOLDER: &str = "/etc/crio/crio.conf.d";

const RUNTIMES: [&str; 3] = ["crio", "runtime", "runtimes"];

const DEFAULT: [&str; 3] = ["crio", "runtime", "default_runtime"];

/// The runtime's state folder where none is named; ours is never empty, so that records have one name.
const ROOT: &str = "/run/runc";

/// Keys of the default handler that hold for ours too, where they are set.
const SHARED: [&str; 8] = [
    "allowed_annotations",
    "container_min_memory",
    "monitor_cgroup",
    "monitor_env",
    "monitor_exec_cgroup",
    "monitor_path",
    "no_sync_log",
    "privileged_without_host_devices",
];

fn files(host: &Host) -> Result<Vec<(PathBuf, DocumentMut)>> {
    let mut files = Vec::new();
    for path in std::iter::once(PathBuf::from(PATH)).chain(host.list(Path::new(FOLDER))) {
        if host.metadata(&path).is_some_and(|found| found.is_dir()) {
            continue;
        }
        if let Some(text) = host.read(&path)? {
            let document = document::parse(&text, &host.real(&path))?;
            files.push((path, document));
        }
    }
    Ok(files)
}

fn last<'f>(files: &'f [(PathBuf, DocumentMut)], path: &[&str]) -> Option<(&'f Path, &'f Item)> {
    files.iter().rev().find_map(|(name, document)| Some((name.as_path(), document::get(document, path)?)))
}

fn handler<'f>(files: &'f [(PathBuf, DocumentMut)], name: &str) -> Option<(&'f Path, &'f Item)> {
    let [a, b, c] = RUNTIMES;
    last(files, &[a, b, c, name])
}

fn text<'i>(table: &'i Item, key: &str) -> &'i str {
    table.get(key).and_then(Item::as_str).unwrap_or_default()
}

/// Plans a drop-in.
///
/// # Errors
/// See [`super::plan`].
pub(super) fn plan(host: &Host, wish: &Wish) -> Result<Plan> {
    let mut files = files(host)?;
    let mut target = Path::new(FOLDER).join(drop_in(&wish.handler, "conf"));
    if let Some((path, table)) = handler(&files, &wish.handler) {
        let binary = text(table, "runtime_path");
        if !is_ours(host, Path::new(binary), &wish.binary) {
            return Err(taken(&host.real(path), &wish.handler, binary));
        }
        target = path.to_path_buf();
    }
    let before = host.read_for_change(&target)?;
    let default = last(&files, &DEFAULT).and_then(|(_, item)| item.as_str()).unwrap_or_default().to_owned();
    let model = handler(&files, &default).map(|(_, table)| table).filter(|_| default != wish.handler);
    let runtime = model.map(|table| text(table, "runtime_path").to_owned());
    let root = model.map(|table| text(table, "runtime_root")).filter(|root| !root.is_empty());
    let root = root.unwrap_or(ROOT).to_owned();
    let shared: Vec<(&str, Value)> = SHARED
        .into_iter()
        .filter_map(|key| {
            let item = model?.get(key).filter(|item| !is_zero(item))?;
            Some((key, item.as_value()?.clone().decorated(" ", "")))
        })
        .collect();

    let start = before.clone().unwrap_or_else(|| HEADER.to_owned());
    let mut draft = document::Draft::new(&start, &host.real(&target))?;
    let document = &mut draft.document;
    if wish.default {
        let table = document::make(document, &["crio", "runtime"], &host.real(&target))?;
        document::set(table, "default_runtime", wish.handler.as_str().into(), "");
        if let Some(table) = document.get_mut("crio").and_then(|crio| crio.get_mut("runtime")) {
            table.as_table_mut().into_iter().for_each(|table| table.set_implicit(false));
        }
    }
    let runtimes = document::make(document, &RUNTIMES, &host.real(&target))?;
    let fresh = runtimes.get(&wish.handler).is_none();
    let ours = match fresh {
        true => document::add(runtimes, &wish.handler, ""),
        false => runtimes.get_mut(&wish.handler).and_then(Item::as_table_like_mut),
    };
    let ours = ours.ok_or_else(|| Error::Content {
        path: host.real(&target),
        why: format!("{} is no table; mend it first", quoted(wish.handler.as_bytes())),
    })?;
    let binary = wish.binary.to_string_lossy();
    if ours.get("runtime_path").and_then(Item::as_str) != Some(&binary) {
        document::set(ours, "runtime_path", binary.as_ref().into(), "");
    }
    if fresh {
        document::set(ours, "runtime_type", "oci".into(), "");
        document::set(ours, "runtime_root", root.into(), "");
        for (key, value) in shared {
            document::set(ours, key, value, "");
        }
    }
    let after = draft.text();
    let mut notes = Vec::new();
    if wish.default {
        files.retain(|(path, _)| *path != target);
        files.push((target.clone(), draft.document));
        files.sort_by(|(a, _), (b, _)| (a != Path::new(PATH), a).cmp(&(b != Path::new(PATH), b)));
        if let Some((path, item)) = last(&files, &DEFAULT)
            && item.as_str() != Some(&wish.handler)
        {
            let why = "is read later and sets another default_runtime; take it out there first".to_owned();
            return Err(Error::Content { path: host.real(path), why });
        }
    }
    if before.is_none() && default.is_empty() {
        notes.push("no file names a default_runtime, so nothing of it was taken over".to_owned());
    }
    let change = Change { path: target, before, after: Some(after) };
    Ok(Plan { change, notes, runtime: runtime.filter(|path| !path.is_empty()), address: None })
}

/// See [`super::found`].
///
/// # Errors
/// That a file can't be read.
pub(super) fn found(host: &Host, ours: &Path) -> Result<Found> {
    let files = files(host)?;
    let default = last(&files, &DEFAULT).and_then(|(_, item)| item.as_str()).unwrap_or_default();
    let mut handlers: Vec<Handler> = Vec::new();
    for (_, document) in &files {
        for (name, _) in document::table(document, &RUNTIMES).into_iter().flat_map(TableLike::iter) {
            let Some((file, table)) = handler(&files, name) else { continue };
            let binary = PathBuf::from(text(table, "runtime_path"));
            if handlers.iter().any(|known| known.name == name) || !is_ours(host, &binary, ours) {
                continue;
            }
            handlers.push(Handler {
                name: name.to_owned(),
                binary,
                file: file.to_path_buf(),
                default: default == name,
                annotations: None,
                systemd_cgroup: None,
            });
        }
    }
    Ok(Found { files: files.into_iter().map(|(path, _)| path).collect(), handlers })
}

/// See [`super::without`].
///
/// # Errors
/// That it doesn't parse.
pub(super) fn without(file: &Path, text: &str, handler: &str) -> Result<Option<String>> {
    let mut document = document::parse(text, file)?;
    let [a, b, c] = RUNTIMES;
    document::remove(&mut document, &[a, b, c, handler]);
    if document::string(&document, &DEFAULT) == Some(handler) {
        document::remove(&mut document, &DEFAULT);
        let runtime = document.get_mut("crio").and_then(|crio| crio.get_mut("runtime"));
        if let Some(table) = runtime.and_then(Item::as_table_mut).filter(|table| table.is_empty()) {
            table.set_implicit(true);
        }
    }
    Ok(super::podman::left(&document).then(|| document.to_string()))
}
