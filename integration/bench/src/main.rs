//! `bench PRODUCT [PART...] [--turns N] [--pods N] [--lines N] [--write FILE]`: what runc-strict costs, in paired runs.
//!
//! These machines are noisy, so a time says little by itself. Each row runs its programs in turn, A B C A B C ...,
//! and what is compared is the difference within a turn. The exit code is 1 when an aim was missed.

mod containerd;
mod documents;
mod machine;
mod options;
mod podman;
mod real;
mod report;
mod resize;
mod room;
mod see;
mod spawn;
mod spread;
mod way;

use std::process::ExitCode;

use anyhow::{Context, Result};

use runc_strict_integration::room::Room as Swept;

use options::{Options, Part, USAGE};
use report::Report;
use room::Room;

/// What opens the page, before the machine.
const OPENING: &str = "\
# Performance
`make bench` wrote this page; `bench PRODUCT PART` prints a part alone. What it says holds for this machine, these versions
and that day, and for nothing else: on another machine the times are others, and the ratios may be.

How it is measured: each row runs its programs in turn, A B C A B C ..., one process after another, after a few turns that
fill caches and aren't counted. A machine that is slow for a while is then slow for each of them, so what one program takes
more than another is the difference within a turn. Given are the median and in brackets the quartiles, between which half of
the turns lie; where those of two programs overlap, their difference is no more than noise. Processor, kernel and
hypervisor decide much: below a hypervisor each `cpuid` instruction, of which glibc's start-up executes dozens, is an exit to
it. runc-strict is the program that `make build` makes, one static file. Bundles, /run and with it the records lie in memory,
as they do on a node.
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let options = match options::parse(&words) {
        Ok(options) => options,
        Err(why) => {
            complain(&format!("{why}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match measure(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            complain(&format!("bench: {why:#}"));
            ExitCode::from(2)
        }
    }
}

fn measure(options: &Options) -> Result<bool> {
    let room = Room::new(&options.product)?;
    if nix::unistd::geteuid().is_root() {
        // Before there is a thread that would keep the other one.
        room.own_run("run").context("make a mount namespace")?;
    }
    // Containers need root; whatever is made then is taken away by the sweep, also on SIGINT.
    let swept = if nix::unistd::geteuid().is_root() { Some(Swept::open()?) } else { None };
    if let Some(swept) = &swept {
        let folders = room.folders();
        swept.on_sweep(move |_| folders.iter().for_each(|folder| drop(std::fs::remove_dir_all(folder))));
    }
    let result = parts(options, &room, swept.as_deref());
    if let Some(swept) = swept {
        swept.sweep();
    }
    result
}

fn parts(options: &Options, room: &Room, swept: Option<&Swept>) -> Result<bool> {
    let mut report = Report::default();
    report.heading("Machine");
    report.text(&machine::list(&room.product));
    for part in &options.parts {
        match part {
            Part::Way => way::measure(room, options.turns.unwrap_or(400), &mut report)?,
            Part::Runtimes => real::measure(room, swept, options.turns.unwrap_or(100), &mut report)?,
            Part::Containerd => containerd::measure(room, options.turns.unwrap_or(400), &mut report)?,
            Part::See => see::measure(room, options.turns.unwrap_or(200), options.lines, &mut report)?,
            Part::Resize => {
                resize::measure(room, swept, options.pods, options.turns.unwrap_or(5), &mut report)?;
            }
            Part::Podman => podman::measure(room, swept, options.turns.unwrap_or(5), &mut report)?,
        }
    }
    say(&report.aims());
    if let Some(path) = &options.write {
        std::fs::write(path, report.page(OPENING)).with_context(|| format!("can't write {path}"))?;
    }
    Ok(report.reached())
}

/// Prints a line; nobody is left to tell when stdout is closed.
fn say(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn complain(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
