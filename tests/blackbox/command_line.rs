//! The grammar of the command line: what starts a process arrives in canonical form, what can't be read is refused
//! by name, and everything else arrives byte for byte.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::support::{Bench, DOCUMENT, PROCESS, words};

#[test]
fn the_runtime_is_called_by_its_own_path() {
    let bench = Bench::new();
    for line in [vec!["features"], vec!["create", "--bundle", bench.bundle("c", DOCUMENT).text(), "c"]] {
        let mut line = line;
        let root = bench.root();
        line.splice(0..0, ["--root", &root]);
        assert_eq!(bench.run(line).go().arrived().program(), bench.runtime());
    }
}

#[test]
fn every_spelling_of_the_bundle_arrives_as_one_absolute_bundle() {
    let bench = Bench::new();
    let spellings: &[&[&str]] = &[
        &["create", "--bundle", "B", "c"],
        &["create", "--bundle=B", "c"],
        &["create", "-bundle", "B", "c"],
        &["create", "-bundle=B", "c"],
        &["create", "-b", "B", "c"],
        &["create", "-b=B", "c"],
        &["create", "c", "--bundle", "B"],
        &["create", "c", "-b=B"],
        &["create", "--bundle", "bundles/c", "c"],
        &["run", "-d", "--bundle", "./bundles/c", "c"],
        &["run", "--bundle=B", "c", "--detach"],
    ];
    for spelling in spellings {
        let bundle = bench.bundle("c", DOCUMENT);
        let mut line = vec!["--root".to_owned(), bench.root()];
        line.extend(spelling.iter().map(|w| match *w {
            "B" => bundle.text().to_owned(),
            other => other.replace("=B", &format!("={}", bundle.text())),
        }));
        let arrived = bench.run(&line).go().words();
        let mut canonical = words(["--root", &bench.root(), spelling[0], "--bundle", bundle.text()]);
        canonical.extend((spelling[0] == "run").then(|| OsString::from("--detach")));
        canonical.push("c".into());
        assert_eq!(arrived, canonical, "{spelling:?}");
        assert_eq!(bundle.groups(), [1000, 5000], "{spelling:?}");
        bench.delete("c").arrived();
    }
}

#[test]
fn without_a_bundle_or_with_an_empty_one_it_is_the_working_directory() {
    let bench = Bench::new();
    for spelling in [&["create", "c"][..], &["create", "--bundle", "", "c"], &["create", "-b=", "c"]] {
        let bundle = bench.bundle("c", DOCUMENT);
        let root = bench.root();
        let line = [&["--root", &root][..], spelling].concat();
        let arrived = bench.run(line).cwd(bundle.text()).go().words();
        assert_eq!(arrived, words(["--root", &root, "create", "--bundle", bundle.text(), "c"]));
        assert_eq!(bundle.groups(), [1000, 5000], "{spelling:?}");
        bench.delete("c").arrived();
    }
}

#[test]
fn globals_in_every_spelling_and_repeated_ones_arrive_once() {
    let bench = Bench::new();
    let root = bench.root();
    let log = bench.text("l.json");
    let spellings = [
        vec![format!("--root={root}"), "--systemd-cgroup".into()],
        vec!["-root".into(), root.clone(), "-systemd-cgroup".into()],
        vec![format!("-root={root}"), "--systemd-cgroup=true".into()],
        // conmon-rs says everything twice
        vec![
            format!("--root={root}"),
            "--systemd-cgroup".into(),
            format!("--root={root}"),
            "--systemd-cgroup".into(),
        ],
    ];
    for spelling in spellings {
        let bundle = bench.bundle("c", DOCUMENT);
        let mut line = spelling.clone();
        line.extend(["--debug=false", "--log", &log, "--log-format=json"].map(str::to_owned));
        line.extend(["create", "-b", bundle.text(), "c"].map(str::to_owned));
        let canonical = ["--root", &root, "--systemd-cgroup", "--log", &log, "--log-format", "json"];
        let canonical = [&canonical[..], &["create", "--bundle", bundle.text(), "c"]].concat();
        assert_eq!(bench.run(&line).go().words(), canonical, "{spelling:?}");
        bench.delete("c").arrived();
    }
}

#[test]
fn every_flag_of_create_run_and_exec_arrives_in_its_order() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let root = bench.root();
    let flags = ["--pid-file", "/p", "--console-socket", "/s", "--pidfd-socket", "/f", "--no-pivot"];
    let flags = [&flags[..], &["--no-new-keyring", "--preserve-fds", "0"]].concat();
    let line = [&["--root", &root, "create", "--bundle", bundle.text()][..], &flags, &["c"]].concat();
    assert_eq!(bench.run(&line).go().words(), line);

    let process = bench.text("p.json");
    std::fs::write(&process, PROCESS.replace("[1000, 3000, 4000, 5000]", "[1000,5000]")).unwrap();
    // What describes the process is the document's business: runc doesn't look at such flags beside one.
    let described =
        ["--tty", "--no-new-privs", "--cwd=/", "-e", "A=b", "--apparmor=p", "-u", "0", "-g=0", "-c", "ALL"];
    let flags =
        ["--console-socket", "/s", "--detach", "--pid-file", "/p", "--ignore-paused", "--cgroup", "x"];
    let opening = ["--root", &root, "exec", "--process", &process];
    let canonical = [&opening[..], &flags, &["c"]].concat();
    for line in [canonical.clone(), [&opening[..], &described, &flags, &["c", "ignored"]].concat()] {
        assert_eq!(bench.run(&line).go().words(), canonical);
    }
}

#[test]
fn an_exec_by_words_arrives_as_an_exec_of_a_document() {
    let bench = Bench::new();
    let root = bench.root();
    bench.create(&bench.bundle("c", DOCUMENT)).arrived();
    // The words after the id belong to the process, also those that look like flags.
    let line =
        ["--root", &root, "exec", "-d", "--pid-file=/p", "-e", "A=b", "c", "sh", "-c", "id", "--user", "0"];
    let call = bench.run(line).go().arrived();
    let place = call.words()[4].to_str().unwrap().to_owned();
    assert!(place.starts_with("/proc/self/fd/"), "{place}");
    let canonical = ["--root", &root, "exec", "--process", &place, "--detach", "--pid-file", "/p", "c"];
    assert_eq!(call.words(), words(canonical));
    let document: serde_json::Value = serde_json::from_slice(call.document.as_ref().unwrap()).unwrap();
    assert_eq!(document["args"], serde_json::json!(["sh", "-c", "id", "--user", "0"]));
    assert_eq!(document["env"], serde_json::json!(["PATH=/bin", "A=b"]));
    assert_eq!(document["cwd"], "/");
    assert_eq!(document["terminal"], false);
    assert_eq!(call.exec_groups(), [1000, 5000]);
}

#[test]
fn words_that_are_no_text_arrive_byte_for_byte() {
    let bench = Bench::new();
    let odd = OsStr::from_bytes(b"--odd=\xff\xfe\x01\n");
    let line = [
        OsStr::new("ps"),
        odd,
        OsStr::new(""),
        OsStr::new("-"),
        OsStr::new("--"),
        OsStr::from_bytes(b"\x80"),
    ];
    assert_eq!(bench.run(line).go().words(), line);

    let bundle = bench.bundle("c", DOCUMENT);
    let pid_file = OsStr::from_bytes(b"/run/\xff.pid");
    let root = bench.root();
    let line = ["--root", &root, "create", "--bundle", bundle.text(), "--pid-file"].map(OsStr::new);
    let line = [&line[..], &[pid_file, OsStr::new("c")]].concat();
    assert_eq!(bench.run(&line).go().words(), line);
}

#[test]
fn every_other_command_line_arrives_byte_for_byte() {
    let bench = Bench::new();
    let lines: &[&[&str]] = &[
        &[],
        &["--version"],
        &["-v"],
        &["features"],
        &["list"],
        &["spec"],
        &["state", "c"],
        &["kill", "--all", "c", "9"],
        &["kill", "create", "run"],
        &["--root=/r", "kill", "exec", "TERM"],
        &["pause", "c"],
        &["resume", "c"],
        &["ps", "--format", "json", "c", "-ef"],
        &["events", "--stats", "c"],
        &["checkpoint", "--help"],
        &["checkpoint", "--image-path", "/i", "--work-path", "/w", "--leave-running", "c"],
        // CRI-O's question whether a restore could be labelled
        &["restore", "--lsm-mount-context"],
        &["restore", "--help"],
        &["create", "--help"],
        &["exec", "-h"],
        &["run", "c", "--help"],
        // runc looks at these before the command
        &["--version", "create", "c"],
        &["--help", "run"],
        &["help-me"],
        &["--unknown-global", "x", "state", "c"],
        &["--unknown-global=create", "kill", "c"],
        &["--root"],
        &["-rootless=nonsense", "state", "c"],
        &["--systemd-cgroup=perhaps", "kill", "c"],
        &["--root", "/a", "--root", "/b", "kill", "c"],
        &["state", "--root", "x", "c", "--bundle=y", "-b", "z"],
        &["--debug=false", "--log=/dev/null", "start", "c"],
        &["delete"],
        &["delete", "--force"],
        &["--root", "/r", "explain", "x"],
    ];
    for line in lines {
        let arrived = bench.run(*line).go();
        assert_eq!(
            arrived.call.as_ref().map(|c| c.words()),
            Some(line.iter().map(OsString::from).collect()),
            "{line:?}"
        );
        assert_eq!(arrived.err, "", "{line:?}");
    }
}

#[test]
fn a_version_is_the_runtime_s_own() {
    let bench = Bench::new();
    let told = bench.run(["--version"]).go();
    assert_eq!((told.code, told.out.as_str(), told.err.as_str()), (0, "runc version 1.3.0\n", ""));
}

#[test]
fn exit_code_and_output_are_the_runtime_s_own() {
    let bench = Bench::new();
    std::fs::write(bench.path("bin/exit"), "42").unwrap();
    std::fs::write(bench.path("bin/stdout"), "{\"ociVersion\":\"1.2.0\"}").unwrap();
    let bundle = bench.bundle("c", DOCUMENT);
    for line in [&["features"][..], &["--root", &bench.root(), "run", "-b", bundle.text(), "c"]] {
        let outcome = bench.run(line).go();
        assert_eq!(
            (outcome.code, outcome.out.as_str(), outcome.err.as_str()),
            (42, "{\"ociVersion\":\"1.2.0\"}", "")
        );
    }
}

#[test]
fn deleting_by_force_what_is_gone_is_quiet() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    bench.create(&bundle).arrived();
    let line = ["--root", &bench.root(), "delete", "--force", "c"];
    for _ in 0..2 {
        assert_eq!(bench.run(line).go().words(), line);
    }
}
