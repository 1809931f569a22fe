//! The way in.
//!
//! In reading order: records as bytes ([`record`]), where they come from ([`source`]), and what they become
//! ([`decode`]).

pub mod decode;
pub mod record;
pub mod source;
