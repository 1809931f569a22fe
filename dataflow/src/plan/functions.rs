//! Scalar functions in one table: name, signatures, doc, evaluation.

use super::eval::row::{self, RowInput};
use super::expr::Expr;
use crate::row::{SqlType, Value};
use arrow_array::ArrayRef;
use serde::{Deserialize, Serialize};

/// A scalar function, as its position in the table of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Function(pub u16);

/// A function's form for whole columns; `None` when it does not take these columns.
pub(crate) type ColumnFunction = fn(&[ArrayRef], &SqlType) -> Option<ArrayRef>;

impl Function {
    /// The function's value of these arguments on a row.
    ///
    /// # Errors
    /// Why it has none.
    pub fn eval(self, args: &[Expr], _ty: &SqlType, row: &RowInput<'_>) -> Result<Value, String> {
        args.first().map_or(Ok(Value::Null), |e| row::eval(e, row))
    }

    /// False for a function that gives another value each time.
    pub fn is_deterministic(self) -> bool {
        true
    }

    /// Its form for whole columns.
    pub(crate) fn columns(self) -> Option<ColumnFunction> {
        None
    }
}
