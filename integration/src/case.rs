//! What a suite is: a list of cases, each of which runs on its own and ends in one outcome. A skip carries its
//! reason, a failure its message; a pass carries what belongs into the suite's table.

/// A named list of cases, which run on a bench `B`.
pub struct Suite<B> {
    /// What is typed to run it.
    pub name: &'static str,
    /// One line for the program's `list`.
    pub about: &'static str,
    /// The table's headings: first those of [`Case::cells`], then those of [`Outcome::Passed`].
    pub headings: &'static [&'static str],
    /// Makes the cases for the runtimes of this run.
    pub cases: fn(&B) -> Vec<Case<B>>,
}

/// One thing to show.
pub struct Case<B> {
    /// What is under trial: the left cells of its row in the table.
    pub cells: Vec<String>,
    /// Runs it.
    pub run: Box<dyn Fn(&B) -> Outcome>,
}

/// How a case ended.
pub enum Outcome {
    /// It holds; these are the right cells of its row in the table.
    Passed(Vec<String>),
    /// It doesn't hold, and why.
    Failed(String),
    /// It could not be tried here, and why.
    Skipped(String),
    /// There is nothing to try, on any machine, and why.
    Impossible(String),
}

impl<B> Case<B> {
    /// A case; what goes wrong in it is a failure, told with its whole chain.
    pub fn new<R: Into<Outcome>>(
        cells: impl IntoIterator<Item = impl ToString>,
        run: impl Fn(&B) -> R + 'static,
    ) -> Self {
        let cells = cells.into_iter().map(|cell| cell.to_string()).collect();
        Self { cells, run: Box::new(move |bench| run(bench).into()) }
    }

    /// The case's name in one line.
    pub fn name(&self) -> String {
        self.cells.join(" · ")
    }
}

impl From<anyhow::Result<Outcome>> for Outcome {
    /// What went wrong on the bench itself is a failure too, told with its whole chain.
    fn from(result: anyhow::Result<Outcome>) -> Self {
        result.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")))
    }
}
