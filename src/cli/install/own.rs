//! Our own configuration: written where there is none; in one that only has comments, as a package brings it, what is
//! needed is set; one in which anything is set is never changed.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::node::config::{self, Config};
use crate::node::engine_config::host::Host;
use crate::node::engine_config::{Change, Plan};
use crate::node::file;
use crate::policy::rules::Engine;
use crate::quote::quoted;

/// What becomes of our own configuration.
pub(super) struct Own {
    /// The file to be written, where nobody has set anything.
    pub(super) change: Option<Change>,
    /// Where the one that is there doesn't fit.
    pub(super) notes: Vec<String>,
}

/// Where it is. The engine calls us without RUNC_STRICT_CONFIG.
pub(super) fn path() -> &'static Path {
    Path::new(config::PATH)
}

/// A configuration that was given with --config, which is to become ours.
#[derive(Clone, Debug)]
pub(super) struct Given {
    path: PathBuf,
    text: String,
    parsed: Config,
}

impl Given {
    /// Reads it.
    ///
    /// # Errors
    /// That it can't be read, or isn't one.
    pub(super) fn read(path: &Path) -> Result<Given> {
        let text = file::read_text(path, config::LIMIT)?;
        let parsed = Config::parse(&text).map_err(Error::content(path))?;
        Ok(Given { path: path.to_path_buf(), text, parsed })
    }

    /// Plans that it becomes ours; `default` is what the engine runs by default.
    ///
    /// # Errors
    /// That the one that is there can't be replaced, or that the host lacks the runtime: no pod would start.
    pub(super) fn plan(&self, host: &Host, engine: Engine, default: Option<&str>) -> Result<Own> {
        let runtime = &self.parsed.runtime;
        if !runtime.starts_with('/') && host.program(runtime).is_none() {
            let known = default.and_then(|default| inherited(host, default));
            let advice =
                known.map_or_else(String::new, |path| format!("; {} runs \"{path}\"", engine.name()));
            let why = format!(
                "says runtime = {}, and the host has no such program{advice}",
                quoted(runtime.as_bytes())
            );
            return Err(Error::Content { path: self.path.clone(), why });
        }
        if runtime.starts_with('/') {
            check(host, runtime)
                .map_err(|why| Error::Content { path: self.path.clone(), why: why.to_string() })?;
        }
        let notes = other_engine(&self.parsed, engine, &self.path).into_iter().collect();
        let before = host.read_for_change(path())?;
        let change = Change { path: path().to_path_buf(), before, after: Some(self.text.clone()) };
        Ok(Own { change: Some(change), notes })
    }
}

/// What is said where the configuration at `path` is for another engine.
fn other_engine(found: &Config, engine: Engine, path: &Path) -> Option<String> {
    (found.engine != engine).then(|| {
        format!(
            "{} says engine = \"{}\"; set it to \"{}\", or what this engine alone can tell is not asked for",
            path.display(),
            found.engine.name(),
            engine.name()
        )
    })
}

/// Plans our own configuration for `engine`, whose `plan` says what it runs by default; `runtime` is what was asked
/// for.
///
/// # Errors
/// That the file there can't be used, or says another runtime than was asked for.
pub(super) fn plan(host: &Host, engine: Engine, runtime: Option<&str>, plan: &Plan) -> Result<Own> {
    let wanted = runtime.map(|runtime| check(host, runtime)).transpose()?;
    let text = host.read(path())?;
    let Some(text) = text.as_deref().filter(|text| !is_blank(text)) else {
        let runtime = wanted.or_else(|| inherited(host, plan.runtime.as_deref()?));
        let lines = Lines { runtime, engine, address: plan.address.as_deref() };
        let after = match &text {
            // It is going to be written.
            Some(_) => lines.within(&host.read_for_change(path())?.unwrap_or_default()),
            None => lines.alone(),
        };
        // What is written has to be what is read.
        Config::parse(&after).map_err(Error::content(path()))?;
        let change = Change { path: path().to_path_buf(), before: text, after: Some(after) };
        return Ok(Own { change: Some(change), notes: Vec::new() });
    };
    let found = Config::parse(text).map_err(Error::content(&host.real(path())))?;
    let mut notes = Vec::new();
    notes.extend(other_engine(&found, engine, path()));
    if let Some(wanted) = wanted.filter(|wanted| *wanted != found.runtime) {
        let why = format!("says runtime = \"{}\" and not \"{wanted}\"; change it there", found.runtime);
        return Err(Error::Content { path: host.real(path()), why });
    }
    if let Some(address) = plan.address.as_ref().filter(|address| **address != found.containerd.address) {
        notes.push(format!(
            "containerd listens at \"{}\"; set address in [containerd] of {}",
            address.display(),
            path().display()
        ));
    }
    Ok(Own { change: None, notes })
}

/// Whether nothing is set in `text`: it has comments alone.
fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim_start).all(|line| line.is_empty() || line.starts_with('#'))
}

/// What has to be set.
struct Lines<'p> {
    runtime: Option<String>,
    engine: Engine,
    address: Option<&'p Path>,
}

impl Lines<'_> {
    /// The keys above the first table, and their lines.
    fn top(&self) -> Vec<(&'static str, String)> {
        let runtime = self.runtime.as_ref().map(|runtime| ("runtime", format!("runtime = \"{runtime}\"")));
        let engine = ("engine", format!("engine = \"{}\"", self.engine.name()));
        runtime.into_iter().chain([engine]).collect()
    }

    fn address(&self) -> Option<String> {
        let address = toml_edit::Value::from(self.address?.to_string_lossy().as_ref());
        Some(format!("address = {address}"))
    }

    /// A file of their own.
    fn alone(&self) -> String {
        let mut text = String::from(
            "# runc-strict's configuration, written by \"runc-strict install\".\n\
             # What isn't here has its default; the README's section \"Configuration\" has all keys.\n",
        );
        for (_, line) in self.top() {
            text.push_str(&format!("{line}\n"));
        }
        if let Some(line) = self.address() {
            text.push_str(&format!("\n[containerd]\n{line}\n"));
        }
        text
    }

    /// `text`, which has comments alone, with each of them in the place of the comment that shows its default: where
    /// an administrator would write it, so that keys which are set later don't fall into a table.
    fn within(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (key, line) in self.top().into_iter().rev() {
            text = in_place(&text, &format!("#{key} = "), &line).unwrap_or_else(|| format!("{line}\n{text}"));
        }
        let Some(address) = self.address() else { return text };
        in_place(&text, "#[containerd]", "[containerd]")
            .and_then(|text| in_place(&text, "#address = ", &address))
            .filter(|text| Config::parse(text).is_ok())
            .unwrap_or_else(|| format!("{text}\n[containerd]\n{address}\n"))
    }
}

/// `text` with `line` for the first line that begins with `shown`; none where no line does.
fn in_place(text: &str, shown: &str, line: &str) -> Option<String> {
    let at_line = |at: &usize| text.get(..*at).is_some_and(|head| head.is_empty() || head.ends_with('\n'));
    let from = text.match_indices(shown).map(|(at, _)| at).find(at_line)?;
    let (head, rest) = text.split_at_checked(from)?;
    let tail = rest.find('\n').and_then(|end| rest.get(end..)).unwrap_or("\n");
    Some(format!("{head}{line}{tail}"))
}

/// A runtime that the administrator names.
fn check(host: &Host, runtime: &str) -> Result<String> {
    use std::os::unix::fs::MetadataExt;
    let refused = |why: &str| Err(Error::Other(format!("the runtime {} {why}", quoted(runtime.as_bytes()))));
    if !runtime.starts_with('/') || runtime.chars().any(|c| c.is_control() || c == '"' || c == '\\') {
        return refused("is no absolute path that the configuration can hold");
    }
    match host.metadata(Path::new(runtime)) {
        None => refused("doesn't exist on the host"),
        Some(found) if !found.is_file() || found.mode() & 0o111 == 0 => {
            refused("is no program that can be executed")
        }
        Some(_) if is_us(host, runtime) => refused("is runc-strict itself; name the real runtime"),
        Some(_) => Ok(runtime.to_owned()),
    }
}

fn is_us(host: &Host, runtime: &str) -> bool {
    let us = std::env::current_exe().ok().and_then(|us| host.name(&us));
    us.is_some_and(|us| host.same_file(&us, Path::new(runtime)))
        || Path::new(runtime).file_name().is_some_and(|name| name == "runc-strict")
}

/// What the engine runs by default, as far as it is a runtime that can be called.
fn inherited(host: &Host, runtime: &str) -> Option<String> {
    let path = host.program(runtime).map(|path| path.display().to_string());
    let word = if runtime.starts_with('/') { Some(runtime.to_owned()) } else { path };
    word.and_then(|word| check(host, &word).ok())
}
