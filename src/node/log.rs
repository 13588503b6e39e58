//! The road of an error to the user: the runtime's `--log` file, and stderr.
//!
//! containerd takes the last line with level "error" in the file as the reason that it shows in the pod's events,
//! and decodes the whole file as consecutive JSON values; podman wants exactly one. So only errors go there, one
//! line each, and everything else goes to stderr alone.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::clock;
use crate::argv::Globals;

struct Sink {
    file: Option<PathBuf>,
    json: bool,
}

static SINK: OnceLock<Sink> = OnceLock::new();

/// Sends what is logged from now on where the command line says.
pub fn install(globals: &Globals) {
    let text = |name: &str| globals.value(name).unwrap_or_default();
    // crun also takes `journald:`, `syslog:` and `file:PATH`; runc takes a path.
    let file = match text("log").to_str() {
        Some("") => None,
        Some(word) if word.starts_with("journald:") || word.starts_with("syslog:") => None,
        Some(word) => Some(PathBuf::from(word.strip_prefix("file:").unwrap_or(word))),
        None => Some(PathBuf::from(text("log"))),
    };
    let sink = SINK.get_or_init(|| Sink { file, json: text("log-format") == OsStr::new("json") });
    // A second installation in one process can't happen, and would change nothing.
    let _ = log::set_logger(sink);
    log::set_max_level(LevelFilter::Warn);
}

impl Log for Sink {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = record.args().to_string();
        if record.level() == Level::Error {
            self.to_file(&message);
        }
        // Nobody is left to tell if stderr is closed.
        let _ = writeln!(std::io::stderr(), "runc-strict: {message}");
    }

    fn flush(&self) {}
}

impl Sink {
    fn to_file(&self, message: &str) {
        let Some(path) = &self.file else { return };
        let message = serde_json::Value::from(message);
        let time = clock::now();
        let line = match self.json {
            true => format!("{{\"level\":\"error\",\"msg\":{message},\"time\":\"{time}\"}}\n"),
            false => format!("time=\"{time}\" level=error msg={message}\n"),
        };
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let opened = OpenOptions::new().append(true).create(true).mode(0o644).custom_flags(flags).open(path);
        if let Ok(mut file) = opened {
            // stderr says the same.
            let _ = file.write_all(line.as_bytes());
        }
    }
}
