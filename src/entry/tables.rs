//! The library's tables as the program's entry needs them: laid out when the program is compiled, names that each end with a
//! NUL, without a pointer in them, because nothing has been relocated yet when they are read.
#![allow(clippy::indexing_slicing, reason = "evaluated by the compiler, which tells")]

use runc_strict::argv::grammar::{Arity, Flag, GLOBALS, JUDGED, PASSED};
use runc_strict::node::config::{PATH, RUNTIME, VARIABLE};
use runc_strict::node::runtime::{DEPTH, SEARCH};

pub(super) static DEFAULT_PATH: [u8; PATH.len() + 1] = joined(&[PATH, "\0"]);
pub(super) static DEFAULT_RUNTIME: [u8; RUNTIME.len() + 1] = joined(&[RUNTIME, "\0"]);
pub(super) static VARIABLE_NAME: [u8; VARIABLE.len() + 1] = joined(&[VARIABLE, "\0"]);
pub(super) static DEPTH_NAME: [u8; DEPTH.len() + 1] = joined(&[DEPTH, "\0"]);
pub(super) static FIRST_DEPTH: [u8; DEPTH.len() + 3] = joined(&[DEPTH, "=1\0"]);
pub(super) static FOLDERS: [u8; length(&SEARCH)] = listed(&SEARCH);
pub(super) static PASSING: [u8; length(PASSED)] = listed(PASSED);
pub(super) static STARTING: [u8; length(JUDGED)] = listed(JUDGED);
pub(super) static VALUES: [u8; flags_length(Arity::Value)] = flags(Arity::Value);
pub(super) static SWITCHES: [u8; flags_length(Arity::Switch)] = flags(Arity::Switch);

/// The texts one after the other.
const fn joined<const N: usize>(texts: &[&str]) -> [u8; N] {
    let mut all = [0; N];
    let (mut at, mut n) = (0, 0);
    while n < texts.len() {
        at = append(&mut all, at, texts[n]);
        n += 1;
    }
    all
}

/// The texts, each with a NUL behind it.
const fn listed<const N: usize>(texts: &[&str]) -> [u8; N] {
    let mut all = [0; N];
    let (mut at, mut n) = (0, 0);
    while n < texts.len() {
        at = append(&mut all, at, texts[n]) + 1;
        n += 1;
    }
    all
}

const fn length(texts: &[&str]) -> usize {
    let (mut sum, mut n) = (0, 0);
    while n < texts.len() {
        sum += texts[n].len() + 1;
        n += 1;
    }
    sum
}

/// The long and short names of the global flags that take `arity`, but for those that ask for a text: they are
/// answered, or passed, by the other reading.
const fn flags<const N: usize>(arity: Arity) -> [u8; N] {
    let mut all = [0; N];
    let (mut at, mut n) = (0, 0);
    while n < GLOBALS.len() {
        if is_wanted(&GLOBALS[n], arity) {
            at = append(&mut all, at, GLOBALS[n].long) + 1;
            if let Some(short) = GLOBALS[n].short {
                at = append(&mut all, at, short) + 1;
            }
        }
        n += 1;
    }
    all
}

const fn flags_length(arity: Arity) -> usize {
    let (mut sum, mut n) = (0, 0);
    while n < GLOBALS.len() {
        if is_wanted(&GLOBALS[n], arity) {
            sum += GLOBALS[n].long.len() + 1;
            if let Some(short) = GLOBALS[n].short {
                sum += short.len() + 1;
            }
        }
        n += 1;
    }
    sum
}

const fn is_wanted(flag: &Flag, arity: Arity) -> bool {
    let asks = matches!(flag.short, Some(short) if matches!(short.as_bytes(), b"h" | b"v"));
    !asks && flag.arity as u8 == arity as u8
}

const fn append(all: &mut [u8], at: usize, text: &str) -> usize {
    let mut n = 0;
    while n < text.len() {
        all[at + n] = text.as_bytes()[n];
        n += 1;
    }
    at + n
}
