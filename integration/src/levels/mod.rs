//! The attack matrix: what a program inside can do to get a group, on the bare runtime and at each level. What a
//! level documents as open must be open, so that the documents stay true; what it closes must be closed.

mod capabilities;
mod programs;
mod raised;
mod row;

use crate::case::Suite;
use crate::matrix::{self, LEFT};
use crate::program::Bench;

/// `run levels`: on the direct road, and through the engine that the bench has.
pub const fn suite<B: Bench>() -> Suite<B> {
    Suite {
        name: "levels",
        about: "attack programs inside a container, against the levels groups, sealed and paranoid",
        headings: &HEADINGS,
        cases: |bench| {
            let rows = [programs::rows(), capabilities::rows(), raised::rows()];
            matrix::cases(bench, rows.into_iter().flatten().collect())
        },
    }
}

const HEADINGS: [&str; 9] = {
    let [door, attack, road, runtime, entry] = LEFT;
    [door, attack, road, runtime, entry, "bare", "groups", "sealed", "paranoid"]
};
