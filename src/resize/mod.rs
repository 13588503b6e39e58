//! The pure planner of in-place resizes.
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
