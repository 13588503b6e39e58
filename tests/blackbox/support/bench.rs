//! A private folder with everything that one test needs: the fake runtime under the name of a real one, a
//! configuration, an audit log, the runtime's `--root`, and a place for the records.
//!
//! Nothing of the machine is touched. Without root, `XDG_RUNTIME_DIR` leads the records into the folder. As root
//! the program uses /run and /var/log, so it is run with its own view of them: two bind mounts in a mount namespace
//! that goes away with it. Where that can't be had, the records stand in the machine's /run/runc-strict under
//! the name of the test's `--root`, and are removed with the folder.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use super::{Bundle, Outcome, Run, child, is_root};

/// What the fake runtime answers to `--version` unless a test wants otherwise: a runc that takes gids by number.
pub(crate) const RUNC: &str = "runc version 1.3.0\n";

/// The image's etc/group: what an engine adds for alice is 3000 and 4000.
pub(crate) const GROUPS: &str = "root:x:0:\nalice:x:1000:\nstaff:x:3000:alice\nwheel:x:4000:alice\n";

/// A test's private folder.
pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    /// With a runc that takes gids by number.
    pub(crate) fn new() -> Bench {
        Bench::with_runtime(RUNC)
    }

    /// With a runtime that answers `version` to `--version`.
    pub(crate) fn with_runtime(version: &str) -> Bench {
        let folder = tempfile::Builder::new().prefix("t").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let bench = Bench { folder };
        for name in ["bin/calls", "root", "run", "log", "bundles", "rootfs/etc"] {
            fs::create_dir_all(bench.path(name)).unwrap();
        }
        fs::write(bench.path("rootfs/etc/group"), GROUPS).unwrap();
        fs::write(bench.path("bin/version"), version).unwrap();
        match version {
            RUNC => fs::hard_link(fake(), bench.runtime()).unwrap(),
            // A file of its own: the program knows a runtime's version by the file. It is copied by another process,
            // since a file that this one holds open for writing, or has just handed to a child, can't be executed.
            _ => assert!(Command::new("cp").arg(fake()).arg(bench.runtime()).status().unwrap().success()),
        }
        bench.configure("");
        bench
    }

    /// A path below the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As [`Bench::path`], as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The fake runtime.
    pub(crate) fn runtime(&self) -> PathBuf {
        self.path("bin/runc")
    }

    /// The runtime's state folder, as `--root` has it.
    pub(crate) fn root(&self) -> String {
        self.text("root")
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.path("config.toml")
    }

    /// The audit log.
    pub(crate) fn audit(&self) -> PathBuf {
        self.path("audit.log")
    }

    /// Writes the configuration: the fake runtime, the audit log, and `more`, whose keys come before its tables.
    pub(crate) fn configure(&self, more: &str) {
        let (keys, tables) = more.split_at(more.find("[").unwrap_or(more.len()));
        let (runtime, audit) = (self.text("bin/runc"), self.text("audit.log"));
        let text = format!("runtime = \"{runtime}\"\n{keys}\n[audit]\npath = \"{audit}\"\n{tables}");
        self.configure_whole(&text);
    }

    /// Writes the whole text of the configuration.
    pub(crate) fn configure_whole(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
    }

    /// A bundle called `id` whose config.json is `document`.
    pub(crate) fn bundle(&self, id: &str, document: &str) -> Bundle {
        Bundle::new(self, id, document.as_bytes())
    }

    /// A run of the program with `words`.
    pub(crate) fn run<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Run<'_> {
        Run::new(self, super::program(), words.into_iter().map(|w| w.as_ref().into()))
    }

    /// The same, of the fake runtime itself.
    pub(crate) fn direct<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Run<'_> {
        Run::new(self, self.runtime(), words.into_iter().map(|w| w.as_ref().into()))
    }

    /// The same, of another program.
    pub(crate) fn program<W: AsRef<OsStr>>(&self, path: &str, words: impl IntoIterator<Item = W>) -> Run<'_> {
        Run::new(self, path.into(), words.into_iter().map(|w| w.as_ref().into()))
    }

    /// create of `bundle`, whose folder's name is the id.
    pub(crate) fn create(&self, bundle: &Bundle) -> Outcome {
        self.run(["--root", &self.root(), "create", "--bundle", bundle.text(), bundle.id()]).go()
    }

    /// exec of the process `document` in the container `id`.
    pub(crate) fn exec(&self, id: &str, document: &str) -> Outcome {
        let process = self.path(&format!("process-{id}.json"));
        fs::write(&process, document).unwrap();
        self.run(["--root", &self.root(), "exec", "--process", process.to_str().unwrap(), id]).go()
    }

    /// delete of the container `id`.
    pub(crate) fn delete(&self, id: &str) -> Outcome {
        self.run(["--root", &self.root(), "delete", id]).go()
    }

    /// The program's folder of volatile state, as it is seen from here.
    pub(crate) fn state(&self) -> PathBuf {
        match is_root() && !private() {
            true => PathBuf::from("/run/runc-strict"),
            false => self.path("run/runc-strict"),
        }
    }

    /// The folder of this test's records.
    pub(crate) fn records(&self) -> PathBuf {
        self.state().join("containers").join(encode(self.root().as_bytes()))
    }

    /// The record of the container `id`.
    pub(crate) fn record(&self, id: &str) -> PathBuf {
        self.records().join(encode(id.as_bytes()))
    }

    /// The lines of the audit log; none where there is no log.
    pub(crate) fn audit_lines(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.audit()).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line is torn: {text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What a child has to mount to see only this folder: from, to.
    pub(super) fn mounts(&self) -> Vec<(PathBuf, PathBuf)> {
        match is_root() && private() {
            true => vec![(self.path("run"), "/run".into()), (self.path("log"), "/var/log".into())],
            false => Vec::new(),
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if is_root() && !private() {
            let _ = fs::remove_dir_all(self.records());
        }
    }
}

/// Whether root can give a child its own view of /run.
pub(crate) fn private() -> bool {
    static PRIVATE: OnceLock<bool> = OnceLock::new();
    *PRIVATE.get_or_init(|| {
        let can = child::can_unshare_mounts();
        if !can {
            super::skip(
                "a private /run",
                "unshare(CLONE_NEWNS) is not allowed; the records are in /run/runc-strict",
            );
        }
        can
    })
}

/// The fake runtime: cargo builds it with the tests, but not if only some of them are asked for.
fn fake() -> &'static Path {
    static FAKE: OnceLock<PathBuf> = OnceLock::new();
    FAKE.get_or_init(|| {
        let us = std::env::current_exe().unwrap();
        let profile = us.parent().and_then(Path::parent).unwrap();
        let built = profile.join("examples/fake-runtime");
        let time = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
        let sources = ["tests/fake/runtime.rs", "tests/fake/call.rs"];
        let newest =
            sources.iter().filter_map(|s| time(&Path::new(env!("CARGO_MANIFEST_DIR")).join(s))).max();
        if time(&built) < newest {
            let mut cargo =
                Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
            cargo.args(["build", "--quiet", "--example", "fake-runtime"]);
            assert!(cargo.status().unwrap().success(), "the fake runtime can't be built");
        }
        assert!(built.exists(), "there is no {}; run: cargo build --example fake-runtime", built.display());
        built
    })
}

/// The name that a record has for a root or an id.
fn encode(bytes: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-.+".contains(b);
    let one = |b: &u8| if plain(b) { char::from(*b).to_string() } else { format!("%{b:02X}") };
    OsStr::from_bytes(bytes).as_bytes().iter().map(one).collect()
}
