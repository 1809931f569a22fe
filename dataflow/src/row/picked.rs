//! Columns that say of each row which row of another column it is, for text that many rows have: what a stream finds in a
//! table is not copied for each of its rows.
//!
//! Such a *picked* column is an Arrow dictionary array. It goes through filters and projections as it is, and a
//! [`Packer`](super::packer::Packer) tells its rows apart by their numbers. All else sees a [flat] one:
//! [`Expr::eval`](crate::plan::Expr::eval) makes it so.

use super::packer::is_plain;
use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, DictionaryArray, UInt32Array};
use arrow_select::take::take;
use std::sync::Arc;

/// A column of a table, to be picked from.
#[derive(Clone, Debug)]
pub struct Pickable {
    values: ArrayRef,
    /// Rows are told by their numbers.
    by_number: bool,
}

impl Pickable {
    /// Text is picked by number if it is packed as it is; other values are as short as their numbers.
    pub fn new(values: ArrayRef) -> Self {
        let by_number = values.as_string_opt().is_some_and(is_plain);
        Pickable { values, by_number }
    }

    /// These rows, null where there is none. `None` when one is out of bounds.
    pub fn pick(&self, rows: &UInt32Array) -> Option<ArrayRef> {
        if self.by_number {
            let picked = DictionaryArray::<UInt32Type>::try_new(rows.clone(), Arc::clone(&self.values));
            return picked.ok().map(|picked| Arc::new(picked) as ArrayRef);
        }
        take(&self.values, rows, None).ok()
    }
}

/// The numbers of a picked column, and the column that they are picked from.
pub fn parts(column: &ArrayRef) -> Option<(&UInt32Array, &ArrayRef)> {
    let picked = column.as_dictionary_opt::<UInt32Type>()?;
    Some((picked.keys(), picked.values()))
}

/// A column with a value of its own in each row.
pub fn flat(column: ArrayRef) -> ArrayRef {
    match parts(&column) {
        Some((rows, values)) => take(values, rows, None).unwrap_or_else(|_| Arc::clone(&column)),
        None => column,
    }
}
