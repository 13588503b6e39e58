//! A runtime that starts nothing: it writes down how it was called, and keeps a state folder as runc and crun do.
//!
//! It is run under the name of a runtime in a folder of its own, found by argv[0], because the environment and the
//! working directory are among the things that it records:
//!
//! - `version`: what it answers to `--version`; one that begins with `crun` makes it keep its state as crun does;
//! - `exit`, `stdout`: the exit code and the output of any other call, if these files exist;
//! - `init`: the pid that it claims for a container's init process; else that of a child which has ended;
//! - `hold-ID`: a FIFO; a call for the container ID goes on when somebody has written to it and closed it;
//! - `calls/PID.json`: what it writes down.
//!
//! `main` is C's: Rust's start-up would ignore SIGPIPE and open closed standard descriptors before they are seen.
#![no_main]

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString, c_char, c_int};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

mod call;

use call::{Call, Descriptor};

// SAFETY: the one symbol called `main`, with the signature that the C start-up expects.
#[allow(unsafe_code, reason = "an exported symbol, not an unsafe operation")]
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    let descriptors = descriptors();
    let argv: Vec<OsString> = std::env::args_os().collect();
    let home =
        argv.first().and_then(|p| Path::new(p).parent()).unwrap_or_else(|| Path::new("/")).to_path_buf();
    write_down(&home, &argv, descriptors);
    if argv.iter().skip(1).any(|w| w == "--version") {
        print(&fs::read(home.join("version")).unwrap_or_default());
        return 0;
    }
    if let Some(id) = argv.last().and_then(|w| w.to_str()) {
        let _ = fs::read(home.join(format!("hold-{id}")));
    }
    print(&fs::read(home.join("stdout")).unwrap_or_default());
    let code = fs::read_to_string(home.join("exit")).ok().and_then(|text| text.trim().parse().ok());
    code.unwrap_or_else(|| act(&home, &argv))
}

/// Makes a container's state folder, or removes it.
fn act(home: &Path, argv: &[OsString]) -> c_int {
    let has = |word: &str| argv.iter().any(|w| w == word);
    let Some(folder) = state_folder(argv) else { return 0 };
    if has("delete") {
        let gone = fs::remove_dir_all(&folder).is_err();
        return c_int::from(gone && !has("--force"));
    }
    if !has("create") && !has("run") {
        return 0;
    }
    // As runc: a container with this id exists.
    if folder.exists() {
        return 1;
    }
    let init = fs::read_to_string(home.join("init")).ok().and_then(|text| text.trim().parse().ok());
    let Some((init, start)) = init.map_or_else(own_init, |pid| Some((pid, start(pid)))) else { return 1 };
    // As runc and crun, which go to the bundle and then ask where they are.
    let bundle = value(argv, "--bundle").map(fs::canonicalize).transpose().ok().flatten().unwrap_or_default();
    let crun = fs::read(home.join("version")).is_ok_and(|text| text.starts_with(b"crun"));
    let made = fs::create_dir_all(&folder).and_then(|()| match crun {
        true => {
            fs::copy(bundle.join("config.json"), folder.join("config.json"))?;
            let state = serde_json::json!({"pid": init, "process-start-time": start, "bundle": bundle});
            fs::write(folder.join("status"), state.to_string())
        }
        false => {
            let state = serde_json::json!({
                "init_process_pid": init,
                "init_process_start": start,
                "config": {"labels": ["first=1", format!("bundle={}", bundle.display()), "bundle=/second"]},
            });
            fs::write(folder.join("state.json"), state.to_string())
        }
    });
    c_int::from(made.is_err())
}

/// `<root>/<id>`, for the canonical words that create, run and delete arrive with; none for an id that would lead
/// out of the root.
fn state_folder(argv: &[OsString]) -> Option<PathBuf> {
    let (root, id) = (value(argv, "--root")?, argv.last()?);
    let leads_out = matches!(id.as_bytes(), b"" | b"." | b"..") || id.as_bytes().contains(&b'/');
    (!leads_out).then(|| PathBuf::from(root).join(id))
}

/// The value of a flag in either of its spellings.
fn value<'a>(argv: &'a [OsString], flag: &str) -> Option<&'a OsStr> {
    let glued = format!("{flag}=");
    argv.iter().enumerate().find_map(|(n, word)| {
        if word == flag {
            return argv.get(n + 1).map(OsString::as_os_str);
        }
        word.as_bytes().strip_prefix(glued.as_bytes()).map(OsStr::from_bytes)
    })
}

/// An init as runtimes make one, a child of theirs, which has ended by now: its pid, and when it started.
fn own_init() -> Option<(u32, u64)> {
    let mut init = Command::new("/proc/self/exe");
    let mut init = init.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).spawn().ok()?;
    let started = (init.id(), start(init.id()));
    // whose caller ignores SIGCHLD has nothing to wait for
    let _ = init.wait();
    Some(started)
}

/// Field 22 of /proc/PID/stat (proc(5)).
fn start(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    behind.split_ascii_whitespace().nth(19).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn write_down(home: &Path, argv: &[OsString], descriptors: BTreeMap<i32, Descriptor>) {
    let read = |path: PathBuf| fs::read(path).ok();
    let env = fs::read("/proc/self/environ").unwrap_or_default();
    let env = env.split(|b| *b == 0).filter(|e| !e.is_empty()).map(<[u8]>::to_vec).collect();
    let call = Call {
        argv: argv.iter().map(|w| w.as_bytes().to_vec()).collect(),
        env,
        cwd: std::env::current_dir().unwrap_or_default().into_os_string().into_vec(),
        stdin: descriptors.contains_key(&0).then(stdin),
        descriptors,
        status: status(),
        document: value(argv, "--process").map(PathBuf::from).and_then(read),
        config: value(argv, "--bundle").map(|b| Path::new(b).join("config.json")).and_then(read),
    };
    let path = home.join("calls").join(format!("{}.json", std::process::id()));
    let _ = fs::write(path, serde_json::to_vec(&call).unwrap_or_default());
}

fn stdin() -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut bytes);
    bytes
}

fn status() -> BTreeMap<String, String> {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let wanted = |line: &str| {
        let (key, value) = line.split_once(':')?;
        matches!(key, "SigBlk" | "SigIgn" | "Umask").then(|| (key.to_owned(), value.trim().to_owned()))
    };
    text.lines().filter_map(wanted).collect()
}

/// The descriptors that were open when we started, without the one that looks at them.
fn descriptors() -> BTreeMap<i32, Descriptor> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return BTreeMap::new() };
    let one = |entry: fs::DirEntry| {
        let number: i32 = entry.file_name().to_str()?.parse().ok()?;
        let target = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
        let info: Vec<&str> =
            info.lines().filter(|l| l.starts_with("pos:") || l.starts_with("flags:")).collect();
        let own = target.ends_with(&format!("/{}/fd", std::process::id()));
        (!own).then(|| (number, Descriptor { target, info: info.join(" ") }))
    };
    entries.flatten().filter_map(one).collect()
}

fn print(text: &[u8]) {
    // Nothing flushes behind a `main` that is C's.
    let _ = std::io::stdout().write_all(text).and_then(|()| std::io::stdout().flush());
}
