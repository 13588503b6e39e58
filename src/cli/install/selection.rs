//! What `install` and `uninstall` are pointed at: the engine, the handler's name, the host.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use crate::error::{Error, Result, show};
use crate::node::engine_config::host::Host;
use crate::policy::rules::Engine;
use crate::quote::quoted;

/// The engines that can be set up.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(in crate::cli) enum EngineName {
    /// containerd's CRI
    Containerd,
    /// CRI-O
    CriO,
    /// podman
    Podman,
}

impl EngineName {
    /// As the configuration knows it.
    pub(in crate::cli) const fn engine(self) -> Engine {
        match self {
            EngineName::Containerd => Engine::Containerd,
            EngineName::CriO => Engine::CriO,
            EngineName::Podman => Engine::Podman,
        }
    }
}

/// Which handler of which engine on which host.
#[derive(Debug, Args)]
#[group(skip)]
pub(in crate::cli) struct Selection {
    /// The engine whose configuration is changed
    #[arg(long, value_enum)]
    pub(in crate::cli) engine: EngineName,
    /// The handler's name, which a RuntimeClass selects
    #[arg(long, value_name = "NAME", default_value = "strict", value_parser = handler)]
    pub(in crate::cli) handler: String,
    /// The folder at which the host's root is mounted
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(in crate::cli) host_prefix: PathBuf,
    /// Restart the engine afterwards, with systemctl; it is never restarted otherwise
    #[arg(long)]
    pub(in crate::cli) restart: bool,
    /// Show what would be written, and write nothing
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
}

impl Selection {
    /// The host.
    ///
    /// # Errors
    /// That there is none, or that its engine can't be restarted from here.
    pub(in crate::cli) fn host(&self) -> Result<Host> {
        let host = Host::new(&self.host_prefix)?;
        if self.restart && !host.is_this() {
            return Err(Error::Other(format!(
                "--restart works only on this host, and {} is the root of another; restart the engine there",
                show(&self.host_prefix)
            )));
        }
        Ok(host)
    }
}

/// A RuntimeClass names its handler by a DNS label (Kubernetes: RuntimeClass, field handler).
fn handler(word: &str) -> std::result::Result<String, String> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inside = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if inside && word.len() <= 63 && edge(word.chars().next()) && edge(word.chars().next_back()) {
        return Ok(word.to_owned());
    }
    Err(format!(
        "{} is no DNS label: small letters, digits and \"-\" inside, at most 63",
        quoted(word.as_bytes())
    ))
}

/// Our program, as the host names it: this one, or where it is on a host whose root is mounted somewhere.
///
/// # Errors
/// That it isn't there, or that others could replace it.
pub(in crate::cli) fn our_program(host: &Host) -> Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let us =
        std::env::current_exe().map_err(Error::io("find our own program at", Path::new("/proc/self/exe")))?;
    let path = match host.name(&us) {
        Some(path) => path,
        None => host.program("runc-strict").ok_or_else(|| {
            Error::Other(format!(
                "there is no program runc-strict on the host; copy it to {}",
                show(&host.real(Path::new("/usr/local/sbin/runc-strict")))
            ))
        })?,
    };
    let mode = host.metadata(&path).map_or(0, |found| found.mode());
    if mode & 0o022 != 0 {
        let why = format!("has mode {:04o}, others than its owner can replace it; chmod go-w", mode & 0o7777);
        return Err(Error::Content { path: host.real(&path), why });
    }
    Ok(path)
}
