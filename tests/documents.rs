//! The documents do what they say: each shell block runs, or says what it lacks; messages that are quoted are the
//! program's own; links lead somewhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that fails panics"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use runc_strict::node::config::Config;
use runc_strict::policy::Reason;
use runc_strict::policy::annotation::{GROUPS_KEY, LEVEL_KEY};
use runc_strict::policy::gid::{Gid, NGROUPS_MAX};

/// What a block may lack here; it stands in an HTML comment on the line before: `<!-- needs: root -->`.
const NEEDS: [&str; 5] = ["root", "engine", "cluster", "build", "registry"];

/// The user that blocks run as where the tests run as root: nothing of the machine is theirs to change.
const NOBODY: u32 = 65534;

struct Block {
    line: usize,
    language: String,
    needs: Option<Vec<String>>,
    /// Whether nothing but blank lines is between it and the block before.
    follows: bool,
    body: String,
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `folder` that end in `ending`, but for those of the build and hidden ones.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The fenced blocks of a document.
fn blocks(path: &Path) -> Vec<Block> {
    let text = fs::read_to_string(path).unwrap();
    let mut found = Vec::new();
    let (mut open, mut before, mut follows) = (None::<Block>, String::new(), false);
    for (n, line) in text.lines().enumerate() {
        match (open.as_mut(), line.strip_prefix("```")) {
            (None, Some(language)) => {
                let mark = before.strip_prefix("<!--").and_then(|rest| rest.strip_suffix("-->"));
                let needs = mark.map(|mark| {
                    let words = mark.trim().strip_prefix("needs:");
                    let words = words.unwrap_or_else(|| panic!("{}:{n}: {before}", path.display()));
                    words.split_whitespace().map(str::to_owned).collect()
                });
                let language = language.to_owned();
                open = Some(Block { line: n + 1, language, needs, follows, body: String::new() });
            }
            (Some(_), Some(_)) => {
                found.extend(open.take());
                follows = true;
            }
            (Some(block), None) => block.body.extend([line, "\n"]),
            (None, None) => follows &= line.is_empty(),
        }
        before = line.trim().to_owned();
    }
    assert!(open.is_none(), "{}: a block has no end", path.display());
    found
}

/// A private folder with the program, a configuration, and a real runtime that only tells its version.
fn room() -> tempfile::TempDir {
    let room = tempfile::tempdir().unwrap();
    let at = |name: &str| room.path().join(name);
    fs::create_dir(at("bin")).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_runc-strict"));
    let ours = at("bin/runc-strict");
    fs::hard_link(program, &ours).or_else(|_| fs::copy(program, &ours).map(drop)).unwrap();
    fs::write(at("bin/runc"), "#!/bin/sh\necho 'runc version 1.3.0'\n").unwrap();
    fs::set_permissions(at("bin/runc"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(at("config.toml"), format!("runtime = {:?}\n", at("bin/runc"))).unwrap();
    fs::set_permissions(at("config.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::create_dir(at("run")).unwrap();
    if nix::unistd::geteuid().is_root() {
        for path in [room.path().to_owned(), at("run")] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    room
}

/// Runs a script in `room`, and gives whether it succeeded and what it said.
fn shell(room: &Path, flags: &str, script: &str) -> (bool, String) {
    let mut command = Command::new("sh");
    command.args([flags, "-c", script]).current_dir(room).env_clear().stdin(Stdio::null());
    command.env("PATH", format!("{}:/usr/bin:/bin", room.join("bin").display()));
    command.env("RUNC_STRICT_CONFIG", room.join("config.toml")).env("XDG_RUNTIME_DIR", room.join("run"));
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn every_shell_block_runs_or_says_what_it_lacks_and_every_configuration_is_one() {
    let mut ran = 0;
    let readme = here().join("README.md");
    for path in files(&here().join("docs"), ".md").into_iter().chain([readme]) {
        let room = room();
        let mut said = None;
        for block in blocks(&path) {
            let place = format!("{}:{}", path.display(), block.line);
            match (block.language.as_str(), &block.needs) {
                ("sh", Some(needs)) => {
                    let known = needs.iter().all(|word| NEEDS.contains(&word.as_str()));
                    assert!(known && !needs.is_empty(), "{place}: a mark has some of {NEEDS:?}");
                    let (well, why) = shell(room.path(), "-n", &block.body);
                    assert!(well, "{place}: {why}");
                    said = None;
                }
                ("sh", None) => {
                    let (well, text) = shell(room.path(), "-eu", &format!("umask 022\n{}", block.body));
                    assert!(well, "{place}: {text}");
                    said = Some(text);
                    ran += 1;
                }
                ("text", _) if block.follows && said.is_some() => {
                    let text = said.take().unwrap();
                    let missing = block.body.lines().find(|line| !text.contains(line.trim()));
                    assert_eq!(missing, None, "{place}: what was printed is\n{text}");
                }
                ("toml", None) => {
                    let parsed = Config::parse(&block.body);
                    assert!(parsed.is_ok(), "{place}: {:?}", parsed.err());
                }
                (_, None) => {}
                (language, Some(_)) => panic!("{place}: a mark on a block of {language:?}"),
            }
        }
    }
    assert!(ran >= 5, "only {ran} blocks were run");
}

/// Rust source as its messages read: without comments, escapes and line ends in strings, `{name}` as `…`.
fn messages(source: &str) -> String {
    let mut code = String::new();
    for line in source.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
        match line.strip_suffix('\\') {
            Some(begun) => code.push_str(begun),
            None => code.extend([line, "\n"]),
        }
    }
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "_:.".contains(c));
    let mut parts = code.split('{');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('}').filter(|(name, _)| plain(name)) {
            Some((_, after)) => out.extend(["…", after]),
            None => out.extend(["{", part]),
        }
    }
    out.replace("\\\"", "\"").replace("\"…\"", "…")
}

/// The beginning of what isn't in `source`: a message may be put together from several strings, of nine characters
/// at least.
fn not_in<'m>(mut message: &'m str, source: &str) -> Option<&'m str> {
    while !message.is_empty() {
        let ends: Vec<usize> = message.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
        let known = ends.partition_point(|end| source.contains(&message[..*end]));
        let end = known.checked_sub(1).map_or(0, |last| ends[last]);
        if known < 9 && end < message.len() {
            return Some(message);
        }
        message = &message[end..];
    }
    None
}

#[test]
fn every_message_that_is_quoted_is_the_program_s_own() {
    let path = here().join("docs/troubleshooting.md");
    let source: String =
        files(&here().join("src"), ".rs").iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    // Put together from short pieces, or not by us alone.
    let (namespace, config) = (Some("user-1".to_owned()), "config.toml".to_owned());
    let made = Reason::Unauthorised { gid: 7, namespace, config }.to_string();
    let source = messages(&source) + &made + &Config::parse("unheard-of = 1").unwrap_err();
    let values = [GROUPS_KEY.to_owned(), LEVEL_KEY.to_owned(), Gid::MAX.to_string(), NGROUPS_MAX.to_string()];
    let open = |text: &str| {
        values.iter().fold(text.to_owned(), |text, value| text.replace(value, "…")).replace("\"…\"", "…")
    };
    let source = open(&source);
    let mut count = 0;
    for block in blocks(&path).iter().filter(|block| block.language == "text") {
        let message = open(&block.body);
        for part in message.trim_end().split('…').map(|part| part.trim_matches([' ', ':'])) {
            let missing = not_in(part, &source);
            assert_eq!(missing, None, "{}:{}: {}", path.display(), block.line, block.body);
        }
        count += 1;
    }
    assert!(count >= 15, "only {count} messages");
    assert!(not_in("a sentence that nobody ever wrote", &source).is_some());
}

/// The anchors of a document's headings.
fn anchors(text: &str) -> Vec<String> {
    let headings =
        text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    headings.map(|h| h.to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut count = 0;
    for path in files(here(), ".md") {
        let text = fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains(':') || link.contains(' ') {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            let known = anchor.is_empty()
                || anchors(&fs::read_to_string(&target).unwrap()).contains(&anchor.to_owned());
            assert!(known, "{}: {link}: there is no such heading", path.display());
            count += 1;
        }
    }
    assert!(count >= 20, "only {count} links");
}
