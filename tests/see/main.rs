//! `whoami`, `explain` and `audit` from outside: containers are processes that the test starts, their records are
//! written by the program itself, and what people read is held by the files in tests/data/golden/see.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that fails panics, and a test that can't run says so"
)]

#[path = "../blackbox/support/golden.rs"]
mod golden;
mod room;

mod audit;
mod explain;
mod follow;
mod whoami;
