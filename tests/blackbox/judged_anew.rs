//! Where there is no record of a container, or none to go by, an exec is judged anew from the runtime's own state and
//! the bundle, and what is then given is never more than the bundle lists.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Bench, Bundle, DOCUMENT, PROCESS};

fn created(bench: &Bench) -> Bundle {
    let bundle = bench.bundle("c", DOCUMENT);
    bench.create(&bundle).arrived();
    bundle
}

fn last_audited(bench: &Bench) -> Value {
    bench.audit_lines().pop().unwrap()
}

#[test]
fn without_a_record_the_container_is_judged_anew() {
    let bench = Bench::new();
    let bundle = created(&bench);
    fs::remove_file(bench.record("c")).unwrap();
    assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000]);
    let line = last_audited(&bench);
    assert_eq!(line["after"], json!([1000, 5000]));
    assert!(line["findings"].as_array().unwrap().contains(&json!({"kind": "no-record"})), "{line}");
    // What the bundle doesn't list, the container can't have got.
    bench.configure("annotation = \"narrow\"\n[[namespace]]\nallow = [\"7000\"]\n");
    let annotated = "\"annotations\":{\"runc-strict/supplemental-groups\":\"5000,7000\"},\"root\"";
    fs::write(bundle.config(), DOCUMENT.replace("\"root\"", annotated)).unwrap();
    assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000]);
    // And what would be refused now, is.
    bench.configure("[[namespace]]\nallow = [\"7\", \"7000\"]\nceiling = true\n");
    assert!(bench.exec("c", PROCESS).refused(255).contains("gid 1000 lies outside"));
}

#[test]
fn without_a_record_and_without_a_state_an_exec_is_refused() {
    let bench = Bench::new();
    let sentence = bench.exec("c", PROCESS).refused(255);
    assert!(sentence.contains("there is no record of the container, and"), "{sentence}");
    created(&bench);
    fs::remove_file(bench.record("c")).unwrap();
    fs::write(bench.path("root/c/state.json"), "{}").unwrap();
    let sentence = bench.exec("c", PROCESS).refused(255);
    assert!(sentence.contains("state.json\": doesn't say where the bundle is"), "{sentence}");
}

#[test]
fn a_damaged_record_is_as_none() {
    let bench = Bench::new();
    created(&bench);
    let record = bench.record("c");
    let good = fs::read_to_string(&record).unwrap();
    let wide = good.replace("\"groups\":[1000,5000]", "\"groups\":[1000,3000,4000,5000]");
    assert_ne!(good, wide);
    let damaged = [
        String::new(),
        "not JSON".to_owned(),
        good[..good.len() / 2].to_owned(),
        wide.replace("\"format\":1", "\"format\":2"),
        format!("{wide}x"),
        wide.replace("\"gid\":1000", "\"gid\":4294967295"),
    ];
    for text in damaged {
        fs::write(&record, &text).unwrap();
        assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000], "{text}");
        assert!(last_audited(&bench)["findings"].to_string().contains("no-record"), "{text}");
    }
    // A folder in its place is damaged too.
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000]);
}

/// A container that the runtime made without us.
fn created_behind_our_back(bench: &Bench, root: &str, bundle: &Bundle) {
    bench.direct(["--root", root, "create", "--bundle", bundle.text(), bundle.id()]).go().arrived();
}

#[test]
fn a_record_of_an_earlier_container_of_the_same_name_is_not_met_again() {
    for bound in [true, false] {
        let bench = Bench::new();
        let wide = bench.bundle("c", &DOCUMENT.replace("[1000, 3000, 4000, 5000]", "[1000, 5000, 6000]"));
        bench.create(&wide).arrived();
        if bound {
            assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000, 6000]);
        }
        fs::remove_dir_all(bench.path("root/c")).unwrap();
        let again = bench.bundle("again/c", &DOCUMENT.replace("../../", "../../../"));
        created_behind_our_back(&bench, &bench.root(), &again);
        assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000], "bound: {bound}");
        assert!(last_audited(&bench)["findings"].to_string().contains("no-record"), "bound: {bound}");
    }
}

#[test]
fn a_record_of_another_root_is_another_container_s() {
    let bench = Bench::new();
    let wide = bench.bundle("c", &DOCUMENT.replace("[1000, 3000, 4000, 5000]", "[1000, 5000, 6000]"));
    bench.create(&wide).arrived();
    let other = bench.text("root/below");
    let again = bench.bundle("again/c", &DOCUMENT.replace("../../", "../../../"));
    created_behind_our_back(&bench, &other, &again);
    let process = bench.path("process.json");
    fs::write(&process, PROCESS).unwrap();
    let exec = |root: &str| {
        let line = ["--root", root, "exec", "--process", process.to_str().unwrap(), "c"];
        bench.run(line).go().arrived().exec_groups()
    };
    assert_eq!(exec(&other), [1000, 5000]);
    // One root in several spellings is one root.
    std::os::unix::fs::symlink(bench.root(), bench.path("link")).unwrap();
    for spelling in
        [bench.root(), bench.text("root/"), bench.text("bin/../root/./"), bench.text("link"), "root".into()]
    {
        assert_eq!(exec(&spelling), [1000, 5000, 6000], "{spelling}");
    }
}
