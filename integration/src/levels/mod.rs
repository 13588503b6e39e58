//! The attack matrix: what a program inside can do to get a group, on the bare runtime and at each level. What a
//! level documents as open must be open, so that the documents stay true; what it closes must be closed.

mod capabilities;
mod programs;
mod raised;
mod row;

use std::rc::Rc;

use crate::case::{Case, Outcome, Suite};
use crate::lab::Lab;

use row::Row;

/// `suites run levels`.
pub(crate) const SUITE: Suite = Suite {
    name: "levels",
    about: "attack programs inside a container, against the levels groups, sealed and paranoid",
    headings: &["door", "attack", "runtime", "entry", "bare", "groups", "sealed", "paranoid"],
    cases,
};

fn cases(lab: &Lab) -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, reason) in &lab.missing {
        let reason = reason.clone();
        let cells = vec!["all".to_owned(), String::new(), kind.name().to_owned(), String::new()];
        cases.push(Case::new(cells, move |_| Outcome::Skipped(reason.clone())));
    }
    for row in [programs::rows(), capabilities::rows(), raised::rows()].into_iter().flatten() {
        let row: Rc<Row> = Rc::new(row);
        for runtime in lab.runtimes.clone() {
            for entry in row.entries.clone() {
                let (row, runtime) = (Rc::clone(&row), runtime.clone());
                let cells = vec![
                    format!("{:2}", row.door),
                    row.name.clone(),
                    runtime.title(),
                    entry.name().to_owned(),
                ];
                cases.push(Case::new(cells, move |lab| row.try_on(lab, &runtime, entry).into()));
            }
        }
    }
    cases
}
