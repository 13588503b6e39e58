//! A host whose root is a folder, and runs of the program on it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::CONFIG;

/// A host's root: a program of ours, and the real runtimes that the samples name.
pub(crate) struct Host(TempDir);

impl Host {
    pub(crate) fn new() -> Host {
        let folder = tempfile::Builder::new().prefix("host").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let host = Host(folder);
        host.program("usr/local/sbin/runc-strict");
        host.program("usr/libexec/crio/crun");
        host.program("usr/bin/crun");
        fs::create_dir_all(host.path("var/lib")).unwrap();
        host
    }

    /// With containerd's configuration from a sample.
    pub(crate) fn with_containerd(sample: &str) -> Host {
        let host = Host::new();
        host.put(CONFIG, &sample_text(sample));
        host
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn program(&self, name: &str) {
        self.put(name, "#!/bin/false\n");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Every file and folder below the root: its mode, and a file's bytes or a link's target.
    pub(crate) fn everything(&self) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
        fn walk(folder: &Path, found: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let about = fs::symlink_metadata(&path).unwrap();
                let bytes = match () {
                    () if about.is_symlink() => {
                        fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
                    }
                    () if about.is_file() => fs::read(&path).unwrap(),
                    () => Vec::new(),
                };
                found.insert(path.clone(), (about.mode(), bytes));
                if about.is_dir() {
                    walk(&path, found);
                }
            }
        }
        let mut found = BTreeMap::new();
        walk(self.0.path(), &mut found);
        found
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runc-strict"));
        command.args(words).arg("--host-prefix").arg(self.0.path()).env_clear();
        command.output().unwrap()
    }

    /// What a run that went well printed, with the root's name taken out.
    #[track_caller]
    pub(crate) fn done(&self, words: &[&str]) -> String {
        let output = self.run(words);
        let (out, err) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!((output.status.code(), err.as_str()), (Some(0), ""), "{words:?}: {out}");
        let root = fs::canonicalize(self.0.path()).unwrap();
        out.replace(root.to_str().unwrap(), "/HOST")
    }

    /// The sentence of a run that was refused and that touched nothing.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let before = self.everything();
        let output = self.run(words);
        let (out, err) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!((output.status.code(), out.as_str()), (Some(1), ""), "{words:?}: {err}");
        assert_eq!(self.everything(), before, "{words:?}");
        let line = err.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "one line: {line}");
        line.strip_prefix("runc-strict: ").unwrap().to_owned()
    }
}

pub(crate) fn sample_text(name: &str) -> String {
    fs::read_to_string(data(name)).unwrap()
}

pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/install").join(name)
}

#[track_caller]
pub(crate) fn assert_golden(name: &str, text: &str) {
    let path = data(&format!("golden/{name}"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, text).unwrap();
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, golden, "{} differs; if it should, run again with UPDATE_GOLDEN=1", path.display());
}
