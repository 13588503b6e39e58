//! Writes the man pages and the completions of runc-strict: `runc-strict-manual PAGES CONFIG DATE FOLDER`.
//!
//! Commands and options come from the definition that the program's own help comes from, the configuration's keys
//! from the file that the packages install. What neither of them knows (files, examples, ...) stands in PAGES, as
//! man(7) text, one file for a page.

mod command;
mod configuration;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap_complete::Shell;

/// What goes into a page beside its own text.
struct Frame {
    /// The texts that are written by hand.
    pages: PathBuf,
    /// `YYYY-MM-DD`.
    date: String,
    /// The program and its version.
    source: String,
}

impl Frame {
    /// The text that is written by hand for the page `name`; none where there is no such file.
    fn by_hand(&self, name: &str) -> Result<String> {
        let path = self.pages.join(format!("{name}.man"));
        match fs::read_to_string(&path) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            other => other.with_context(|| format!("can't read {}", path.display())),
        }
    }
}

/// A page: its name, its section, its text.
struct Page {
    name: String,
    section: &'static str,
    text: String,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [pages, config, date, folder] = words.as_slice() else {
        bail!("usage: runc-strict-manual PAGES CONFIG DATE FOLDER");
    };
    let frame = Frame {
        pages: PathBuf::from(pages),
        date: date.clone(),
        source: format!("runc-strict {}", env!("CARGO_PKG_VERSION")),
    };
    let folder = Path::new(folder);
    let config = fs::read_to_string(config).with_context(|| format!("can't read {config}"))?;

    let mut written = command::pages(&frame, runc_strict::cli::definition())?;
    written.push(configuration::page(&frame, &config)?);
    orphans(&frame.pages, &written)?;
    for page in &written {
        let path = folder.join(format!("man{}/{}.{}", page.section, page.name, page.section));
        write(&path, page.text.as_bytes())?;
    }
    for (shell, name) in [
        (Shell::Bash, "bash/runc-strict"),
        (Shell::Zsh, "zsh/_runc-strict"),
        (Shell::Fish, "fish/runc-strict.fish"),
    ] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut runc_strict::cli::definition(), "runc-strict", &mut text);
        write(&folder.join(name), &text)?;
    }
    Ok(())
}

/// A text that no page takes up is of a command that is gone.
fn orphans(pages: &Path, written: &[Page]) -> Result<()> {
    let names: BTreeSet<&str> = written.iter().map(|page| page.name.as_str()).collect();
    for entry in fs::read_dir(pages).with_context(|| format!("can't read {}", pages.display()))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if !names.contains(name) {
            bail!("{}: there is no page of this name", path.display());
        }
    }
    Ok(())
}

fn write(path: &Path, text: &[u8]) -> Result<()> {
    let folder = path.parent().context("the root is no file")?;
    fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}
