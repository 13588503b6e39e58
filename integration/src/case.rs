//! What a suite is: a list of cases, each of which runs on its own and ends in one outcome. A skip carries its
//! reason, a failure its message; a pass carries what belongs into the suite's table.

use crate::lab::Lab;

/// A named list of cases.
pub(crate) struct Suite {
    /// What is typed to run it.
    pub(crate) name: &'static str,
    /// One line for `suites list`.
    pub(crate) about: &'static str,
    /// The table's headings: first those of [`Case::cells`], then those of [`Outcome::Passed`].
    pub(crate) headings: &'static [&'static str],
    /// Makes the cases for the runtimes of this run.
    pub(crate) cases: fn(&Lab) -> Vec<Case>,
}

/// One thing to show.
pub(crate) struct Case {
    /// What is under trial: the left cells of its row in the table.
    pub(crate) cells: Vec<String>,
    /// Runs it.
    pub(crate) run: Box<dyn Fn(&Lab) -> Outcome>,
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
    pub(crate) fn new(cells: Vec<String>, run: impl Fn(&Lab) -> Outcome + 'static) -> Self {
        Self { cells, run: Box::new(run) }
    }

    /// The case's name in one line.
    pub(crate) fn name(&self) -> String {
        self.cells.join(" · ")
    }
}

impl From<anyhow::Result<Outcome>> for Outcome {
    /// What went wrong on the bench itself is a failure too, told with its whole chain.
    fn from(result: anyhow::Result<Outcome>) -> Self {
        result.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")))
    }
}
