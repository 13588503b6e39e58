//! The suites that need root and real runtimes. Each runs real containers under runc and crun, first without
//! runc-strict, which must show that a hole is open, then with it, which must show that it is closed.
//!
//! Everything happens in one private folder with its own runtime roots, and is taken away at the end. `suites`
//! and its attack program `probe` are static and lie side by side, so both can be carried into a virtual machine.

// Documents of JSON are read and altered by their keys. Reading what isn't there gives null, and what is written to
// was made here.
#![allow(clippy::indexing_slicing)]

mod bad_input;
mod bundle;
mod call;
mod case;
mod cgroup;
mod doors;
mod lab;
mod levels;
mod load;
mod native;
mod options;
mod report;
mod room;
mod runtime;
mod sys;
mod trial;
mod updater;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::case::Suite;
use crate::lab::Lab;
use crate::options::{Options, Request, USAGE};
use crate::report::{Report, complain, say};

const SUITES: &[&Suite] =
    &[&doors::SUITE, &levels::SUITE, &native::SUITE, &load::SUITE, &bad_input::SUITE, &updater::SUITE];

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
    let wanted = choose(&options.suites)?;
    if !nix::unistd::geteuid().is_root() {
        bail!("containers with foreign groups need root");
    }
    let lab = Lab::open(options);
    let lab = lab.inspect_err(|_| room::sweep_room())?;
    for runtime in &lab.runtimes {
        say(&format!("note: {} is {}", runtime.title(), runtime.path.display()));
    }
    let mut report = Report::new();
    for suite in wanted {
        for case in (suite.cases)(&lab) {
            if options.only.as_deref().is_none_or(|text| case.name().contains(text)) {
                let outcome = (case.run)(&lab);
                report.case(suite, &case, outcome);
            }
        }
        report.table(suite);
    }
    lab.room.sweep();
    if let Some(path) = &options.table {
        let text = format!("{}\n", report.tables());
        std::fs::write(path, text).with_context(|| format!("write the tables to {}", path.display()))?;
    }
    Ok(report.close())
}

/// The suites by name, each once, in the order of [`SUITES`].
fn choose(names: &[String]) -> Result<Vec<&'static Suite>> {
    let known = |name: &String| name == "all" || SUITES.iter().any(|suite| suite.name == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        bail!("unknown suite \"{unknown}\": see suites list");
    }
    let wanted = |suite: &&Suite| names.iter().any(|name| name == "all" || name == suite.name);
    Ok(SUITES.iter().copied().filter(|suite| wanted(suite)).collect())
}
