//! Expressions on whole columns.
//!
//! In comes a batch's columns, out comes one column: [`Expr::eval`] for a projection, [`Expr::filter`] for a
//! condition. Literals stay scalars, comparisons and LIKE work on Arrow's buffers, and only what is rare (nested
//! types, most functions) goes row by row over [`Value`](crate::row::Value)s, through [`row`], which says what each
//! expression means and is what the vectorised parts are tested against.
//!
//! The rules are ksqlDB's. Logic has two values: a comparison with null is false. An operation that has no answer
//! (arithmetic with null, division by zero, a cast that does not fit, LIKE of null) makes the *whole* expression
//! null (a condition: false) for that row, whatever stands around it, and leaves an entry for the processing log. Only
//! [`Expr::Try`] keeps a failure to itself.
//! So evaluation carries a set of failed rows. A branch of CASE or a side of AND and OR that a row does not reach
//! cannot fail for it, so it also carries the set of rows that reach the operation at hand.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "an operation names the few types and values that it takes; all others are refused or null"
)]

mod arithmetic;
mod cast;
mod compare;
mod like;
mod logic;
pub mod row;
mod vector;

pub use arithmetic::{decimal_result, rescale};
pub(crate) use cast::parse_decimal;
pub use cast::{can_cast, cast};
pub use like::Pattern;

use super::expr::Expr;
use crate::row::{Batch, SqlType, Value};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_buffer::BooleanBuffer;
use std::cell::RefCell;
use std::sync::Arc;
use vector::Context;

/// What an expression is evaluated on: the columns of a batch and what is known of each of its rows.
#[derive(Clone, Copy, Debug)]
pub struct EvalInput<'a> {
    /// The columns of the current row, of one length, some perhaps [picked](crate::row::picked); `None` where nothing reads
    /// the column.
    pub columns: &'a [Option<ArrayRef>],
    /// ROWTIME of each row; its length is the number of rows.
    pub times: &'a [i64],
    /// ROWOFFSET of each row.
    pub offsets: &'a [i64],
    /// ROWPARTITION of all rows.
    pub partition: u32,
}

impl<'a> From<&'a Batch> for EvalInput<'a> {
    fn from(batch: &'a Batch) -> Self {
        EvalInput {
            columns: &batch.columns,
            times: &batch.times,
            offsets: &batch.offsets,
            partition: batch.origin.partition,
        }
    }
}

/// A row for which an expression had no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalError {
    /// The row's number in the batch.
    pub row: usize,
    /// Why.
    pub message: String,
}

/// The rows for which expressions had no answer: how many there were, and the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalErrors {
    /// At most `limit` of them.
    pub entries: Vec<EvalError>,
    /// All of them.
    pub count: u64,
    limit: usize,
}

impl EvalErrors {
    /// Keeps at most `limit` entries and counts the rest.
    pub fn new(limit: usize) -> Self {
        EvalErrors { entries: Vec::new(), count: 0, limit }
    }

    fn add(&mut self, row: usize, message: impl FnOnce() -> String) {
        self.count += 1;
        if self.entries.len() < self.limit {
            self.entries.push(EvalError { row, message: message() });
        }
    }
}

impl Default for EvalErrors {
    /// Keeps 16 entries.
    fn default() -> Self {
        EvalErrors::new(16)
    }
}

impl Expr {
    /// The expression's value for each row; null where it has none.
    pub fn eval(&self, input: &EvalInput<'_>, errors: &mut EvalErrors) -> ArrayRef {
        let mut cx = Context::new(input, errors);
        let array = cx.values(self).into_array(self.ty(), cx.len());
        cx.without_failed(array)
    }

    /// As [`Expr::eval`], but a column that was [picked](crate::row::picked) stays so.
    pub fn eval_picked(&self, input: &EvalInput<'_>, errors: &mut EvalErrors) -> ArrayRef {
        match self {
            Expr::Column(i, _) => match input.columns.get(*i) {
                Some(Some(column)) => Arc::clone(column),
                _ => self.eval(input, errors),
            },
            _ => self.eval(input, errors),
        }
    }

    /// True for the rows for which the condition holds; never null.
    pub fn filter(&self, input: &EvalInput<'_>, errors: &mut EvalErrors) -> BooleanArray {
        let mut cx = Context::new(input, errors);
        let truths = match self {
            // A null condition is no error here: it is just not true.
            Expr::Column(..)
            | Expr::Case(..)
            | Expr::Call(..)
            | Expr::Field(..)
            | Expr::Subscript(..)
            | Expr::Try(..) => {
                let array = cx.values(self).into_array(&SqlType::Boolean, cx.len());
                array.as_boolean_opt().map_or_else(|| BooleanBuffer::new_unset(array.len()), vector::true_bits)
            }
            _ => cx.truths(self),
        };
        BooleanArray::new(cx.but_failed(truths), None)
    }

    /// The expression's value when it reads no row: a literal, or a function of literals; else an error's text.
    ///
    /// # Errors
    /// The text says why there is no value.
    pub fn constant(&self) -> Result<Value, String> {
        let failures = RefCell::default();
        let value = row::eval(self, &row::RowInput { failures: Some(&failures), ..Default::default() })?;
        failures.into_inner().into_iter().next().map_or(Ok(value), Err)
    }

    /// True when it has the same value in every row: it reads no column and nothing that changes by itself.
    pub fn is_constant(&self) -> bool {
        let mut constant = true;
        self.visit(&mut |e| {
            constant &= match e {
                Expr::Column(..) | Expr::Rowtime | Expr::Rowpartition | Expr::Rowoffset | Expr::Parameter(..) => false,
                Expr::Call(f, ..) => f.is_deterministic(),
                _ => true,
            }
        });
        constant
    }

    /// Calls `f` with this expression and all within it, outermost first.
    pub fn visit(&self, f: &mut impl FnMut(&Expr)) {
        f(self);
        self.children().into_iter().for_each(|e| e.visit(f));
    }

    /// The expressions that it is made of, in order.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Column(..)
            | Expr::Rowtime
            | Expr::Rowpartition
            | Expr::Rowoffset
            | Expr::Literal(..)
            | Expr::Parameter(..) => Vec::new(),
            Expr::Binary(_, a, b, _) | Expr::Subscript(a, b, _) => vec![a, b],
            Expr::Negate(e)
            | Expr::Not(e)
            | Expr::IsNull(e)
            | Expr::Cast(e, _)
            | Expr::Try(e)
            | Expr::Field(e, _, _)
            | Expr::Lambda(_, _, e) => vec![e],
            Expr::Like { operand, pattern, .. } => vec![operand, pattern],
            Expr::In(e, list) => std::iter::once(&**e).chain(list).collect(),
            Expr::Case(branches, otherwise, _) => {
                branches.iter().flat_map(|(c, r)| [c, r]).chain(otherwise.as_deref()).collect()
            }
            Expr::Call(_, args, _) | Expr::Construct(args, _) => args.iter().collect(),
        }
    }

    /// The same expressions, mutably.
    pub fn children_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Expr::Column(..)
            | Expr::Rowtime
            | Expr::Rowpartition
            | Expr::Rowoffset
            | Expr::Literal(..)
            | Expr::Parameter(..) => Vec::new(),
            Expr::Binary(_, a, b, _) | Expr::Subscript(a, b, _) => vec![a, b],
            Expr::Negate(e)
            | Expr::Not(e)
            | Expr::IsNull(e)
            | Expr::Cast(e, _)
            | Expr::Try(e)
            | Expr::Field(e, _, _)
            | Expr::Lambda(_, _, e) => vec![e],
            Expr::Like { operand, pattern, .. } => vec![operand, pattern],
            Expr::In(e, list) => std::iter::once(&mut **e).chain(list).collect(),
            Expr::Case(branches, otherwise, _) => {
                branches.iter_mut().flat_map(|(c, r)| [c, r]).chain(otherwise.as_deref_mut()).collect()
            }
            Expr::Call(_, args, _) | Expr::Construct(args, _) => args.iter_mut().collect(),
        }
    }

    /// The columns that it reads, ascending.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns = Vec::new();
        self.visit(&mut |e| {
            if let Expr::Column(i, _) = e {
                columns.push(*i);
            }
        });
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

#[cfg(test)]
mod tests;
