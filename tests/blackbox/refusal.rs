//! A refusal's road to the user: one line on stderr, one JSON line in `--log`, nothing on stdout, the exit code
//! that the engine expects, and the word that was at fault quoted.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Bench, DOCUMENT, PROCESS};

/// What is refused by its command line alone: the words, the exit code, and what the sentence holds.
const LINES: &[(&[&str], i32, &str)] = &[
    (&["create", "--config", "/evil.json", "c"], 1, "unknown flag \"--config\""),
    (&["create", "--config=/evil.json", "c"], 1, "unknown flag \"--config=/evil.json\""),
    (&["run", "-f", "/evil.json", "c"], 1, "unknown flag \"-f\""),
    (&["run", "-f=/evil.json", "c"], 1, "unknown flag \"-f=/evil.json\""),
    (&["create", "--bund", "/evil", "c"], 1, "unknown flag \"--bund\""),
    (&["create", "-b/evil", "c"], 1, "unknown flag \"-b/evil\""),
    (&["create", "-b", "/a", "--bundle", "/b", "c"], 1, "flag \"--bundle\" is given twice"),
    (&["create", "--bundle=/a", "c", "-b=/a"], 1, "flag \"--bundle\" is given twice"),
    (&["create", "--bundle"], 1, "flag \"--bundle\" needs a value"),
    (&["create", "--no-pivot=perhaps", "c"], 1, "flag \"--no-pivot\" takes true or false, not \"perhaps\""),
    (&["create", "--detach", "c"], 1, "unknown flag \"--detach\""),
    (&["create"], 1, "the container's id is missing"),
    (&["create", ""], 1, "the container's id is empty"),
    (&["create", "c", "d"], 1, "\"d\" follows it"),
    (&["create", "--", "c"], 1, "unknown flag \"--\""),
    (&["create", ".."], 1, "\"..\" is no container id"),
    (&["create", "../c"], 1, "\"../c\" is no container id"),
    (&["run", "-dt", "c"], 1, "unknown flag \"-dt\""),
    (
        &["--root", "/a", "--root", "/b", "create", "c"],
        1,
        "flag \"--root\" is given twice with different values",
    ),
    (&["--root", "", "create", "c"], 1, "flag \"--root\" is empty"),
    (&["--root=", "exec", "c", "id"], 255, "flag \"--root\" is empty"),
    (&["--unknown", "create", "c"], 1, "unknown flag \"--unknown\" before the command"),
    (&["--unknown", "--root", "x", "exec", "c"], 255, "unknown flag \"--unknown\" before the command"),
    (&["--systemd-cgroup=perhaps", "run", "c"], 1, "flag \"--systemd-cgroup\" takes true or false"),
    (&["exec", "-u", "0", "c", "id"], 255, "flag \"--user\" would change the identity"),
    (&["exec", "--user=0:0", "c", "id"], 255, "flag \"--user\" would change the identity"),
    (&["exec", "-g", "0", "c", "id"], 255, "flag \"--additional-gids\" would change the identity"),
    (&["exec", "-c", "CAP_SETGID", "c", "id"], 255, "flag \"--cap\" would change the identity"),
    (
        &["exec", "--process=", "-g", "0", "c", "id"],
        255,
        "flag \"--additional-gids\" would change the identity",
    ),
    (&["exec", "--proc", "/p", "c"], 255, "unknown flag \"--proc\""),
    (&["exec", "-p/p", "c"], 255, "unknown flag \"-p/p\""),
    (&["exec", "-p", "/p", "--process", "/q", "c"], 255, "flag \"--process\" is given twice"),
    (
        &["exec", "--preserve-fds", "many", "c", "id"],
        255,
        "flag \"--preserve-fds\" needs a number, not \"many\"",
    ),
    (&["exec"], 255, "the container's id is missing"),
    (&["exec", "c"], 255, "the command is missing"),
    (
        &["restore", "--image-path", "/i", "c"],
        1,
        "restore takes the process's groups from the checkpoint image",
    ),
    (&["restore", "--config", "/evil.json", "c"], 1, "unknown flag \"--config\""),
];

#[test]
fn what_can_t_be_read_for_certain_is_refused_by_name() {
    let bench = Bench::new();
    for (line, code, holds) in LINES {
        let sentence = bench.run(*line).go().refused(*code);
        assert!(sentence.contains(holds), "{line:?}: {sentence}");
        let command = ["create", "run", "exec", "restore"].into_iter().find(|c| line.contains(c)).unwrap();
        assert!(sentence.starts_with(command), "{line:?}: {sentence}");
    }
}

#[test]
fn a_refusal_is_one_json_line_in_the_log_and_one_line_on_stderr() {
    let bench = Bench::new();
    for (line, code, holds) in LINES {
        let log = bench.path("log.json");
        let globals = ["--log", log.to_str().unwrap(), "--log-format", "json"];
        let sentence = bench.run([&globals[..], line].concat()).go().refused(*code);
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{line:?}: {text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["level", "msg", "time"]);
        assert_eq!(value["level"], "error");
        assert_eq!(value["msg"], sentence.as_str());
        assert!(value["msg"].as_str().unwrap().contains(holds));
        assert_time(value["time"].as_str().unwrap());
        fs::remove_file(log).unwrap();
    }
}

/// RFC 3339 in UTC, as Go's decoder takes it.
fn assert_time(text: &str) {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000000Z", "{text}");
}

#[test]
fn a_hostile_word_can_forge_no_second_line() {
    let bench = Bench::new();
    let log = bench.path("log.json");
    let globals = ["--log", log.to_str().unwrap(), "--log-format=json", "create"].map(OsStr::new);
    let evil = OsStr::from_bytes(b"--x\n{\"level\":\"error\",\"msg\":\"forged\"}\n\x1b[2J\xff");
    let sentence = bench.run([&globals[..], &[evil, OsStr::new("c")]].concat()).go().refused(1);
    assert!(sentence.contains(r"\u{a}") && sentence.contains(r"\u{1b}[2J\xff"), "{sentence}");
    assert_eq!(fs::read_to_string(&log).unwrap().matches('\n').count(), 1);
}

#[test]
fn the_log_is_appended_to_and_its_other_lines_stay() {
    let bench = Bench::new();
    let log = bench.path("log.json");
    fs::write(&log, "{\"level\":\"warning\",\"msg\":\"older\",\"time\":\"2026-11-22T21:58:15Z\"}\n").unwrap();
    bench
        .run(["--log", log.to_str().unwrap(), "--log-format", "json", "create", "--config=x", "c"])
        .go()
        .refused(1);
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.matches('\n').count(), 2);
    assert!(text.starts_with("{\"level\":\"warning\",\"msg\":\"older\""));
}

#[test]
fn without_a_json_format_the_log_gets_a_text_line() {
    let bench = Bench::new();
    let log = bench.path("log.txt");
    bench.run(["--log", log.to_str().unwrap(), "create", "--config=x", "c"]).go().refused(1);
    let text = fs::read_to_string(&log).unwrap();
    assert!(
        text.starts_with("time=\"") && text.contains("\" level=error msg=\"create refused: unknown flag"),
        "{text}"
    );
}

#[test]
fn a_log_that_is_no_file_is_left_alone() {
    let bench = Bench::new();
    for log in ["journald:crun", "syslog:crun", ""] {
        bench.run(["--log", log, "--log-format=json", "create", "--config=x", "c"]).go().refused(1);
        assert!(!bench.path(log).is_file(), "{log:?}");
    }
    // A log that can't be written takes nothing from stderr.
    bench.run(["--log", "/no/such/folder/log", "create", "--config=x", "c"]).go().refused(1);
}

#[test]
fn a_container_that_starts_leaves_the_log_alone() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let (root, log) = (bench.root(), bench.text("log.json"));
    let globals = ["--root", &root, "--log", &log, "--log-format", "json"];
    bench.run([&globals[..], &["create", "--bundle", bundle.text(), "c"]].concat()).go().arrived();
    let process = bench.path("p.json");
    fs::write(&process, PROCESS).unwrap();
    bench.run([&globals[..], &["exec", "--process", process.to_str().unwrap(), "c"]].concat()).go().arrived();
    bench.run([&globals[..], &["delete", "c"]].concat()).go().arrived();
    assert!(!bench.path("log.json").exists());
}

#[test]
fn a_closed_stderr_or_stdout_gets_nobody_else_s_file() {
    let bench = Bench::new();
    let log = bench.text("log.json");
    for closed in [&[1][..], &[2], &[0, 1, 2]] {
        let bundle = bench.bundle("c", "not JSON");
        let line = [
            "--log",
            &log,
            "--log-format",
            "json",
            "--root",
            &bench.root(),
            "create",
            "-b",
            bundle.text(),
            "c",
        ];
        let outcome = closed.iter().fold(bench.run(line), |run, n| run.close(*n)).go();
        assert_eq!(outcome.code, 1);
        assert_eq!(bundle.document(), "not JSON");
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn restore_passes_in_canonical_form_where_the_configuration_allows_it() {
    let bench = Bench::new();
    bench.configure("restore = \"allow\"");
    let (root, cwd) = (bench.root(), bench.path("."));
    let line = [
        "--root",
        &root,
        "restore",
        "--image-path",
        "/i",
        "--detach",
        "-no-subreaper",
        "--bundle",
        "/b",
        "c",
    ];
    let canonical = [
        "--root",
        &root,
        "restore",
        "--bundle",
        "/b",
        "--image-path",
        "/i",
        "--detach",
        "--no-subreaper",
        "c",
    ];
    assert_eq!(bench.run(line).go().words(), canonical);
    let canonical = ["restore", "--bundle", cwd.to_str().unwrap().trim_end_matches("/."), "c"];
    assert_eq!(bench.run(["restore", "c"]).go().words(), canonical);
}
