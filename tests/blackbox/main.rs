//! The program from outside, without root and without a container: it is run as an engine runs it, and a fake
//! runtime writes down what arrives. Each module is one promise to the outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that fails panics, and a test that can't run says so"
)]

#[path = "../fake/call.rs"]
mod call;
mod support;

mod audit;
mod bundles;
mod command_line;
mod cve;
mod documents;
mod engines;
mod exec;
mod explain;
mod inherited;
mod judged_anew;
mod names;
mod own;
mod pass_through;
mod purity;
mod records;
mod refusal;
mod sticky;
