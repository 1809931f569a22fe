//! Scalar functions in one table: name, signatures, doc, evaluation.
//!
//! [`definitions`] lists them (SHOW FUNCTIONS), [`find`] gives one by name (DESCRIBE FUNCTION), [`resolve`] picks the
//! signature for the types of a call's arguments, as ksqlDB does: an exact match first, then one that widens numbers
//! (INTEGER → BIGINT → DECIMAL → DOUBLE), a variadic one last. To add a function, add a definition to the list of its
//! family; what it means for a row is enough, and a form for whole columns can be added where it is hot.

mod signature;
mod text;

pub use signature::{Definition, Parameter, Resolved, Returns, Signature, near_function};
pub(crate) use signature::wider;

use super::eval::row::{self, RowInput};
use super::expr::Expr;
use crate::row::{SqlType, Value};
use arrow_array::ArrayRef;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// A scalar function, as the position of its signature in the table of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Function(pub u16);

/// A call on one row.
pub(crate) struct Call<'a> {
    /// The arguments' values; a lambda's is null.
    pub(crate) values: &'a [Value],
    /// The arguments, for their types.
    #[allow(dead_code, reason = "read by functions over structs and by lambdas")]
    pub(crate) args: &'a [Expr],
    /// The result's type.
    #[allow(dead_code, reason = "read by generic functions")]
    pub(crate) ty: &'a SqlType,
    /// The row.
    #[allow(dead_code, reason = "read by lambdas")]
    pub(crate) row: &'a RowInput<'a>,
}

/// What a function does on one row.
pub(crate) type RowFunction = fn(&Call<'_>) -> Result<Value, String>;

/// A function's form for whole columns; `None` when it does not take these columns.
pub(crate) type ColumnFunction = fn(&[ArrayRef], &SqlType) -> Option<ArrayRef>;

/// All signatures of all functions; a [`Function`] is a position in here.
static SIGNATURES: LazyLock<Vec<(&'static Definition, &'static Signature)>> =
    LazyLock::new(|| definitions().flat_map(|d| d.signatures.iter().map(move |s| (d, s))).collect());

/// All functions, by family.
pub fn definitions() -> impl Iterator<Item = &'static Definition> {
    [text::FUNCTIONS].into_iter().flatten()
}

/// A function by its name, in any case.
pub fn find(name: &str) -> Option<&'static Definition> {
    definitions().find(|d| d.names().any(|n| n.eq_ignore_ascii_case(name)))
}

/// The signature that a call means.
///
/// # Errors
/// What ksqlDB says when there is none.
pub fn resolve(name: &str, args: &[Option<SqlType>]) -> Result<Resolved, String> {
    signature::resolve(name, args)
}

impl Function {
    fn signature(self) -> Option<&'static (&'static Definition, &'static Signature)> {
        SIGNATURES.get(usize::from(self.0))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.signature().map_or("?", |(d, _)| d.name)
    }

    /// The function's value of these arguments on a row.
    ///
    /// # Errors
    /// Why it has none.
    pub fn eval(self, args: &[Expr], ty: &SqlType, row: &RowInput<'_>) -> Result<Value, String> {
        let Some((_, signature)) = self.signature() else { return Err("an unknown function".into()) };
        let value = |e: &Expr| if matches!(e, Expr::Lambda(..)) { Ok(Value::Null) } else { row::eval(e, row) };
        let values = args.iter().map(value).collect::<Result<smallvec::SmallVec<[Value; 4]>, _>>()?;
        (signature.eval)(&Call { values: &values, args, ty, row })
    }

    /// False for a function that gives another value each time.
    pub fn is_deterministic(self) -> bool {
        self.signature().is_none_or(|(d, _)| d.deterministic)
    }

    /// Its form for whole columns.
    pub(crate) fn columns(self) -> Option<ColumnFunction> {
        self.signature().and_then(|(_, s)| s.columns)
    }
}
