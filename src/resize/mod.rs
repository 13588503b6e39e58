//! The pure planner of in-place resizes.
pub mod amount;
pub mod convert;
pub mod knob;
pub mod quantity;
mod quoted;
pub mod value;
