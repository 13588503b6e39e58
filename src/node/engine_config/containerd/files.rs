//! The files that containerd reads, which of them has the last word, and where a new one would be read.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item};

use super::PATH;
use crate::error::{Error, Result};
use crate::node::engine_config::document::{self, strings};
use crate::node::engine_config::host::Host;
use crate::node::engine_config::pattern;
use crate::quote::quoted;

/// Where containerd listens unless it is told otherwise.
const ADDRESS: &str = "/run/containerd/containerd.sock";

/// One file.
pub(super) struct File {
    pub(super) path: PathBuf,
    pub(super) document: DocumentMut,
}

/// The files that containerd reads, the main one first.
pub(super) struct Files {
    pub(super) version: i64,
    pub(super) files: Vec<File>,
}

impl Files {
    pub(super) fn read(host: &Host, main: Option<String>) -> Result<Files> {
        let path = PathBuf::from(PATH);
        let text = main.unwrap_or_default();
        let document = document::parse(&text, &host.real(&path))?;
        let version = version(&document, &host.real(&path))?;
        let mut files = vec![File { path, document }];
        let mut next = 0;
        while let Some(file) = files.get(next) {
            for path in imports(host, file) {
                if files.iter().any(|known| known.path == path) {
                    continue;
                }
                // One that isn't there keeps containerd from starting; that is not for us to tell here.
                let Some(text) = host.read(&path)? else { continue };
                let document = document::parse(&text, &host.real(&path))?;
                files.push(File { path, document });
            }
            next += 1;
        }
        // In version 2 the last file that has the section has all of it.
        if version == 2 {
            let last = files.iter().rposition(|file| document::get(&file.document, &section(2)).is_some());
            files = match last {
                Some(last) => vec![files.swap_remove(last)],
                None => files.into_iter().take(1).collect(),
            };
        }
        Ok(Files { version, files })
    }

    /// What the last file says that says anything.
    pub(super) fn last(&self, below: &[&str]) -> Option<(&File, &Item)> {
        let path = path(self.version, below);
        self.files.iter().rev().find_map(|file| Some((file, document::get(&file.document, &path)?)))
    }

    pub(super) fn text(&self, below: &[&str]) -> Option<&str> {
        self.last(below).and_then(|(_, item)| item.as_str())
    }

    pub(super) fn default(&self) -> &str {
        self.text(&["default_runtime_name"]).filter(|name| !name.is_empty()).unwrap_or("runc")
    }

    pub(super) fn binary(&self, handler: &str) -> &str {
        self.text(&["runtimes", handler, "options", "BinaryName"]).unwrap_or_default()
    }

    /// containerd's socket, where it isn't the usual one. Version 4 keeps it with a plugin.
    pub(super) fn address(&self) -> Option<PathBuf> {
        let places = [&["plugins", "io.containerd.server.v1.grpc", "address"][..], &["grpc", "address"]];
        let mut named = places.iter().flat_map(|place| {
            self.files.iter().rev().filter_map(|file| document::string(&file.document, place))
        });
        named.find(|address| !address.is_empty()).filter(|address| *address != ADDRESS).map(PathBuf::from)
    }
}

/// The version of a main file, which the files that it imports may not exceed.
fn version(document: &DocumentMut, path: &Path) -> Result<i64> {
    let refused = |why: String| Err(Error::Content { path: path.to_path_buf(), why });
    let disabled = document.get("disabled_plugins").map(strings).unwrap_or_default();
    if let Some(plugin) = disabled.iter().find(|p| matches!(p.as_str(), "cri" | "io.containerd.grpc.v1.cri"))
    {
        return refused(format!(
            "disabled_plugins names {}, so no pod is run by this containerd; take it out first",
            quoted(plugin.as_bytes())
        ));
    }
    match document.get("version").map(|item| (item.as_integer(), item)) {
        Some((Some(version @ 2..=4), _)) => Ok(version),
        // Nothing but what makes it a file: there is nothing yet that had another meaning in version 1.
        None if document.get("plugins").is_none() => Ok(2),
        None => refused(
            "has no version, so it is of version 1; make it version 2 with \"containerd config migrate\" first"
                .to_owned(),
        ),
        Some((_, item)) => refused(format!(
            "version = {} isn't one of 2, 3 and 4, which are known here",
            item.to_string().trim()
        )),
    }
}

/// The CRI's section.
pub(super) const fn section(version: i64) -> [&'static str; 2] {
    match version {
        2 => ["plugins", "io.containerd.grpc.v1.cri"],
        _ => ["plugins", "io.containerd.cri.v1.runtime"],
    }
}

/// The keys that lead to `below` in the CRI's section on runtimes.
pub(super) fn path<'p>(version: i64, below: &[&'p str]) -> Vec<&'p str> {
    [section(version).as_slice(), &["containerd"], below].concat()
}

/// The files that `file` imports: a path with `*` stands for all that match, a relative one is beside the file.
fn imports(host: &Host, file: &File) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for import in import_paths(file) {
        if import.to_string_lossy().contains('*') {
            found.extend(expand(host, &import));
        } else {
            found.push(import);
        }
    }
    found
}

fn import_paths(file: &File) -> Vec<PathBuf> {
    let beside = file.path.parent().unwrap_or_else(|| Path::new("/"));
    let named = file.document.get("imports").map(strings).unwrap_or_default();
    named.iter().map(|import| beside.join(import)).collect()
}

/// Go's filepath.Glob, over the host's files.
fn expand(host: &Host, glob: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in glob.components().skip(1) {
        let part = part.as_os_str().to_string_lossy();
        found = match part.contains(['*', '?', '[']) {
            false => found.iter().map(|folder| folder.join(&*part)).collect(),
            true => found.iter().flat_map(|folder| matching(host, folder, &part)).collect(),
        };
    }
    found.retain(|path| host.exists(path));
    found
}

fn matching(host: &Host, folder: &Path, glob: &str) -> Vec<PathBuf> {
    let name =
        |path: &PathBuf| path.file_name().is_some_and(|n| pattern::matches(glob, &n.to_string_lossy()));
    host.list(folder).into_iter().filter(name).collect()
}

/// The folder of a drop-in that the main file imports already, if `name` would be read there.
pub(super) fn drop_in_folder(file: &File, name: &str) -> Option<PathBuf> {
    let literal = |folder: &Path| !folder.to_string_lossy().contains(['*', '?', '[']);
    import_paths(file).into_iter().find_map(|import| {
        let glob = import.file_name()?.to_str()?.to_owned();
        let folder = import.parent().filter(|folder| literal(folder))?;
        (glob.contains('*') && pattern::matches(&glob, name)).then(|| folder.to_path_buf())
    })
}
