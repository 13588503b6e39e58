//! `update`: whose limits an engine changes, and where it says to what.
//!
//! It is read only to see whether something of it is overridden. What can't be read is no reason to refuse: the words
//! then go to the real runtime as they came.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::grammar::UPDATE;
use super::scan::{self, Given, Step};
use super::{Globals, Target, describe, value_of};
use crate::quote::quoted;

/// `update`.
#[derive(Debug)]
pub struct Update {
    /// The flags before the command.
    pub globals: Globals,
    /// Whose limits.
    pub target: Target,
    /// Where it stands what they shall be.
    pub source: Source,
}

/// Where the new limits stand.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// `--resources -`.
    Stdin,
    /// `--resources FILE`.
    File(PathBuf),
    /// One flag for each, as a LinuxResources document.
    Flags(Json),
    /// They can't be told, and why.
    Unknown(String),
}

impl Update {
    /// Reads the words after `update`; none where nothing tells whose limits it is about.
    pub(super) fn read(globals: Globals, rest: &[OsString]) -> Option<Update> {
        let (mut flags, mut operands): (Vec<Given>, Vec<&OsString>) = (Vec::new(), Vec::new());
        let mut fault = None;
        let mut at = 0;
        while let Some(words) = rest.get(at..).filter(|words| !words.is_empty()) {
            match scan::step(words, UPDATE) {
                Ok(Step::Flag(given, taken)) => {
                    flags.push(given);
                    at += taken;
                }
                Ok(Step::Off) => at += 1,
                Ok(Step::Operand) => {
                    operands.extend(words.first());
                    at += 1;
                }
                Err(why) => {
                    fault = Some(describe(&why));
                    break;
                }
            }
        }
        if flags.iter().any(|given| given.name == "help") {
            return None;
        }
        // behind an unknown flag the id is still the last word
        let id = if fault.is_some() { rest.last() } else { operands.first().copied() }?.clone();
        let several = || format!("one container id is expected, and {} follow", operands.len());
        let fault = fault.or_else(|| (operands.len() > 1).then(several));
        let source = match (fault, value_of(&flags, "resources").filter(|file| !file.is_empty())) {
            (Some(why), _) => Source::Unknown(why),
            (None, Some(file)) if file == OsStr::new("-") => Source::Stdin,
            (None, Some(file)) => Source::File(PathBuf::from(file)),
            (None, None) => document(&flags).map_or_else(Source::Unknown, Source::Flags),
        };
        let target = Target { root: globals.root(), id };
        Some(Update { globals, target, source })
    }

    /// The words for a document on stdin.
    pub fn words(&self) -> Vec<OsString> {
        let mut words = Vec::with_capacity(12);
        self.globals.given.iter().for_each(|given| scan::emit(given, &mut words));
        words.extend(["update", "--resources", "-"].map(OsString::from));
        words.push(self.target.id.clone());
        words
    }
}

/// What flags say, as the document that runtimes make of them (runc `update.go`, crun `src/update.c`).
fn document(flags: &[Given]) -> Result<Json, String> {
    let mut document = json!({});
    for Given { name, value } in flags {
        let value = value.as_deref().unwrap_or_default();
        let wrong = || format!("flag \"--{name}\" has the value {}", quoted(value.as_bytes()));
        let text = value.to_str().ok_or_else(wrong)?;
        if text.is_empty() {
            continue;
        }
        let number = || text.parse::<i64>().ok();
        let (object, key, value) = match *name {
            "blkio-weight" => ("blockIO", "weight", number().map(Json::from)),
            "cpu-period" => ("cpu", "period", number().map(Json::from)),
            "cpu-quota" => ("cpu", "quota", number().map(Json::from)),
            "cpu-burst" => ("cpu", "burst", number().map(Json::from)),
            "cpu-share" => ("cpu", "shares", number().map(Json::from)),
            "cpu-rt-period" => ("cpu", "realtimePeriod", number().map(Json::from)),
            "cpu-rt-runtime" => ("cpu", "realtimeRuntime", number().map(Json::from)),
            "cpu-idle" => ("cpu", "idle", number().map(Json::from)),
            "cpuset-cpus" => ("cpu", "cpus", Some(json!(text))),
            "cpuset-mems" => ("cpu", "mems", Some(json!(text))),
            "memory" => ("memory", "limit", bytes(text).map(Json::from)),
            "memory-reservation" => ("memory", "reservation", bytes(text).map(Json::from)),
            "memory-swap" => ("memory", "swap", bytes(text).map(Json::from)),
            "kernel-memory" => ("memory", "kernel", bytes(text).map(Json::from)),
            "kernel-memory-tcp" => ("memory", "kernelTCP", bytes(text).map(Json::from)),
            "pids-limit" => ("pids", "limit", number().map(Json::from)),
            _ => return Err(format!("flag \"--{name}\" is none of a LinuxResources document")),
        };
        let value = value.ok_or_else(wrong)?;
        let member = document.as_object_mut().map(|root| root.entry(object).or_insert_with(|| json!({})));
        if let Some(member) = member.and_then(Json::as_object_mut) {
            member.insert(key.to_owned(), value);
        }
    }
    Ok(document)
}

/// A number of bytes as docker writes it, a whole one: `100m` is 104857600 (docker/go-units `RAMInBytes`).
fn bytes(text: &str) -> Option<i64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches('b').trim_end_matches('i');
    let (number, unit) = match digits.char_indices().next_back() {
        Some((at, unit)) if unit.is_ascii_alphabetic() => (digits.get(..at)?, Some(unit)),
        _ => (digits, None),
    };
    let power = match unit {
        None => 0,
        Some(unit) => 10 * (u32::try_from("kmgtp".find(unit)?).ok()? + 1),
    };
    number.trim_end().parse::<i64>().ok()?.checked_mul(1_i64.checked_shl(power)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Option<Update> {
        Update::read(Globals::default(), &words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_engines_say_is_read_in_all_their_spellings() {
        for words in [
            &["--resources", "-", "web"][..],
            &["--resources=-", "web"],
            &["-r", "-", "web"],
            &["web", "-resources=-"],
        ] {
            let update = read(words).unwrap();
            assert_eq!((update.target.id.as_os_str(), update.source), (OsStr::new("web"), Source::Stdin));
        }
        assert_eq!(read(&["-r", "/tmp/a", "web"]).unwrap().source, Source::File("/tmp/a".into()));
        let flags =
            ["--memory", "64m", "--cpuset-cpus=0-1", "--cpu-quota", "-1", "--memory-swap", "-1", "web"];
        let expected =
            json!({"memory": {"limit": 67_108_864, "swap": -1}, "cpu": {"cpus": "0-1", "quota": -1}});
        let update = read(&flags).unwrap();
        assert_eq!(update.source, Source::Flags(expected));
        assert_eq!(update.words(), ["update", "--resources", "-", "web"].map(OsString::from));
    }

    #[test]
    fn what_can_t_be_read_names_the_container_and_the_reason() {
        for (words, why) in [
            (&["--new-flag", "1", "web"][..], "unknown flag \"--new-flag\""),
            (&["--l3-cache-schema", "L3:0=f", "web"], "flag \"--l3-cache-schema\" is none"),
            (&["--memory", "1.5m", "web"], "flag \"--memory\" has the value \"1.5m\""),
        ] {
            let update = read(words).unwrap();
            assert_eq!(update.target.id, OsStr::new("web"));
            assert!(matches!(&update.source, Source::Unknown(said) if said.starts_with(why)), "{update:?}");
        }
        assert!(read(&[]).is_none() && read(&["--help"]).is_none() && read(&["-r", "-"]).is_none());
    }

    #[test]
    fn bytes_are_counted_as_docker_counts_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("42", Some(42)),
            ("1k", Some(1024)),
            ("1KiB", Some(1024)),
            ("2 Mb", Some(2 << 20)),
            ("3g", Some(3 << 30)),
            ("9p", Some(9 << 50)),
            ("9000p", None),
            ("1x", None),
            ("", None),
            ("k", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
