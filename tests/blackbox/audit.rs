//! The audit log: one whole line for each decision, with exactly the keys of the schema, and never an argument or a
//! variable of the process. That it can't be written stops no container.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use crate::support::{Bench, DOCUMENT, PROCESS, mkfifo};

const KEYS: [&str; 19] = [
    "after",
    "before",
    "command",
    "container",
    "duration_us",
    "engine",
    "findings",
    "gid",
    "level",
    "pod",
    "reason",
    "root",
    "rulings",
    "runtime",
    "time",
    "uid",
    "v",
    "verdict",
    "",
];

fn keys(line: &Value) -> BTreeSet<&str> {
    line.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The keys of a line, without some of them.
fn all_but(but: &[&'static str]) -> BTreeSet<&'static str> {
    KEYS.into_iter().filter(|k| !k.is_empty() && !but.contains(k)).collect()
}

/// A document whose arguments and environment are secrets.
fn secret(document: &str) -> String {
    document
        .replace("\"args\": [\"id\"]", "\"args\": [\"s3cret\"], \"env\": [\"TOKEN=s3cret\"], \"rlimits\": []")
}

#[test]
fn a_line_has_exactly_the_keys_of_the_schema() {
    let bench = Bench::new();
    let document = secret(DOCUMENT).replace(", \"env\": [\"PATH=/bin\"]", "");
    bench.create(&bench.bundle("c", &document)).arrived();
    bench.exec("c", &secret(PROCESS)).arrived();
    bench.run(["--root", &bench.root(), "exec", "c", "s3cret"]).go().arrived();
    let hostile =
        DOCUMENT.replace("\"root\"", "\"annotations\":{\"runc-strict/supplemental-groups\":\"s\"},\"root\"");
    bench.create(&bench.bundle("d", &hostile)).refused(1);
    bench.create(&bench.bundle("e", "{}")).refused(1);
    bench.exec("nobody", PROCESS).refused(255);
    bench.run(["create", "--config", "x", "f"]).go().refused(1);
    bench.run(["--root", &bench.root(), "restore", "g"]).go().refused(1);
    bench.delete("c").arrived();

    let text = fs::read_to_string(bench.audit()).unwrap();
    assert!(!text.contains("s3cret"), "{text}");
    let lines = bench.audit_lines();
    let told: Vec<(&str, &str)> =
        lines.iter().map(|l| (l["command"].as_str().unwrap(), l["verdict"].as_str().unwrap())).collect();
    let expected = [
        ("create", "change"),
        ("exec", "change"),
        ("exec", "keep"),
        ("create", "deny"),
        ("create", "error"),
        ("exec", "deny"),
        ("create", "deny"),
        ("restore", "deny"),
    ];
    assert_eq!(told, expected);
    for line in &lines {
        let kept = ["change", "keep"].contains(&line["verdict"].as_str().unwrap());
        let but: &[&str] = if kept { &["reason"] } else { &["uid", "gid", "level"] };
        assert_eq!(keys(line), all_but(but), "{line}");
        assert_eq!(line["v"], 1);
    }
}

#[test]
fn a_line_says_what_was_asked_for_what_was_given_and_why() {
    let bench = Bench::new();
    bench.create(&bench.bundle("c", DOCUMENT)).arrived();
    let mut line = bench.audit_lines().remove(0);
    assert!(line["duration_us"].as_u64().unwrap() > 0);
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
    for key in ["duration_us", "time"] {
        line.as_object_mut().unwrap().remove(key);
    }
    let ruling = |gid: u32, origin: Value, kept: bool, rule: &str| json!({"gid": gid, "origins": [origin], "kept": kept, "rule": rule});
    let expected = json!({
        "v": 1, "command": "create", "container": "c", "root": bench.root(), "engine": "none", "pod": {},
        "verdict": "change", "uid": 1000, "gid": 1000, "level": "groups", "runtime": "runc 1.3.0",
        "before": [1000, 3000, 4000, 5000], "after": [1000, 5000], "findings": [],
        "rulings": [
            {"gid": 1000, "origins": ["primary", {"image": "alice"}], "kept": true, "rule": "primary"},
            ruling(3000, json!({"image": "staff"}), false, "from-image"),
            ruling(4000, json!({"image": "wheel"}), false, "from-image"),
            ruling(5000, json!("residual"), true, "residual"),
        ],
    });
    assert_eq!(line, expected);
}

#[test]
fn the_pod_is_named_by_the_configured_engine_s_keys_and_by_no_other_s() {
    let annotations = r#""annotations":{
        "io.kubernetes.cri.sandbox-namespace":"a","io.kubernetes.cri.sandbox-name":"b",
        "io.kubernetes.cri.sandbox-uid":"c","io.kubernetes.cri.container-name":"d",
        "io.kubernetes.pod.namespace":"e","io.kubernetes.pod.name":"f",
        "io.kubernetes.pod.uid":"g","io.kubernetes.container.name":"h"},"root""#;
    let document = DOCUMENT.replace("\"root\"", annotations);
    for (engine, pod) in [
        ("cri-o", json!({"namespace": "e", "name": "f", "uid": "g", "container": "h"})),
        ("podman", json!({})),
        ("none", json!({})),
    ] {
        let bench = Bench::new();
        bench.configure(&format!("engine = \"{engine}\""));
        bench.create(&bench.bundle("c", &document)).arrived();
        bench.exec("c", PROCESS).arrived();
        for line in bench.audit_lines() {
            assert_eq!((&line["engine"], &line["pod"]), (&json!(engine), &pod));
        }
    }
}

#[test]
fn lines_of_many_at_once_are_whole_however_long_they_are() {
    let bench = Bench::new();
    let gids: Vec<u32> = (10_000..12_000).collect();
    let bundles: Vec<_> = (0..16)
        .map(|n| {
            bench
                .bundle(&format!("c{n}"), &DOCUMENT.replace("[1000, 3000, 4000, 5000]", &format!("{gids:?}")))
        })
        .collect();
    let root = bench.root();
    let started: Vec<_> = bundles
        .iter()
        .map(|b| bench.run(["--root", &root, "create", "-b", b.text(), b.id()]).start())
        .collect();
    for run in started {
        run.wait().arrived();
    }
    let lines = bench.audit_lines();
    let ids: BTreeSet<&str> = lines.iter().map(|l| l["container"].as_str().unwrap()).collect();
    assert_eq!((lines.len(), ids.len()), (16, 16));
    assert!(lines.iter().all(|l| l["rulings"].as_array().unwrap().len() == 2001));
}

#[test]
fn the_log_and_its_folder_are_made_and_are_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    let log = bench.path("deep/er/audit.log");
    bench.configure_whole(&format!("runtime = {:?}\n[audit]\npath = {log:?}\n", bench.runtime()));
    bench.create(&bench.bundle("c", DOCUMENT)).arrived();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(log), mode(bench.path("deep/er"))), (0o640, 0o750));
}

#[test]
fn a_log_that_can_t_be_written_is_told_once_at_create_and_not_at_exec() {
    for obstacle in ["folder", "fifo", "nowhere"] {
        let bench = Bench::new();
        let log = bench.path("obstacle");
        match obstacle {
            "folder" => fs::create_dir(&log).unwrap(),
            "fifo" => mkfifo(&log),
            _ => {}
        }
        let log = if obstacle == "nowhere" { "/proc/nowhere/audit.log".into() } else { log };
        bench.configure_whole(&format!("runtime = {:?}\n[audit]\npath = {log:?}\n", bench.runtime()));
        let bundle = bench.bundle("c", DOCUMENT);
        let runtime_log = bench.path("log.json");
        let globals = ["--root", &bench.root(), "--log", runtime_log.to_str().unwrap()].map(str::to_owned);
        let create = ["--log-format", "json", "create", "-b", bundle.text(), "c"].map(str::to_owned);
        let outcome = bench.run([&globals[..], &create].concat()).go();
        assert_eq!((outcome.code, outcome.out.as_str()), (0, ""));
        assert!(
            outcome.call.is_some() && outcome.err.matches('\n').count() == 1,
            "{obstacle}: {}",
            outcome.err
        );
        let line = outcome.err.trim_end();
        assert!(
            line.starts_with("runc-strict: can't open the audit log")
                || line.starts_with("runc-strict: can't make")
        );
        assert!(line.ends_with("; the container starts all the same"), "{line}");
        // containerd would take a line there for the reason of a failure.
        assert!(!runtime_log.exists());
        assert_eq!(bundle.groups(), [1000, 5000]);
        assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000], "{obstacle}");
    }
}

#[test]
fn what_only_passes_through_writes_no_line() {
    let bench = Bench::new();
    for line in
        [&["state", "c"][..], &["kill", "c", "9"], &["delete", "--force", "c"], &["features"], &["--version"]]
    {
        let outcome = bench.run(line).go();
        assert!(outcome.call.is_some());
    }
    assert!(!bench.audit().exists());
}
