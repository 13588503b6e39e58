//! The attack program inside the container. Each sub-command tries one way to a group and prints one JSON object
//! on stdout that tells what succeeded. It is static, so it runs in an empty root file system, and it lies under
//! three names: `/probe`, and for images that carry them `/probe-setgid`, `/probe-setuid` and `/probe-filecap`.

mod attempt;
mod identity;

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

/// One sub-command: its name, its arguments as usage shows them, and what it does.
struct Command {
    name: &'static str,
    arguments: &'static str,
    run: fn(&[String]) -> Value,
}

const COMMANDS: &[Command] = &[
    Command { name: "status", arguments: "", run: |_| identity::status() },
    Command { name: "setgroups", arguments: "GID...", run: attempt::setgroups },
    Command { name: "setresgid", arguments: "GID", run: attempt::setresgid },
    Command { name: "newgrp", arguments: "GID", run: attempt::newgrp },
    Command {
        name: "setgid-copy",
        arguments: "[COMMAND...]",
        run: |rest| attempt::copy("/probe-setgid", rest),
    },
    Command {
        name: "setuid-copy",
        arguments: "[COMMAND...]",
        run: |rest| attempt::copy("/probe-setuid", rest),
    },
    Command { name: "filecap", arguments: "[COMMAND...]", run: |rest| attempt::copy("/probe-filecap", rest) },
    Command { name: "ambient", arguments: "GID", run: attempt::ambient },
    Command { name: "userns", arguments: "GID", run: attempt::user_namespace },
    Command { name: "read", arguments: "FILE", run: attempt::read },
    Command { name: "negative", arguments: "FILE", run: attempt::read },
    Command { name: "icmp", arguments: "", run: |_| attempt::icmp() },
    Command { name: "pause", arguments: "", run: |_| attempt::pause() },
    Command { name: "with-groups", arguments: "GID,... PROGRAM ARGUMENT...", run: attempt::with_groups },
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let found = words.split_first().and_then(|(name, rest)| {
        COMMANDS.iter().find(|command| command.name == name).map(|command| (command, rest))
    });
    let Some((command, rest)) = found else {
        let usage: Vec<String> = COMMANDS
            .iter()
            .map(|command| format!("  probe {} {}", command.name, command.arguments))
            .collect();
        let _ = writeln!(std::io::stderr(), "usage:\n{}", usage.join("\n"));
        return ExitCode::from(2);
    };
    let mut report = (command.run)(rest);
    if let Some(fields) = report.as_object_mut() {
        fields.insert("probe".to_owned(), json!(command.name));
    }
    match writeln!(std::io::stdout(), "{report}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
