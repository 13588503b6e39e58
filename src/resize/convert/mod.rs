//! From what people and documents say to what kernel files hold. One file for each family of knobs; every
//! function is total and names the source of its formula.

pub mod cpu;
pub mod cpuset;
pub mod hugepage;
pub mod io;
pub mod memory;
pub mod systemd;
pub mod weight;
