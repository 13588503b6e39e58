//! The program: collect argv, run, and turn the outcome into an exit code.
//!
//! `main` is C's and not Rust's: Rust's own start-up sets SIGPIPE to "ignored", which execve(2) would hand on to
//! the real runtime and to the container's first process. Before it runs what stands in [`entry`].
#![no_main]

mod entry;

use std::ffi::OsString;

/// The whole program, behind its start: `words` is argv without the program's name.
fn run(words: Vec<OsString>) -> u8 {
    runc_strict::run::run(&words)
}
