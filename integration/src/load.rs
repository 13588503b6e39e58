//! Many containers at once.
use crate::case::{Case, Suite};
use crate::lab::Lab;

/// `suites run load`.
pub(crate) const SUITE: Suite = Suite {
    name: "load",
    about: "200 containers by 8 parallel callers: no wrong group, nothing left over",
    headings: &["containers", "callers", "runtime", "result"],
    cases,
};

fn cases(_: &Lab) -> Vec<Case> {
    vec![]
}
