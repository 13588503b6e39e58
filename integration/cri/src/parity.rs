//! To come.

use crate::bench::Bench;
use crate::case::{Case, Suite};

pub(crate) const SUITE: Suite = Suite { name: "parity", about: "", headings: &["case", "runtime"], cases };

fn cases(_: &Bench) -> Vec<Case> {
    Vec::new()
}
