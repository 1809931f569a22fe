//! Scalar functions in one table: name, signatures, doc, evaluation.

use serde::{Deserialize, Serialize};

/// A scalar function, as its position in the table of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Function(pub u16);
