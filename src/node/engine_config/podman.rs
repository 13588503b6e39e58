//! podman's configuration, containers.conf: the distribution's file, the administrator's, and then every `.conf` of
//! its folder in the order of names (containers-common: pkg/config/new.go). A handler is a name in
//! `[engine.runtimes]`, put there by a drop-in file of its own.
//!
//! `runtime_supports_json` has to name it too, or podman keeps `--log` from us and shows no reason for a refusal.
//! A list in a later file replaces the one before, so ours repeats what held.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table, TableLike};

use super::document::{self, array, strings};
use super::host::Host;
use super::{Change, Found, HEADER, Handler, Plan, Wish, drop_in, is_ours, taken};
use crate::error::{Error, Result};

/// The files, first to last.
const PATHS: [&str; 2] = ["/usr/share/containers/containers.conf", "/etc/containers/containers.conf"];

/// The folder of drop-in files.
const FOLDER: &str = "/etc/containers/containers.conf.d";

/// What podman takes for granted where no file says it (containers-common: pkg/config/default.go).
const JSON: [&str; 6] = ["crun", "runc", "kata", "runsc", "youki", "krun"];

const SUPPORTS_JSON: &str = "runtime_supports_json";

fn files(host: &Host) -> Result<Vec<(PathBuf, DocumentMut)>> {
    let dropped = host.list(Path::new(FOLDER));
    let dropped = dropped.into_iter().filter(|path| path.extension().is_some_and(|e| e == "conf"));
    let mut files = Vec::new();
    for path in PATHS.into_iter().map(PathBuf::from).chain(dropped) {
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

/// The first of the paths that a name in `[engine.runtimes]` stands for.
fn program(item: &Item) -> String {
    strings(item).into_iter().next().unwrap_or_default()
}

/// Plans a drop-in.
///
/// # Errors
/// See [`super::plan`].
pub(super) fn plan(host: &Host, wish: &Wish) -> Result<Plan> {
    let files = files(host)?;
    let name = wish.handler.as_str();
    let mut target = Path::new(FOLDER).join(drop_in(name, "conf"));
    match last(&files, &["engine", "runtimes", name]) {
        Some((path, item)) if !is_ours(host, Path::new(&program(item)), &wish.binary) => {
            return Err(taken(&host.real(path), name, &program(item)));
        }
        Some((path, _)) => target = path.to_path_buf(),
        // A name that podman knows by itself: crun, runc, kata, ...
        None if JSON.contains(&name) => return Err(taken(&host.real(&target), name, "")),
        None => {}
    }
    let before = host.read_for_change(&target)?;
    let start = before.clone().unwrap_or_else(|| HEADER.to_owned());
    let mut draft = document::Draft::new(&start, &host.real(&target))?;
    let document = &mut draft.document;
    let engine = document::make(document, &["engine"], &host.real(&target))?;
    let known = last(&files, &["engine", SUPPORTS_JSON]).map(|(_, item)| strings(item));
    let known = known.unwrap_or_else(|| JSON.map(str::to_owned).to_vec());
    if !known.iter().any(|known| known == name) {
        let all = known.iter().map(String::as_str).chain([name]);
        document::set(engine, SUPPORTS_JSON, array(all), "");
    }
    if wish.default && engine.get("runtime").and_then(Item::as_str) != Some(name) {
        document::set(engine, "runtime", name.into(), "");
    }
    let wanted = wish.binary.to_string_lossy();
    let runtimes = match engine.get("runtimes") {
        None => document::add(engine, "runtimes", ""),
        Some(_) => engine.get_mut("runtimes").and_then(Item::as_table_like_mut),
    };
    let runtimes = runtimes.ok_or_else(|| Error::Content {
        path: host.real(&target),
        why: "\"runtimes\" is no table; mend it first".to_owned(),
    })?;
    if runtimes.get(name).map(program).as_deref() != Some(&wanted) {
        document::set(runtimes, name, array([wanted.as_ref()]), "");
    }
    if let Some(engine) = document.get_mut("engine").and_then(Item::as_table_mut) {
        let own = engine.iter().any(|(_, item)| item.is_value());
        engine.set_implicit(!own && engine.is_implicit());
    }
    if wish.default
        && let Some((path, item)) = last(&files, &["engine", "runtime"])
        && item.as_str() != Some(name)
        && path > target.as_path()
        && path.starts_with(FOLDER)
    {
        let why = "is read later and sets another runtime; take it out there first".to_owned();
        return Err(Error::Content { path: host.real(path), why });
    }
    let runtime = last(&files, &["engine", "runtime"]).and_then(|(_, item)| item.as_str());
    let runtime = runtime.filter(|runtime| *runtime != name && !runtime.is_empty()).map(str::to_owned);
    let change = Change { path: target, before, after: Some(draft.text()) };
    Ok(Plan { change, notes: Vec::new(), runtime, address: None })
}

/// See [`super::found`].
///
/// # Errors
/// That a file can't be read.
pub(super) fn found(host: &Host, ours: &Path) -> Result<Found> {
    let files = files(host)?;
    let default = last(&files, &["engine", "runtime"]).and_then(|(_, item)| item.as_str());
    let mut handlers: Vec<Handler> = Vec::new();
    for (_, document) in &files {
        let table = document::table(document, &["engine", "runtimes"]);
        for (name, _) in table.into_iter().flat_map(TableLike::iter) {
            let Some((file, item)) = last(&files, &["engine", "runtimes", name]) else { continue };
            let binary = PathBuf::from(program(item));
            if handlers.iter().any(|known| known.name == name) || !is_ours(host, &binary, ours) {
                continue;
            }
            handlers.push(Handler {
                name: name.to_owned(),
                binary,
                file: file.to_path_buf(),
                default: default == Some(name),
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
    let runtimes = document.get_mut("engine").and_then(|engine| engine.get_mut("runtimes"));
    if let Some(table) = runtimes.and_then(Item::as_table_like_mut) {
        table.remove(handler);
    }
    let engine = document.get_mut("engine").and_then(Item::as_table_like_mut);
    if let Some(engine) = engine {
        if engine.get("runtimes").and_then(Item::as_table).is_some_and(Table::is_empty) {
            engine.remove("runtimes");
        }
        if engine.get("runtime").and_then(Item::as_str) == Some(handler) {
            engine.remove("runtime");
        }
        let named = engine.get(SUPPORTS_JSON).map(strings).unwrap_or_default();
        let left: Vec<&str> = named.iter().map(String::as_str).filter(|name| *name != handler).collect();
        if left.len() < named.len() {
            // The list that podman has anyhow needs no file.
            match left == JSON {
                true => drop(engine.remove(SUPPORTS_JSON)),
                false => document::set(engine, SUPPORTS_JSON, array(left), ""),
            }
        }
    }
    Ok(left(&document).then(|| document.to_string()))
}

/// Whether anything is left in a file that an engine would read.
pub(super) fn left(document: &DocumentMut) -> bool {
    fn any(item: &Item) -> bool {
        item.as_table().is_none_or(|table| table.iter().any(|(_, item)| any(item)))
    }
    document.iter().any(|(_, item)| any(item))
}
