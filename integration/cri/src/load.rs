//! To come.

use crate::bench::Bench;
use crate::case::{Case, Suite};

pub(crate) const SUITE: Suite = Suite { name: "load", about: "", headings: &["case", "runtime"], cases };

fn cases(_: &Bench) -> Vec<Case> {
    Vec::new()
}
