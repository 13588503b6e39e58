//! `runc-strict` is an OCI runtime that engines call where they would call runc. It makes each container run with
//! exactly the supplementary groups that it is entitled to, and then becomes the real runtime by execve(2).
//!
//! Where to read what:
//!
//! - [`run`]: the whole program as one sentence, from top to bottom;
//! - [`update`]: what stays of a resize when an engine updates the container again, or starts it anew;
//! - [`outcome`]: the road of a refusal to the user and into the audit log;
//! - [`argv`]: the runtimes' command-line grammar, as a table;
//! - [`policy`]: where a gid is judged; pure. [`policy::decide`] gives a [`policy::Verdict`], the one value that is
//!   applied, recorded, printed, audited and tested;
//! - [`spec`]: the lossless JSON document; pure;
//! - [`resize`]: the planner of in-place resizes; pure;
//! - [`node`]: the effects: files, processes, the real runtime;
//! - [`cli`]: our own sub-commands, one file each.

pub mod argv;
pub mod cli;
pub mod error;
pub mod node;
pub mod outcome;
pub mod policy;
pub mod quote;
pub mod resize;
pub mod run;
pub mod spec;
pub mod update;
