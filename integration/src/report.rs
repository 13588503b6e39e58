//! What a run prints: a line for each case, each suite's table, and the tally that closes the run. Colour only on a
//! terminal, and never when NO_COLOR is set.

use std::io::{IsTerminal, Write, stdout};

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
        let (mark, colour, detail) = match &outcome {
            Outcome::Passed(cells) => ("ok", "32", cells.join(" | ")),
            Outcome::Failed(why) => ("FAIL", "31", why.clone()),
            Outcome::Skipped(why) => ("skip", "33", why.clone()),
        };
        let mark = if self.colour { format!("\x1b[{colour}m{mark:4}\x1b[0m") } else { format!("{mark:4}") };
        let detail = if detail.is_empty() { String::new() } else { format!(": {}", printable(&detail)) };
        say(&format!("{mark} {} · {}{detail}", suite.name, case.name()));
        let mut row = case.cells.clone();
        match outcome {
            Outcome::Passed(cells) => {
                self.passed += 1;
                row.extend(cells);
            }
            Outcome::Failed(_) => {
                self.failed += 1;
                row.push("FAIL".to_owned());
            }
            Outcome::Skipped(why) => {
                self.skipped += 1;
                row.push(format!("skip: {why}"));
            }
        }
        self.rows.push(row);
    }

    /// Prints the table of the suite that just ended.
    pub(crate) fn table(&mut self, suite: &Suite) {
        let rows = std::mem::take(&mut self.rows);
        let text = format!("## {}: {}\n\n{}\n", suite.name, suite.about, table(suite.headings, &rows));
        say(&format!("\n{text}"));
        self.tables.push_str(&text);
    }

    /// All tables so far, as Markdown.
    pub(crate) fn tables(&self) -> &str {
        self.tables.trim_end()
    }

    /// Prints the tally; `true` says that nothing failed.
    pub(crate) fn close(&self) -> bool {
        say(&format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped));
        self.failed == 0
    }
}

/// One line on stdout. A reader that went away is no reason to stop before everything is cleaned up.
pub(crate) fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// One line on stderr.
pub(crate) fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "suites: {line}");
}

/// Control characters as escapes, line ends as a visible bar: what a runtime printed fits into one safe line.
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

/// A table of Markdown, its columns as wide as their widest cell.
fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let cell = |row: &[String], column: usize| {
        let text = row.get(column).map(String::as_str).unwrap_or_default();
        printable(text).replace('|', "\\|")
    };
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let widest = rows.iter().map(|row| cell(row, column).chars().count()).max();
            widest.unwrap_or_default().max(heading.chars().count())
        })
        .collect();
    let line = |cells: Vec<String>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}")).collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let mut text = line(headings.iter().map(|heading| (*heading).to_owned()).collect());
    text.push_str(&line(widths.iter().map(|width| "-".repeat(*width)).collect()));
    for row in rows {
        text.push_str(&line((0..headings.len()).map(|column| cell(row, column)).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_row_is_filled_with_empty_cells() {
        let text = table(&["door", "bare"], &[vec!["1".to_owned()]]);
        assert_eq!(text, "| door | bare |\n| ---- | ---- |\n| 1    |      |\n");
    }

    #[test]
    fn a_terminal_escape_is_printed_as_text() {
        assert_eq!(printable("a\x1b[31mb\nc\n"), "a\\u{1b}[31mb / c");
    }
}
