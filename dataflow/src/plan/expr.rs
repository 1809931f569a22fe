//! Typed expressions, evaluated a column at a time.

use super::functions::Function;
use crate::row::{SqlType, Value};
use crate::sql::ast::BinaryOp;
use serde::{Deserialize, Serialize};

/// An expression whose names are resolved and whose types are known.
///
/// Evaluation never fails as a whole: a row for which it fails (null arithmetic, division by zero, a cast that
/// does not fit) yields null and an entry for the processing log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Expr {
    /// A column of the current row.
    Column(usize, SqlType),
    /// ROWTIME: BIGINT.
    Rowtime,
    /// ROWPARTITION: INTEGER.
    Rowpartition,
    /// ROWOFFSET: BIGINT.
    Rowoffset,
    /// A literal (also the NULL literal with the type that its place gives it).
    Literal(Value, SqlType),
    /// Comparison, logic, arithmetic, concatenation. Operands have been cast to a common type where the operator
    /// needs one.
    Binary(BinaryOp, Box<Expr>, Box<Expr>, SqlType),
    /// Arithmetic minus.
    Negate(Box<Expr>),
    /// NOT.
    Not(Box<Expr>),
    /// IS NULL.
    IsNull(Box<Expr>),
    /// LIKE.
    Like {
        /// The operand.
        operand: Box<Expr>,
        /// The pattern, often a literal.
        pattern: Box<Expr>,
        /// The escape character.
        escape: Option<char>,
    },
    /// IN: operand and list are of one type.
    In(Box<Expr>, Vec<Expr>),
    /// CASE: conditions and results, then ELSE.
    Case(Vec<(Expr, Expr)>, Option<Box<Expr>>, SqlType),
    /// CAST, also the implicit widenings.
    Cast(Box<Expr>, SqlType),
    /// The expression's value, or null where it has none: there its error goes no further. An explicit cast, an element of
    /// what is constructed, a function that is another's argument.
    Try(Box<Expr>),
    /// A scalar function.
    Call(Function, Vec<Expr>, SqlType),
    /// `array[i]`, `map[k]`.
    Subscript(Box<Expr>, Box<Expr>, SqlType),
    /// `struct->field`: the field's position.
    Field(Box<Expr>, usize, SqlType),
    /// `ARRAY[…]`, `MAP(…)` (keys and values in turn), `STRUCT(…)`: the type says which.
    Construct(Vec<Expr>, SqlType),
    /// A lambda's parameter, by its number, counted over all enclosing lambdas from the outermost.
    Parameter(usize, SqlType),
    /// A lambda: number of its first parameter, count, body. Only as an argument of [`Expr::Call`].
    Lambda(usize, usize, Box<Expr>),
}

impl Expr {
    /// The type of its value.
    pub fn ty(&self) -> &SqlType {
        match self {
            Expr::Rowtime | Expr::Rowoffset => &SqlType::Bigint,
            Expr::Rowpartition => &SqlType::Int,
            Expr::Not(_) | Expr::IsNull(_) | Expr::Like { .. } | Expr::In(..) => &SqlType::Boolean,
            Expr::Negate(e) | Expr::Try(e) | Expr::Lambda(_, _, e) => e.ty(),
            Expr::Column(_, t)
            | Expr::Literal(_, t)
            | Expr::Binary(_, _, _, t)
            | Expr::Case(_, _, t)
            | Expr::Cast(_, t)
            | Expr::Call(_, _, t)
            | Expr::Subscript(_, _, t)
            | Expr::Field(_, _, t)
            | Expr::Construct(_, t)
            | Expr::Parameter(_, t) => t,
        }
    }
}
