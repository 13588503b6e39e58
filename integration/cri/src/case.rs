//! What a suite is: a list of cases, each of which runs on its own and ends in one outcome. A skip carries its
//! reason, a failure its message; a pass carries what belongs into the suite's table.

use crate::bench::Bench;

/// A named list of cases.
pub(crate) struct Suite {
    /// What is typed to run it.
    pub(crate) name: &'static str,
    /// One line for `cri-suites list`.
    pub(crate) about: &'static str,
    /// The table's headings: first the case and the runtime, then what a pass tells.
    pub(crate) headings: &'static [&'static str],
    /// Makes the cases for the runtimes of this run.
    pub(crate) cases: fn(&Bench) -> Vec<Case>,
}

/// One thing to show.
pub(crate) struct Case {
    /// What is under trial: the left cells of its row in the table.
    pub(crate) cells: Vec<String>,
    /// Runs it.
    pub(crate) run: Box<dyn Fn(&Bench) -> Outcome>,
}

/// How a case ended.
pub(crate) enum Outcome {
    /// It holds; these are the right cells of its row in the table.
    Passed(Vec<String>),
    /// It doesn't hold, and why.
    Failed(String),
    /// It could not be tried here, and why.
    Skipped(String),
}

impl Case {
    /// A case; what goes wrong in it is a failure, told with its whole chain.
    pub(crate) fn new(cells: &[&str], run: impl Fn(&Bench) -> anyhow::Result<Outcome> + 'static) -> Self {
        let cells = cells.iter().map(|cell| (*cell).to_owned()).collect();
        let run =
            move |bench: &Bench| run(bench).unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        Self { cells, run: Box::new(run) }
    }

    /// The case's name in one line.
    pub(crate) fn name(&self) -> String {
        self.cells.join(" · ")
    }
}
