//! What a run prints: a line for each case, each suite's table, and the tally that closes the run. Colour only on a
//! terminal, and never when NO_COLOR is set.

use std::io::{IsTerminal, Write, stdout};
use std::path::Path;

use anyhow::{Context, Result};

use crate::case::{Case, Outcome, Suite};

/// Collects the outcomes of a run.
pub(crate) struct Report {
    colour: bool,
    passed: usize,
    failed: usize,
    skipped: usize,
    rows: Vec<Vec<String>>,
    tables: String,
}

impl Report {
    pub(crate) fn new() -> Self {
        let colour =
            stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colour, passed: 0, failed: 0, skipped: 0, rows: Vec::new(), tables: String::new() }
    }

    /// Prints the line of one case and keeps its row.
    pub(crate) fn case(&mut self, suite: &Suite, case: &Case, outcome: Outcome) {
        let (mark, colour, cells, count) = match outcome {
            Outcome::Passed(cells) => ("ok", "32", cells, &mut self.passed),
            Outcome::Failed(why) => ("FAIL", "31", vec![format!("FAIL: {why}")], &mut self.failed),
            Outcome::Skipped(why) => ("skip", "33", vec![format!("skip: {why}")], &mut self.skipped),
        };
        *count += 1;
        let mark = if self.colour { format!("\x1b[{colour}m{mark:4}\x1b[0m") } else { format!("{mark:4}") };
        say(&format!("{mark} {} · {}: {}", suite.name, case.name(), printable(&cells.join(" | "))));
        self.rows.push(case.cells.iter().cloned().chain(cells).collect());
    }

    /// Prints the table of the suite that just ended.
    pub(crate) fn table(&mut self, suite: &Suite) {
        let line = |cells: &mut dyn Iterator<Item = String>| {
            format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
        };
        let mut text = line(&mut suite.headings.iter().map(|cell| (*cell).to_owned()));
        text.push_str(&line(&mut suite.headings.iter().map(|_| "---".to_owned())));
        for row in std::mem::take(&mut self.rows) {
            text.push_str(&line(&mut row.iter().map(|cell| printable(cell).replace('|', "\\|"))));
        }
        let text = format!("\n{}\n\n{text}", suite.name);
        say(&text);
        self.tables.push_str(&text);
    }

    /// Prints the tally; `true` says that nothing failed.
    pub(crate) fn close(&self, table: Option<&Path>) -> Result<bool> {
        if let Some(path) = table {
            std::fs::write(path, &self.tables).with_context(|| format!("write {}", path.display()))?;
        }
        say(&format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped));
        Ok(self.failed == 0)
    }
}

/// One line on stdout. A reader that went away is no reason to stop before everything is cleaned up.
pub(crate) fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// One line on stderr.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "cri-suites: {line}");
}

/// Control characters as escapes: what an engine printed fits into one safe line.
pub(crate) fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        match character {
            '\n' => line.push_str(" / "),
            plain if plain.is_control() => line.extend(plain.escape_default()),
            plain => line.push(plain),
        }
    }
    line
}
