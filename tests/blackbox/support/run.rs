//! One run of the program: what it inherits, and what came of it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Bench;
use super::child::{self, Inherited};
use crate::call::Call;

/// A run that is being prepared.
pub(crate) struct Run<'b> {
    bench: &'b Bench,
    command: Command,
    inherited: Inherited,
    stdin: Option<File>,
    files: Vec<OwnedFd>,
}

impl<'b> Run<'b> {
    pub(super) fn new(bench: &'b Bench, program: PathBuf, words: impl Iterator<Item = OsString>) -> Run<'b> {
        let mut command = Command::new(program);
        command.args(words).env_clear();
        command.env("RUNC_STRICT_CONFIG", bench.config()).env("XDG_RUNTIME_DIR", bench.path("run"));
        command.current_dir(bench.path("."));
        Run { bench, command, inherited: Inherited::default(), stdin: None, files: Vec::new() }
    }

    /// With an environment variable more.
    pub(crate) fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Without an environment variable.
    pub(crate) fn env_remove(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    /// In another working directory than the bench's folder.
    pub(crate) fn cwd(mut self, path: impl AsRef<Path>) -> Self {
        self.command.current_dir(path);
        self
    }

    /// With `text` on stdin, which is else /dev/null.
    pub(crate) fn stdin(mut self, text: &str) -> Self {
        let path = self.bench.path("stdin");
        fs::write(&path, text).unwrap();
        self.stdin = Some(File::open(path).unwrap());
        self
    }

    /// With a umask.
    pub(crate) fn umask(mut self, mask: u32) -> Self {
        self.inherited.umask = Some(mask);
        self
    }

    /// With a signal blocked.
    pub(crate) fn block(mut self, signal: i32) -> Self {
        self.inherited.block.push(signal);
        self
    }

    /// With a signal ignored.
    pub(crate) fn ignore(mut self, signal: i32) -> Self {
        self.inherited.ignore.push(signal);
        self
    }

    /// With a descriptor closed.
    pub(crate) fn close(mut self, number: i32) -> Self {
        self.inherited.close.push(number);
        self
    }

    /// With a file open under `number`.
    pub(crate) fn give(mut self, number: i32, file: File) -> Self {
        // Above every number that a test gives away.
        let file = child::above(&file, 200);
        self.inherited.give.push((file.as_raw_fd(), number));
        self.files.push(file);
        self
    }

    /// As another user, which only root can.
    pub(crate) fn user(mut self, uid: u32) -> Self {
        self.inherited.user = Some(uid);
        self
    }

    /// Starts it, and gives the child's pid beside the way to wait for it.
    pub(crate) fn start(mut self) -> Started<'b> {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let n = RUNS.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (self.bench.path(&format!("out-{n}")), self.bench.path(&format!("err-{n}")));
        let open = |path: &Path| OpenOptions::new().append(true).create_new(true).open(path).unwrap();
        self.command.stdin(self.stdin.take().map_or_else(Stdio::null, Stdio::from));
        self.command.stdout(open(&out)).stderr(open(&err));
        self.inherited.mounts = self.bench.mounts();
        child::prepare(&mut self.command, self.inherited);
        let child = self.command.spawn().unwrap();
        Started { bench: self.bench, child, out, err }
    }

    /// Runs it to its end.
    pub(crate) fn go(self) -> Outcome {
        self.start().wait()
    }
}

/// A run that is under way.
pub(crate) struct Started<'b> {
    bench: &'b Bench,
    child: std::process::Child,
    out: PathBuf,
    err: PathBuf,
}

impl Started<'_> {
    /// Ends it by SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Outcome {
        let pid = self.child.id();
        if !child::ends_within_seconds(pid, 30) {
            // Its end is not awaited twice: what hangs is ended by its pid.
            let _ = self.child.kill();
            let _ = self.child.wait();
            panic!("it still ran after 30 seconds: {:?}", fs::read_to_string(&self.err));
        }
        let status = self.child.wait().unwrap();
        let call = fs::read(self.bench.path(&format!("bin/calls/{pid}.json"))).ok();
        let take = |path: &Path| {
            let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
            fs::remove_file(path).unwrap();
            text
        };
        assert_eq!(status.signal(), None, "a signal ended it");
        Outcome {
            code: status.code().unwrap(),
            out: take(&self.out),
            err: take(&self.err),
            call: call.map(|bytes| serde_json::from_slice(&bytes).unwrap()),
        }
    }
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its exit code.
    pub(crate) code: i32,
    /// Its stdout.
    pub(crate) out: String,
    /// Its stderr.
    pub(crate) err: String,
    /// What the runtime saw, if the process became it.
    pub(crate) call: Option<Call>,
}

impl Outcome {
    /// What the runtime saw, of a run that nothing stopped and that printed nothing.
    #[track_caller]
    pub(crate) fn arrived(self) -> Call {
        assert_eq!((self.code, self.out.as_str(), self.err.as_str()), (0, "", ""), "{self:?}");
        self.call.expect("the runtime was not called")
    }

    /// The words that the runtime got, without argv[0].
    #[track_caller]
    pub(crate) fn words(self) -> Vec<OsString> {
        self.arrived().words()
    }

    /// The one line on stderr, of a run that the program stopped with `code` before the runtime.
    #[track_caller]
    pub(crate) fn refused(self, code: i32) -> String {
        assert!(self.call.is_none(), "the runtime was called: {self:?}");
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        let line = self.err.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "one line: {line}");
        line.strip_prefix("runc-strict: ").unwrap().to_owned()
    }
}

impl Call {
    /// The words, without argv[0].
    pub(crate) fn words(&self) -> Vec<OsString> {
        self.argv.iter().skip(1).map(|w| OsString::from_vec(w.clone())).collect()
    }

    /// argv[0].
    pub(crate) fn program(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.argv[0]))
    }

    /// The supplementary groups of exec's document.
    pub(crate) fn exec_groups(&self) -> Vec<u32> {
        let document: serde_json::Value = serde_json::from_slice(self.document.as_ref().unwrap()).unwrap();
        serde_json::from_value(document["user"]["additionalGids"].clone()).unwrap()
    }
}
