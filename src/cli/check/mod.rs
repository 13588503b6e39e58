//! `runc-strict check`: this node as an administrator wants to see it. Each row says what was found, whether it is
//! well, and what to do if it isn't. Nothing is changed but the answer of the real runtime to `--version`, which is
//! kept for later.
//!
//! Exit codes: 0, also with warnings; 1 where something fails.

mod engines;
mod folders;
mod node;
mod report;
mod unused;

use clap::Args;

use super::colour::Palette;
use super::print;
use crate::node::config::Config;
use crate::node::engine_config::host::Host;

/// How it is shown.
#[derive(Debug, Args)]
#[command(after_help = "Exit code: 0 also with warnings, 1 where something fails.")]
pub(super) struct Arguments {
    /// Look only at what needs this program, handlers and containers: what a package asks before it is removed
    #[arg(long)]
    unused: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    /// It works, and deserves a look.
    Warn,
    /// Containers are refused, or run other than they should.
    Fail,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    /// What was looked at; one of a fixed set of names, part of the JSON's schema.
    check: &'static str,
    state: State,
    /// What was found.
    found: String,
    /// What to do.
    advice: Option<String>,
}

impl Row {
    fn ok(check: &'static str, found: impl Into<String>) -> Row {
        Row { check, state: State::Ok, found: found.into(), advice: None }
    }

    fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Row {
        Row { check, state: State::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    fn fail(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Row {
        Row { check, state: State::Fail, found: found.into(), advice: Some(advice.into()) }
    }
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let rows = if arguments.unused { unused::look() } else { look() };
    let text = match arguments.json {
        true => report::json(&rows),
        false => report::table(&rows, Palette::of_stdout()),
    };
    print(&text);
    u8::from(rows.iter().any(|row| row.state == State::Fail))
}

fn look() -> Vec<Row> {
    let loaded = Config::load();
    let mut rows = vec![node::configuration(&loaded)];
    // What can be looked at without the configuration is; its defaults stand in for it.
    let config = loaded.unwrap_or_default();
    rows.push(node::runtime(&config));
    rows.push(node::program());
    match Host::new(std::path::Path::new("/")) {
        Ok(host) => rows.extend(engines::rows(&host, &config)),
        Err(why) => rows.push(Row::fail("handler", why.to_string(), "see why the root folder can't be read")),
    }
    rows.extend(engines::socket(&config));
    rows.push(node::cgroup());
    rows.push(folders::log(&config));
    rows.push(folders::records());
    rows.push(folders::clock());
    rows.push(node::selinux());
    rows
}
