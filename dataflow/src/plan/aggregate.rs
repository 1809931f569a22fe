//! Aggregate functions: what an expression of the select list that folds a group's rows asks for.

use super::expr::Expr;
use crate::row::SqlType;
use serde::{Deserialize, Serialize};

/// An aggregate function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AggregateFunction {
    /// `COUNT(*)`, `COUNT(1)`: rows. BIGINT.
    CountRows,
    /// `COUNT(e)`: rows where e is not null. BIGINT.
    Count,
    /// `SUM(e)`: of the type of e (INT stays INT, wrapping as Java's); null values add nothing; of no value: 0.
    Sum,
    /// `AVG(e)`: DOUBLE.
    Avg,
    /// `MIN(e)`.
    Min,
    /// `MAX(e)`.
    Max,
}

/// One aggregate call of a query.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AggregateCall {
    /// Which.
    pub function: AggregateFunction,
    /// Its arguments on the input row (none for [`AggregateFunction::CountRows`]).
    pub args: Vec<Expr>,
    /// The type of its result.
    pub ty: SqlType,
}
