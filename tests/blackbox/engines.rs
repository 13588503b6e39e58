//! Whole conversations with real engines, and the lines of engines of which there is no capture: what each of them
//! says arrives as it should. The captures are in tests/data/engines.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Bench, DOCUMENT, PROCESS, program};

/// The image's etc/group of the captured pod.
const IMAGE: &str = "root:x:0:\nuser:x:1000:\nstaff:x:3000:user\nsecret:x:50000:user\n";

/// What is put before the absolute paths of a capture.
fn rehome(host: &str, text: &str) -> String {
    let mut text = text.to_owned();
    for top in ["run", "tmp", "var"] {
        for before in ["", "=", "\""] {
            let (from, to) = (format!("{before}/{top}/"), format!("{before}{host}/{top}/"));
            match before {
                "" if text.starts_with(&from) => text.insert_str(0, host),
                "" => {}
                _ => text = text.replace(&from, &to),
            }
        }
    }
    text
}

/// One captured call.
struct Captured {
    number: String,
    folder: PathBuf,
    words: Vec<String>,
}

impl Captured {
    fn all(engine: &str, host: &str) -> Vec<Captured> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/engines").join(engine);
        let mut names: Vec<String> =
            fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let numbers = names.iter().filter_map(|n| n.strip_suffix(".argv.json"));
        let one = |number: &str| {
            let text = fs::read_to_string(folder.join(format!("{number}.argv.json"))).unwrap();
            let mut words: Vec<String> = serde_json::from_str(&text).unwrap();
            // podman names no root, and the default one is the machine's.
            if !words.iter().any(|w| w.starts_with("--root")) {
                words.splice(0..0, ["--root".to_owned(), "/run/runc".to_owned()]);
            }
            let words = words.iter().map(|w| rehome(host, w)).collect();
            Captured { number: number.to_owned(), folder: folder.clone(), words }
        };
        numbers.map(one).collect()
    }

    fn file(&self, kind: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(format!("{}.{kind}.json", self.number))).ok()
    }

    fn after(&self, flag: &str) -> Option<&str> {
        let at = self.words.iter().position(|w| w == flag)?;
        Some(&self.words[at + 1])
    }

    fn says(&self, command: &str) -> bool {
        self.words.iter().any(|w| w == command)
    }

    /// The words as the runtime gets them: `--root=R` becomes two words, and what says where the document is comes
    /// first.
    fn canonical(&self, document: Option<&str>) -> Vec<OsString> {
        let mut words: Vec<String> = Vec::new();
        for word in &self.words {
            match word.split_once('=') {
                Some((flag, value)) => words.extend([flag.to_owned(), value.to_owned()]),
                None => words.push(word.clone()),
            }
        }
        if let Some(document) = document {
            let at = words.iter().position(|w| w == "--process").unwrap();
            words.drain(at..at + 2);
            let exec = words.iter().position(|w| w == "exec").unwrap();
            words.splice(exec + 1..exec + 1, ["--process".to_owned(), document.to_owned()]);
        }
        words.into_iter().map(OsString::from).collect()
    }
}

/// The one value that is changed, or the one member that is added.
fn with_groups(text: &str, groups: &str) -> String {
    let Some(key) = text.find("\"additionalGids\"") else {
        return text.replacen("\"user\":{", &format!("\"user\":{{\"additionalGids\":{groups},"), 1);
    };
    let from = key + text[key..].find('[').unwrap();
    let to = from + text[from..].find(']').unwrap() + 1;
    format!("{}{groups}{}", &text[..from], &text[to..])
}

fn replay(engine: &str, configuration: &str) {
    let bench = Bench::new();
    bench.configure(configuration);
    let host = bench.text("host");
    for top in ["run", "tmp", "var"] {
        fs::create_dir_all(Path::new(&host).join(top)).unwrap();
    }
    let mut seen = Vec::new();
    for call in Captured::all(engine, &host) {
        let name = format!("{engine}/{}", call.number);
        if let Some(bundle) = call.after("--bundle").map(PathBuf::from) {
            let before = rehome(&host, &call.file("config").unwrap());
            fs::create_dir_all(bundle.join("rootfs/etc")).unwrap();
            fs::write(bundle.join("config.json"), &before).unwrap();
            let document: serde_json::Value = serde_json::from_str(&before).unwrap();
            let root = bundle.join(document["root"]["path"].as_str().unwrap()).join("etc");
            fs::create_dir_all(&root).unwrap();
            fs::write(root.join("group"), IMAGE).unwrap();

            let arrived = bench.run(&call.words).cwd(&bundle).go().arrived();
            assert_eq!(arrived.words(), call.canonical(None), "{name}");
            let sandbox = before.contains("\"additionalGids\":[1000]");
            let after = if sandbox { before } else { with_groups(&before, "[1000,60000]") };
            assert_eq!(String::from_utf8(arrived.config.unwrap()).unwrap(), after, "{name}");
            seen.push("create");
        } else if let Some(process) = call.after("--process").map(PathBuf::from) {
            let before = call.file("process").unwrap();
            fs::create_dir_all(process.parent().unwrap()).unwrap();
            fs::write(&process, &before).unwrap();
            let arrived = bench.run(&call.words).go().arrived();
            let words = arrived.words();
            let at = words.iter().position(|w| w == "--process").unwrap();
            let place = words[at + 1].to_str().unwrap();
            assert!(place.starts_with("/proc/self/fd/"), "{name}: {place}");
            assert_eq!(words, call.canonical(Some(place)), "{name}");
            let after = with_groups(
                &before,
                if before.contains("\"uid\":0") { "[0,1000,60000]" } else { "[1000,60000]" },
            );
            assert_eq!(String::from_utf8(arrived.document.unwrap()).unwrap(), after, "{name}");
            assert_eq!(fs::read_to_string(&process).unwrap(), before, "{name}");
            seen.push("exec");
        } else {
            let stdin = call.file("resources");
            let run = bench.run(&call.words);
            let run = if let Some(text) = &stdin { run.stdin(text) } else { run };
            let arrived = run.go().arrived();
            let exactly: Vec<OsString> = call.words.iter().map(OsString::from).collect();
            assert_eq!(arrived.words(), exactly, "{name}");
            assert_eq!(arrived.stdin.unwrap(), stdin.unwrap_or_default().into_bytes(), "{name}");
            seen.push(if call.says("delete") { "delete" } else { "other" });
        }
    }
    for command in ["create", "exec", "delete", "other"] {
        assert!(seen.contains(&command), "{engine}: no {command} among the captures");
    }
    // Nothing is left of a conversation that came to its end.
    let containers = bench.state().join("containers");
    let mut roots = fs::read_dir(&containers).unwrap().map(|e| e.unwrap().path());
    let ours = roots.find(|r| r.to_str().unwrap().contains(&host.replace('/', "%2F"))).unwrap();
    let records = fs::read_dir(&ours).unwrap().map(|e| e.unwrap().file_name());
    let left: Vec<OsString> = records.filter(|n| n != ".swept").collect();
    fs::remove_dir_all(&ours).unwrap();
    assert!(left.is_empty(), "{engine}: {left:?}");
}

#[test]
fn containerd_1_6_is_answered_as_runc_would() {
    replay("containerd-1.6", "");
}

#[test]
fn containerd_2_3_is_answered_as_runc_would() {
    replay("containerd-2.3", "");
}

#[test]
fn cri_o_1_36_is_answered_as_runc_would() {
    replay("cri-o-1.36", "engine = \"cri-o\"\n[[namespace]]\nmatch = [\"elsewhere\"]\nallow = [\"7\"]");
}

#[test]
fn podman_4_3_is_answered_as_runc_would() {
    replay("podman-4.3", "engine = \"podman\"");
}

/// Lines of which there is no capture, and how they arrive; B stands for the bundle, R for the root, P for exec's
/// document. A line without a second one arrives as it is.
const LINES: &[(&str, Option<&str>)] = &[
    // containerd with a terminal, with the options of its runtime, and with Go's checkpoint package
    (
        "--root R --debug --log L --log-format json --systemd-cgroup create --bundle B --pid-file B/init.pid --console-socket /t/pty.sock c",
        None,
    ),
    (
        "--root R --log L --log-format json create --bundle B --pid-file B/init.pid --pidfd-socket /t/pidfd.sock c",
        None,
    ),
    (
        "--root R --log L --log-format json create --bundle B --pid-file B/init.pid --no-pivot --no-new-keyring --preserve-fds 0 c",
        None,
    ),
    ("--root R --log L --log-format json run --bundle B --pid-file B/init.pid --detach c", None),
    (
        "--root R --log L --log-format json exec --process P --console-socket /t/pty.sock --detach --pid-file B/e.pid c",
        None,
    ),
    ("--root R --log L --log-format json ps --format json c", None),
    ("--root R --log L --log-format json pause c", None),
    ("--root R --log L --log-format json events --stats c", None),
    (
        "--root R --log L --log-format json checkpoint --image-path B/i --work-path B/w --leave-running c",
        None,
    ),
    ("features", None),
    // podman through conmon; `--log` only for a runtime that is named in runtime_supports_json
    (
        "--log-format=json --log=B/oci-log --systemd-cgroup create --bundle B --pid-file B/pidfile --console-socket B/attach c",
        Some(
            "--log-format json --log B/oci-log --systemd-cgroup create --bundle B --pid-file B/pidfile --console-socket B/attach c",
        ),
    ),
    ("--log-format=json --log B/oci-log start c", None),
    (
        "--systemd-cgroup exec --preserve-fds 2 --pid-file B/exec_pid --process P --detach c",
        Some("--systemd-cgroup exec --process P --preserve-fds 2 --pid-file B/exec_pid --detach c"),
    ),
    ("kill c 15", None),
    ("delete --force c", None),
    // crun's own globals
    (
        "--cgroup-manager=systemd --log-level=error --root=R create -b B c",
        Some("--cgroup-manager systemd --log-level error --root R create --bundle B c"),
    ),
    // conmon-rs says its globals twice
    (
        "--root=R --systemd-cgroup --root=R --systemd-cgroup create --bundle B --pid-file B/pidfile c",
        Some("--root R --systemd-cgroup create --bundle B --pid-file B/pidfile c"),
    ),
    ("--root=R --systemd-cgroup --root=R --systemd-cgroup kill c 9", None),
    // youki's short forms
    ("-r R -l L create -b B c", Some("--root R --log L create --bundle B c")),
];

#[test]
fn lines_of_engines_without_a_capture_arrive_as_they_should() {
    let bench = Bench::new();
    let process = bench.path("process.json");
    fs::write(&process, PROCESS.replace("[1000, 3000, 4000, 5000]", "[1000,5000]")).unwrap();
    for (line, expected) in LINES {
        let bundle = bench.bundle("c", DOCUMENT);
        // exec is of a container that was created before
        let exec = line.contains(" exec ");
        let fill = |line: &str| -> Vec<OsString> {
            let word = |w: &str| match w {
                "R" => bench.root(),
                "P" => process.to_str().unwrap().to_owned(),
                "L" => bench.text("log.json"),
                w => match w.split_once('=') {
                    Some((flag, "R")) => format!("{flag}={}", bench.root()),
                    Some((flag, "L")) => format!("{flag}={}", bench.text("log.json")),
                    _ if w == "B" || w.starts_with("B/") || w.contains("=B/") => {
                        w.replacen('B', bundle.text(), 1)
                    }
                    _ => w.to_owned(),
                },
            };
            line.split(' ').map(word).map(OsString::from).collect()
        };
        // The default root is the machine's; here it is the folder that the environment names, or no container.
        let mut words = fill(line);
        let mut expected = fill(expected.unwrap_or(line));
        if !line.contains("R") && (exec || line.contains(" create ")) {
            let root = ["--root".into(), OsString::from(bench.root())];
            words.splice(0..0, root.clone());
            expected.splice(0..0, root);
        }
        if exec {
            bench.create(&bundle).arrived();
        }
        assert_eq!(bench.run(&words).go().words(), expected, "{line}");
        let _ = fs::remove_dir_all(bench.path("root/c"));
        let _ = fs::remove_file(bench.record("c"));
    }
}

#[test]
fn docker_s_script_around_the_binary_changes_nothing() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    let script = bench.path("runc-strict");
    fs::write(&script, format!("#!/bin/sh\nexec {} --debug \"$@\"\n", program().display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let root = bench.root();
    let line = ["--root", &root, "--log-format", "json", "create", "--bundle", bundle.text(), "c"];
    let mut expected: Vec<OsString> = line.iter().map(OsString::from).collect();
    expected.insert(0, "--debug".into());
    // The shell is told the script, so that no file that was just written has to be executed.
    assert_eq!(
        bench.program("/bin/sh", [&[script.to_str().unwrap()][..], &line].concat()).go().words(),
        expected
    );
    assert_eq!(bundle.groups(), [1000, 5000]);
}

#[test]
fn an_environment_that_holds_next_to_nothing_is_enough() {
    let bench = Bench::new();
    let bundle = bench.bundle("c", DOCUMENT);
    bench.create(&bundle).arrived();
    let root = bench.root();
    let process = bench.path("process.json");
    fs::write(&process, PROCESS).unwrap();
    let line = ["--root", &root, "exec", "--process", process.to_str().unwrap(), "c"];
    let call = bench.run(line).go().arrived();
    assert_eq!(call.exec_groups(), [1000, 5000]);
    let keys: Vec<String> =
        call.env.iter().map(|e| String::from_utf8_lossy(e).split('=').next().unwrap().to_owned()).collect();
    assert_eq!(keys, ["RUNC_STRICT_CONFIG", "XDG_RUNTIME_DIR", "RUNC_STRICT_DEPTH"]);
}
