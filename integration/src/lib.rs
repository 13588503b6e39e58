//! The suites that need root and real runtimes. Each runs real containers, first without runc-strict, which must show
//! that a hole is open, then with it, which must show that it is closed.
//!
//! The library is what the two programs share: `suites`, which calls the runtimes itself, and `cri-suites` of the folder
//! `cri`, which speaks to engines. The attacks on doors and levels are written once, and run on both roads: an
//! [`engine::Engine`] takes the bundle of an attack for what a pod is made of.
//!
//! Everything happens in one private folder with its own runtime roots, and is taken away at the end.

// Documents of JSON are read and altered by their keys. Reading what isn't there gives null, and what is written to
// was made here.
#![allow(clippy::indexing_slicing)]

pub mod bundle;
pub mod case;
pub mod cgroup;
pub mod doors;
pub mod engine;
pub mod lab;
pub mod levels;
pub mod options;
pub mod program;
pub mod report;
pub mod room;
pub mod runtime;

mod apart;
mod bad_input;
mod call;
mod faults;
mod load;
mod matrix;
mod native;
mod reading;
mod restore;
mod sys;
mod trace;
pub mod trial;
mod updater;
mod updater_systemd;

use std::process::ExitCode;

use crate::lab::Lab;

/// The program `suites`.
pub fn suites() -> ExitCode {
    let suites = [
        doors::suite(),
        levels::suite(),
        native::SUITE,
        reading::SUITE,
        load::SUITE,
        faults::SUITE,
        bad_input::SUITE,
        restore::SUITE,
        updater::SUITE,
        updater_systemd::SUITE,
    ];
    program::main(&suites, Lab::open)
}
