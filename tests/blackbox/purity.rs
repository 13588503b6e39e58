//! What the repository promises of its own text: the pure folders name no effect, the product's unsafe code has one
//! place, and no file names a registry's host.

use std::fs;
use std::path::{Path, PathBuf};

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `folder`, without what git and cargo keep there.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let kept = ["target", "dist", ".git"].iter().any(|name| path.file_name().unwrap() == *name);
        if kind.is_dir() && !kept {
            files(&path, found);
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(&top().join(folder), &mut found);
    found.retain(|path| path.extension().is_some_and(|e| e == "rs"));
    assert!(!found.is_empty(), "{folder} has no source");
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn the_pure_folders_name_no_effect() {
    const EFFECTS: [&str; 9] = [
        "std::fs",
        "std::env",
        "std::process",
        "std::time",
        "std::net",
        "nix::",
        "libc::",
        "crate::node",
        "extern crate",
    ];
    for folder in ["src/policy", "src/spec", "src/resize"] {
        for (path, text) in sources(folder) {
            for effect in EFFECTS {
                assert!(!text.contains(effect), "{} names {effect}", path.display());
            }
            // `use std::{fs, io}` would slip through.
            let grouped =
                text.split("use std::{").skip(1).map(|rest| rest.split('}').next().unwrap_or_default());
            for group in grouped {
                let effect = ["fs", "env", "process", "time", "net"]
                    .iter()
                    .find(|e| group.split(',').any(|name| name.trim().split("::").next() == Some(e)));
                assert_eq!(effect, None, "{}", path.display());
            }
        }
    }
}

/// Where a block may be unsafe: the one file for what comes before the C library.
#[test]
fn unsafe_code_has_its_places() {
    const PLACES: [&str; 1] = ["src/entry/raw.rs"];
    for (path, text) in sources("src") {
        let place = path.strip_prefix(top()).unwrap().to_str().unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let used = code.filter(|line| line.contains("unsafe ") || line.contains("unsafe{")).count();
        assert!(used == 0 || PLACES.contains(&place), "{place} has unsafe code");
    }
}

/// The hosts are put together here, so that this file passes too.
#[test]
fn no_file_names_a_registry_s_host() {
    let hosts = [
        ["docker", "io"],
        ["quay", "io"],
        ["ghcr", "io"],
        ["gcr", "io"],
        ["registry.k8s", "io"],
        ["mcr.microsoft", "com"],
    ];
    let hosts: Vec<String> = hosts.map(|parts| parts.join(".")).to_vec();
    let mut found = Vec::new();
    files(top(), &mut found);
    assert!(found.len() > 50);
    for path in found {
        // A file that is no text names nothing.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for host in &hosts {
            assert!(!names(&text, host), "{} names {host}", path.display());
        }
    }
}

/// Whether `host` stands in `text` as a host: followed by a path, a port or a quote, and not as a part of a name.
fn names(text: &str, host: &str) -> bool {
    text.match_indices(host).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + host.len()..].chars().next();
        let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}
