//! What kind of runtime the real one is, and whether it looks gids up by name.
//!
//! It is asked once by `--version`; the answer is kept beside the records, and what an exec needs of it in them, for as long
//! as the binary stays the same file.

use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use super::{file, folder, runtime};
use crate::error::Result;

/// The kinds of runtimes that differ in something that we have to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// opencontainers/runc.
    Runc,
    /// containers/crun.
    Crun,
    /// youki.
    Youki,
    /// Something else, or something that didn't answer.
    Unknown,
}

/// A runtime's kind and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its kind.
    pub kind: Kind,
    /// Major, minor and patch; none where it can't be read.
    pub number: Option<(u32, u32, u32)>,
    /// Whether it is a version before the release of that number: `1.3.0-rc.1`.
    pub prerelease: bool,
    /// The first line of its answer.
    pub line: String,
}

impl Version {
    /// Reads the answer to `--version`.
    pub fn parse(answer: &str) -> Version {
        let line = answer.lines().next().unwrap_or_default().trim().to_owned();
        let mut words = line.split_ascii_whitespace();
        let kind = match words.next() {
            Some("runc") => Kind::Runc,
            Some("crun") => Kind::Crun,
            Some("youki") => Kind::Youki,
            _ => Kind::Unknown,
        };
        // `runc version 1.1.5+ds1`, `crun version 1.8.1`, `youki version 0.5.0`
        let text = words.find(|w| *w != "version").unwrap_or_default().trim_start_matches('v');
        let mut parts = text.splitn(3, '.');
        let mut next = || {
            let part = parts.next()?;
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = part.split_at(digits);
            Some((number.parse::<u32>().ok()?, rest.to_owned()))
        };
        let number = match (next(), next(), next()) {
            (Some((a, _)), Some((b, _)), patch) => {
                let (c, rest) = patch.unwrap_or((0, String::new()));
                Some(((a, b, c), rest))
            }
            _ => None,
        };
        let prerelease =
            number.as_ref().is_some_and(|(_, rest)| rest.starts_with('-') || rest.starts_with('~'));
        Version { kind, number: number.map(|(n, _)| n), prerelease, line }
    }

    /// Whether it takes an additional gid for a group's name too: runc before 1.3.0, and whatever isn't known to
    /// do better. crun and youki never did.
    pub fn looks_up_names(&self) -> bool {
        match self.kind {
            Kind::Crun | Kind::Youki => false,
            Kind::Unknown => true,
            Kind::Runc => match self.number {
                None => true,
                Some(number) => number < (1, 3, 0) || (number == (1, 3, 0) && self.prerelease),
            },
        }
    }

    /// Whether its update honours `memory.checkBeforeUpdate`: runc from 1.2.0 (its CHANGELOG), crun from 1.7 (its NEWS).
    /// The others pass over it in silence.
    pub fn checks_before_update(&self) -> bool {
        match (self.kind, self.number) {
            (Kind::Runc, Some(number)) => number >= (1, 2, 0),
            (Kind::Crun, Some(number)) => number >= (1, 7, 0),
            _ => false,
        }
    }

    /// Whether it said what it is.
    fn is_told(&self) -> bool {
        self.kind != Kind::Unknown || self.number.is_some()
    }

    /// What an exec has to know of it.
    pub fn known(&self) -> Known {
        Known { name: self.name(), looks_up_names: self.looks_up_names() }
    }

    /// The binary that it is of, as what was found at its place; none that is ever found again where it didn't say what it
    /// is, so that it is asked once more.
    pub fn binary(&self, found: &Metadata) -> Binary {
        if self.is_told() { Binary::of(found) } else { Binary::default() }
    }

    /// Its name for people: `runc 1.1.5`.
    pub fn name(&self) -> String {
        let kind = match self.kind {
            Kind::Runc => "runc",
            Kind::Crun => "crun",
            Kind::Youki => "youki",
            Kind::Unknown => return "a runtime of unknown kind".to_owned(),
        };
        match self.number {
            Some((a, b, c)) => [kind, " ", &[a, b, c].map(|number| number.to_string()).join(".")].concat(),
            None => [kind, " of unknown version"].concat(),
        }
    }
}

/// What an exec has to know of a runtime. The record of a container has it too, so that nobody need be asked.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its name for people.
    pub name: String,
    /// [`Version::looks_up_names`].
    pub looks_up_names: bool,
}

/// The binary that an answer belongs to.
///
/// Its device, inode, size and modification time, in seconds and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Binary([i64; 5]);

impl Binary {
    /// What was found is this one, as long as it says so.
    pub fn of(found: &Metadata) -> Binary {
        let [dev, ino, size] = [found.dev(), found.ino(), found.size()].map(u64::cast_signed);
        Binary([dev, ino, size, found.mtime(), found.mtime_nsec()])
    }
}

/// The longest answer that is read, in bytes.
const ANSWER: u64 = 64 * 1024;

/// The version of the runtime at `path`, asked anew only if the binary is another than last time.
pub fn of(path: &Path) -> Version {
    fs::metadata(path).map_or_else(|_| Version::parse(""), |found| of_found(path, &found))
}

/// The same of a binary that was looked up already; of ourselves nothing is known.
pub fn of_found(path: &Path, found: &Metadata) -> Version {
    of_other(path, found).unwrap_or_else(|_| Version::parse(""))
}

/// As [`of_found`], where it matters that the binary isn't ourselves.
///
/// # Errors
/// That it is ourselves.
pub fn of_other(path: &Path, found: &Metadata) -> Result<Version> {
    match remembered(found) {
        Ok(version) => runtime::check_answered(path, found).map(|()| version),
        Err(link) => runtime::check(path, found).map(|()| ask(path, found, link.as_deref())),
    }
}

/// Whether this binary has answered once.
pub fn is_known(found: &Metadata) -> bool {
    folder::roots().is_some_and(|folder| kept(&link_in(folder, found), found).is_some())
}

/// What this binary answered; else the link that is to keep it.
fn remembered(found: &Metadata) -> std::result::Result<Version, Option<PathBuf>> {
    let link = folder::make(&[]).map(|folder| link_in(&folder, found)).ok();
    let version = link.as_ref().and_then(|link| kept(link, found));
    version.ok_or(link)
}

/// The link that keeps a binary's answer: a node may have several runtimes.
fn link_in(folder: &Path, found: &Metadata) -> PathBuf {
    folder.join(["version-", &found.dev().to_string(), "-", &found.ino().to_string()].concat())
}

/// What the link keeps, if that is of this file with this content.
fn kept(link: &Path, found: &Metadata) -> Option<Version> {
    let kept = fs::read_link(link).ok()?;
    kept.to_str()?.strip_prefix(&state_of(found)).map(Version::parse)
}

/// Asks it, and keeps the answer as the target of a link: one system call reads it.
fn ask(path: &Path, found: &Metadata, link: Option<&Path>) -> Version {
    let version = Version::parse(&answer(path).unwrap_or_default());
    // What didn't answer is asked again next time.
    if let (Some(link), true) = (link, version.is_told()) {
        let _ = file::replace_link(link, [&state_of(found), version.line.as_str()].concat().as_ref());
    }
    version
}

/// What changes when a file gets another content, as the words before the answer.
fn state_of(found: &Metadata) -> String {
    let [size, time, part] =
        [found.size().cast_signed(), found.mtime(), found.mtime_nsec()].map(|number| number.to_string());
    [&size, " ", &time, ".", &part, " "].concat()
}

fn answer(path: &Path) -> io::Result<String> {
    let mut asked = Command::new(path);
    asked.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = asked.spawn()?;
    let mut text = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(ANSWER).read_to_end(&mut text)?;
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    match child.wait() {
        Ok(status) => Ok(if status.success() { text } else { String::new() }),
        // A caller that ignores SIGCHLD leaves nothing to wait for (wait(2)): the answer has to do.
        Err(why) if why.raw_os_error() == Some(libc::ECHILD) => Ok(text),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vulnerable(answer: &str) -> bool {
        Version::parse(answer).looks_up_names()
    }

    #[test]
    fn runc_before_1_3_and_what_is_unknown_look_up_names() {
        for answer in [
            "runc version 1.1.5+ds1\ncommit: x\nspec: 1.0.2-dev\n",
            "runc version 1.0.0-rc10",
            "runc version 1.2.9",
            "runc version 1.3.0-rc.2",
            "runc version main",
            "",
            "kata-runtime : 3.0",
        ] {
            assert!(vulnerable(answer), "{answer}");
        }
        for answer in [
            "runc version 1.3.0",
            "runc version 1.3.0+dev",
            "runc version 2.0",
            "crun version 1.8.1",
            "youki version 0.5.0",
        ] {
            assert!(!vulnerable(answer), "{answer}");
        }
    }

    #[test]
    fn the_name_is_short() {
        assert_eq!(Version::parse("runc version 1.1.5+ds1\n").name(), "runc 1.1.5");
        assert_eq!(Version::parse("crun version 1.8.1\ncommit: f").name(), "crun 1.8.1");
    }
}
