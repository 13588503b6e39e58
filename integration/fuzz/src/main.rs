//! The targets, handed to libFuzzer. Its flags, a corpus and single inputs are given as to any fuzzer of its kind
//! (`-help=1` lists them); which target runs is said by the environment's FUZZ.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use runc_strict_fuzz::{TARGETS, Target};

static CHOSEN: OnceLock<Target> = OnceLock::new();

/// What FUZZ names; a name that is none ends the program before anything is shown.
#[allow(clippy::exit, clippy::print_stderr, reason = "libFuzzer has the main function")]
fn choose() -> Target {
    let name = std::env::var("FUZZ").unwrap_or_default();
    runc_strict_fuzz::target(&name).unwrap_or_else(|| {
        eprintln!("the environment's FUZZ names no target: {}", TARGETS.map(|(name, _)| name).join(", "));
        std::process::exit(2)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let (_, check) = CHOSEN.get_or_init(choose);
    check(bytes);
});
