//! `whoami`: what the processes are, beside what the record says.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use crate::golden::assert_golden;
use crate::room::{Room, identities};

/// The record's identity: what create gives for uid and gid 1000 with 60000 beside the image's groups.
const AS_RECORDED: &[&str] =
    &["--reuid=1000", "--regid=1000", "--groups=1000,60000", "--bounding-set=-all,+chown,+setgid"];

const ASKED: &[u32] = &[1000, 3000, 50000, 60000];

#[test]
fn who_is_as_recorded_is_shown_with_names_and_exit_code_0() {
    if !identities("as recorded") {
        return;
    }
    let room = Room::new();
    let process = room.container_as("c0ffee", ASKED, AS_RECORDED);
    let seen = room.run(["whoami", "c0ffee"]);
    assert_golden("see/whoami.txt", &room.steady(&seen.out, &process));
    assert_eq!((seen.code, seen.err.as_str()), (0, ""));
    let seen = room.run(["whoami", "--json", "c0ffee"]);
    assert_golden("see/whoami.json", &room.steady(&seen.out, &process));
    assert_eq!(seen.code, 0);
}

#[test]
fn a_process_that_gave_itself_groups_is_drift_and_exit_code_1() {
    if !identities("drift") {
        return;
    }
    let room = Room::new();
    let identity = ["--ruid=1000", "--euid=0", "--regid=1000", "--groups=1000,3000,50000"];
    let process = room.container_as("c0ffee", ASKED, &[&identity[..], &AS_RECORDED[3..]].concat());
    let seen = room.run(["whoami", "c0ffee"]);
    assert_golden("see/drift.txt", &room.steady(&seen.out, &process));
    assert_eq!((seen.code, seen.err.as_str()), (1, ""));
    let seen = room.run(["whoami", "--json", "--all"]);
    let document: serde_json::Value = serde_json::from_str(&seen.out).unwrap();
    assert_eq!(seen.code, 1);
    assert_eq!(document["drift"], true);
    let drift = document["containers"][0]["processes"][0]["drift"].as_array().unwrap();
    assert!(drift.contains(&serde_json::json!({"kind": "group-added", "gid": 50000})), "{drift:?}");
}

#[test]
fn more_groups_than_nfs_carries_are_told() {
    if !identities("NFS") {
        return;
    }
    let room = Room::new();
    let groups: Vec<u32> = [1000].into_iter().chain(60001..=60016).collect();
    let list = groups.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let list = format!("--groups={list}");
    let flags = [&AS_RECORDED[..2], &[list.as_str()], &AS_RECORDED[3..]].concat();
    let _process = room.container_as("c0ffee", &groups, &flags);
    let seen = room.run(["whoami", "c0ffee"]);
    assert_eq!(seen.code, 0, "{}", seen.out);
    assert!(seen.out.contains("note: 17 supplementary groups: NFS with AUTH_SYS carries 16"), "{}", seen.out);
}

#[test]
fn an_etc_group_that_is_a_trap_costs_the_names_alone() {
    if !identities("traps in the image") {
        return;
    }
    let room = Room::new();
    let process = room.container_as("c0ffee", ASKED, AS_RECORDED);
    let whoami = |trap: &str| {
        // Over the container's own etc/group, in its own mounts.
        let pid = process.pid().to_string();
        let mount = ["--target", &pid, "--mount", "mount", "--bind", &room.text(trap), "/etc/group"];
        assert!(Command::new("nsenter").args(mount).status().unwrap().success());
        let seen = room.run(["whoami", "c0ffee"]);
        assert!(
            seen.out.contains(" 1000 60000\n") && seen.out.contains(" 1000(app) "),
            "{trap}: {}",
            seen.out
        );
        assert_eq!(seen.code, 0);
    };
    // A line of ten megabytes is more than is read.
    fs::write(room.path("huge"), [vec![b'x'; 10_000_000], b":x:1000:\n".to_vec()].concat()).unwrap();
    whoami("huge");
    assert!(Command::new("mkfifo").arg(room.path("fifo")).status().unwrap().success());
    whoami("fifo");
}

#[test]
fn an_id_may_be_shortened_as_long_as_it_is_one_container_s() {
    let room = Room::new();
    let _first = room.container("aa11", &[1000]);
    let _second = room.container("aa22", &[1000]);
    let _third = room.container("b", &[1000]);
    let _fourth = room.container("bb", &[1000]);
    for (word, id) in [("aa1", "aa11"), ("aa22", "aa22"), ("b", "b"), ("bb", "bb")] {
        let seen = room.run(["whoami", word]);
        assert!(seen.out.starts_with(&format!("container {id} in ")), "{word}: {seen:?}");
    }
    let seen = room.run(["whoami", "aa"]);
    let sentence = "\"aa\" is the beginning of 2 ids: \"aa11\", \"aa22\"; write more of it";
    assert_eq!((seen.code, seen.err), (2, format!("runc-strict: {sentence}\n")));
    for word in ["nobody", "", "aa111", "\x1b[31m"] {
        let seen = room.run(["whoami", word]);
        assert_eq!((seen.code, seen.out.as_str()), (2, ""), "{word:?}");
        assert!(!seen.err.contains('\x1b') && seen.err.lines().count() == 1, "{}", seen.err);
    }
    assert!(room.run(["whoami", "nobody"]).err.contains("name the runtime's root by --root DIR"));
}

#[test]
fn a_pod_a_process_and_everything_can_be_asked_for() {
    let room = Room::new();
    let first = room.container("one", &[1000]);
    let _second = room.container("two", &[1000]);
    let shown = |words: &[&str]| {
        let seen = room.run(["whoami", "--json"].iter().chain(words));
        let document: serde_json::Value = serde_json::from_str(&seen.out).unwrap_or_default();
        let ids = document["containers"].as_array().cloned().unwrap_or_default();
        ids.iter().map(|c| c["container"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shown(&["--all"]), ["one", "two"]);
    assert_eq!(shown(&["--pod", "uid-two"]), ["two"]);
    assert_eq!(shown(&["--pod", "user-1/pod-one"]), ["one"]);
    assert_eq!(shown(&["--pid", &first.pid().to_string()]), ["one"]);
    for words in [["--pod", "uid-three"], ["--pod", "user-2/pod-one"], ["--pid", "1"]] {
        assert_eq!(room.run(["whoami"].iter().chain(&words)).code, 2, "{words:?}");
    }
    assert_eq!(room.run(["whoami"]).code, 2);
}

#[test]
fn a_container_without_a_record_is_shown_where_its_root_is_named() {
    let room = Room::new();
    let process = room.container("recorded", &[1000]);
    room.state("foreign", process.pid());
    assert_eq!(room.run(["whoami", "foreign"]).code, 2);
    let seen = room.run(["whoami", "--root", "root", "foreign"]);
    assert_eq!(seen.code, 0, "{seen:?}");
    assert!(seen.out.contains("record    none: there is no record of it"), "{}", seen.out);
    let seen = room.run(["whoami", "--root", "nowhere", "--all"]);
    assert_eq!((seen.code, seen.out.as_str()), (2, ""));
    // Another root is another place, also for the same id.
    fs::create_dir(room.path("other")).unwrap();
    symlink(room.path("root/recorded"), room.path("other/recorded")).unwrap();
    assert!(room.run(["whoami", "--root", "other", "recorded"]).out.contains("record    none"));
}

#[test]
fn a_container_that_has_ended_isn_t_mistaken_for_another_process() {
    let room = Room::new();
    let process = room.container("c0ffee", &[1000]);
    assert_ne!(room.run(["whoami", "c0ffee"]).code, 2);
    process.end();
    let seen = room.run(["whoami", "c0ffee"]);
    assert_eq!((seen.code, seen.err.as_str()), (2, "runc-strict: container \"c0ffee\" doesn't run\n"));
    assert_eq!(room.run(["whoami", "--all"]).out, "no container runs that there is a record of\n");
}

#[test]
fn an_init_that_is_still_the_runtime_s_is_told_and_is_no_drift() {
    let room = Room::new();
    room.create("c0ffee", &[1000]);
    // A subshell is a copy of its shell that has executed nothing, as an init before it is started.
    let script = "exec 3<&0; (read -r x <&3) & echo $!; wait";
    let mut shell =
        Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut pid = String::new();
    BufReader::new(shell.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    room.state("c0ffee", pid.trim().parse().unwrap());
    let text = room.run(["whoami", "c0ffee"]);
    let json = room.run(["whoami", "--json", "c0ffee"]);
    drop(shell.stdin.take());
    shell.wait().unwrap();
    assert_eq!(text.code, 0, "{text:?}");
    assert!(text.out.contains("created and not started") && !text.out.contains("drift"), "{}", text.out);
    let document: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(document["containers"][0]["started"], false);
    assert_eq!(document["containers"][0]["processes"], serde_json::json!([]));
}
