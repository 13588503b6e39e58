//! A private folder with a configuration, a log, records and containers. As root the records would be in /run, so
//! the program is run with its own view of /run, a bind mount in a mount namespace that ends with it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use tempfile::TempDir;

/// The image's etc/group: a name with a terminal escape, and an ordinary one.
pub(crate) const GROUPS: &str =
    "root:x:0:\napp:x:1000:\nevil\x1b[31m\u{202e}:x:50000:app\nstaff:x:3000:app\n";

/// The image's etc/passwd.
pub(crate) const PASSWD: &str = "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n";

/// What stands in the real runtime's place: it does nothing, or waits as long as a FIFO beside it says.
const RUNTIME: &str = "#!/bin/sh
echo runc version 1.3.0
case \"$*\" in *create*) hold=\"${0%/*}/hold\"; [ ! -p \"$hold\" ] || read -r x <\"$hold\" ;; esac
exit 0";

pub(crate) struct Room {
    folder: TempDir,
}

impl Room {
    pub(crate) fn new() -> Room {
        let folder = tempfile::Builder::new().prefix("s").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let room = Room { folder };
        for name in ["run", "root", "log", "bundle/rootfs/etc"] {
            fs::create_dir_all(room.path(name)).unwrap();
        }
        fs::write(room.path("bundle/rootfs/etc/group"), GROUPS).unwrap();
        fs::write(room.path("bundle/rootfs/etc/passwd"), PASSWD).unwrap();
        let runtime = room.path("runtime");
        // Written by another process: a file that this one holds open for writing can't be executed.
        let script = "printf '%s\\n' \"$1\" >\"$0\" && chmod 755 \"$0\"";
        let written = Command::new("sh").args(["-c", script]).arg(&runtime).arg(RUNTIME).status().unwrap();
        assert!(written.success());
        let (runtime, log) = (room.text("runtime"), room.text("log/runc-strict.log"));
        let config = format!("runtime = \"{runtime}\"\nengine = \"cri-o\"\n[audit]\npath = \"{log}\"\n");
        fs::write(room.path("config.toml"), config).unwrap();
        fs::set_permissions(room.path("config.toml"), fs::Permissions::from_mode(0o644)).unwrap();
        room
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path("log/runc-strict.log")
    }

    /// The program with `words`.
    pub(crate) fn command<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        let program = env!("CARGO_BIN_EXE_runc-strict");
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("unshare");
                let script = "mount --bind \"$0\" /run && exec \"$@\"";
                command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
                command.arg(self.path("run")).arg(program);
                command
            }
            false => Command::new(program),
        };
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("RUNC_STRICT_CONFIG", self.path("config.toml")).env("XDG_RUNTIME_DIR", self.path("run"));
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Seen {
        let Output { status, stdout, stderr } = self.command(words).output().unwrap();
        Seen {
            code: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Has the program judge and record a container of uid and gid 1000 for which the engine asks for `groups`.
    pub(crate) fn create(&self, id: &str, groups: &[u32]) {
        let output = self.create_command(id, groups).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }

    /// The same, not yet run.
    pub(crate) fn create_command(&self, id: &str, groups: &[u32]) -> Command {
        let document = serde_json::json!({
            "ociVersion": "1.0.2", "root": {"path": "rootfs"}, "linux": {},
            "annotations": {"io.kubernetes.pod.namespace": "user-1", "io.kubernetes.pod.name": format!("pod-{id}"),
                "io.kubernetes.pod.uid": format!("uid-{id}"), "io.kubernetes.container.name": "web"},
            "process": {"user": {"uid": 1000, "gid": 1000, "additionalGids": groups}, "cwd": "/", "args": ["x"],
                "noNewPrivileges": false, "capabilities": {"bounding": ["CAP_CHOWN", "CAP_SETGID"]}},
        });
        fs::write(self.path("bundle/config.json"), document.to_string()).unwrap();
        let (root, bundle) = (self.text("root"), self.text("bundle"));
        self.command(["--root", &root, "create", "--bundle", &bundle, id])
    }

    /// Writes the runtime's state of a container whose init is `pid`.
    pub(crate) fn state(&self, id: &str, pid: u32) {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let start: u64 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(19).unwrap().parse().unwrap();
        let label = format!("bundle={}", self.text("bundle"));
        let state = serde_json::json!({
            "init_process_pid": pid, "init_process_start": start, "config": {"labels": [label]}
        });
        fs::create_dir_all(self.path(&format!("root/{id}"))).unwrap();
        fs::write(self.path(&format!("root/{id}/state.json")), state.to_string()).unwrap();
    }

    /// A container that is recorded and runs: a process of the caller's own identity.
    pub(crate) fn container(&self, id: &str, groups: &[u32]) -> Process {
        self.create(id, groups);
        let process = Process::start(Command::new("cat"));
        self.state(id, process.pid());
        process
    }

    /// A container that is recorded and runs with this identity (flags of setpriv(1)) and the room's etc files.
    pub(crate) fn container_as(&self, id: &str, groups: &[u32], identity: &[&str]) -> Process {
        self.create(id, groups);
        let mut command = Command::new("unshare");
        let script =
            "mount --bind \"$0/passwd\" /etc/passwd && mount --bind \"$0/group\" /etc/group && exec \"$@\"";
        command.args(["--mount", "--propagation", "private", "sh", "-c", script]);
        command.arg(self.path("bundle/rootfs/etc")).arg("setpriv").args(identity).arg("cat");
        let process = Process::start(command);
        self.state(id, process.pid());
        process
    }

    /// `text` without what differs from run to run: the folder, the pid, the time.
    pub(crate) fn steady(&self, text: &str, process: &Process) -> String {
        let pid = process.pid();
        let text = text.replace(self.folder.path().to_str().unwrap(), "ROOM");
        let text = text
            .replace(&format!("{pid:>9}  "), "      PID  ")
            .replace(&format!("\"pid\":{pid}"), "\"pid\":0");
        without_times(&text)
    }
}

/// Replaces what looks like `2026-11-22T21:58:15.123456Z`.
pub(crate) fn without_times(text: &str) -> String {
    const LENGTH: usize = 27;
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("20") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let time = from.get(..LENGTH).filter(|t| t.as_bytes()[10] == b'T' && t.ends_with('Z'));
        let taken = if time.is_some() { LENGTH } else { 2 };
        out.push_str(if time.is_some() { "TIME" } else { "20" });
        rest = &from[taken..];
    }
    out + rest
}

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A process that ends when the test does: it reads from a pipe that the test holds.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts `command`, which becomes cat(1), and waits until it has.
    pub(crate) fn start(mut command: Command) -> Process {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"\n").unwrap();
        let mut answer = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
        Process { child, stdin: Some(stdin) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it.
    pub(crate) fn end(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The program while it follows the log.
pub(crate) struct Follower {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Follower {
    pub(crate) fn start(room: &Room, words: &[&str]) -> Follower {
        let mut command = room.command(["audit", "--follow"].iter().chain(words));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Follower { child, lines }
    }

    /// The next line that it shows.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "audit --follow ended: {line:?}");
        line.trim_end().to_owned()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether a test that needs other identities can run; says so where it can't.
pub(crate) fn identities(test: &str) -> bool {
    if !is_root() {
        // not by eprintln, which the harness keeps back where a test passes
        let _ =
            writeln!(std::io::stderr(), "skipped: {test}: only root can start processes of another identity");
    }
    is_root()
}
