//! The suites that drive real engines: a private containerd by its CRI, as the kubelet speaks it, podman and docker.
//! Each case first shows with the bare runtime that the hole is open, then with runc-strict that it is closed.
//!
//! Everything an engine keeps lies in one private folder, and goes away with it.

mod bench;
mod case;
mod containerd;
mod cri;
mod docker;
mod faults;
mod groups;
mod image;
mod install;
mod load;
mod options;
mod parity;
mod pod;
mod podman;
mod report;
mod room;
mod see;
mod stream;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::bench::Bench;
use crate::case::Suite;
use crate::options::{Options, Request, USAGE};
use crate::report::{Report, complain, say};
use crate::room::Room;

const SUITES: &[&Suite] = &[
    &groups::SUITE,
    &see::SUITE,
    &faults::SUITE,
    &parity::SUITE,
    &load::SUITE,
    &podman::SUITE,
    &docker::SUITE,
    &install::SUITE,
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let product = std::env::var_os("RUNC_STRICT").filter(|path| !path.is_empty()).map(PathBuf::from);
    match options::parse(&words, product) {
        Ok(Request::List) => {
            SUITES.iter().for_each(|suite| say(&format!("{:10} {}", suite.name, suite.about)));
            ExitCode::SUCCESS
        }
        Ok(Request::Run(options)) => match run(&options) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                room::halt_if_ending();
                room::sweep_room();
                complain(&format!("{error:#}"));
                ExitCode::from(2)
            }
        },
        Err(wrong) => {
            complain(&format!("{wrong}\n{USAGE}"));
            ExitCode::from(2)
        }
    }
}

/// Runs the wanted suites; `Ok(true)` says that no case failed.
fn run(options: &Options) -> Result<bool> {
    let known = |name: &String| name == "all" || SUITES.iter().any(|suite| suite.name == name);
    if let Some(unknown) = options.suites.iter().find(|name| !known(name)) {
        bail!("unknown suite \"{unknown}\": see cri-suites list");
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("engines need root");
    }
    let room = Room::open()?;
    let bench = Bench::open(room.clone(), options)?;
    let mut report = Report::new();
    for suite in SUITES {
        if !options.suites.iter().any(|name| name == "all" || name == suite.name) {
            continue;
        }
        for case in (suite.cases)(&bench) {
            if options.only.as_deref().is_none_or(|text| case.name().contains(text)) {
                let outcome = (case.run)(&bench);
                room::halt_if_ending();
                report.case(suite, &case, outcome);
            }
        }
        report.table(suite);
    }
    let clean = bench.close();
    room.sweep();
    Ok(report.close(options.table.as_deref())? && clean)
}
