//! Bad input.
use crate::case::{Case, Suite};
use crate::lab::Lab;

/// `suites run bad-input`.
pub(crate) const SUITE: Suite = Suite {
    name: "bad-input",
    about: "what is broken is refused, and nothing is lost",
    headings: &["containers", "callers", "runtime", "result"],
    cases,
};

fn cases(_: &Lab) -> Vec<Case> {
    vec![]
}
