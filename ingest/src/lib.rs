//! The way in.
pub mod record;
