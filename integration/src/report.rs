//! What a run prints: a line for each case, each suite's table, and the tally that closes the run. Colour only on a
//! terminal, and never when NO_COLOR is set.

use std::io::{IsTerminal, Write, stdout};

use crate::case::Outcome;

/// Collects the outcomes of a run.
pub struct Report {
    colour: bool,
    passed: usize,
    failed: usize,
    skipped: usize,
    impossible: usize,
    rows: Vec<Vec<String>>,
    tables: String,
}

impl Report {
    /// Nothing was run yet.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let colour =
            stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            colour,
            passed: 0,
            failed: 0,
            skipped: 0,
            impossible: 0,
            rows: Vec::new(),
            tables: String::new(),
        }
    }

    /// Prints the line of one case and keeps its row.
    pub fn case(&mut self, suite: &str, cells: &[String], outcome: Outcome) {
        let (mark, colour, detail) = match &outcome {
            Outcome::Passed(cells) => ("ok", "32", cells.join(" | ")),
            Outcome::Failed(why) => ("FAIL", "31", why.clone()),
            Outcome::Skipped(why) => ("skip", "33", why.clone()),
            Outcome::Impossible(why) => ("n/a", "2", why.clone()),
        };
        let mark = if self.colour { format!("\x1b[{colour}m{mark:4}\x1b[0m") } else { format!("{mark:4}") };
        let detail = if detail.is_empty() { String::new() } else { format!(": {}", printable(&detail)) };
        say(&format!("{mark} {suite} · {}{detail}", cells.join(" · ")));
        let mut row = cells.to_vec();
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
            Outcome::Impossible(why) => {
                self.impossible += 1;
                row.push(format!("n/a: {why}"));
            }
        }
        self.rows.push(row);
    }

    /// Prints the table of the suite that just ended.
    pub fn table(&mut self, name: &str, about: &str, headings: &[&str]) {
        let rows = std::mem::take(&mut self.rows);
        let text = format!("## {name}: {about}\n\n{}\n", table(headings, &rows));
        say(&format!("\n{text}"));
        self.tables.push_str(&text);
    }

    /// All tables so far, as Markdown.
    pub fn tables(&self) -> &str {
        self.tables.trim_end()
    }

    /// Whether no case was tried, nor skipped.
    pub(crate) fn is_empty(&self) -> bool {
        self.passed + self.failed + self.skipped == 0
    }

    /// Prints the tally; `true` says that nothing failed.
    pub fn close(&self) -> bool {
        let impossible = match self.impossible {
            0 => String::new(),
            count => format!(", {count} that can't be tried"),
        };
        say(&format!("{} passed, {} failed, {} skipped{impossible}", self.passed, self.failed, self.skipped));
        self.failed == 0
    }
}

/// One line on stdout. A reader that went away is no reason to stop before everything is cleaned up.
pub fn say(line: &str) {
    let _ = writeln!(stdout(), "{line}");
}

/// One line on stderr.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}: {line}", program_name());
}

/// The name of this program.
pub(crate) fn program_name() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Control characters as escapes, line ends as a visible bar: what a runtime printed fits into one safe line.
pub fn printable(text: &str) -> String {
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
