//! The committed inputs, without a fuzzer: every property holds on each of them.
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]

use std::fs;
use std::path::Path;

use runc_strict_fuzz::{TARGETS, target};

#[test]
fn every_committed_input_holds() {
    for (name, check) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let inputs: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(inputs.len() >= 10, "{name} has {} inputs", inputs.len());
        inputs.iter().for_each(|input| check(&fs::read(input).unwrap()));
    }
}

#[test]
fn a_target_is_found_by_its_name_and_no_other() {
    assert!(TARGETS.iter().all(|(name, _)| target(name).is_some_and(|(found, _)| found == *name)));
    assert!(target("").is_none() && target("arg").is_none());
}
