//! Where the program begins: before the C start-up, and mostly without it.
//!
//! The dearest part of a short program is the start of the C library: it asks the processor what it can do by dozens of
//! `cpuid`, and on a virtual machine each is an exit to the hypervisor. So the kernel starts us here, and the first word
//! that is no flag says which way to go:
//!
//! - A command that only passes (`state`, `kill`, `ps`: most calls of a runtime) needs no start at all. [`pass`] finds the
//!   word for the runtime in the configuration and becomes it, by four system calls.
//! - A command that we look into (`create`, `exec`, `delete` ...) gets a start of our own: [`raw`] sets up what
//!   Rust's library needs of a process, which is little, and runs the program.
//! - Everything else (our own sub-commands, a flag that the table doesn't know, a build that isn't the static program, a
//!   stack below 256 KB) goes on to the C start-up as if nothing had been. Nothing has: both ways come back without a trace where they meet
//!   something that isn't as usual, and every refusal and every message stands behind them.
//!
//! What the start of our own leaves out, and why nothing misses it: the processor's features, which choose among copies
//! of memcpy (the program brings its own, below) and of functions over strings (which then take the plain ones); buffers
//! of stdio, locales, the dynamic loader, threads: none of them is used by what runs there. integration/run holds it to
//! that: it lists every function of the C library that a create and an exec enter.
//!
//! All of the program's `unsafe` is in [`raw`].

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod pass;
mod raw;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod tables;
