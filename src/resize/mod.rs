//! The pure planner of in-place resizes.
pub mod amount;
pub mod convert;
pub mod quantity;
mod quoted;
