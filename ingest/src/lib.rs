//! The way in.
//!
//! In reading order: records as bytes ([`record`]), and what they become ([`decode`]).

pub mod decode;
pub mod record;
