//! Lossless JSON: the few values of a document that we read and write, found where they stand.
//!
//! Typed structs would drop the fields that they don't know, reorder keys and round numbers. Here a document
//! stays the text that it is; an edit replaces the bytes of a value, and nothing else (law 7). Nothing here does
//! I/O.

mod command;
mod config;
pub mod object;
mod process;
pub mod resources;
mod scan;
mod splice;
#[cfg(test)]
mod tests;

pub use command::CommandLine;
pub use config::{ConfigDocument, Mount};
pub use object::{Object, Value};
pub use process::ProcessObject;
pub use splice::Splice;
