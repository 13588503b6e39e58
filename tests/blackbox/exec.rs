//! exec gives the process what the container's init got, by whatever road the process is described, and whatever
//! has changed since create.

use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Bench, Bundle, DOCUMENT, PROCESS, is_root, mkfifo, private, skip};

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
fn an_exec_goes_by_the_runtime_as_it_was_at_create_only_while_it_is_the_same_file() {
    let old = "runc version 1.1.5\n";
    let bench = Bench::with_runtime("crun version 1.20\n");
    created(&bench);
    assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000]);
    // an update puts another file in its place, and that one looks gids up by name
    let other = Bench::with_runtime(old);
    fs::write(bench.path("bin/version"), old).unwrap();
    fs::rename(other.runtime(), bench.runtime()).unwrap();
    let sentence = bench.exec("c", PROCESS).refused(255);
    assert!(sentence.contains("runc 1.1.5 looks gids up by name"), "{sentence}");
    assert_eq!(last_audited(&bench)["runtime"], "runc 1.1.5");
    // and a link to ourselves is no runtime at all
    fs::remove_file(bench.runtime()).unwrap();
    std::os::unix::fs::symlink(&*crate::support::program(), bench.runtime()).unwrap();
    let sentence = bench.exec("c", PROCESS).refused(255);
    assert!(sentence.contains("is runc-strict itself; set runtime to runc or crun"), "{sentence}");
}

#[test]
fn a_small_stack_stops_neither_create_nor_exec_nor_delete() {
    // on either side of the size from which the program starts by itself
    for kilobytes in ["72", "255", "256"] {
        let bench = Bench::new();
        let bundle = bench.bundle("c", DOCUMENT);
        let process = bench.text("process.json");
        fs::write(&process, PROCESS).unwrap();
        let (program, root) = (crate::support::program(), bench.root());
        let limited = |words: &[&str]| {
            let script = format!("ulimit -s {kilobytes} && exec \"$0\" --root \"$@\"");
            let begin = ["-c", &script, program.to_str().unwrap(), &root];
            bench.program("/bin/sh", begin.iter().chain(words).copied()).go()
        };
        limited(&["create", "--bundle", bundle.text(), "c"]).arrived();
        let call = limited(&["exec", "--process", &process, "c"]).arrived();
        assert_eq!(call.exec_groups(), [1000, 5000], "{kilobytes} KB");
        limited(&["delete", "c"]).arrived();
    }
}

#[test]
fn an_exec_is_told_in_the_configured_log_also_where_the_rest_of_the_configuration_is_broken() {
    let bench = Bench::new();
    created(&bench);
    for broken in ["level = \"closed\"", "= =", "unknown = 1"] {
        let lines = bench.audit_lines().len();
        bench.configure(&format!("{broken}\n"));
        assert_eq!(bench.exec("c", PROCESS).arrived().exec_groups(), [1000, 5000], "{broken}");
        assert_eq!(bench.audit_lines().len(), lines + 1, "{broken}");
        assert_eq!(last_audited(&bench)["command"], "exec");
    }
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

#[test]
fn a_document_that_is_no_file_to_be_read_is_named_and_never_waited_for() {
    let bench = Bench::new();
    created(&bench);
    let path = bench.path("process.json");
    let refused = || {
        let line = ["--root", &bench.root(), "exec", "--process", path.to_str().unwrap(), "c"];
        bench.run(line).go().refused(255)
    };
    assert!(refused().contains("can't open"));
    mkfifo(&path);
    assert!(refused().contains("is no regular file"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(refused().contains("is no regular file"));
    fs::remove_dir(&path).unwrap();
    File::create(&path).unwrap().set_len(200 * 1024 * 1024).unwrap();
    assert!(refused().contains("is larger than"));
}
