//! The program: collect argv, run, and turn the outcome into an exit code.
//!
//! `main` is C's and not Rust's: Rust's own start-up sets SIGPIPE to "ignored", which execve(2) would hand on to
//! the real runtime and to the container's first process.
#![no_main]

use std::ffi::{OsString, c_char, c_int};

// SAFETY: the one symbol called `main`, with the signature that the C start-up expects; argv is not read through
// the pointer but by std, whose own initialiser keeps it.
#[allow(unsafe_code, reason = "an exported symbol, not an unsafe operation")]
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    c_int::from(runc_strict::run::run(&words))
}
