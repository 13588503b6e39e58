//! The pure planner of in-place resizes.
