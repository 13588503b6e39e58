//! What a process inherits reaches the runtime as if nothing stood between: the same call is made twice, once of
//! the fake runtime itself and once of the program, and the two must see the same.

use std::fs::File;

use crate::call::Call;
use crate::support::{Bench, Bundle, DOCUMENT, PROCESS, Run};

/// What both saw, with the words and the one variable that may differ taken out.
fn compared(mut call: Call) -> Call {
    call.argv.clear();
    call.config = None;
    call.document = None;
    let depth = |entry: &Vec<u8>| entry.starts_with(b"RUNC_STRICT_DEPTH=");
    call.env.retain(|entry| !depth(entry));
    // The files that stdout and stderr go to are another pair for each run.
    for (number, descriptor) in &mut call.descriptors {
        if matches!(number, 1 | 2) {
            let end = descriptor.target.rfind('-').unwrap_or(descriptor.target.len());
            descriptor.target.truncate(end);
        }
    }
    call
}

/// Makes each of our four kinds of call, and the same of the runtime itself.
fn assert_inherited(with: impl Fn(Run<'_>) -> Run<'_>) {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let process = bench.path("process.json");
    // A document that stays as it is: a changed one is handed over in a descriptor more.
    std::fs::write(&process, PROCESS.replace("[1000, 3000, 4000, 5000]", "[1000,5000]")).unwrap();
    let root = bench.root();
    let create = ["create", "--bundle", bundle.text(), "c"];
    let exec = ["exec", "--process", process.to_str().unwrap(), "c"];
    let lines: [&[&str]; 5] =
        [&["state", "c"], &create, &exec, &["update", "--resources", "-", "c"], &["delete", "c"]];
    for line in lines {
        let line = [&["--root", &root][..], line].concat();
        let direct = with(bench.direct(&line)).go();
        if line[2] == "create" {
            std::fs::remove_dir_all(bench.path("root/c")).unwrap();
        }
        let through = with(bench.run(&line)).go();
        let (direct, Some(through)) = (direct.call.unwrap(), through.call) else {
            panic!("{line:?} didn't arrive: {}", through.err);
        };
        assert_eq!(direct.argv, through.argv);
        assert!(through.env.contains(&b"RUNC_STRICT_DEPTH=1".to_vec()), "{line:?}");
        assert_eq!(compared(direct), compared(through), "{line:?}");
    }
}

fn file(bundle: &Bundle) -> File {
    File::open(bundle.config()).unwrap()
}

#[test]
fn the_environment_arrives_whole_and_in_its_order() {
    assert_inherited(|run| run.env("Z", "1").env("A", "").env("LISTEN_FDS", "0").env("NOTIFY_SOCKET", "/n"));
    assert_inherited(|run| run.env("HOME", "/").env("PATH", "").env("RUNC_STRICT", "7"));
}

#[test]
fn a_variable_of_any_length_arrives_whole() {
    // The program that starts by itself brings its own memcpy, which goes different ways by length.
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789-";
    let value =
        |length: usize| (0..length).map(|n| char::from(letters[(length + n * n) % 37])).collect::<String>();
    assert_inherited(|run| (0..600).fold(run, |run, length| run.env(format!("V{length}"), value(length))));
}

#[test]
fn what_is_no_text_in_the_environment_arrives_too() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    assert_inherited(|run| run.env(OsStr::from_bytes(b"\xff"), OsStr::from_bytes(b"a\x80=\n\x01")));
}

#[test]
fn stdin_arrives_unread() {
    assert_inherited(|run| run.stdin("{\"memory\": {\"limit\": 1}}"));
}

#[test]
fn blocked_and_ignored_signals_arrive() {
    let signals = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM, libc::SIGCHLD, libc::SIGRTMAX()];
    assert_inherited(|run| signals.iter().fold(run, |run, s| run.block(*s)));
    assert_inherited(|run| signals.iter().fold(run, |run, s| run.ignore(*s)));
}

#[test]
fn sigpipe_is_neither_ignored_nor_restored_on_the_way() {
    assert_inherited(|run| run);
    assert_inherited(|run| run.ignore(libc::SIGPIPE));
    let bench = Bench::new();
    let ignored = |call: Call| u64::from_str_radix(&call.status["SigIgn"], 16).unwrap();
    let bit = 1 << (libc::SIGPIPE - 1);
    assert_eq!(ignored(bench.run(["state", "c"]).go().arrived()) & bit, 0);
    assert_eq!(ignored(bench.run(["state", "c"]).ignore(libc::SIGPIPE).go().arrived()) & bit, bit);
}

#[test]
fn umask_and_working_directory_arrive() {
    assert_inherited(|run| run.umask(0o077).cwd("/"));
    assert_inherited(|run| run.umask(0).cwd("/proc"));
}

#[test]
fn closed_standard_descriptors_arrive_closed() {
    for closed in [&[0][..], &[1], &[2], &[0, 1, 2]] {
        assert_inherited(|run| closed.iter().fold(run, |run, n| run.close(*n)));
    }
}

/// A changed document lies in a memfd that the runtime inherits. Under a number below 3 it would be what the process
/// in the container reads from or writes to.
#[test]
fn the_document_of_an_exec_never_becomes_a_standard_descriptor() {
    for closed in [&[0][..], &[1], &[2], &[0, 1, 2]] {
        let bench = Bench::new();
        let (root, process) = (bench.root(), bench.path("process.json"));
        std::fs::write(&process, PROCESS).unwrap();
        let bundle = bench.bundle("c", DOCUMENT);
        bench.run(["--root", &root, "create", "--bundle", bundle.text(), "c"]).go().arrived();
        let exec = bench.run(["--root", &root, "exec", "--process", process.to_str().unwrap(), "c"]);
        let call = closed.iter().fold(exec, |run, n| run.close(*n)).go().call.unwrap();
        let document = String::from_utf8(call.document.clone().unwrap()).unwrap();
        assert!(document.contains("[1000,5000]"), "the document wasn't changed: {document}");
        for number in closed {
            assert!(!call.descriptors.contains_key(number), "{closed:?}: {:?}", call.descriptors);
        }
    }
}

/// While we work, nothing of ours may be stdout or stderr, where somebody's message would be written into it. A runtime
/// that is asked for its version looks at whoever asks.
#[test]
fn closed_standard_descriptors_are_taken_until_the_runtime_starts() {
    let bench = Bench::new();
    let (script, seen) = (bench.path("script"), bench.path("seen"));
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && readlink /proc/$PPID/fd/0 /proc/$PPID/fd/1 /proc/$PPID/fd/2 >{}\n\
         echo runc version 1.3.0; exit 0\n",
        seen.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::remove_file(bench.runtime()).unwrap();
    // By another process, since a file that this one has open for writing can't be executed.
    let install = std::process::Command::new("install").arg(script).arg(bench.runtime()).status();
    assert!(install.unwrap().success());
    let bundle = bench.bundle("c", DOCUMENT);
    let create = bench.run(["--root", &bench.root(), "create", "--bundle", bundle.text(), "c"]);
    let outcome = create.close(0).close(1).close(2).go();
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let seen = std::fs::read_to_string(seen).unwrap();
    assert_eq!(seen, "/dev/null\n/dev/null\n/dev/null\n");
}

#[test]
fn further_descriptors_arrive_under_their_numbers() {
    let bench = Bench::new();
    let bundle = bench.bundle("other", DOCUMENT);
    assert_inherited(|run| run.give(3, file(&bundle)).give(4, file(&bundle)).give(50, file(&bundle)));
}

#[test]
fn a_umask_neither_widens_nor_narrows_what_is_written() {
    use std::os::unix::fs::PermissionsExt;
    for mask in [0, 0o077] {
        let bench = Bench::new();
        let bundle = bench.bundle("c", DOCUMENT);
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let before = mode(bundle.config());
        let root = bench.root();
        bench.run(["--root", &root, "create", "-b", bundle.text(), "c"]).umask(mask).go().arrived();
        assert_eq!(bundle.groups(), [1000, 5000]);
        assert_eq!(mode(bundle.config()), before);
        assert_eq!((mode(bench.record("c")), mode(bench.records())), (0o600, 0o700));
        assert_eq!(mode(bench.audit()), 0o640 & !mask);
    }
}
