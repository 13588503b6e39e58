//! The ways to a group that a program inside a container has. Every report carries `ok` (did the attempt itself
//! succeed), `error` where it did not, and the identity afterwards.

use std::os::unix::process::CommandExt;
use std::process::Command;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::unistd::{Gid, getgid, setgid, setgroups as set_groups, setresgid as set_res_gid};
use serde_json::{Value, json};

use crate::identity;

/// setgroups(2) with the given list: needs CAP_SETGID.
pub(crate) fn setgroups(words: &[String]) -> Value {
    match gids(words) {
        Ok(list) => report(set_groups(&list)),
        Err(error) => failure(&error),
    }
}

/// setresgid(2) to one gid: needs CAP_SETGID unless the gid is already held.
pub(crate) fn setresgid(words: &[String]) -> Value {
    one_gid(words, |gid| report(set_res_gid(gid, gid, gid)))
}

/// setgid(2), which is what newgrp(1) ends in.
pub(crate) fn newgrp(words: &[String]) -> Value {
    one_gid(words, |gid| report(setgid(gid)))
}

/// Becomes a copy of this program that the image made setgid, setuid or gave a file capability. What the copy
/// does is given by the further words, and is `status` without any.
pub(crate) fn copy(path: &str, words: &[String]) -> Value {
    let status = [String::from("status")];
    let words = if words.is_empty() { &status } else { words };
    become_program(Command::new(path).args(words))
}

/// Raises CAP_SETGID into the ambient set, so that a program without any capability of its own keeps it over
/// execve(2), then is that program and calls setgroups(2).
pub(crate) fn ambient(words: &[String]) -> Value {
    let raised = caps::raise(None, CapSet::Inheritable, Capability::CAP_SETGID)
        .and_then(|()| caps::raise(None, CapSet::Ambient, Capability::CAP_SETGID));
    match raised {
        Ok(()) => become_program(Command::new("/proc/self/exe").arg("setgroups").args(words)),
        Err(error) => failure(&error.to_string()),
    }
}

/// A user namespace of our own, in which we are root: setgroups(2) must stay closed there, since the kernel
/// allows an unprivileged gid_map only after `deny` was written to setgroups: user_namespaces(7).
pub(crate) fn user_namespace(words: &[String]) -> Value {
    one_gid(words, |gid| {
        let own = getgid();
        if let Err(errno) = unshare(CloneFlags::CLONE_NEWUSER) {
            return failure(&format!("unshare: {errno}"));
        }
        let other = std::fs::write("/proc/self/gid_map", format!("0 {gid} 1\n"));
        let undenied = other.or_else(|_| std::fs::write("/proc/self/gid_map", format!("0 {own} 1\n")));
        if undenied.is_err() {
            let denied = std::fs::write("/proc/self/setgroups", "deny\n")
                .and_then(|()| std::fs::write("/proc/self/gid_map", format!("0 {own} 1\n")));
            if let Err(error) = denied {
                return failure(&format!("gid_map: {error}"));
            }
        }
        report(set_groups(&[Gid::from_raw(0)]))
    })
}

/// Opens a file for reading. With a file that only a group may read it shows a group that is too much; with one
/// that everybody but a group may read, a group that is missing.
pub(crate) fn read(words: &[String]) -> Value {
    let Some(path) = words.first() else { return failure("no file given") };
    match std::fs::read_to_string(path) {
        Ok(content) => {
            let mut answer = success();
            if let Some(fields) = answer.as_object_mut() {
                fields.insert("content".to_owned(), json!(content.trim_end()));
            }
            answer
        }
        Err(error) => failure(&error.to_string()),
    }
}

/// Opens the socket of an unprivileged ping, which the kernel allows by the process's groups: icmp(7).
pub(crate) fn icmp() -> Value {
    let opened = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp);
    report(opened.map(drop))
}

/// Sleeps until a signal ends the process; the first process of a PID namespace gets only SIGKILL through.
pub(crate) fn pause() -> Value {
    loop {
        nix::unistd::pause();
    }
}

/// Outside the container: calls a runtime as a caller who is in the given groups.
pub(crate) fn with_groups(words: &[String]) -> Value {
    let [list, program, rest @ ..] = words else { return failure("give a list of gids and a program") };
    let list: Vec<String> = list.split(',').map(str::to_owned).collect();
    let set = gids(&list).and_then(|list| set_groups(&list).map_err(|errno| errno.to_string()));
    match set {
        Ok(()) => become_program(Command::new(program).args(rest)),
        Err(error) => failure(&error),
    }
}

/// Returns only when execve(2) failed.
fn become_program(command: &mut Command) -> Value {
    let error = command.exec();
    failure(&format!("exec {}: {error}", command.get_program().to_string_lossy()))
}

fn one_gid(words: &[String], attempt: impl FnOnce(Gid) -> Value) -> Value {
    match gids(words).as_deref() {
        Ok([gid]) => attempt(*gid),
        Ok(_) => failure("give one gid"),
        Err(error) => failure(error),
    }
}

fn gids(words: &[String]) -> Result<Vec<Gid>, String> {
    let parse = |word: &String| word.parse().map(Gid::from_raw).map_err(|_| format!("\"{word}\" is no gid"));
    words.iter().map(parse).collect()
}

fn report(result: Result<(), Errno>) -> Value {
    match result {
        Ok(()) => success(),
        Err(errno) => failure(&errno.to_string()),
    }
}

fn success() -> Value {
    json!({"ok": true, "identity": identity::status()})
}

fn failure(error: &str) -> Value {
    json!({"ok": false, "error": error, "identity": identity::status()})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_word_that_is_no_gid_is_named() {
        assert_eq!(gids(&["12".to_owned(), "x".to_owned()]), Err("\"x\" is no gid".to_owned()));
    }

    #[test]
    fn reading_a_file_that_does_not_exist_is_a_failure() {
        assert_eq!(read(&["/nonexistent/file".to_owned()])["ok"], json!(false));
    }
}
