//! Reads words as flags of a table and writes them again in one canonical form.
//!
//! Go's flag package (runc) takes `--root X`, `--root=X`, `-root X` and `-root=X` alike. crun's argp also takes
//! unambiguous prefixes and glued short flags; we know none of those, so they come out as unknown, by name.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::grammar::{Arity, Flag};

/// A flag that stood on the command line, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The flag's long name.
    pub name: &'static str,
    /// Its value; none for a switch.
    pub value: Option<OsString>,
}

/// Why a word could not be read as a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// No flag of the table has this name.
    Unknown(OsString),
    /// The flag needs a value and the words have ended.
    NoValue(&'static str),
    /// A switch with a value that is neither true nor false.
    NotBool(&'static str, OsString),
}

/// What one step over the words found.
#[derive(Debug)]
pub enum Step {
    /// A flag, and the number of words it took.
    Flag(Given, usize),
    /// A switch that was given as false: as if it were not there. Takes one word.
    Off,
    /// Not a flag: a command or an operand.
    Operand,
}

/// Reads the first word of `words` (which isn't empty) by `table`.
///
/// # Errors
/// What makes the word unreadable; the caller decides whether that stops anything.
pub fn step(words: &[OsString], table: &[Flag]) -> Result<Step, Unread> {
    let Some(word) = words.first() else { return Ok(Step::Operand) };
    let Some(body) = flag_body(word) else { return Ok(Step::Operand) };
    let (name, glued) = match body.iter().position(|&b| b == b'=') {
        Some(at) => (body.get(..at).unwrap_or_default(), body.get(at + 1..)),
        None => (body, None),
    };
    let unknown = || Unread::Unknown(word.clone());
    let flag = lookup(name, table).ok_or_else(unknown)?;
    if flag.arity == Arity::Switch {
        return match glued {
            None => Ok(Step::Flag(Given { name: flag.long, value: None }, 1)),
            Some(text) => match go_bool(text) {
                Some(true) => Ok(Step::Flag(Given { name: flag.long, value: None }, 1)),
                Some(false) => Ok(Step::Off),
                None => Err(Unread::NotBool(flag.long, OsString::from_vec(text.to_vec()))),
            },
        };
    }
    match (glued, words.get(1)) {
        (Some(text), _) => {
            let value = Some(OsString::from_vec(text.to_vec()));
            Ok(Step::Flag(Given { name: flag.long, value }, 1))
        }
        (None, Some(next)) => Ok(Step::Flag(Given { name: flag.long, value: Some(next.clone()) }, 2)),
        (None, None) => Err(Unread::NoValue(flag.long)),
    }
}

/// Appends `given` to `words` in the form that every runtime understands: `--name` or `--name value`.
pub fn emit(given: &Given, words: &mut Vec<OsString>) {
    words.push(OsString::from(["--", given.name].concat()));
    words.extend(given.value.clone());
}

/// The part after one or two dashes; none for an operand. A lone `-` is an operand, and `--` is a flag with an
/// empty name, which no table has.
fn flag_body(word: &OsStr) -> Option<&[u8]> {
    let bytes = word.as_bytes();
    match bytes {
        [b'-'] => None,
        [b'-', b'-', rest @ ..] | [b'-', rest @ ..] => Some(rest),
        _ => None,
    }
}

fn lookup<'t>(name: &[u8], table: &'t [Flag]) -> Option<&'t Flag> {
    table.iter().find(|f| name == f.long.as_bytes() || f.short.is_some_and(|s| name == s.as_bytes()))
}

/// Go's `strconv.ParseBool`.
fn go_bool(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"FALSE" | b"false" | b"False" => Some(false),
        _ => None,
    }
}
