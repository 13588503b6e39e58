//! The pure half of in-place resizes: from what is and what was asked to a plan, and back.
//!
//! ```text
//! options, OCI document, manifest ─▶ Request ─┐
//!                                             ├─ desired ─▶ Desired ─┐
//! kernel's files, systemd's units ─▶ Snapshot ┤                      ├─ plan ─▶ Plan: steps in order
//!                                             └──────────────────────┘              │
//!                                       journal of applied steps ─ rollback ─▶ steps back
//! ```
//!
//! Nothing here reads a file, asks for the time or starts a process. Whoever applies a plan walks [`plan::Plan::calls`]:
//! writes each call's steps to a journal, makes the call, reads back, and asks [`verify::accepts`] whether what it reads is
//! what was wanted. If something fails, [`plan::rollback::rollback`] turns the journal into the way back.
//!
//! - [`quantity`], [`amount`], [`convert`]: numbers, exactly, each formula with its source.
//! - [`request`], [`desired`]: what was asked, and the knobs that would hold it; [`refusal`]: why not.
//! - [`knob`], [`value`], [`knobs`], [`snapshot`]: cgroups as they are.
//! - [`plan`], [`verify`]: the order of steps, the way back, and reading back.
//! - [`field`], [`sticky`]: the runtime's document, and what of it outlasts an engine's updates.

pub mod amount;
pub mod convert;
pub mod desired;
pub mod field;
pub mod knob;
pub mod knobs;
pub mod plan;
pub mod quantity;
mod quoted;
pub mod refusal;
pub mod request;
pub mod snapshot;
pub mod sticky;
pub mod value;
pub mod verify;
