//! The pure planner of in-place resizes.
pub mod amount;
pub mod quantity;
mod quoted;
