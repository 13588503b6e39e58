//! The doors by which a container gets a group that it should not have. A door has rows, a row is one attack. Each
//! row runs on every runtime and by every entry that it names: first with the bare runtime, which must show the hole
//! open, then through the product, which must show it closed or refuse in one sentence.

mod row;
mod verdict;

use crate::case::{Case, Outcome, Suite};
use crate::lab::Lab;

pub(crate) use row::{Door, Hole, Row};
pub(crate) use verdict::{Closed, lists, refusal};

mod annotation;
mod engine_keys;
mod exec;
mod image_files;
mod image_groups;
mod json_keys;
mod numeric_names;
mod primary;
mod records;
mod restore;
mod words;

/// `suites run doors`.
pub(crate) const SUITE: Suite = Suite {
    name: "doors",
    about: "every way to a foreign group: open on the bare runtime, closed by runc-strict",
    headings: &["door", "attack", "runtime", "entry", "bare", "runc-strict"],
    cases,
};

fn doors() -> Vec<Door> {
    let mut doors: Vec<Door> = [
        image_groups::doors(),
        exec::doors(),
        primary::doors(),
        engine_keys::doors(),
        restore::doors(),
        json_keys::doors(),
        numeric_names::doors(),
        words::doors(),
        image_files::doors(),
        annotation::doors(),
        records::doors(),
    ]
    .into_iter()
    .flatten()
    .collect();
    doors.sort_by_key(|door| door.number);
    doors
}

fn cases(lab: &Lab) -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, reason) in &lab.missing {
        let reason = reason.clone();
        let cells = vec!["all".to_owned(), String::new(), kind.name().to_owned(), String::new()];
        cases.push(Case::new(cells, move |_| Outcome::Skipped(reason.clone())));
    }
    for door in doors() {
        for row in door.rows {
            let row = std::rc::Rc::new(row);
            for runtime in lab.runtimes.clone() {
                for entry in row.entries.clone() {
                    let (row, runtime) = (row.clone(), runtime.clone());
                    let cells = vec![
                        format!("{:2}", door.number),
                        row.name.clone(),
                        runtime.title(),
                        entry.name().to_owned(),
                    ];
                    cases.push(Case::new(cells, move |lab| row.try_on(lab, &runtime, entry).into()));
                }
            }
        }
    }
    cases
}
