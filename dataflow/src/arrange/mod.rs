//! Where state lives: runs of keys and accumulators.
//!
//! Every table that weir keeps, whether it is declared over a topic, grouped, windowed or made of sessions, is one
//! kind of thing: a [`Store`], which maps a [`Key`] to an [`Accum`]. A key is the number that the [`Dictionary`] has for the
//! group (or the table's primary key), and where there are windows the pane's start or the session's start. An accumulator
//! is a *difference* as differential dataflow has it (a `Semigroup`): what a group's rows add up to lives in the difference,
//! never in a value that would have to be retracted and written anew for every record. A table's "latest row" is such an
//! accumulator too.

pub mod accum;
pub mod accums;
pub mod dictionary;
pub mod exact;
pub mod exact_sum;
pub mod gathered;
pub mod groups;
pub mod keys;
pub mod merge;
pub mod moments;
pub mod narrow;
pub mod offsets;
pub mod reader;
pub mod run;
pub mod slots;
pub mod store;
pub mod tiers;

pub use accum::{Accum, Part};
pub use accums::Accums;
pub use dictionary::Dictionary;
pub use groups::Groups;
pub use keys::{Key, KeyList, Keys, PackedKeys, Place, Places};
pub use narrow::Narrow;
pub use run::Run;
pub use store::Store;
