//! What doesn't start a process is never failed, printed at or slowed down: not by a broken configuration, not by a
//! runtime that has moved. What does start one is stopped by the same.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Bench, DOCUMENT, Run, is_root, mkfifo, private, skip};

const LINES: &[&[&str]] = &[
    &["state", "c"],
    &["kill", "--all", "c", "9"],
    &["delete", "--force", "c"],
    &["start", "c"],
    &["ps", "c"],
    &["features"],
    &["update", "--resources", "-", "c"],
];

fn assert_passes(bench: &Bench, why: &str) {
    for line in LINES {
        let arrived = bench.run(*line).go().words();
        assert_eq!(arrived, line.iter().map(OsString::from).collect::<Vec<_>>(), "{why}");
    }
}

/// Configurations that say which runtime to take, and are broken otherwise; with what create says of them.
const BROKEN: &[(&str, &str)] = &[
    ("unknown = 1\n", "line 2: unknown field \"unknown\""),
    ("level = \"closed\"\n", "line 2: unknown variant \"closed\""),
    ("residual = 1\n", "line 2: invalid type"),
    ("= nonsense [[\n", "line 2: "),
    ("[audit]\nfile = \"x\"\n", "line 3: unknown field \"file\""),
    ("[[namespace]]\nallow = [\"x\"]\n", "\"x\" is no gid and no range of gids"),
    ("annotation = \"trusted\"\n", "annotation = \"trusted\" needs engine"),
    ("runtime = \"/other\"\n", "line 2: duplicate key"),
    ("[containerd]\ntimeout-ms = -1\n", "line 3: "),
];

#[test]
fn a_broken_configuration_stops_create_and_nothing_else() {
    if is_root() && !private() {
        return skip("broken configurations", "a refused create would write to the machine's audit log");
    }
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    for (broken, holds) in BROKEN {
        bench.configure_whole(&format!("runtime = \"{}\"\n{broken}", bench.text("bin/runc")));
        assert_passes(&bench, broken);
        let sentence = bench.create(&bundle).refused(1);
        assert!(sentence.contains("config.toml\": ") && sentence.contains(holds), "{broken}: {sentence}");
        assert_eq!(bundle.document(), DOCUMENT);
    }
}

/// Who has been a runtime before takes the longer way through the C start-up; the shorter one has to come out the same.
#[test]
fn both_ways_to_the_runtime_pass_the_same_on() {
    let bench = Bench::new();
    let runtime = bench.text("bin/runc");
    let lines: [&[&str]; 9] = [
        &["state", "c"],
        &[
            "--root",
            "/r",
            "--log=/dev/null",
            "-log-format",
            "json",
            "--systemd-cgroup",
            "kill",
            "--all",
            "c",
            "9",
        ],
        &["-s", "--debug", "-r", "kill", "start", "c"],
        &["--root", "kill"],
        &["--root=create", "ps", "create"],
        &["--unknown", "kill", "c"],
        &["--debug=true", "pause", "c"],
        &["kil", "c"],
        &["list", "", "-", "--", "\u{e9}"],
    ];
    for configuration in [
        format!("runtime = \"{runtime}\"\n"),
        format!("# x\r\n\truntime='{runtime}' # y\n[audit]\n"),
        format!("level = \"sealed\"\nruntime = \"{runtime}\" # \u{e9}"),
        format!("{}runtime = \"{runtime}\"\n", "# a long one\n".repeat(1000)),
    ] {
        bench.configure_whole(&configuration);
        for line in lines {
            // What the runtime then thinks of the words is its own affair.
            let call = |run: Run<'_>| run.go().call.unwrap();
            let short = call(bench.run(line));
            let long = call(bench.run(line).env("RUNC_STRICT_DEPTH", "0"));
            assert_eq!((&short.argv, &short.env), (&long.argv, &long.env), "{line:?}");
            let many = (0..600).fold(bench.run(line), |run, n| run.env(format!("MANY_{n}"), "1"));
            assert_eq!(call(many).argv, short.argv, "{line:?}");
        }
    }
}

#[test]
fn a_configuration_that_others_could_write_stops_create_and_nothing_else() {
    if is_root() && !private() {
        return skip(
            "a configuration of mode 0666",
            "a refused create would write to the machine's audit log",
        );
    }
    let bench = Bench::new();
    for mode in [0o666, 0o620, 0o602] {
        fs::set_permissions(bench.config(), fs::Permissions::from_mode(mode)).unwrap();
        assert_passes(&bench, "mode");
        let sentence = bench.create(&bench.bundle("c", DOCUMENT)).refused(1);
        assert!(
            sentence.contains(&format!("has mode {mode:04o}, others than its owner can write")),
            "{sentence}"
        );
    }
}

#[test]
fn what_a_copy_of_ours_remembers_of_us_keeps_no_command_away() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    bench.create(&bundle).arrived();
    // a slip: the runtime is ourselves. Another copy of ours asks us, and by what was found last we answer
    let us = crate::support::program();
    bench.configure_whole(&format!("runtime = {us:?}\n[audit]\npath = {:?}\n", bench.audit()));
    let copy = bench.text("copy");
    // Another process writes it: what another test starts in the meantime would have it open for writing, and it couldn't be
    // executed (ETXTBSY).
    assert!(std::process::Command::new("cp").arg(&us).arg(&copy).status().unwrap().success());
    let told = bench.program(&copy, ["version"]).go();
    assert!(told.out.contains("runc 1.3.0"), "{told:?}");
    for line in [["kill", "c", "TERM"].as_slice(), &["update", "c"], &["delete", "c"]] {
        let outcome = bench.run(line).go();
        assert_eq!(outcome.code, 0, "{line:?}: {}", outcome.err);
        assert!(outcome.call.is_some(), "{line:?}");
    }
    let refused = bench.create(&bench.bundle("d", DOCUMENT)).refused(1);
    assert!(refused.contains("is runc-strict itself; set runtime to runc or crun"), "{refused}");
}

#[test]
fn a_runtime_that_has_moved_is_found_by_what_was_found_last() {
    if is_root() && !private() {
        return skip(
            "the link to the runtime",
            "the one in the machine's /run/runc-strict is not to be changed",
        );
    }
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    bench.create(&bundle).arrived();
    for gone in ["/no/such/runc", "no-such-runtime", "relative/runc", ""] {
        bench.configure_whole(&format!("runtime = \"{gone}\"\n"));
        assert_passes(&bench, gone);
        // What starts a process takes the configuration at its word.
        assert!(!bench.create(&bundle).refused(1).is_empty(), "{gone}");
    }
    // Where that is gone too, the first reason is the one to tell.
    fs::remove_file(bench.runtime()).unwrap();
    bench.configure_whole("runtime = \"/no/such/runc\"\n");
    for command in [&["kill", "c", "9"][..], &["delete", "c"], &["update", "--resources", "-", "c"]] {
        let log = bench.path("engine.log");
        let globals = ["--log", log.to_str().unwrap(), "--log-format", "json"];
        let sentence = bench.run(globals.iter().chain(command)).go().refused(1);
        assert!(sentence.contains("can't find the real runtime \"/no/such/runc\""), "{sentence}");
        // Where the engine looks for the reason.
        let line: serde_json::Value = serde_json::from_slice(&fs::read(&log).unwrap()).unwrap();
        assert_eq!((&line["level"], &line["msg"]), (&"error".into(), &sentence.into()));
        fs::remove_file(log).unwrap();
    }
}

#[test]
fn a_configuration_that_can_t_be_read_is_neither_waited_for_nor_a_reason_to_stop() {
    if is_root() && !private() {
        return skip(
            "configurations that can't be read",
            "a refused create would write to the machine's audit log",
        );
    }
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    bench.create(&bundle).arrived();
    for obstacle in ["fifo", "folder", "gone"] {
        fs::remove_file(bench.config()).ok();
        match obstacle {
            "fifo" => mkfifo(&bench.config()),
            "folder" => fs::create_dir(bench.config()).unwrap(),
            _ => fs::remove_dir(bench.config()).unwrap(),
        }
        let sentence = bench.create(&bundle).refused(1);
        assert!(sentence.contains("config.toml"), "{obstacle}: {sentence}");
        // The runtime that was found last has the containers, and not one with the default's name on this machine.
        assert_passes(&bench, obstacle);
    }
}

#[test]
fn a_folder_of_volatile_state_that_can_t_be_used_stops_no_kill() {
    let bench = Bench::new();
    if is_root() && !private() {
        return skip("a state folder that is a file", "the machine's /run/runc-strict is not to be changed");
    }
    fs::write(bench.path("run/runc-strict"), "a file").unwrap();
    assert_passes(&bench, "state");
}
