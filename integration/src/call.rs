//! One call of a runtime, or of the product in its place, and what it answered. The streams go to files, because
//! a container inherits them and outlives the call; stdin is an empty file, never /dev/null, which crun would give
//! away to the container's user. A call that doesn't end in time is killed and counts as a failure.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Deserializer, Value};

use crate::report::printable;
use crate::room::{Room, end_process};
use crate::sys;
use crate::trace::{self, Fault, Trace};

/// No call of a runtime takes this long, even under software emulation on a busy machine: there runc once took more than
/// a minute for an etc/group of 48 MiB.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// A call that is being prepared.
pub(crate) struct Call<'a> {
    room: &'a Room,
    /// Where the streams are kept: `NAME.out`, `NAME.err`, `NAME.log`.
    streams: PathBuf,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    cwd: PathBuf,
    limit: Option<Duration>,
}

impl<'a> Call<'a> {
    /// A call of `program` whose streams are kept as `streams.out`, `streams.err` and `streams.log`.
    pub(crate) fn new(room: &'a Room, program: &Path, streams: &Path) -> Self {
        let environment = vec![
            ("PATH", OsString::from("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")),
            ("XDG_RUNTIME_DIR", room.dir.join("xdg").into_os_string()),
        ];
        let cwd = room.dir.clone();
        let (streams, program) = (streams.to_owned(), program.to_owned());
        Self { room, streams, program, arguments: Vec::new(), environment, cwd, limit: None }
    }

    pub(crate) fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(crate) fn arguments(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Calls as somebody who is in these groups, by way of the probe.
    pub(crate) fn with_caller_groups(mut self, probe: &Path, groups: &str) -> Self {
        let program = std::mem::replace(&mut self.program, probe.to_owned());
        let before = ["with-groups".into(), groups.into(), program.into_os_string()];
        drop(self.arguments.splice(0..0, before));
        self
    }

    pub(crate) fn environment(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name, value.as_ref().to_owned()));
        self
    }

    pub(crate) fn cwd(mut self, folder: &Path) -> Self {
        self.cwd = folder.to_owned();
        self
    }

    /// A call that may wait for ever: after this time it is ended, and its answer says so.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Where `--log` of this call should point.
    pub(crate) fn log(&self) -> PathBuf {
        self.streams.with_extension("log")
    }

    /// Makes the call and waits for its end.
    ///
    /// # Errors
    /// When it can't be started or doesn't end in time.
    pub(crate) fn run(self, stdin: &[u8]) -> Result<Answer> {
        self.run_with(stdin, |_| {}, |_| Ok(())).map(|(answer, ())| answer)
    }

    /// The same, counting its system calls, and with a fault at one of them.
    ///
    /// # Errors
    /// As [`Call::run`], and when it can't be traced.
    pub(crate) fn run_traced(self, stdin: &[u8], fault: Option<(usize, Fault)>) -> Result<(Answer, Trace)> {
        let limit = self.limit.unwrap_or(LIMIT);
        self.run_with(stdin, sys::traced, |pid| {
            std::thread::scope(|scope| {
                // What hangs under the tracer is ended from here, as what hangs elsewhere is.
                scope.spawn(move || {
                    if matches!(sys::await_end(pid, limit), Ok(false)) {
                        end_process(pid);
                    }
                });
                trace::follow(pid, fault)
            })
        })
    }

    /// Makes the call; `meet` is called with the pid of what was started, by the thread that started it.
    fn run_with<T>(
        self,
        stdin: &[u8],
        prepare: impl FnOnce(&mut Command),
        meet: impl FnOnce(u32) -> Result<T>,
    ) -> Result<(Answer, T)> {
        let input = self.streams.with_extension("in");
        let (stdout, stderr, log) =
            (self.streams.with_extension("out"), self.streams.with_extension("err"), self.log());
        let make = |path: &Path| File::create(path).with_context(|| format!("make {}", path.display()));
        fs::write(&input, stdin).with_context(|| format!("write {}", input.display()))?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.cwd).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::from(File::open(&input)?)).stdout(make(&stdout)?).stderr(make(&stderr)?);
        let words: Vec<_> = self.arguments.iter().map(|word| word.to_string_lossy()).collect();
        let line = format!("{} {}", self.program.display(), words.join(" "));
        prepare(&mut command);
        let mut child = self.room.spawn(&mut command).with_context(|| format!("start {line}"))?;
        let pid = child.id();
        let met = meet(pid).with_context(|| format!("follow {line}"));
        if met.is_err() {
            end_process(pid);
        }
        let ended =
            sys::await_end(pid, self.limit.unwrap_or(LIMIT)).with_context(|| format!("wait for {line}"))?;
        if !ended {
            end_process(pid);
        }
        let status = child.wait().with_context(|| format!("wait for {line}"))?;
        self.room.child_ended(pid);
        if !ended && self.limit.is_none() {
            bail!("{line} did not end within {} s", LIMIT.as_secs());
        }
        Ok((Answer { line, code: status.code(), hung: !ended, stdout, stderr, log }, met?))
    }
}

/// What a call answered.
pub(crate) struct Answer {
    /// The command line.
    pub(crate) line: String,
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// Whether it had to be ended.
    pub(crate) hung: bool,
    stdout: PathBuf,
    stderr: PathBuf,
    log: PathBuf,
}

impl Answer {
    /// What an engine said in a runtime's place.
    pub(crate) fn told(who: &str, streams: &Path, succeeded: bool, text: &str) -> Result<Self> {
        let path = |extension: &str| streams.with_extension(extension);
        let told = if succeeded { path("out") } else { path("err") };
        fs::write(&told, text).with_context(|| format!("write {}", told.display()))?;
        Ok(Self {
            line: who.to_owned(),
            code: Some(i32::from(!succeeded)),
            hung: false,
            stdout: path("out"),
            stderr: path("err"),
            log: path("log"),
        })
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// What it, and a container that it made, has written to stdout until now.
    pub(crate) fn stdout(&self) -> String {
        read_lossy(&self.stdout)
    }

    /// As [`Answer::stdout`], for stderr.
    pub(crate) fn stderr(&self) -> String {
        read_lossy(&self.stderr)
    }

    /// The JSON values in the file that `--log` named.
    ///
    /// # Errors
    /// When a part of the file isn't JSON: containerd would then show none of it.
    pub(crate) fn log(&self) -> Result<Vec<Value>> {
        let text = read_lossy(&self.log);
        let values: serde_json::Result<Vec<Value>> = Deserializer::from_str(&text).into_iter().collect();
        values.with_context(|| format!("read the log of {}", self.line))
    }

    /// The last line of stdout as the probe's report.
    ///
    /// # Errors
    /// When it is no JSON.
    pub(crate) fn report(&self) -> Result<Value> {
        let stdout = self.stdout();
        let last = stdout.lines().last().unwrap_or_default();
        serde_json::from_str(last).with_context(|| format!("no report of the probe from {self}"))
    }

    /// An error unless the call succeeded.
    pub(crate) fn require_success(self) -> Result<Self> {
        if self.succeeded() { Ok(self) } else { bail!("{self}") }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let code = self.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit {code}"));
        let (stdout, stderr) = (self.stdout(), self.stderr());
        write!(
            to,
            "{}: {code}, stdout \"{}\", stderr \"{}\"",
            self.line,
            printable(&stdout),
            printable(&stderr)
        )
    }
}

/// A stream that was never opened is empty.
fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
