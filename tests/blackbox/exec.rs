//! exec gives the process what the container's init got, by whatever road the process is described, and whatever
//! has changed since create.

use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Bench, Bundle, DOCUMENT, PROCESS, is_root, private, skip};

fn created(bench: &Bench) -> Bundle {
    let bundle = bench.bundle("c", DOCUMENT);
    bench.create(&bundle).arrived();
    bundle
}

fn last_audited(bench: &Bench) -> Value {
    bench.audit_lines().pop().unwrap()
}

#[test]
fn the_engine_s_list_is_replaced_in_memory_and_its_file_is_left_alone() {
    let bench = Bench::new();
    created(&bench);
    for document in [
        PROCESS.to_owned(),
        PROCESS.replace("[1000, 3000, 4000, 5000]", "[]"),
        PROCESS.replace("[1000, 3000, 4000, 5000]", "null"),
        PROCESS.replace(", \"additionalGids\": [1000, 3000, 4000, 5000]", ""),
        PROCESS.replace("[1000, 3000, 4000, 5000]", "[5000,1000]"),
    ] {
        let call = bench.exec("c", &document).arrived();
        assert_eq!(call.exec_groups(), [1000, 5000], "{document}");
        let words = call.words();
        let number: i32 = words[4].to_str().unwrap().strip_prefix("/proc/self/fd/").unwrap().parse().unwrap();
        assert_eq!(call.descriptors[&number].target, "/memfd:runc-strict (deleted)");
        assert_eq!(call.descriptors.keys().copied().collect::<Vec<_>>(), [0, 1, 2, number]);
        assert_eq!(fs::read_to_string(bench.path("process-c.json")).unwrap(), document);
    }
}

#[test]
fn a_document_that_already_says_it_is_passed_by_its_own_path() {
    let bench = Bench::new();
    created(&bench);
    let document = PROCESS.replace("[1000, 3000, 4000, 5000]", "[ 1000,5000 ]");
    let call = bench.exec("c", &document).arrived();
    assert_eq!(call.words()[4], bench.path("process-c.json"));
    assert_eq!(call.descriptors.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn the_descriptors_of_the_process_keep_their_numbers() {
    let bench = Bench::new();
    let bundle = created(&bench);
    let process = bench.path("process.json");
    fs::write(&process, PROCESS).unwrap();
    let root = bench.root();
    for (preserve, listen, first) in
        [("0", "0", 3), ("2", "0", 5), ("0", "3", 6), ("2", "1", 6), ("50", "", 53)]
    {
        let line = [
            "--root",
            &root,
            "exec",
            "--preserve-fds",
            preserve,
            "--process",
            process.to_str().unwrap(),
            "c",
        ];
        let run = bench.run(line).env("LISTEN_FDS", listen).give(4, File::open(bundle.config()).unwrap());
        let call = run.go().arrived();
        assert_eq!(call.descriptors[&4].target, bundle.config().to_str().unwrap());
        let place = call.words().into_iter().find(|w| w.to_str().unwrap().starts_with("/proc/")).unwrap();
        let number: i32 = place.to_str().unwrap().rsplit('/').next().unwrap().parse().unwrap();
        assert!(number >= first, "{preserve} {listen}: {number}");
    }
}

#[test]
fn neither_a_changed_bundle_nor_a_changed_configuration_widens_a_container() {
    let bench = Bench::new();
    let bundle = created(&bench);
    let wide = "\"annotations\":{\"runc-strict/supplemental-groups\":\"3000,4000\"},\"root\"";
    fs::write(bundle.config(), DOCUMENT.replace("\"root\"", wide)).unwrap();
    fs::remove_file(bench.path("rootfs/etc/group")).unwrap();
    bench.configure("residual = true\n[[namespace]]\nallow = [\"3000-4000\"]\nkeep = true\n");
    assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000]);
    fs::remove_file(bundle.config()).unwrap();
    assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000]);
    // Not even where the container would now be refused.
    bench.configure("level = \"paranoid\"\n[[namespace]]\nallow = [\"7\"]\nceiling = true\n");
    assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000]);
}

#[test]
fn an_exec_by_words_takes_the_process_of_the_runtime_s_own_document() {
    for version in ["runc version 1.3.0\n", "crun version 1.20\n"] {
        let bench = Bench::with_runtime(version);
        let bundle = created(&bench);
        // crun keeps a copy of config.json; runc goes back to the bundle.
        let own =
            if version.starts_with("crun") { bench.path("root/c/config.json") } else { bundle.config() };
        let wide = DOCUMENT.replace("\"cwd\": \"/\"", "\"cwd\": \"/own\"");
        fs::write(&own, &wide).unwrap();
        let line = ["--root", &bench.root(), "exec", "c", "id", "-G"];
        let call = bench.run(line).go().arrived();
        let document: Value = serde_json::from_slice(call.document.as_ref().unwrap()).unwrap();
        assert_eq!(
            (&document["args"], &document["cwd"]),
            (&json!(["id", "-G"]), &json!("/own")),
            "{version}"
        );
        assert_eq!(call.exec_groups(), [1000, 5000], "{version}");
        assert_eq!(fs::read_to_string(&own).unwrap(), wide);
    }
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

#[test]
fn with_a_record_a_broken_configuration_stops_no_probe_and_without_one_it_does() {
    if is_root() && !private() {
        return skip("exec with a broken configuration", "it would write to the machine's audit log");
    }
    let bench = Bench::new();
    created(&bench);
    let runtime = bench.text("bin/runc");
    for broken in [
        "level = \"closed\"\n",
        "unknown = 1\n",
        "= =\n",
        "[audit]\npath = 7\n",
        "[[namespace]]\nallow = [5]\n",
    ] {
        bench.configure_whole(&format!("runtime = \"{runtime}\"\n{broken}"));
        assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000], "{broken}");
    }
    fs::remove_file(bench.record("c")).unwrap();
    let sentence = bench.exec("c", PROCESS).refused(255);
    assert!(sentence.contains("config.toml\": line "), "{sentence}");
}

#[test]
fn another_uid_and_gid_are_kept_and_judged_as_the_container_s_own_would_be() {
    let other = PROCESS.replace("\"uid\": 1000, \"gid\": 1000", "\"uid\": 0, \"gid\": 7");
    let bench = Bench::new();
    created(&bench);
    assert_eq!(bench.exec("c", &other).arrived().exec_groups(), [7, 1000, 5000]);
    let finding = json!({"kind": "foreign-primary", "gid": 7});
    assert!(last_audited(&bench)["findings"].as_array().unwrap().contains(&finding));

    for (configuration, holds) in [
        ("[[namespace]]\nallow = [\"1000\", \"5000\"]\nceiling = true\n", "primary gid 7 lies outside"),
        ("primary-gid = \"deny\"\n", "primary gid 7 was declared by nobody"),
        ("level = \"paranoid\"\n", "level paranoid refuses uid 0"),
    ] {
        let bench = Bench::new();
        bench.configure(configuration);
        created(&bench);
        let sentence = bench.exec("c", &other).refused(255);
        assert!(sentence.contains(holds), "{configuration}: {sentence}");
        assert!(!Path::new(bench.root().as_str()).join("exec").exists());
    }
}

#[test]
fn a_sealed_container_s_exec_is_sealed_and_gets_no_capability_that_init_lacks() {
    let caps = |names: &str| {
        let set = |set: &str| format!("\"{set}\":[{names}]");
        let sets = ["bounding", "effective", "permitted"].map(set).join(",");
        format!("\"capabilities\":{{{sets}}},\"args\"")
    };
    let own = DOCUMENT.replace("\"args\"", &caps("\"CAP_KILL\",\"CAP_SETGID\""));
    let privileged = PROCESS.replace("\"args\"", &caps("\"CAP_KILL\",\"CAP_SETUID\",\"CAP_SYS_ADMIN\""));
    for (level, no_new_privileges, bounding) in [
        ("groups", Value::Null, json!(["CAP_KILL", "CAP_SETUID", "CAP_SYS_ADMIN"])),
        ("sealed", json!(true), json!(["CAP_KILL"])),
    ] {
        let bench = Bench::new();
        bench.configure(&format!("level = \"{level}\""));
        bench.create(&bench.bundle("c", &own)).arrived();
        let call = bench.exec("c", &privileged).arrived();
        let document: Value = serde_json::from_slice(call.document.as_ref().unwrap()).unwrap();
        assert_eq!(document["noNewPrivileges"], no_new_privileges, "{level}");
        for set in ["bounding", "effective", "permitted"] {
            assert_eq!(document["capabilities"][set], bounding, "{level} {set}");
        }
        assert_eq!(call.exec_groups(), [1000, 5000], "{level}");
    }
}

#[test]
fn what_init_could_not_gain_an_exec_can_t_either() {
    let bench = Bench::new();
    let own = DOCUMENT.replace("\"args\"", "\"noNewPrivileges\": true, \"args\"");
    bench.create(&bench.bundle("c", &own)).arrived();
    let open = PROCESS.replace("\"args\"", "\"noNewPrivileges\": false, \"args\"");
    let call = bench.exec("c", &open).arrived();
    let document: Value = serde_json::from_slice(call.document.as_ref().unwrap()).unwrap();
    assert_eq!(document["noNewPrivileges"], true);
}
