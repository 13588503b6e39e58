//! The command-line grammar of runc, crun and youki, as a table.
//!
//! Only four commands start a process with an identity: create, run, exec and restore. Their flags are listed
//! whole, because a flag that we misread could hide a bundle from us (`--bund X`, `-b X`, `--config F`). Of all
//! other commands we need to know nothing: they are passed on byte for byte.
//!
//! Sources: runc `main.go`, `create.go`, `run.go`, `exec.go`, `restore.go`; crun `src/crun.c`, `src/exec.c`,
//! `src/run.c`; youki `crates/liboci-cli`.

/// What follows a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// `--detach`; Go also takes `--detach=true`.
    Switch,
    /// `--root DIR`, `--root=DIR`; may stand once.
    Value,
    /// `--env K=V`; may stand any number of times.
    List,
}

/// One flag: its long name without dashes, its short form, and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// The name without dashes, as it is handed on: `bundle`.
    pub long: &'static str,
    /// The one-letter form: `b`.
    pub short: Option<&'static str>,
    /// What follows.
    pub arity: Arity,
}

const fn switch(long: &'static str, short: Option<&'static str>) -> Flag {
    Flag { long, short, arity: Arity::Switch }
}
const fn value(long: &'static str, short: Option<&'static str>) -> Flag {
    Flag { long, short, arity: Arity::Value }
}
const fn list(long: &'static str, short: Option<&'static str>) -> Flag {
    Flag { long, short, arity: Arity::List }
}

/// Flags before the command: runc's, then crun's (`cgroup-manager`, `log-level`) and youki's short forms.
pub const GLOBALS: &[Flag] = &[
    value("root", Some("r")),
    value("log", Some("l")),
    value("log-format", None),
    value("log-level", None),
    value("rootless", None),
    value("criu", None),
    value("cgroup-manager", None),
    switch("systemd-cgroup", Some("s")),
    switch("debug", None),
    switch("help", Some("h")),
    switch("version", Some("v")),
];

const CREATE: &[Flag] = &[
    value("bundle", Some("b")),
    value("console-socket", None),
    value("pidfd-socket", None),
    value("pid-file", None),
    value("preserve-fds", None),
    switch("no-pivot", None),
    switch("no-new-keyring", None),
    switch("help", Some("h")),
];

const RUN: &[Flag] = &[
    value("bundle", Some("b")),
    value("console-socket", None),
    value("pidfd-socket", None),
    value("pid-file", None),
    value("preserve-fds", None),
    switch("no-pivot", None),
    switch("no-new-keyring", None),
    switch("detach", Some("d")),
    switch("keep", None),
    switch("no-subreaper", None),
    switch("help", Some("h")),
];

const EXEC: &[Flag] = &[
    value("console-socket", None),
    value("pidfd-socket", None),
    value("cwd", None),
    list("env", Some("e")),
    value("user", Some("u")),
    list("additional-gids", Some("g")),
    value("process", Some("p")),
    value("pid-file", None),
    value("process-label", None),
    value("apparmor", None),
    list("cap", Some("c")),
    value("preserve-fds", None),
    list("cgroup", None),
    switch("tty", Some("t")),
    switch("detach", Some("d")),
    switch("no-new-privs", None),
    switch("ignore-paused", None),
    switch("help", Some("h")),
];

const RESTORE: &[Flag] = &[
    value("console-socket", None),
    value("image-path", None),
    value("work-path", None),
    value("manage-cgroups-mode", None),
    value("bundle", Some("b")),
    value("pid-file", None),
    list("empty-ns", None),
    value("lsm-profile", None),
    value("lsm-mount-context", None),
    switch("tcp-established", None),
    switch("ext-unix-sk", None),
    switch("shell-job", None),
    switch("file-locks", None),
    switch("detach", Some("d")),
    switch("no-subreaper", None),
    switch("no-pivot", None),
    switch("auto-dedup", None),
    switch("lazy-pages", None),
    switch("help", Some("h")),
];

/// `update`, of which we only want to know what it is about: runc `update.go`, crun `src/update.c`.
pub const UPDATE: &[Flag] = &[
    value("resources", Some("r")),
    value("blkio-weight", None),
    value("cpu-period", None),
    value("cpu-quota", None),
    value("cpu-burst", None),
    value("cpu-share", None),
    value("cpu-rt-period", None),
    value("cpu-rt-runtime", None),
    value("cpu-idle", None),
    value("cpuset-cpus", None),
    value("cpuset-mems", None),
    value("memory", None),
    value("memory-reservation", None),
    value("memory-swap", None),
    value("kernel-memory", None),
    value("kernel-memory-tcp", None),
    value("pids-limit", None),
    value("l3-cache-schema", None),
    value("mem-bw-schema", None),
    switch("help", Some("h")),
];

/// The commands that start a process, and that are therefore parsed strictly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `create`: a container, not yet started.
    Create,
    /// `run`: create and start.
    Run,
    /// `exec`: a further process in a container.
    Exec,
    /// `restore`: a container from a checkpoint image.
    Restore,
}

impl Verb {
    /// All of them.
    pub const ALL: [Verb; 4] = [Verb::Create, Verb::Run, Verb::Exec, Verb::Restore];

    /// The command's word.
    pub const fn word(self) -> &'static str {
        match self {
            Verb::Create => "create",
            Verb::Run => "run",
            Verb::Exec => "exec",
            Verb::Restore => "restore",
        }
    }

    /// The flags that may stand after the command's word.
    pub const fn flags(self) -> &'static [Flag] {
        match self {
            Verb::Create => CREATE,
            Verb::Run => RUN,
            Verb::Exec => EXEC,
            Verb::Restore => RESTORE,
        }
    }

    /// The exit code of a refusal: what callers of runc take for "the runtime failed" (`exec` uses 255, so
    /// that it can't be taken for the exit code of the process).
    pub const fn refusal_code(self) -> u8 {
        match self {
            Verb::Exec => 255,
            Verb::Create | Verb::Run | Verb::Restore => 1,
        }
    }
}

/// Commands that say nothing of who a process is and of which we keep nothing: they are passed on before anything else
/// is read. Others that we don't know are passed on too, after a longer look.
pub const PASSED: &[&str] =
    &["start", "state", "kill", "ps", "pause", "resume", "events", "list", "features", "checkpoint"];

/// Commands that we look into: what starts a process, what tells that a container is gone, and what sets its limits.
pub const JUDGED: &[&str] = &["create", "exec", "run", "restore", "delete", "update"];

/// Our own sub-commands. None is a word of runc, crun or youki.
pub const OWN: &[&str] =
    &["explain", "whoami", "audit", "check", "install", "uninstall", "cgroup-updater", "version", "help"];
