//! The configuration: `/etc/runc-strict/config.toml`, or the file that `RUNC_STRICT_CONFIG` names.
//!
//! Two readings. [`Config::load`] is strict: an unknown key, a wrong type or a file that others can write to stops
//! the container. [`for_pass_through`] takes the three keys `runtime`, `check-before-update` and `path` below `[audit]` and
//! tolerates everything else, because a broken configuration is no reason to stop a kill, nor a probe of a container that
//! was judged already. So that the two can't disagree, the strict reading refuses a value that the other one doesn't see.
//! Both go by lines (`plain`); toml reads what isn't written that plainly.

mod plain;

use std::env;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use plain::runtime_word;
use plain::{check_in, log_in, runtime_in};

use super::file::{self, Found};
use crate::error::{Error, Result};
use crate::policy::Policy;
use crate::policy::level::Level;
use crate::policy::rules::{AnnotationMode, Engine, PrimaryGid, Table, VulnerableRuntime};
use crate::quote::told;

/// The environment variable that names another file.
pub const VARIABLE: &str = "RUNC_STRICT_CONFIG";

/// Where the file is.
pub const PATH: &str = "/etc/runc-strict/config.toml";

/// The runtime where nothing is configured.
pub const RUNTIME: &str = "runc";

/// The audit log where nothing is configured.
pub const LOG: &str = "/var/log/runc-strict/runc-strict.log";

/// A configuration is a page of text.
pub const LIMIT: u64 = 1024 * 1024;

/// Whether restore is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Restore {
    /// It is refused.
    #[default]
    Deny,
    /// It passes.
    Allow,
}

/// `[containerd]`: read only with engine = "containerd".
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Containerd {
    /// Its socket.
    pub address: PathBuf,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: u32,
}

impl Default for Containerd {
    fn default() -> Containerd {
        Containerd { address: "/run/containerd/containerd.sock".into(), timeout_ms: 2000 }
    }
}

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// The log file.
    pub path: PathBuf,
}

impl Default for Audit {
    fn default() -> Audit {
        Audit { path: LOG.into() }
    }
}

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// The real runtime: a path, or a name to be looked up.
    pub runtime: String,
    /// Who calls.
    pub engine: Engine,
    /// What the pod's annotation is worth.
    pub annotation: AnnotationMode,
    /// Whether what can't have come from the image is authorised.
    pub residual: bool,
    /// The lowest level.
    pub level: Level,
    /// What happens to a primary gid that nobody declared.
    pub primary_gid: PrimaryGid,
    /// What happens on runc before 1.3.
    pub vulnerable_runtime: VulnerableRuntime,
    /// Whether restore is allowed.
    pub restore: Restore,
    /// Whether memory.checkBeforeUpdate is put into the engine's updates.
    pub check_before_update: bool,
    /// `[containerd]`.
    pub containerd: Containerd,
    /// `[audit]`.
    pub audit: Audit,
    /// `[[namespace]]`.
    pub namespace: Vec<Table>,
    /// Where it was read from.
    #[serde(skip)]
    pub path: PathBuf,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            runtime: RUNTIME.to_owned(),
            engine: Engine::default(),
            annotation: AnnotationMode::default(),
            residual: true,
            level: Level::default(),
            primary_gid: PrimaryGid::default(),
            vulnerable_runtime: VulnerableRuntime::default(),
            restore: Restore::default(),
            check_before_update: false,
            containerd: Containerd::default(),
            audit: Audit::default(),
            namespace: Vec::new(),
            path: PathBuf::from(PATH),
        }
    }
}

impl Config {
    /// Reads the configuration; without a file it is the defaults.
    ///
    /// # Errors
    /// One sentence with the file and the line.
    pub fn load() -> Result<Config> {
        let path = path();
        let file = match file::open_regular(&path) {
            // A file that somebody names has to exist.
            Err(why) if why.is_not_found() && env::var_os(VARIABLE).is_none() => return Ok(Config::default()),
            other => other?,
        };
        check_owner(&path, &file.found)?;
        let bytes = file.read(LIMIT)?;
        let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned());
        let config = text.and_then(|text| Config::parse(&text)).map_err(Error::content(&path))?;
        Ok(Config { path, ..config })
    }

    /// Reads the text of a configuration.
    ///
    /// # Errors
    /// One sentence with the line.
    pub fn parse(text: &str) -> std::result::Result<Config, String> {
        let config = plain::whole(text).map_or_else(|| Config::from_toml(text), Ok)?;
        let trusting = config.annotation == AnnotationMode::Trusted;
        if trusting && matches!(config.engine, Engine::None | Engine::Podman) {
            return Err(format!(
                "annotation = \"trusted\" needs engine = \"containerd\" or \"cri-o\": with \"{}\" an image can forge annotations",
                config.engine.name()
            ));
        }
        Ok(config)
    }

    /// What toml reads, unless one of the short readings doesn't see it.
    fn from_toml(text: &str) -> std::result::Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|why| {
            let line = why.span().map(|s| text.get(..s.start).unwrap_or_default().matches('\n').count() + 1);
            let why = told(why.message());
            match line {
                Some(line) => format!("line {line}: {why}"),
                None => why,
            }
        })?;
        if runtime_in(text) != config.runtime {
            return Err(
                "write runtime = \"...\" on a line of its own above the first table, without escapes: kill and delete read it alone"
                    .to_owned(),
            );
        }
        if check_in(text) != config.check_before_update {
            return Err(
                "write check-before-update = true on a line of its own above the first table: update reads it alone"
                    .to_owned(),
            );
        }
        if Path::new(log_in(text)) != config.audit.path {
            return Err(
                "write path = \"...\" on a line of its own below the line [audit], without escapes: exec reads it alone"
                    .to_owned(),
            );
        }
        Ok(config)
    }

    /// The part that decides.
    pub fn policy(&self) -> Policy {
        Policy {
            engine: self.engine,
            annotation: self.annotation,
            residual: self.residual,
            level: self.level,
            primary_gid: self.primary_gid,
            vulnerable_runtime: self.vulnerable_runtime,
            tables: self.namespace.clone(),
            config: self.path.to_string_lossy().into_owned(),
        }
    }
}

/// The file's place.
pub fn path() -> PathBuf {
    env::var_os(VARIABLE).filter(|v| !v.is_empty()).map_or_else(|| PathBuf::from(PATH), PathBuf::from)
}

/// What pass-through goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassThrough {
    /// The configured runtime; none where the file can't be read, so that nobody knows what it says.
    pub runtime: Option<String>,
    /// Whether memory.checkBeforeUpdate is put into the engine's updates.
    pub check_before_update: bool,
    /// The audit log.
    pub log: PathBuf,
}

/// The configuration for pass-through: whatever else the file says, and also if it can't be read.
pub fn for_pass_through() -> PassThrough {
    let path = path();
    let text = match file::read_text(&path, LIMIT) {
        Ok(text) => text,
        // Nobody needs a file at the usual place.
        Err(why) if why.is_not_found() && path == Path::new(PATH) => String::new(),
        Err(_) => return PassThrough { runtime: None, check_before_update: false, log: LOG.into() },
    };
    PassThrough {
        runtime: Some(runtime_in(&text).to_owned()),
        check_before_update: check_in(&text),
        log: log_in(&text).into(),
    }
}

/// Whoever can write the configuration says who a container is.
fn check_owner(path: &Path, found: &Found) -> Result<()> {
    if found.mode & 0o022 == 0 {
        return Ok(());
    }
    Err(Error::Content {
        path: path.to_path_buf(),
        why: format!(
            "has mode {:04o}, others than its owner can write to it; chmod go-w",
            found.mode & 0o7777
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Config::parse(text).unwrap_err()
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let config = Config::parse("").unwrap();
        assert_eq!(config.runtime, "runc");
        assert_eq!(config.engine, Engine::None);
        assert!(config.residual && !config.check_before_update);
        assert_eq!(config.containerd.timeout_ms, 2000);
        assert_eq!(config.audit.path, Path::new("/var/log/runc-strict/runc-strict.log"));
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_line() {
        assert!(
            refused("runtime = \"runc\"\nlevle = \"sealed\"\n")
                .starts_with("line 2: unknown field \"levle\"")
        );
        assert!(refused("[[namespace]]\nalow = []\n").starts_with("line 2: unknown field \"alow\""));
        assert!(refused("[audit]\n\nfile = \"x\"\n").starts_with("line 3: unknown field \"file\""));
    }

    #[test]
    fn values_out_of_range_are_errors_that_name_the_line() {
        assert!(refused("\nlevel = \"closed\"\n").starts_with("line 2: unknown variant \"closed\""));
        assert!(refused("level = \"\tsealed\"").starts_with(r#"line 1: unknown variant "\u{9}sealed""#));
        assert!(refused("[[namespace]]\nallow = [\"5000-4000\"]").contains("\"5000-4000\" is no gid"));
        assert!(refused("[[namespace]]\nallow = [5000]").starts_with("line 2: "));
        assert!(refused("[containerd]\ntimeout-ms = -1").starts_with("line 2: "));
    }

    #[test]
    fn trusted_is_an_error_where_an_image_can_forge_annotations() {
        assert!(refused("annotation = \"trusted\"").contains("engine"));
        assert!(refused("engine = \"podman\"\nannotation = \"trusted\"").contains("podman"));
        assert!(Config::parse("engine = \"cri-o\"\nannotation = \"trusted\"").is_ok());
    }
}
