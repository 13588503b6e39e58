//! The pure planner of in-place resizes.
pub mod amount;
pub mod convert;
pub mod knob;
pub mod knobs;
pub mod quantity;
mod quoted;
pub mod request;
pub mod snapshot;
pub mod value;
