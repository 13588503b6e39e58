//! The suites that drive real engines: a private containerd by its CRI, as the kubelet speaks it, podman and docker;
//! and the attack matrix whole, without an engine and through containerd's CRI. Each case first shows with the bare
//! runtime that the hole is open, then with runc-strict that it is closed.
//!
//! Everything an engine keeps lies in one private folder, and goes away with it.

mod attack;
mod bench;
mod cluster;
mod containerd;
mod cri;
mod docker;
mod faults;
mod group;
mod groups;
mod image;
mod install;
mod kubelet;
mod load;
mod node;
mod parity;
mod pod;
mod podman;
mod see;
mod shim;
mod sticky;
mod stream;
mod watch;

use std::process::ExitCode;

use runc_strict_integration::{doors, levels, program};

use crate::bench::Bench;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("kubelet", rest)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        return kubelet::by_hand(rest);
    }
    let suites = [
        doors::suite(),
        levels::suite(),
        groups::SUITE,
        see::SUITE,
        faults::SUITE,
        parity::SUITE,
        sticky::SUITE,
        load::SUITE,
        podman::SUITE,
        docker::SUITE,
        install::SUITE,
        kubelet::SUITE,
        node::SUITE,
        cluster::SUITE,
    ];
    program::main(&suites, Bench::open)
}
