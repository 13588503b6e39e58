//! runc before 1.3.0 looks gids up by name in the container's etc/group: `60000:x:50000:` turns the allowed 60000
//! into 50000. Behind such a runtime whatever could redirect the lookup is refused.

use std::fs;

use crate::support::{Bench, DOCUMENT, PROCESS, is_root, private, skip};

const OLD: &str = "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+b1\nspec: 1.0.2-dev\n";

fn create(bench: &Bench, document: &str) -> crate::support::Outcome {
    bench.create(&bench.bundle("c", document))
}

fn mounted(destination: &str, source: &str) -> String {
    let mount = format!(
        "\"mounts\":[{{\"destination\":\"/proc\",\"type\":\"proc\"}},{{\"destination\":\"{destination}\",\"source\":\"{source}\"}}],\"root\""
    );
    DOCUMENT.replace("\"root\"", &mount)
}

#[test]
fn a_group_that_is_named_by_a_number_is_refused_there_and_only_there() {
    for (version, refused) in [
        (OLD, true),
        ("runc version 1.2.9\n", true),
        ("runc version 1.3.0-rc.1\n", true),
        ("something else\n", true),
        ("runc version 1.3.0\n", false),
        ("runc version 1.5.2\n", false),
        ("crun version 1.8.1\ncommit: f8a096be\n", false),
        ("youki version 0.5.0\n", false),
    ] {
        let bench = Bench::with_runtime(version);
        fs::write(bench.path("rootfs/etc/group"), "root:x:0:\n5000:x:50000:\n").unwrap();
        let outcome = create(&bench, DOCUMENT);
        if refused {
            let sentence = outcome.refused(1);
            assert!(
                sentence.contains("a group there is named \"5000\"; install runc 1.3 or later"),
                "{sentence}"
            );
        } else {
            outcome.arrived();
        }
    }
}

#[test]
fn a_mount_that_covers_the_file_is_refused() {
    let bench = Bench::with_runtime(OLD);
    std::os::unix::fs::symlink("etc", bench.path("rootfs/link")).unwrap();
    for destination in
        ["/etc/group", "/etc", "/", "etc/group", "//etc//group", "/x/../etc/group", "/link/group", "/link"]
    {
        let sentence = create(&bench, &mounted(destination, "/data")).refused(1);
        assert!(
            sentence.contains(&format!("the mount on \"{destination}\" covers it")),
            "{destination}: {sentence}"
        );
    }
    for destination in ["/etc/hosts", "/etc/groups", "/data", "/etc/group.d"] {
        create(&bench, &mounted(destination, "/data")).arrived();
        bench.delete("c").arrived();
    }
}

#[test]
fn a_file_that_the_engine_made_for_the_container_is_looked_into() {
    let bench = Bench::with_runtime(OLD);
    fs::create_dir_all(bench.path("containers/c")).unwrap();
    let file = bench.path("containers/c/group");
    fs::write(&file, "root:x:0:\nalice:x:1000:\n").unwrap();
    create(&bench, &mounted("/etc/group", file.to_str().unwrap())).arrived();
    bench.delete("c").arrived();
    fs::write(&file, "5000:x:50000:\n").unwrap();
    let sentence = create(&bench, &mounted("/etc/group", file.to_str().unwrap())).refused(1);
    assert!(sentence.contains("a group there is named \"5000\""), "{sentence}");
    // In a folder that isn't named after the container it is anybody's.
    fs::write(bench.path("group"), "root:x:0:\n").unwrap();
    let sentence = create(&bench, &mounted("/etc/group", bench.path("group").to_str().unwrap())).refused(1);
    assert!(sentence.contains("covers it"), "{sentence}");
}

#[test]
fn vulnerable_runtimes_can_be_refused_as_such() {
    let bench = Bench::with_runtime(OLD);
    bench.configure("vulnerable-runtime = \"refuse\"");
    let sentence = create(&bench, DOCUMENT).refused(1);
    assert!(sentence.contains("runc 1.1.5 may look gids up by name"), "{sentence}");
}

#[test]
fn an_exec_looks_at_the_container_s_present_file() {
    let bench = Bench::with_runtime(OLD);
    // The init process is this one, whose root is the machine's: no group of it is named by a number.
    fs::write(bench.path("bin/init"), std::process::id().to_string()).unwrap();
    create(&bench, DOCUMENT).arrived();
    let trap = fs::read_to_string("/etc/group")
        .is_ok_and(|text| text.lines().any(|l| l.starts_with(|c: char| c.is_ascii_digit())));
    assert!(!trap, "the machine's own /etc/group names a group by a number");
    // It began before the record, though, and so is another container's.
    bench.exec("c", PROCESS).arrived();
    // An init process that is gone can't be looked at.
    fs::remove_file(bench.path("bin/init")).unwrap();
    bench.delete("c").arrived();
    create(&bench, DOCUMENT).arrived();
    let sentence = bench.exec("c", PROCESS).refused(255);
    assert!(sentence.contains("its init process can't be found"), "{sentence}");
}

#[test]
fn the_runtime_is_asked_for_its_version_once() {
    if is_root() && !private() {
        return skip("the answer that is kept", "other tests share the machine's /run/runc-strict");
    }
    let bench = Bench::new();
    for id in ["a", "b", "c"] {
        bench.create(&bench.bundle(id, DOCUMENT)).arrived();
        bench.exec(id, PROCESS).arrived();
    }
    assert_eq!(times_asked(&bench), 1);
}

/// How often the runtime was asked for its version.
fn times_asked(bench: &Bench) -> usize {
    let calls = fs::read_dir(bench.path("bin/calls")).unwrap();
    let asked = calls.map(|e| fs::read_to_string(e.unwrap().path()).unwrap()).filter(|text| {
        let call: crate::call::Call = serde_json::from_str(text).unwrap();
        call.words() == ["--version"]
    });
    asked.count()
}

#[test]
fn an_answer_that_has_no_room_in_a_link_is_asked_for_each_time() {
    if is_root() && !private() {
        return skip("the answer that is kept", "other tests share the machine's /run/runc-strict");
    }
    let bench = Bench::with_runtime(&format!("runc version 1.3.1 {}\n", "x".repeat(5000)));
    for id in ["a", "b"] {
        bench.create(&bench.bundle(id, DOCUMENT)).arrived();
    }
    assert_eq!(times_asked(&bench), 2);
}

#[test]
fn a_runtime_that_was_replaced_is_asked_again() {
    if is_root() && !private() {
        return skip("the answer that is kept", "other tests share the machine's /run/runc-strict");
    }
    let bench = Bench::with_runtime(OLD);
    fs::write(bench.path("rootfs/etc/group"), "5000:x:50000:\n").unwrap();
    create(&bench, DOCUMENT).refused(1);
    let newer = Bench::with_runtime("runc version 1.3.1\n");
    fs::write(bench.path("bin/version"), "runc version 1.3.1\n").unwrap();
    create(&bench, DOCUMENT).refused(1);
    fs::rename(newer.runtime(), bench.runtime()).unwrap();
    create(&bench, DOCUMENT).arrived();
}
