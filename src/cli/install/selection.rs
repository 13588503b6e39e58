//! What `install` and `uninstall` are pointed at: the engine, the handler's name, the host.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::copy;
use crate::error::{Error, Result, show};
use crate::node::engine_config::host::Host;
use crate::node::engine_config::is_there;
use crate::node::systemd;
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
    /// Those that a kubelet calls, containerd and CRI-O, as far as they are on the host
    Auto,
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
    /// Restart the engine afterwards, by systemd, if it runs; it is never restarted otherwise
    #[arg(long)]
    pub(in crate::cli) restart: bool,
    /// Keep the program itself on the host, in DIR (/usr/local/sbin): install copies it there, uninstall removes it
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true,
        default_missing_value = "/usr/local/sbin", value_parser = copy::folder)]
    pub(in crate::cli) copy: Option<PathBuf>,
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
        if self.restart && !self.dry_run && !host.exists(Path::new(systemd::SOCKET)) {
            return Err(Error::Other(format!(
                "--restart needs systemd, and there is no {}; leave it out and restart the engine yourself",
                show(&host.real(Path::new(systemd::SOCKET)))
            )));
        }
        Ok(host)
    }

    /// The engines that are meant.
    ///
    /// # Errors
    /// That `auto` finds none.
    pub(in crate::cli) fn engines(&self, host: &Host) -> Result<Vec<Engine>> {
        let engine = match self.engine {
            EngineName::Containerd => Engine::Containerd,
            EngineName::CriO => Engine::CriO,
            EngineName::Podman => Engine::Podman,
            EngineName::Auto => {
                let known = [Engine::Containerd, Engine::CriO];
                let found: Vec<Engine> = known.into_iter().filter(|engine| is_there(*engine, host)).collect();
                return match found.is_empty() {
                    true => Err(Error::Other("there is neither containerd nor cri-o here".to_owned())),
                    false => Ok(found),
                };
            }
        };
        Ok(vec![engine])
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
    let us =
        std::env::current_exe().map_err(Error::io("find our own program at", Path::new("/proc/self/exe")))?;
    let path = match host.name(&us) {
        Some(path) => path,
        None => host.program("runc-strict").ok_or_else(|| {
            Error::Other(format!(
                "there is no program runc-strict on the host; copy it to {}, or let --copy do it",
                show(&host.real(Path::new("/usr/local/sbin/runc-strict")))
            ))
        })?,
    };
    copy::check(host, &path)?;
    Ok(path)
}
