//! Made-up records: the three data sets of the clickstream demo, as Confluent's datagen connector makes them.
//!
//! A connector's properties become a [`DatagenConfig`] with warnings; a [`Generator`] makes record number n of a data
//! set from a seed and n alone, so it can go on anywhere; a [`Runner`] adds the pauses, for a clock that it is told.

mod config;
mod generator;
mod quickstart;
mod runner;

pub use config::{DatagenConfig, DatagenError, KeyFormat};
pub use generator::Generator;
pub use quickstart::Quickstart;
pub use runner::{Generated, Pacing, Progress, Rate, Runner};
