//! The effects: files, processes and the real runtime. What is decided with them is in [`crate::policy`].

pub mod audit;
pub mod bundle;
pub mod clock;
pub mod config;
pub mod container;
pub mod containerd;
pub mod engine;
pub mod engine_config;
pub mod file;
pub mod folder;
pub mod image;
pub mod log;
pub mod log_files;
pub mod log_reader;
pub mod members;
pub mod memory;
pub mod names;
pub mod proc_status;
pub mod process;
pub mod record;
pub mod runtime;
pub mod since;
pub mod state;
pub mod version;
pub mod watch;
