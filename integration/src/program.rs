//! What every program of suites does: reads its command line, opens its bench, runs the wanted cases, prints their
//! lines and tables, and takes everything away.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::case::Suite;
use crate::engine::Engine;
use crate::lab::Lab;
use crate::options::{self, Options, Request};
use crate::report::{self, Report, complain, say};
use crate::room;

/// What the cases of a program run on.
pub trait Bench {
    /// The part that every program has.
    fn lab(&self) -> &Lab;

    /// The engine through which the attacks go too, if there is one.
    fn engine(&self) -> Option<&dyn Engine> {
        None
    }

    /// Ends what was started, the polite way; `false` says that something was left, which is then swept.
    fn close(&self) -> bool {
        true
    }
}

/// Runs a program; the exit code is 1 when a case failed, 2 when the run could not begin.
pub fn main<B: Bench>(suites: &[Suite<B>], open: impl Fn(&Options) -> Result<B>) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let product = std::env::var_os("RUNC_STRICT").filter(|path| !path.is_empty()).map(PathBuf::from);
    match options::parse(&words, product) {
        Ok(Request::List) => {
            suites.iter().for_each(|suite| say(&format!("{:10} {}", suite.name, suite.about)));
            ExitCode::SUCCESS
        }
        Ok(Request::Run(options)) => match run(suites, open, &options) {
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
            complain(&format!("{wrong}\n{}", options::usage(&report::program_name())));
            ExitCode::from(2)
        }
    }
}

/// Runs the wanted suites; `Ok(true)` says that no case failed.
fn run<B: Bench>(
    suites: &[Suite<B>],
    open: impl Fn(&Options) -> Result<B>,
    options: &Options,
) -> Result<bool> {
    let known = |name: &String| name == "all" || suites.iter().any(|suite| suite.name == name);
    if let Some(unknown) = options.suites.iter().find(|name| !known(name)) {
        bail!("unknown suite \"{unknown}\": see {} list", report::program_name());
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("containers with foreign groups need root");
    }
    let bench = open(options)?;
    for runtime in &bench.lab().runtimes {
        say(&format!("note: {} is {}", runtime.title(), runtime.path.display()));
    }
    let mut report = Report::new();
    let wanted = |suite: &&Suite<B>| options.suites.iter().any(|name| name == "all" || name == suite.name);
    for suite in suites.iter().filter(wanted) {
        for case in (suite.cases)(&bench) {
            if options.only.as_deref().is_none_or(|text| case.name().contains(text)) {
                let outcome = (case.run)(&bench);
                room::halt_if_ending();
                report.case(suite.name, &case.cells, outcome);
            }
        }
        report.table(suite.name, suite.about, suite.headings);
    }
    let clean = bench.close();
    bench.lab().room.sweep();
    // A name that nothing has would else look like a success.
    let wanted = options.only.as_deref().unwrap_or_default();
    ensure!(!report.is_empty(), "no case has \"{wanted}\" in its name");
    if let Some(path) = &options.table {
        let text = format!("{}\n", report.tables());
        std::fs::write(path, text).with_context(|| format!("write the tables to {}", path.display()))?;
    }
    Ok(report.close() && clean)
}
