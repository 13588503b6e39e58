//! explain tells what create would do, and does nothing. Its words are held by files; the bench's folder stands
//! there as /BENCH.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Bench, DOCUMENT, assert_golden};

struct Case {
    name: &'static str,
    version: &'static str,
    configuration: &'static str,
    /// What is put before `root` in [`DOCUMENT`].
    members: &'static str,
    code: i32,
}

const RUNC: &str = "runc version 1.3.0\n";

const CASES: &[Case] = &[
    Case { name: "talk", version: RUNC, configuration: "", members: "", code: 0 },
    Case {
        name: "annotated",
        version: RUNC,
        configuration: "engine = \"cri-o\"\nlevel = \"sealed\"\n[[namespace]]\nmatch = [\"shop\"]\nallow = [\"6000-6999\"]\n",
        members: r#""annotations":{"io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.name":"web","runc-strict/supplemental-groups":"5000, 6001","runc-strict/level":"groups"},"#,
        code: 0,
    },
    Case {
        name: "unauthorised",
        version: RUNC,
        configuration: "engine = \"cri-o\"\n",
        members: r#""annotations":{"io.kubernetes.pod.namespace":"shop","runc-strict/supplemental-groups":"3000"},"#,
        code: 1,
    },
    Case {
        name: "node",
        version: "runc version 1.1.5+ds1\n",
        configuration: "residual = false\n[[namespace]]\nallow = [\"3000\", \"5000\", \"1000\"]\nkeep = true\n[[namespace]]\nallow = [\"1000-3999\"]\nceiling = true\n",
        members: "",
        code: 0,
    },
];

/// Everything below `folder`: the path, when it was changed, and what it holds.
fn everything(folder: &Path, found: &mut BTreeMap<PathBuf, (i64, i64, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::symlink_metadata(&path).unwrap();
        let content = if about.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        found.insert(path.clone(), (about.mtime(), about.mtime_nsec(), content));
        if about.is_dir() {
            everything(&path, found);
        }
    }
}

/// What explain must leave alone: the bundle, the image, the runtime's state, the configuration and the audit log.
fn snapshot(bench: &Bench) -> BTreeMap<PathBuf, (i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for name in ["bundles", "rootfs", "root", "log"] {
        everything(&bench.path(name), &mut found);
    }
    found.insert("config".into(), (0, 0, fs::read(bench.config()).unwrap()));
    found.insert("audit".into(), (0, 0, fs::read(bench.audit()).unwrap_or_default()));
    found
}

#[test]
fn explain_says_who_the_container_would_be_and_changes_nothing() {
    for case in CASES {
        let bench = Bench::with_runtime(case.version);
        bench.configure(case.configuration);
        let bundle = bench.bundle("c", &DOCUMENT.replace("\"root\"", &format!("{}\"root\"", case.members)));
        let before = snapshot(&bench);
        let text = bench.run(["explain", bundle.text()]).go();
        let json = bench.run(["explain", "--json", bundle.text()]).go();
        assert_eq!(snapshot(&bench), before, "{}", case.name);
        assert!(!bench.records().exists(), "{}", case.name);

        let home = bench.path(".");
        let home = home.to_str().unwrap().trim_end_matches("/.");
        for (outcome, kind) in [(text, "txt"), (json, "json")] {
            assert_eq!((outcome.code, outcome.err.as_str()), (case.code, ""), "{}", case.name);
            let shown = match kind {
                "json" => {
                    let value: Value = serde_json::from_str(&outcome.out).unwrap();
                    assert_eq!(outcome.out.matches('\n').count(), 1);
                    format!("{value:#}\n")
                }
                _ => outcome.out,
            };
            assert_golden(&format!("explain/{}.{kind}", case.name), &shown.replace(home, "/BENCH"));
        }
    }
}

#[test]
fn what_explain_says_is_what_create_does() {
    for case in CASES {
        let bench = Bench::with_runtime(case.version);
        bench.configure(case.configuration);
        let bundle = bench.bundle("c", &DOCUMENT.replace("\"root\"", &format!("{}\"root\"", case.members)));
        let said: Value =
            serde_json::from_str(&bench.run(["explain", "--json", bundle.text()]).go().out).unwrap();
        let created = bench.create(&bundle);
        assert_eq!(created.code, case.code, "{}", case.name);
        let line = bench.audit_lines().pop().unwrap();
        for key in ["verdict", "before", "uid", "gid", "pod"] {
            if case.code == 0 || !["uid", "gid"].contains(&key) {
                assert_eq!(said[key], line[key], "{} {key}", case.name);
            }
        }
        if case.code == 0 {
            for key in ["after", "level", "rulings", "findings"] {
                assert_eq!(said[key], line[key], "{} {key}", case.name);
            }
            assert_eq!(serde_json::json!(bundle.groups()), said["after"], "{}", case.name);
        } else {
            assert_eq!(said["reason"], line["reason"], "{}", case.name);
            assert!(created.err.contains(said["reason"].as_str().unwrap()), "{}", case.name);
        }
    }
}

#[test]
fn a_bundle_that_can_t_be_explained_is_told_on_stderr() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", "not JSON");
    let sentence = bench.run(["explain", bundle.text()]).go().refused(1);
    assert!(sentence.contains("config.json\": the document can't be read"), "{sentence}");
    assert!(bench.run(["explain", "/no/such/bundle"]).go().refused(1).contains("no such folder"));
}

#[test]
fn hostile_names_in_the_image_and_the_pod_are_shown_and_not_obeyed() {
    let bench = Bench::new();
    bench.configure("engine = \"cri-o\"");
    fs::write(bench.path("rootfs/etc/group"), b"\x1b[31mred\x07\xff:x:3000:alice\nw\r\xe2\x80\xae:x:4000:\n")
        .unwrap();
    let pod = r#""annotations":{"io.kubernetes.pod.namespace":"a\u001b]0;x\u0007","io.kubernetes.pod.name":"b\nc"},"root""#;
    let bundle = bench.bundle("c", &DOCUMENT.replace("\"root\"", pod));
    let out = bench.run(["explain", bundle.text()]).go().out;
    let hostile = out.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
    assert_eq!(hostile, None, "{out:?}");
    assert!(out.contains(r"\u{1b}[31mred"), "{out}");
}
