//! What every test stands on: a private folder ([`Bench`]), a bundle in it ([`Bundle`]) and a run of the program
//! ([`Run`]).

mod bench;
mod bundle;
mod child;
mod golden;
mod run;

pub(crate) use bench::{Bench, private};
pub(crate) use bundle::{Bundle, DOCUMENT, PROCESS};
pub(crate) use child::mkfifo;
pub(crate) use golden::assert_golden;
pub(crate) use run::{Outcome, Run};

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

/// The program under test: the one that cargo has built, or the one that RUNC_STRICT_PROGRAM names. The static program that
/// is installed starts without the C library, so it is tested too (make test-units).
pub(crate) fn program() -> PathBuf {
    std::env::var_os("RUNC_STRICT_PROGRAM")
        .map_or_else(|| env!("CARGO_BIN_EXE_runc-strict").into(), PathBuf::from)
}

/// Words for a command line.
pub(crate) fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.into_iter().map(OsString::from).collect()
}

/// Says why a test, or a part of one, doesn't run here. Not by `eprintln`, which the harness keeps back where a test passes.
pub(crate) fn skip(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {what}: {why}");
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    child::effective_uid() == 0
}
