//! Limits that stay: an engine's `update` is handed on merged with what a person has set, its explicit changes win, the
//! next attempt of a container gets them again, and whatever goes wrong lets the engine's own words through.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::call::Call;
use crate::support::{Bench, Bundle, DOCUMENT, is_root, private, skip, words};

/// What containerd 2.3 sends on stdin, with a cpuset (see tests/data/engines).
const SENT: &str = r#"{"devices":[{"allow":false,"access":"rwm"}],"memory":{"limit":134217728,"swap":134217728},"cpu":{"shares":512,"quota":50000,"period":100000,"cpus":"0"}}"#;

const UID: &str = "7b1f3a2e-0c5d-4e6f-8a9b-000000000001";

/// A bench for pods, where a test can put files into the program's folder of volatile state.
fn bench() -> Option<Bench> {
    if is_root() && !private() {
        skip("limits that stay", "they would stand in the machine's /run/runc-strict");
        return None;
    }
    let bench = Bench::new();
    bench.configure("engine = \"cri-o\"");
    Some(bench)
}

/// config.json of a container called `name` in the pod `uid`, with its limits.
fn document(uid: &str, name: &str, linux: &str) -> String {
    let annotations = json!({"io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.name": "web",
        "io.kubernetes.pod.uid": uid, "io.kubernetes.container.name": name});
    DOCUMENT.replace("\"root\"", &format!("\"annotations\": {annotations},{linux}\n  \"root\""))
}

const LINUX: &str = r#" "linux": {"x": 1e3, "resources": {"memory": {"limit": 134217728, "swap": 134217728}, "pids": {"limit": 100}}},"#;

fn start(bench: &Bench, id: &str, document: &str) -> Bundle {
    let bundle = bench.bundle(id, document);
    bench.create(&bundle).arrived();
    bundle
}

fn file_of(bench: &Bench, uid: &str, name: &str) -> PathBuf {
    bench.state().join("overrides").join(format!("uid%2F{uid}")).join(name)
}

fn link_of(bench: &Bench, id: &str) -> PathBuf {
    let root = bench.records().file_name().unwrap().to_owned();
    bench.state().join("overridden").join(root).join(id)
}

/// What cgroup-updater leaves behind: 256 MiB stay, where the engine said 128.
fn hold(bench: &Bench, id: &str) -> PathBuf {
    let file = file_of(bench, UID, "app");
    let since = "2026-11-23T05:00:00.000000Z";
    let text = json!({"format": 1, "pod": {"namespace": "shop", "name": "web", "uid": UID, "container": "app"},
        "held": {"memory.limit": {"value": 268_435_456, "since": since}, "memory.swap": {"value": 268_435_456, "since": since}},
        "last": [{"memory": {"limit": 134_217_728, "swap": 134_217_728}, "cpu": {"shares": 512, "quota": 50_000, "period": 100_000}}]});
    private_folder(bench, file.parent().unwrap().to_path_buf());
    fs::write(&file, text.to_string()).unwrap();
    let link = link_of(bench, id);
    private_folder(bench, link.parent().unwrap().to_path_buf());
    symlink(format!("../../overrides/uid%2F{UID}/app"), link).unwrap();
    file
}

fn private_folder(bench: &Bench, folder: PathBuf) {
    fs::create_dir_all(&folder).unwrap();
    let state = bench.state();
    for one in folder.ancestors().take_while(|one| *one != state) {
        fs::set_permissions(one, fs::Permissions::from_mode(0o700)).unwrap();
    }
}

fn update(bench: &Bench, id: &str, sent: &str) -> Call {
    bench.run(["--root", &bench.root(), "update", "--resources", "-", id]).stdin(sent).go().arrived()
}

fn stdin(call: &Call) -> Value {
    serde_json::from_slice(call.stdin.as_ref().unwrap()).unwrap()
}

fn last_line(bench: &Bench) -> Value {
    bench.audit_lines().pop().unwrap()
}

#[test]
fn without_an_override_the_runtime_has_the_engine_s_own_stdin() {
    let Some(bench) = bench() else { return };
    start(&bench, "a", &document(UID, "app", LINUX));
    let lines = bench.audit_lines().len();
    for held in [false, true] {
        if held {
            // another container's
            hold(&bench, "other");
        }
        let call = update(&bench, "a", SENT);
        assert_eq!(call.stdin.as_deref(), Some(SENT.as_bytes()));
        assert_eq!(call.descriptors[&0].target, bench.text("stdin"), "the file itself, not a copy");
        assert_eq!(bench.audit_lines().len(), lines);
    }
}

#[test]
fn what_an_engine_repeats_is_overridden_and_every_other_byte_stays() {
    let Some(bench) = bench() else { return };
    start(&bench, "a", &document(UID, "app", LINUX));
    let file = hold(&bench, "a");
    for _ in 0..2 {
        let call = update(&bench, "a", SENT);
        let text = String::from_utf8(call.stdin.clone().unwrap()).unwrap();
        assert_eq!(text, SENT.replace("134217728", "268435456"));
        assert_eq!(call.words(), words(["--root", &bench.root(), "update", "--resources", "-", "a"]));
        assert!(call.descriptors[&0].target.contains("memfd"), "{:?}", call.descriptors);
        assert_eq!(call.descriptors.len(), 3, "nothing else is left open: {:?}", call.descriptors);
    }
    let line = last_line(&bench);
    assert_eq!(
        (&line["command"], &line["container"], &line["verdict"]),
        (&json!("update"), &json!("a"), &json!("change"))
    );
    assert_eq!(line["pod"]["container"], "app");
    assert_eq!(line["engine"], "cri-o");
    assert_eq!(line["resize"]["changes"], json!(["memory.limit 128Mi → 256Mi", "memory.swap 128Mi → 256Mi"]));
    assert_eq!(line["resize"]["sticky"], json!(["memory.limit", "memory.swap"]));
    let held: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(held["last"][0]["cpu"]["cpus"], "0", "what the engine says is remembered");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn what_an_engine_changes_wins_and_ends_the_override() {
    let Some(bench) = bench() else { return };
    start(&bench, "a", &document(UID, "app", LINUX));
    let file = hold(&bench, "a");
    let sent = SENT.replace("134217728", "201326592");
    assert_eq!(update(&bench, "a", &sent).stdin.as_deref(), Some(sent.as_bytes()));
    let line = last_line(&bench);
    assert_eq!(line["verdict"], "keep");
    assert_eq!(
        line["resize"]["ended"],
        json!(["memory.limit 256Mi; the engine sets 192Mi", "memory.swap 256Mi; the engine sets 192Mi"])
    );
    let lines = bench.audit_lines().len();
    assert_eq!(update(&bench, "a", SENT).stdin.as_deref(), Some(SENT.as_bytes()), "it has ended for good");
    assert_eq!(bench.audit_lines().len(), lines, "and there is nothing more to tell");
    let held: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(held["held"], json!({}));
}

#[test]
fn a_file_and_flags_reach_the_runtime_as_a_document_on_stdin() {
    let Some(bench) = bench() else { return };
    start(&bench, "a", &document(UID, "app", LINUX));
    hold(&bench, "a");
    let (root, file) = (bench.root(), bench.text("resources.json"));
    fs::write(&file, SENT).unwrap();
    let expected: Value = serde_json::from_str(&SENT.replace("134217728", "268435456")).unwrap();
    let call = bench.run(["--root", &root, "--debug", "update", "-r", &file, "a"]).go().arrived();
    assert_eq!(stdin(&call), expected);
    assert_eq!(call.words(), words(["--root", &root, "--debug", "update", "--resources", "-", "a"]));
    assert_eq!(fs::read_to_string(&file).unwrap(), SENT, "the engine's file is its own");
    let flags =
        ["--root", &root, "update", "--memory=128m", "--memory-swap", "134217728", "--cpuset-cpus", "1", "a"];
    let call = bench.run(flags).go().arrived();
    let expected = json!({"memory": {"limit": 268_435_456, "swap": 268_435_456}, "cpu": {"cpus": "1"}});
    assert_eq!(stdin(&call), expected);
    // only a cpuset: the runtime's own state may be older than the override
    let call = bench.run(["--root", &root, "update", "--cpuset-cpus", "0", "a"]).go().arrived();
    assert_eq!(stdin(&call)["memory"]["limit"], 268_435_456);
}

#[test]
fn whatever_goes_wrong_lets_the_engine_s_words_through_and_is_told() {
    let Some(bench) = bench() else { return };
    start(&bench, "a", &document(UID, "app", LINUX));
    let file = hold(&bench, "a");
    let good = fs::read_to_string(&file).unwrap();
    for damaged in ["", "{", "[]", &good.replace("\"format\":1", "\"format\":9"), "\0\0"] {
        fs::write(&file, damaged).unwrap();
        let call = update(&bench, "a", SENT);
        assert_eq!(call.stdin.as_deref(), Some(SENT.as_bytes()), "{damaged}");
        let line = last_line(&bench);
        assert_eq!((&line["command"], &line["verdict"]), (&json!("update"), &json!("error")));
        assert!(line["reason"].as_str().unwrap().contains(UID), "{line}");
    }
    fs::write(&file, &good).unwrap();
    for sent in
        ["", "{", "[1]", "{\"memory\":{\"limit\":1},\"Memory\":{}}", "{\"memory\":5}", "{} {}", "\u{feff}{}"]
    {
        assert_eq!(update(&bench, "a", sent).stdin.as_deref(), Some(sent.as_bytes()), "{sent}");
        assert_eq!(last_line(&bench)["command"], "update", "{sent}");
    }
    let root = bench.root();
    for line in [
        &["--root", &root, "update", "--some-new-flag", "1", "a"][..],
        &["--root", &root, "update", "--l3-cache-schema", "L3:0=f", "a"],
        &["--root", &root, "update", "--resources", "/no/such/file", "a"],
        &["--root", &root, "update", "--memory", "much", "a"],
    ] {
        let call = bench.run(line).go().arrived();
        assert_eq!(call.words(), line.iter().map(OsString::from).collect::<Vec<_>>());
        let told = last_line(&bench);
        assert_eq!(
            (&told["command"], &told["verdict"]),
            (&json!("update"), &json!("error")),
            "{line:?}: {told}"
        );
    }
    // a configuration that nobody can read is no reason either, and the override still holds
    fs::write(&file, &good).unwrap();
    bench.configure_whole(&format!("runtime = \"{}\"\nunknown = 1\n", bench.text("bin/runc")));
    assert_eq!(stdin(&update(&bench, "a", SENT))["memory"]["limit"], 268_435_456);
}

#[test]
fn the_next_attempt_gets_what_the_last_one_had_and_nobody_else_does() {
    let Some(bench) = bench() else { return };
    start(&bench, "a", &document(UID, "app", LINUX));
    start(&bench, "sidecar", &document(UID, "side", LINUX));
    hold(&bench, "a");
    bench.delete("a").arrived();
    let next = start(&bench, "b", &document(UID, "app", LINUX));
    let expected = document(UID, "app", LINUX).replace("134217728", "268435456");
    let expected = expected.replace("[1000, 3000, 4000, 5000]", "[1000,5000]");
    assert_eq!(next.document(), expected);
    let line = last_line(&bench);
    assert_eq!((&line["command"], &line["container"]), (&json!("create"), &json!("b")));
    assert_eq!(line["resize"]["changes"], json!(["memory.limit 128Mi → 256Mi", "memory.swap 128Mi → 256Mi"]));
    assert_eq!(stdin(&update(&bench, "b", SENT))["memory"]["limit"], 268_435_456, "its updates find it, too");

    let other = "7b1f3a2e-0c5d-4e6f-8a9b-000000000002";
    for (id, uid, name) in [("c", other, "app"), ("d", UID, "side"), ("e", UID, "app2")] {
        let bundle = start(&bench, id, &document(uid, name, LINUX));
        assert!(!bundle.document().contains("268435456"), "{id}");
    }
    // the engine's new limit is a change, also when it comes with a new attempt
    let higher = document(UID, "app", &LINUX.replace("134217728", "402653184"));
    let bundle = start(&bench, "f", &higher);
    assert!(bundle.document().contains("402653184") && !bundle.document().contains("268435456"));
    assert_eq!(last_line(&bench)["resize"]["ended"].as_array().unwrap().len(), 2);
}

#[test]
fn a_document_without_limits_gets_those_that_stay() {
    let Some(bench) = bench() else { return };
    start(&bench, "a", &document(UID, "app", LINUX));
    hold(&bench, "a");
    for (id, linux, expected) in [
        ("b", "", r#"{"resources":{"memory":{"limit":268435456,"swap":268435456}}}"#),
        ("c", "\"linux\": {},", r#"{"resources":{"memory":{"limit":268435456,"swap":268435456}}}"#),
        (
            "d",
            "\"linux\": {\"resources\": {\"pids\": {}}},",
            r#"{"resources":{"memory":{"limit":268435456,"swap":268435456},"pids":{}}}"#,
        ),
    ] {
        let bundle = start(&bench, id, &document(UID, "app", linux));
        let written: Value = serde_json::from_str(&bundle.document()).unwrap();
        assert_eq!(written["linux"], serde_json::from_str::<Value>(expected).unwrap(), "{id}");
    }
}

#[test]
fn a_damaged_file_starts_the_container_with_its_engine_s_limits_and_is_told() {
    let Some(bench) = bench() else { return };
    start(&bench, "a", &document(UID, "app", LINUX));
    fs::write(hold(&bench, "a"), "{").unwrap();
    let bundle = start(&bench, "b", &document(UID, "app", LINUX));
    assert!(bundle.document().contains("134217728"));
    let line = last_line(&bench);
    assert_eq!((&line["container"], &line["verdict"]), (&json!("b"), &json!("change")));
    assert!(line["reason"].as_str().unwrap().contains("is damaged"), "{line}");
}

#[test]
fn an_override_goes_away_with_the_pod_s_last_container() {
    let Some(bench) = bench() else { return };
    for id in ["a", "sidecar"] {
        start(&bench, id, &document(UID, if id == "a" { "app" } else { "side" }, LINUX));
    }
    let file = hold(&bench, "a");
    bench.delete("a").arrived();
    assert!(file.exists() && fs::symlink_metadata(link_of(&bench, "a")).is_err());
    bench.delete("sidecar").arrived();
    assert!(!file.exists(), "the pod has no container any more");
    let bundle = start(&bench, "b", &document(UID, "app", LINUX));
    assert!(!bundle.document().contains("268435456"), "a static pod's uid comes again");
}

#[test]
fn a_create_that_fails_leaves_nothing_behind() {
    let Some(bench) = bench() else { return };
    start(&bench, "a", &document(UID, "app", LINUX));
    hold(&bench, "a");
    let text = document(UID, "app", LINUX);
    let bundle = bench.bundle("b", &text);
    fs::remove_file(bench.runtime()).unwrap();
    fs::write(bench.runtime(), "\x7fELF, but no more").unwrap();
    fs::set_permissions(bench.runtime(), fs::Permissions::from_mode(0o755)).unwrap();
    bench.create(&bundle).refused(1);
    assert_eq!(bundle.document(), text);
    assert!(fs::symlink_metadata(link_of(&bench, "b")).is_err());
}

#[test]
fn a_check_before_lowering_memory_is_asked_of_a_runtime_that_does_it_and_missed_in_another() {
    if is_root() && !private() {
        return skip("check-before-update", "it would stand in the machine's /run/runc-strict");
    }
    let checked = SENT.replace("\"memory\":{", "\"memory\":{\"checkBeforeUpdate\":true,");
    for (version, honoured) in [
        ("runc version 1.3.0\n", true),
        ("runc version 1.1.5\n", false),
        ("crun version 1.8.1\n", true),
        ("crun version 1.6\n", false),
    ] {
        let bench = Bench::with_runtime(version);
        bench.configure("engine = \"cri-o\"\ncheck-before-update = true\n");
        start(&bench, "a", &document(UID, "app", LINUX));
        let finding = json!({"kind": "no-check-before-update", "runtime": version.trim().replace(" version", "")
            .replace("1.6", "1.6.0")});
        let findings = last_line(&bench)["findings"].as_array().unwrap().clone();
        assert_eq!(findings.contains(&finding), !honoured, "{version}: {findings:?}");
        let call = update(&bench, "a", SENT);
        let expected = if honoured { &checked } else { SENT };
        assert_eq!(String::from_utf8(call.stdin.unwrap()).unwrap(), *expected, "{version}");
        // what doesn't touch the memory limit has nothing to be checked
        let cpus = r#"{"cpu":{"cpus":"0"}}"#;
        assert_eq!(update(&bench, "a", cpus).stdin.as_deref(), Some(cpus.as_bytes()));
    }
}
