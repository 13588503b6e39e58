//! check from outside: the rows that don't depend on which engines the machine has, and the shape of the document.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    dead_code,
    unused_imports,
    reason = "a test that fails panics, and the support is for all black-box tests"
)]

#[path = "fake/call.rs"]
mod call;
#[path = "blackbox/support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use support::{Bench, DOCUMENT, Outcome};

const OLD: &str = "runc version 1.1.5+ds1\n";

/// The document of a run that printed nothing else.
#[track_caller]
fn document(bench: &Bench) -> (Value, i32) {
    let outcome = bench.run(["check", "--json"]).go();
    assert_eq!(outcome.err, "");
    assert_eq!(outcome.out.matches('\n').count(), 1, "{}", outcome.out);
    let document: Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(document["v"], 1);
    let failed = document["checks"].as_array().unwrap().iter().any(|row| row["state"] == "fail");
    assert_eq!((outcome.code, &document["ok"]), (i32::from(failed), &Value::Bool(!failed)));
    (document, outcome.code)
}

/// The state of one row, and what was found.
#[track_caller]
fn row(bench: &Bench, check: &str) -> (String, String) {
    let (document, _) = document(bench);
    let rows = document["checks"].as_array().unwrap();
    let row = rows.iter().find(|row| row["check"] == check).unwrap_or_else(|| panic!("{document:#}"));
    let advised = row["advice"].is_string();
    assert_eq!(advised, row["state"] != "ok", "what isn't well comes with advice: {row}");
    (row["state"].as_str().unwrap().to_owned(), row["found"].as_str().unwrap().to_owned())
}

#[test]
fn the_document_has_every_row_and_the_table_says_the_same() {
    let bench = Bench::new();
    let (document, _) = document(&bench);
    let rows = document["checks"].as_array().unwrap();
    for check in ["configuration", "runtime", "program", "cgroup", "log", "records", "clock", "selinux"] {
        assert_eq!(rows.iter().filter(|row| row["check"] == check).count(), 1, "{check}");
    }
    let table = bench.run(["check"]).go();
    assert_eq!(table.err, "");
    assert!(!table.out.contains('\x1b'), "{}", table.out);
    for row in rows {
        let line = row["found"].as_str().unwrap();
        assert!(table.out.contains(line), "{line}: {}", table.out);
    }
}

#[test]
fn a_broken_configuration_fails_and_the_rest_is_looked_at_all_the_same() {
    let bench = Bench::new();
    bench.configure("levle = 1\n");
    let (state, found) = row(&bench, "configuration");
    assert_eq!(state, "fail");
    assert!(found.contains("unknown field \"levle\""), "{found}");
    assert_eq!(document(&bench).1, 1);
    row(&bench, "cgroup");
    assert_eq!(bench.run(["check"]).go().code, 1);
}

#[test]
fn the_runtime_is_judged_by_its_version_and_the_configuration() {
    let cases = [
        (OLD, "", "warn", "runc 1.1.5"),
        (OLD, "vulnerable-runtime = \"refuse\"\n", "fail", "every container is refused"),
        ("runc version 1.3.0\n", "", "ok", "runc 1.3.0"),
        ("crun version 1.8.1\n", "vulnerable-runtime = \"refuse\"\n", "ok", "crun 1.8.1"),
        ("who knows\n", "", "warn", "taken for vulnerable"),
    ];
    for (version, keys, state, told) in cases {
        let bench = Bench::with_runtime(version);
        bench.configure(keys);
        let (seen, found) = row(&bench, "runtime");
        assert_eq!(seen, state, "{version}{keys}{found}");
        assert!(found.contains(told), "{found}");
    }
    let bench = Bench::new();
    bench.configure_whole("runtime = \"/no/such/runtime\"\n");
    assert_eq!(row(&bench, "runtime").0, "fail");
}

#[test]
fn containerd_s_socket_is_asked_only_where_it_is_the_engine() {
    let bench = Bench::new();
    assert!(!document(&bench).0.to_string().contains("\"socket\""));
    let socket = bench.text("c.sock");
    let keys = format!("engine = \"containerd\"\n[containerd]\naddress = \"{socket}\"\ntimeout-ms = 200\n");
    bench.configure(&keys);
    let (state, found) = row(&bench, "socket");
    assert_eq!(state, "fail");
    assert!(found.contains("it can't be reached: no such file or directory"), "{found}");
    let _listener = UnixListener::bind(&socket).unwrap();
    let (state, found) = row(&bench, "socket");
    assert_eq!(state, "fail");
    assert!(found.contains("it gave no answer in 200 ms"), "{found}");
}

#[test]
fn a_log_that_others_could_forge_or_that_is_none_deserves_a_look() {
    let bench = Bench::new();
    assert_eq!(row(&bench, "log").0, "ok");
    fs::create_dir(bench.audit()).unwrap();
    let (state, found) = row(&bench, "log");
    assert_eq!(state, "warn");
    assert!(found.contains("is no regular file"), "{found}");
    fs::remove_dir(bench.audit()).unwrap();
    fs::set_permissions(bench.path("."), fs::Permissions::from_mode(0o777)).unwrap();
    let (state, found) = row(&bench, "log");
    fs::set_permissions(bench.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(state, "warn");
    assert!(found.contains("others could forge the log"), "{found}");
}

#[test]
fn records_that_others_could_write_fail() {
    let bench = Bench::new();
    if support::is_root() && !support::private() {
        return support::skip("the folder of records", "it is the machine's own here");
    }
    assert_eq!(row(&bench, "records").0, "ok");
    fs::create_dir_all(bench.state()).unwrap();
    fs::set_permissions(bench.state(), fs::Permissions::from_mode(0o777)).unwrap();
    let (state, found) = row(&bench, "records");
    assert_eq!(state, "fail");
    assert!(found.contains("has mode 0777"), "{found}");
}

#[test]
fn a_record_from_the_future_tells_of_a_clock_that_was_set_back() {
    let bench = Bench::new();
    assert_eq!(row(&bench, "clock").0, "ok");
    let bundle = bench.bundle("c", DOCUMENT);
    assert_eq!(bench.create(&bundle).code, 0);
    assert_eq!(row(&bench, "clock").0, "ok");
    let record = File::options().write(true).open(bench.record("c")).unwrap();
    record.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    let (state, found) = row(&bench, "clock");
    assert_eq!(state, "warn");
    assert!(found.contains(" s in the future"), "{found}");
}
