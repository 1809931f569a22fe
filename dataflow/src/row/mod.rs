//! Values, types and schemas; rows as packed bytes; batches of columns.
//!
//! Three forms of the same data, each where it is cheap: [`Batch`] (Arrow columns of a few thousand records)
//! from decoding to the combiner; packed bytes ([`packed`]) as keys and rows of arrangements, whose byte order
//! is the values' order; [`Value`] where one cell is looked at on its own.

pub mod value;
pub mod schema;
pub mod batch;
pub mod packed;
pub mod packer;
pub mod picked;
pub mod text;
pub mod datetime;
pub mod json;
pub mod encode;

pub use batch::{Batch, Origin};
pub use schema::{Column, Schema, SqlType};
pub use value::{Decimal, Value};
