//! The one value that a run makes: headings, sentences, tables and aims. What is printed while it runs and what is
//! written to docs/performance.md are the same Markdown of it.

use std::fmt::Write as _;

use crate::say;

/// A table; its first column is text, the others are figures.
#[derive(Debug, Default)]
pub(crate) struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(heads: &[&str]) -> Table {
        Table { heads: heads.iter().map(|head| (*head).to_owned()).collect(), rows: Vec::new() }
    }

    /// One more row.
    pub(crate) fn row(&mut self, name: &str, cells: impl IntoIterator<Item = String>) {
        self.rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }

    /// Columns have one width, so that it reads as well without a program that shows Markdown.
    fn markdown(&self) -> String {
        let lines = || std::iter::once(&self.heads).chain(&self.rows);
        let widths: Vec<usize> = (0..self.heads.len())
            .map(|n| {
                lines().filter_map(|line| line.get(n)).map(|cell| cell.chars().count()).fold(4, usize::max)
            })
            .collect();
        let mut text = String::new();
        for (at, line) in lines().enumerate() {
            for (n, width) in widths.iter().enumerate() {
                let cell = line.get(n).map_or("", String::as_str);
                let _ = match n {
                    0 => write!(text, "| {cell:<width$} "),
                    _ => write!(text, "| {cell:>width$} "),
                };
            }
            text.push_str("|\n");
            if at == 0 {
                for (n, width) in widths.iter().enumerate() {
                    let _ = match n {
                        0 => write!(text, "| {} ", "-".repeat(*width)),
                        _ => write!(text, "| {}: ", "-".repeat(width - 1)),
                    };
                }
                text.push_str("|\n");
            }
        }
        text
    }
}

/// On which side of its bound a figure is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// What was to be reached.
#[derive(Debug)]
struct Aim {
    what: String,
    value: f64,
    bound: Bound,
}

impl Aim {
    /// A figure that is none has reached nothing.
    fn reached(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.value <= most,
            Bound::AtLeast(least) => self.value >= least,
        }
    }

    fn word(&self) -> &'static str {
        if self.reached() { "reached" } else { "**MISSED**" }
    }
}

/// A figure of an aim: two decimals where they say something.
fn figure(value: f64) -> String {
    if value.is_nan() {
        return "lost in noise".to_owned();
    }
    if value.abs() < 100.0 && value.fract() != 0.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

/// The run's result.
#[derive(Debug, Default)]
pub(crate) struct Report {
    body: String,
    aims: Vec<Aim>,
}

impl Report {
    /// Begins a part.
    pub(crate) fn heading(&mut self, title: &str) {
        self.add(&format!("## {title}\n"));
    }

    /// A paragraph.
    pub(crate) fn text(&mut self, sentence: &str) {
        self.add(&format!("{sentence}\n"));
    }

    /// A part, or a piece of one, that can't be measured here.
    pub(crate) fn skipped(&mut self, what: &str, why: &str) {
        self.text(&format!("skipped: {what}: {why}"));
    }

    /// A table.
    pub(crate) fn table(&mut self, table: &Table) {
        self.add(&table.markdown());
    }

    /// Something that was to be reached, and what was: NaN where noise was larger than what was measured.
    pub(crate) fn aim(&mut self, what: &str, value: f64, bound: Bound) {
        self.aims.push(Aim { what: what.to_owned(), value, bound });
    }

    /// Keeps it and prints it.
    fn add(&mut self, block: &str) {
        say(block);
        self.body.push_str(block);
        self.body.push('\n');
    }

    /// Whether no aim was missed.
    pub(crate) fn reached(&self) -> bool {
        self.aims.iter().all(Aim::reached)
    }

    /// The aims as a table.
    pub(crate) fn aims(&self) -> String {
        let mut table = Table::new(&["aim", "bound", "measured", ""]);
        for aim in &self.aims {
            let bound = match aim.bound {
                Bound::AtMost(most) => format!("at most {}", figure(most)),
                Bound::AtLeast(least) => format!("at least {}", figure(least)),
            };
            table.row(&aim.what, [bound, figure(aim.value), aim.word().to_owned()]);
        }
        let missed = self.aims.iter().filter(|aim| !aim.reached()).count();
        format!("{}\n{} of {} aims reached.\n", table.markdown(), self.aims.len() - missed, self.aims.len())
    }

    /// The page: what opens it, the aims, the parts.
    pub(crate) fn page(&self, opening: &str) -> String {
        format!("{opening}\n## Aims\n\n{}\n{}\n", self.aims(), self.body.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_whose_columns_have_one_width() {
        let mut table = Table::new(&["call", "runc"]);
        table.row("state", ["9 [8 10]".to_owned()]);
        table.row("µ", ["1".to_owned()]);
        let expected = "\
| call  |     runc |
| ----- | -------: |
| state | 9 [8 10] |
| µ     |        1 |
";
        assert_eq!(table.markdown(), expected);
    }

    #[test]
    fn a_page_has_its_opening_then_the_aims_then_the_parts_in_order() {
        let mut report = Report::default();
        report.heading("First");
        report.text("A sentence.");
        report.heading("Second");
        report.aim("system calls", 7.0, Bound::AtMost(40.0));
        let page = report.page("# Title\n");
        let order = ["# Title", "## Aims", "1 of 1 aims reached.", "## First", "A sentence.", "## Second"];
        let places: Vec<Option<usize>> = order.iter().map(|part| page.find(part)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{page}");
    }

    #[test]
    fn a_missed_aim_is_said_plainly_and_one_is_enough() {
        let mut report = Report::default();
        report.aim("calls", 40.0, Bound::AtMost(40.0));
        report.aim("rate", 400.0, Bound::AtLeast(400.0));
        assert!(report.reached() && !report.aims().contains("MISSED"));
        report.aim("times faster", 19.96, Bound::AtLeast(20.0));
        assert!(!report.reached());
        let aims = report.aims();
        assert!(aims.contains("at least 20 |    19.96 | **MISSED** |") && aims.contains("2 of 3"), "{aims}");
    }

    #[test]
    fn a_figure_that_is_no_number_reaches_nothing() {
        for bound in [Bound::AtMost(1.0), Bound::AtLeast(1.0)] {
            let mut report = Report::default();
            report.aim("ratio", f64::NAN, bound);
            assert!(!report.reached() && report.aims().contains("lost in noise"));
        }
    }
}
