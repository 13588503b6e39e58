//! Our own sub-commands never share a word with a runtime's, and say what they are for. Their words are held by
//! files.

use crate::support::{Bench, assert_golden};

#[test]
fn help_is_ours_without_a_command_and_the_runtime_s_with_one() {
    let bench = Bench::new();
    for line in [&["help"][..], &["--help"], &["-h"], &["--debug", "--help"]] {
        let outcome = bench.run(line).go();
        assert!(outcome.call.is_none(), "{line:?}");
        assert_eq!((outcome.code, outcome.err.as_str()), (0, ""), "{line:?}");
        assert!(
            outcome.out.starts_with("An OCI runtime that replaces a container's supplementary groups"),
            "{line:?}"
        );
    }
    assert!(bench.run(["--help", "state"]).go().call.is_some());
    assert!(bench.run(["state", "--help"]).go().call.is_some());
}

#[test]
fn the_text_of_help_is_reviewed() {
    let bench = Bench::new();
    for (name, line) in [
        ("help.txt", &["help"][..]),
        ("explain.txt", &["explain", "--help"]),
        ("version.txt", &["version", "--help"]),
    ] {
        let outcome = bench.run(line).go();
        assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
        assert_golden(&format!("help/{name}"), &outcome.out);
    }
}

#[test]
fn version_is_ours_and_the_runtime_s() {
    let bench = Bench::new();
    let ours = env!("CARGO_PKG_VERSION");
    let runtime = bench.text("bin/runc");
    let told = bench.run(["version"]).go();
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    assert_eq!(told.out, format!("runc-strict {ours}\nruntime: runc 1.3.0 ({runtime})\n"));
    let told: serde_json::Value = serde_json::from_str(&bench.run(["version", "--json"]).go().out).unwrap();
    let expected =
        serde_json::json!({"v": 1, "version": ours, "runtime": {"path": runtime, "version": "runc 1.3.0"}});
    assert_eq!(told, expected);
}

#[test]
fn a_wrong_word_behind_a_command_of_ours_is_told_with_its_usage() {
    let bench = Bench::new();
    for line in
        [&["explain"][..], &["explain", "--nonsense", "x"], &["version", "more"], &["help", "nonsense"]]
    {
        let outcome = bench.run(line).go();
        assert_eq!((outcome.code, outcome.out.as_str()), (2, ""), "{line:?}");
        assert!(outcome.call.is_none() && outcome.err.starts_with("error: "), "{line:?}: {}", outcome.err);
    }
}
