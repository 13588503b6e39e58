//! The doors by which a container gets a group that it should not have. A door has rows, a row is one attack. Each
//! row runs on every runtime and by every entry that it names: first with the bare runtime, which must show the hole
//! open, then through the product, which must show it closed or refuse in one sentence.

mod row;
mod verdict;

use crate::case::Suite;
use crate::matrix::{self, LEFT};
use crate::program::Bench;

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

/// `run doors`: on the direct road, and through the engine that the bench has.
pub const fn suite<B: Bench>() -> Suite<B> {
    Suite {
        name: "doors",
        about: "every way to a foreign group: open on the bare runtime, closed by runc-strict",
        headings: &HEADINGS,
        cases: |bench| matrix::cases(bench, rows()),
    }
}

const HEADINGS: [&str; 7] = {
    let [door, attack, road, runtime, entry] = LEFT;
    [door, attack, road, runtime, entry, "bare", "runc-strict"]
};

fn rows() -> Vec<Row> {
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
        .into_iter()
        .flat_map(|Door { number, rows }| rows.into_iter().map(move |row| row.of(number)))
        .collect()
}
