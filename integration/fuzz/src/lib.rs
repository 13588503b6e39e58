//! Everything that the program reads from others, as targets of a fuzzer: one module each, with a function that takes
//! bytes and panics where a property doesn't hold. The properties are written beside the program's own code, not by
//! it: another reader of the same bytes, a model of what is written, or a law.
//!
//! `main.rs` hands the functions to libFuzzer; `tests/corpus.rs` runs them on the committed inputs, without it.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a target says by a panic what it has found"
)]

mod annotation;
mod argv;
mod audit;
mod configuration;
mod containerd;
mod dbus;
mod document;
mod edit;
mod image;
mod laws;
mod people;
mod quantity;
mod record;

/// A target: its name, and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 10] = [
    ("annotation", annotation::check),
    ("argv", argv::check),
    ("audit", audit::check),
    ("configuration", configuration::check),
    ("containerd", containerd::check),
    ("dbus", dbus::check),
    ("document", document::check),
    ("image", image::check),
    ("quantity", quantity::check),
    ("record", record::check),
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.into_iter().find(|(known, _)| *known == name)
}

/// Messages go to a terminal and into logs of one line each.
fn assert_one_line(message: &str) {
    assert!(!message.is_empty(), "a message says nothing");
    assert!(!message.contains(char::is_control), "a message isn't one line of text: {message:?}");
}
