//! `cgroup-updater` from outside, without root and without a container: what its help says, and how it answers what can't
//! be meant. `UPDATE_GOLDEN=1 cargo test --test updater` writes the texts anew; the difference is for review.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What came of one run.
#[derive(Debug)]
struct Seen {
    code: i32,
    out: String,
    err: String,
}

/// A private folder with a configuration; nothing that these tests do reaches a cgroup.
struct Room(TempDir);

impl Room {
    fn new() -> Room {
        let folder = tempfile::Builder::new().prefix("u").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let log = folder.path().join("audit.log");
        let text = format!("runtime = \"/bin/false\"\n[audit]\npath = \"{}\"\n", log.display());
        fs::write(folder.path().join("config.toml"), text).unwrap();
        Room(folder)
    }

    fn updater(&self, words: &[&str]) -> Seen {
        self.fed(words, "")
    }

    fn fed(&self, words: &[&str], stdin: &str) -> Seen {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runc-strict"));
        command.arg("cgroup-updater").args(words).env_remove("COLUMNS");
        command
            .env("RUNC_STRICT_CONFIG", self.0.path().join("config.toml"))
            .env("XDG_RUNTIME_DIR", self.0.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // what is refused for its words doesn't read its stdin
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Seen { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

#[track_caller]
fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/updater").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
        return;
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text,
        golden,
        "the text differs from {}; if it should, run again with UPDATE_GOLDEN=1",
        path.display()
    );
}

#[test]
fn help_says_what_there_is_and_the_exit_codes() {
    let room = Room::new();
    for (name, words) in [
        ("help.txt", &["--help"][..]),
        ("set.txt", &["set", "--help"]),
        ("apply.txt", &["apply", "--help"]),
        ("unset.txt", &["unset", "--help"]),
        ("status.txt", &["status", "--help"]),
        ("rollback.txt", &["rollback", "--help"]),
        ("recover.txt", &["recover", "--help"]),
        ("history.txt", &["history", "--help"]),
    ] {
        let seen = room.updater(words);
        assert_eq!((seen.code, seen.err.as_str()), (0, ""), "{words:?}");
        assert!(seen.out.contains("Exit codes:") && seen.out.contains("8  busy"), "{}", seen.out);
        assert_golden(name, &seen.out);
    }
}

#[test]
fn what_can_not_be_meant_is_refused_with_the_value_and_what_to_do() {
    let room = Room::new();
    let cases: &[&[&str]] = &[
        &["--memory-limit", "-1"],
        &["--memory-limit", "512MB"],
        &["--memory-limit", "0"],
        &["--cpu-limit", "half"],
        &["--cpu-period", "999"],
        &["--cpu-weight", "10001"],
        &["--cpuset-cpus", "3-1"],
        &["--cpuset-cpus", ""],
        &["--pids-limit", "many"],
        &["--hugepages", "2Mi"],
        &["--io-max", "8:0,speed=1"],
        &["--unified", "cgroup.kill=1"],
        &["--unified", "../memory.max=1"],
        &["--cpu-request", "2", "--cpu-limit", "1"],
        &["--memory-request", "1Gi", "--memory-limit", "512Mi"],
        &["--cpu-request", "1", "--cpu-weight", "100"],
        &[],
    ];
    let mut all = String::new();
    for words in cases {
        let seen = room.updater(&[&["set", "--container", "web"], *words].concat());
        assert_eq!((seen.code, seen.out.as_str()), (2, ""), "{words:?}: {seen:?}");
        assert_eq!(seen.err.lines().count(), 1, "{words:?}: {seen:?}");
        all.push_str(&format!("{}\n  {}", words.join(" "), seen.err));
    }
    assert_golden("refusals.txt", &all);
}

#[test]
fn flags_that_are_not_there_are_refused_and_never_passed_over() {
    let room = Room::new();
    for words in [
        &["set", "--container", "web", "--memory-limit", "1Gi", "--sticky", "--once"][..],
        &["set", "--container", "web", "--pod", "uid", "--memory-limit", "1Gi"],
        &["set", "--memory-limit", "1Gi"],
        &["set", "--container", "web", "--container-name", "app", "--memory-limit", "1Gi"],
        &["unset", "--container", "web", "--sticky"],
        &["unset", "memory.limit"],
        &["rollback"],
        &["history", "--force"],
    ] {
        let seen = room.updater(words);
        assert_eq!((seen.code, seen.out.as_str()), (2, ""), "{words:?}: {seen:?}");
        assert!(seen.err.starts_with("error: "), "{seen:?}");
    }
}

#[test]
fn documents_that_say_nothing_usable_are_refused() {
    let room = Room::new();
    for (words, stdin, what) in [
        (&["set", "--container", "web", "--resources", "-"][..], "{", "no LinuxResources object"),
        (&["set", "--container", "web", "--resources", "-"], "{}", "nothing is asked for"),
        (&["set", "--container", "web", "--resources", "-"], r#"{"memory":{"limit":-2}}"#, "memory.limit"),
        (&["apply", "-f", "-"], "kind: Deployment", "only a Pod can be applied"),
        (&["apply", "-f", "-"], "a: [", "neither JSON nor YAML"),
        (
            &["apply", "-f", "-"],
            "kind: Pod\nspec: {containers: [{name: a}]}",
            "no container in it has resources",
        ),
        (
            &["apply", "-f", "-"],
            "spec: {containers: [{name: a, resources: {limits: {cpu: 1}}}]}",
            "no metadata.uid",
        ),
        (
            &["apply", "-f", "-", "--pod", "one"],
            "{metadata: {uid: two}, spec: {containers: [{name: a, resources: {limits: {cpu: 1}}}]}}",
            "isn't the manifest's",
        ),
        (&["apply", "-f", "/no/such/file"], "", "/no/such/file"),
    ] {
        let seen = room.fed(words, stdin);
        assert_eq!(seen.code, 2, "{words:?} {stdin}: {seen:?}");
        assert!(seen.err.contains(what) && seen.err.lines().count() == 1, "{words:?} {stdin}: {seen:?}");
    }
}

#[test]
fn a_document_that_explodes_takes_no_memory_and_no_time() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for n in 1..12 {
        let last = n - 1;
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![format!("*a{last}"); 10].join(",")));
    }
    let seen = Room::new().fed(&["apply", "-f", "-"], &bomb);
    assert_eq!(seen.code, 2, "{seen:?}");
    assert!(seen.err.contains("neither JSON nor YAML"), "{seen:?}");
}

#[test]
fn a_failure_is_one_json_document_where_that_was_asked_for() {
    let seen = Room::new().updater(&["set", "--container", "web", "--memory-limit", "-1", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!((document["v"].as_u64(), document["code"].as_i64()), (Some(1), Some(2)), "{seen:?}");
    assert_eq!(document["result"], "usage");
    assert!(seen.err.contains(document["error"].as_str().unwrap()), "{seen:?}");
}

#[test]
fn what_is_no_field_can_t_be_dropped() {
    let room = Room::new();
    for field in ["memory", "memory.max", "cpu.shares.x", "unified.../x", "hugepageLimits.3MB", ""] {
        let seen = room.updater(&["unset", "--container", "web", field]);
        assert_eq!((seen.code, seen.err.lines().count()), (2, 1), "{field}: {seen:?}");
        assert!(seen.err.contains("is no field"), "{seen:?}");
    }
}

#[test]
fn a_transaction_that_never_was_is_not_found() {
    let room = Room::new();
    for name in ["../../etc/passwd", "x", "", "0"] {
        let seen = room.updater(&["rollback", name]);
        assert_eq!((seen.code, seen.err.lines().count()), (6, 1), "{name}: {seen:?}");
    }
}
