//! Scalar functions in one table: name, signatures, doc, evaluation.
//!
//! [`definitions`] lists them (SHOW FUNCTIONS), [`find`] gives one by name (DESCRIBE FUNCTION), [`resolve`] picks the
//! signature for the types of a call's arguments, as ksqlDB does: an exact match first, then one that widens numbers
//! (INTEGER → BIGINT → DECIMAL → DOUBLE), a variadic one last. To add a function, add a definition to the list of its
//! family; what it means for a row is enough, and a form for whole columns can be added where it is hot.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "an operation names the few types and values that it takes; all others are refused or null"
)]

mod arbitrary;
mod bytes;
mod collections;
mod json;
mod lambdas;
mod nulls;
mod numbers;
mod regexp;
mod signature;
pub mod table;
mod text;
mod time;
mod url;

pub use signature::{Definition, Parameter, Resolved, Returns, Signature, near_function};
pub(crate) use signature::{Given, accept, resolve_lambdas, wider};

use super::eval::row::{self, RowInput};
use super::expr::Expr;
use crate::row::{Decimal, SqlType, Value};
use arrow_array::ArrayRef;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

/// A scalar function, as the position of its signature in the table of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Function(pub u16);

/// A call on one row.
pub(crate) struct Call<'a> {
    /// The arguments' values; a lambda's is null.
    pub(crate) values: &'a [Value],
    /// The arguments, for their types.
    pub(crate) args: &'a [Expr],
    /// The result's type.
    pub(crate) ty: &'a SqlType,
    /// The row that the call is for.
    pub(crate) row: &'a RowInput<'a>,
}

impl Call<'_> {
    fn text(&self, i: usize) -> Option<&str> {
        match self.values.get(i) {
            Some(Value::String(s)) => Some(s),
            _ => None,
        }
    }

    fn int(&self, i: usize) -> Option<i32> {
        match self.values.get(i) {
            Some(Value::Int(v) | Value::Date(v) | Value::Time(v)) => Some(*v),
            _ => None,
        }
    }

    fn bigint(&self, i: usize) -> Option<i64> {
        match self.values.get(i) {
            Some(Value::Bigint(v) | Value::Timestamp(v)) => Some(*v),
            Some(Value::Int(v)) => Some(i64::from(*v)),
            _ => None,
        }
    }

    fn double(&self, i: usize) -> Option<f64> {
        match self.values.get(i) {
            Some(Value::Double(v)) => Some(*v),
            _ => None,
        }
    }

    fn decimal(&self, i: usize) -> Option<Decimal> {
        match self.values.get(i) {
            Some(Value::Decimal(v)) => Some(*v),
            _ => None,
        }
    }

    fn bytes(&self, i: usize) -> Option<&[u8]> {
        match self.values.get(i) {
            Some(Value::Bytes(v)) => Some(v),
            _ => None,
        }
    }

    fn array(&self, i: usize) -> Option<&[Value]> {
        match self.values.get(i) {
            Some(Value::Array(v)) => Some(v),
            _ => None,
        }
    }

    /// The value of a lambda for these parameters.
    fn apply(&self, i: usize, params: &[&Value]) -> Result<Value, String> {
        let Some(Expr::Lambda(first, _, body)) = self.args.get(i) else { return Err("a lambda is missing".into()) };
        let outer = self.row.parameters.iter().take(*first).cloned();
        let parameters: smallvec::SmallVec<[Value; 4]> = outer.chain(params.iter().map(|v| (*v).clone())).collect();
        row::eval(body, &RowInput { parameters: &parameters, ..*self.row })
    }

    fn map(&self, i: usize) -> Option<&[(Value, Value)]> {
        match self.values.get(i) {
            Some(Value::Map(v)) => Some(v),
            _ => None,
        }
    }
}

/// A STRING.
fn string(text: impl Into<Arc<str>>) -> Value {
    Value::String(text.into())
}

thread_local! {
    static NOW: std::cell::Cell<i64> = const { std::cell::Cell::new(0) };
}

/// Tells the functions of this thread what time it is, in ms since the epoch: they have no clock of their own.
pub fn set_now(ms: i64) {
    NOW.set(ms);
}

/// What [`set_now`] was told last.
fn now() -> i64 {
    NOW.get()
}

/// What a text compiles to, kept for the next rows: a pattern is mostly the same for all of them.
struct Compiled<T>(RefCell<HashMap<String, Option<Rc<T>>>>);

impl<T> Compiled<T> {
    fn new() -> Self {
        Compiled(RefCell::new(HashMap::new()))
    }

    /// The compiled text; none when it does not compile.
    fn get(&self, text: &str, compile: impl FnOnce(&str) -> Option<T>) -> Option<Rc<T>> {
        /// Patterns that come with the rows must not fill the memory.
        const MOST: usize = 64;
        let mut known = self.0.borrow_mut();
        if let Some(found) = known.get(text) {
            return found.clone();
        }
        if known.len() >= MOST {
            known.clear();
        }
        let compiled = compile(text).map(Rc::new);
        known.insert(text.into(), compiled.clone());
        compiled
    }
}

/// What a function does on one row.
#[derive(Clone, Copy)]
pub(crate) enum RowFunction {
    /// `None` is null.
    Maybe(fn(&Call<'_>) -> Option<Value>),
    /// An error is null for the whole expression, and an entry for the processing log.
    Try(fn(&Call<'_>) -> Result<Value, String>),
}

/// A function's form for whole columns; `None` when it does not take these columns.
pub(crate) type ColumnFunction = fn(&[ArrayRef], &SqlType) -> Option<ArrayRef>;

/// All signatures of all functions; a [`Function`] is a position in here.
static SIGNATURES: LazyLock<Vec<(&'static Definition, &'static Signature)>> =
    LazyLock::new(|| definitions().flat_map(|d| d.signatures.iter().map(move |s| (d, s))).collect());

/// All functions, by family.
pub fn definitions() -> impl Iterator<Item = &'static Definition> {
    [
        text::FUNCTIONS,
        regexp::FUNCTIONS,
        numbers::FUNCTIONS,
        nulls::FUNCTIONS,
        time::FUNCTIONS,
        json::FUNCTIONS,
        url::FUNCTIONS,
        bytes::FUNCTIONS,
        collections::FUNCTIONS,
        lambdas::FUNCTIONS,
        arbitrary::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
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
        let call = Call { values: &values, args, ty, row };
        match signature.eval {
            RowFunction::Maybe(f) => Ok(f(&call).unwrap_or(Value::Null)),
            RowFunction::Try(f) => f(&call),
        }
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
