//! containerd's configuration, versions 2, 3 and 4: where its handlers stand and which file has the last word.
//!
//! Two of its rules decide where a handler can be put (containerd 1.6: services/server/config/config.go, tried):
//!
//! - In 1.x a file named by `imports` *replaces* the whole section of a plugin: a drop-in with one handler would
//!   take the CNI folders and the sandbox image away. So a file of version 2, which 1.x reads, is edited itself,
//!   and where an import holds the CRI's section, that one. From 2.0 on sections are merged (mergeConfig), and
//!   versions 3 and 4 exist only there.
//! - In 1.x a `runtimes` table *replaces* the built-in one: beside a first handler `runc` has to be named too, or the
//!   CRI plugin doesn't load.

mod files;

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, TableLike, Value};

use self::files::{File, Files, drop_in_folder, path, section};
use super::document::{self, array, is_zero, strings};
use super::host::Host;
use super::{Change, Found, HEADER, Handler, Plan, Wish, drop_in, is_ours, pattern, taken};
use crate::error::{Error, Result};
use crate::policy::annotation::{GROUPS_KEY, LEVEL_KEY};
use crate::quote::quoted;

/// Where containerd's configuration is.
pub const PATH: &str = "/etc/containerd/config.toml";

/// The shim that calls an OCI runtime.
const SHIM: &str = "io.containerd.runc.v2";

/// What lets our annotations through and nothing else.
const ANNOTATIONS: &str = "runc-strict/*";

/// Keys of the default handler that hold for ours too, where they are set: whoever set them meant every container.
const SHARED: [&str; 8] = [
    "base_runtime_spec",
    "cgroup_writable",
    "cni_conf_dir",
    "cni_max_conf_num",
    "container_annotations",
    "privileged_without_host_devices",
    "privileged_without_host_devices_all_devices_allowed",
    "snapshotter",
];

/// Plans a handler.
///
/// # Errors
/// See [`super::plan`].
pub(super) fn plan(host: &Host, wish: &Wish) -> Result<Plan> {
    let main = host.read_for_change(Path::new(PATH))?;
    let mut files = Files::read(host, main.clone())?;
    let version = files.version;
    let handler = ["runtimes", wish.handler.as_str()];
    let holder = files.last(&handler).map(|(file, _)| file.path.clone());
    if let Some(holder) = &holder {
        let binary = files.binary(&wish.handler);
        if !is_ours(host, Path::new(binary), &wish.binary) {
            return Err(taken(&host.real(holder), &wish.handler, binary));
        }
    }
    let name = drop_in(&wish.handler, "toml");
    let folder = files.files.first().filter(|_| version > 2).and_then(|file| drop_in_folder(file, &name));
    let target = match (&holder, folder, files.files.first()) {
        (Some(holder), _, _) => holder.clone(),
        (None, Some(folder), _) => folder.join(name),
        (None, None, Some(file)) => file.path.clone(),
        (None, None, None) => PathBuf::from(PATH),
    };
    let before = host.read_for_change(&target)?;
    let pattern = Pattern::of(&files, wish);
    let mut notes = pattern.notes.clone();

    let known = files.files.iter().position(|file| file.path == target);
    let at = known.unwrap_or_else(|| {
        // Where the glob that imports its folder will name it.
        let later = |file: &File| file.path.parent() == target.parent() && file.path > target;
        let at = files.files.iter().skip(1).position(later).map_or(files.files.len(), |n| n + 1);
        files.files.insert(at, File { path: target.clone(), document: DocumentMut::new() });
        at
    });
    let Some(file) = files.files.get_mut(at) else { return Err(Error::Other("no file to edit".to_owned())) };
    let start = before.clone().unwrap_or_else(|| HEADER.to_owned());
    let mut draft = document::Draft::new(&start, &host.real(&target))?;
    if !draft.document.contains_key("version") {
        document::set(draft.document.as_table_mut(), "version", version.into(), "");
    }
    edit(&mut draft.document, version, wish, &pattern, &host.real(&target))?;
    let after = draft.text();
    file.document = draft.document;
    if wish.default && files.default() != wish.handler {
        let (file, _) = files.last(&["default_runtime_name"]).unzip();
        let path = file.map_or(target, |file| file.path.clone());
        let why = "is read later and sets another default_runtime_name; take it out there first".to_owned();
        return Err(Error::Content { path: host.real(&path), why });
    }
    if main.is_none() {
        notes.push(format!(
            "there was no {PATH}: containerd ran on its defaults, and goes on so but for this"
        ));
    }
    let change = Change { path: target, before, after: Some(after) };
    Ok(Plan { change, notes, runtime: pattern.runtime, address: files.address() })
}

/// What our handler takes over from the default one.
struct Pattern {
    systemd_cgroup: bool,
    shared: Vec<(String, Value)>,
    options: Vec<(String, Value)>,
    annotations: Vec<String>,
    runtime: Option<String>,
    /// Whether the default handler has to be named, because ours is the first.
    name_runc: bool,
    /// The handler that it was taken from.
    name: String,
    notes: Vec<String>,
}

impl Pattern {
    fn of(files: &Files, wish: &Wish) -> Pattern {
        let default = files.default();
        let is_runc = |name: &str| files.text(&["runtimes", name, "runtime_type"]).is_none_or(|t| t == SHIM);
        let mut notes = Vec::new();
        let name = match default {
            us if us == wish.handler || files.last(&["runtimes", us]).is_none() => "runc",
            other if is_runc(other) => other,
            other => {
                notes.push(format!(
                    "the default handler {} isn't run by {SHIM}: SystemdCgroup is taken from runc",
                    quoted(other.as_bytes())
                ));
                "runc"
            }
        };
        let values = |below: &[&str]| -> Vec<(String, Value)> {
            let set = files.last(below).and_then(|(_, item)| item.as_table_like());
            let set = set.into_iter().flat_map(TableLike::iter).filter(|(_, item)| !is_zero(item));
            set.filter_map(|(key, item)| Some((key.to_owned(), item.as_value()?.clone().decorated(" ", ""))))
                .collect()
        };
        let mut shared = values(&["runtimes", name]);
        let annotations = shared.iter().find(|(key, _)| key == "pod_annotations");
        let annotations = annotations.map(|(_, value)| strings(&Item::Value(value.clone())));
        shared.retain(|(key, _)| SHARED.contains(&key.as_str()));
        let mut options = values(&["runtimes", name, "options"]);
        let systemd_cgroup =
            options.iter().any(|(key, v)| key == "SystemdCgroup" && v.as_bool() == Some(true));
        options.retain(|(key, _)| key != "SystemdCgroup" && key != "BinaryName");
        let binary = files.binary(name);
        let ours = Path::new(binary) == wish.binary;
        let sibling = files.last(&["runtimes", name]).map(|(_, item)| item);
        Pattern {
            systemd_cgroup,
            shared,
            options,
            annotations: annotations.unwrap_or_default(),
            runtime: Some(binary.to_owned()).filter(|binary| !binary.is_empty() && !ours),
            name_runc: files.version == 2 && name == "runc" && sibling.is_none(),
            name: name.to_owned(),
            notes,
        }
    }
}

/// Puts the handler into one file, or makes the one there what it should be.
fn edit(document: &mut DocumentMut, version: i64, wish: &Wish, pattern: &Pattern, file: &Path) -> Result<()> {
    let there = document::get(document, &path(version, &["runtimes", &wish.handler])).is_some();
    let model = if there { &wish.handler } else { &pattern.name };
    let [header, keys, inner_header, inner_keys] = &indents(document, version, model);
    let no_table = |name: &str| {
        let why = format!("{} is no table; mend it first", quoted(name.as_bytes()));
        Error::Content { path: file.to_path_buf(), why }
    };
    if wish.default {
        let table = document::make(document, &path(version, &[]), file)?;
        document::set(table, "default_runtime_name", wish.handler.as_str().into(), "  ");
        if let Some(table) = document.as_item_mut().get_mut("plugins") {
            explicit(table, section(version)[1]);
        }
    }
    let runtimes = document::make(document, &path(version, &["runtimes"]), file)?;
    if pattern.name_runc {
        let runc = document::add(runtimes, "runc", header).ok_or_else(|| no_table("runc"))?;
        document::set(runc, "runtime_type", SHIM.into(), keys);
    }
    if runtimes.get(&wish.handler).is_none() {
        let ours = document::add(runtimes, &wish.handler, header).ok_or_else(|| no_table(&wish.handler))?;
        document::set(ours, "runtime_type", SHIM.into(), keys);
        for (key, value) in &pattern.shared {
            document::set(ours, key, value.clone(), keys);
        }
        let passed = pattern.annotations.iter().map(String::as_str);
        document::set(ours, "pod_annotations", array(passed), keys);
        let options = document::add(ours, "options", inner_header).ok_or_else(|| no_table("options"))?;
        for (key, value) in &pattern.options {
            document::set(options, key, value.clone(), inner_keys);
        }
    }
    let ours = runtimes.get_mut(&wish.handler).and_then(Item::as_table_like_mut);
    let ours = ours.ok_or_else(|| no_table(&wish.handler))?;
    let passed = ours.get("pod_annotations").map(strings).unwrap_or_default();
    if !passes(&passed) {
        let all = passed.iter().map(String::as_str).chain([ANNOTATIONS]);
        document::set(ours, "pod_annotations", array(all), keys);
    }
    if ours.get("options").is_none() {
        document::add(ours, "options", inner_header);
    }
    let options = ours.get_mut("options").and_then(Item::as_table_like_mut);
    let options = options.ok_or_else(|| no_table("options"))?;
    let binary = wish.binary.to_string_lossy();
    if options.get("BinaryName").and_then(Item::as_str) != Some(&binary) {
        document::set(options, "BinaryName", binary.as_ref().into(), inner_keys);
    }
    if options.get("SystemdCgroup").and_then(Item::as_bool) != Some(pattern.systemd_cgroup) {
        document::set(options, "SystemdCgroup", pattern.systemd_cgroup.into(), inner_keys);
    }
    Ok(())
}

/// How a file indents a handler's header and keys, and those of its options: as the handler `name` has it, else as
/// the CRI's other tables have it.
fn indents(document: &DocumentMut, version: i64, name: &str) -> [String; 4] {
    let model = document::get(document, &path(version, &["runtimes", name]));
    let other = document::table(document, &section(version));
    let other = || other?.iter().map(|(_, item)| item).find(|item| item.is_table());
    let (header, keys) =
        model.or_else(other).map_or_else(|| (String::new(), "  ".to_owned()), document::indents);
    let inner = model.and_then(|item| item.get("options")).filter(|item| item.is_table());
    let (inner_header, inner_keys) =
        inner.map_or_else(|| (format!("{header}  "), format!("{keys}  ")), document::indents);
    [header, keys, inner_header, inner_keys]
}

/// A table that got a key of its own needs its header.
fn explicit(plugins: &mut Item, name: &str) {
    let table = plugins.get_mut(name).and_then(|section| section.get_mut("containerd"));
    if let Some(table) = table.and_then(Item::as_table_mut) {
        table.set_implicit(false);
    }
}

/// Whether both of our annotations reach the runtime.
pub fn passes(patterns: &[String]) -> bool {
    [GROUPS_KEY, LEVEL_KEY].iter().all(|key| patterns.iter().any(|p| pattern::matches(p, key)))
}

/// See [`super::found`].
///
/// # Errors
/// That a file can't be read.
pub(super) fn found(host: &Host, ours: &Path) -> Result<Found> {
    let Some(main) = host.read(Path::new(PATH))? else { return Ok(Found::default()) };
    let files = Files::read(host, Some(main))?;
    let mut names: Vec<String> = Vec::new();
    for file in &files.files {
        let table = document::table(&file.document, &path(files.version, &["runtimes"]));
        let known = table.into_iter().flat_map(TableLike::iter).map(|(name, _)| name.to_owned());
        names.extend(known.filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    let handlers = names.into_iter().filter_map(|name| {
        let (file, _) = files.last(&["runtimes", &name])?;
        let binary = PathBuf::from(files.binary(&name));
        let annotations = files.last(&["runtimes", &name, "pod_annotations"]);
        let systemd_cgroup = files.last(&["runtimes", &name, "options", "SystemdCgroup"]);
        is_ours(host, &binary, ours).then(|| Handler {
            binary,
            file: file.path.clone(),
            default: files.default() == name,
            annotations: Some(annotations.map(|(_, item)| strings(item)).unwrap_or_default()),
            systemd_cgroup: Some(systemd_cgroup.and_then(|(_, item)| item.as_bool()).unwrap_or(false)),
            name,
        })
    });
    let handlers = handlers.collect();
    Ok(Found { files: files.files.into_iter().map(|file| file.path).collect(), handlers })
}

/// See [`super::without`].
///
/// # Errors
/// That it doesn't parse.
pub(super) fn without(
    file: &Path,
    text: &str,
    handler: &str,
    formerly: Option<&str>,
) -> Result<Option<String>> {
    let mut document = document::parse(text, file)?;
    let formerly = formerly.map(|text| document::parse(text, file)).transpose()?;
    for version in [2, 3] {
        document::remove(&mut document, &path(version, &["runtimes", handler]));
        let default = path(version, &["default_runtime_name"]);
        if document::string(&document, &default) == Some(handler) {
            let old = formerly.as_ref().and_then(|old| document::string(old, &default));
            match (old, document::get_mut(&mut document, &path(version, &[]))) {
                (Some(old), Some(table)) => document::set(table, "default_runtime_name", old.into(), "  "),
                _ => document::remove(&mut document, &default),
            }
        }
        if let Some(formerly) = &formerly {
            remove_ours(&mut document, formerly, version);
        }
    }
    let left = document.iter().any(|(key, item)| key != "version" && !is_bare(item));
    // The main file stays, also an empty one: it may be somebody's.
    let main = file.ends_with(PATH.trim_start_matches('/'));
    Ok((left || main).then(|| document.to_string()))
}

/// Removes what was only there for the handler's sake: the default handler, where naming one made it necessary to
/// name both, and the header around a default that was set.
fn remove_ours(document: &mut DocumentMut, formerly: &DocumentMut, version: i64) {
    let runc = path(version, &["runtimes", "runc"]);
    let ours = |table: &dyn TableLike| {
        table.len() == 1 && table.get("runtime_type").and_then(Item::as_str) == Some(SHIM)
    };
    if document::get(formerly, &runc).is_none() && document::table(document, &runc).is_some_and(ours) {
        document::remove(document, &runc);
    }
    let around = path(version, &[]);
    let empty = document::table(document, &around).is_some_and(TableLike::is_empty);
    if empty && document::get(formerly, &around).is_none() {
        document::remove(document, &around);
    }
}

/// Whether there is nothing in a table but tables with nothing in them.
fn is_bare(item: &Item) -> bool {
    item.as_table().is_some_and(|table| table.iter().all(|(_, item)| is_bare(item)))
}
