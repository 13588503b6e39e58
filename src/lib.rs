//! runc-strict.
pub mod resize;
