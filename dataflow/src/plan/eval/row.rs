//! An expression on one row, over [`Value`]s: what each expression means, said once and plainly.
//!
//! Used where one row is looked at on its own (a pull query's filter, INSERT VALUES, a lambda's body), for the rare
//! expressions that have no vectorised form, and as the twin that the vectorised forms are tested against.

use super::super::expr::Expr;
use super::{arithmetic, cast, like};
use crate::row::{SqlType, Value};
use crate::sql::ast::BinaryOp;
use std::cell::RefCell;
use std::cmp::Ordering;

/// One row: its columns' values and what else is known of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowInput<'a> {
    /// The columns of the current row.
    pub columns: &'a [Value],
    /// ROWTIME in ms.
    pub time: i64,
    /// ROWOFFSET.
    pub offset: i64,
    /// ROWPARTITION.
    pub partition: u32,
    /// The values of the enclosing lambdas' parameters, from the outermost lambda's first.
    pub parameters: &'a [Value],
    /// Takes why parts of the expression are null instead of a value.
    pub failures: Option<&'a RefCell<Vec<String>>>,
}

/// The expression's value.
///
/// # Errors
/// Why it has none: arithmetic with null, division by zero, a cast that does not fit and the like.
pub fn eval(expr: &Expr, row: &RowInput<'_>) -> Result<Value, String> {
    match expr {
        Expr::Column(i, _) => Ok(row.columns.get(*i).cloned().unwrap_or(Value::Null)),
        Expr::Rowtime => Ok(Value::Bigint(row.time)),
        Expr::Rowpartition => Ok(Value::Int(row.partition as i32)),
        Expr::Rowoffset => Ok(Value::Bigint(row.offset)),
        Expr::Literal(v, _) => Ok(v.clone()),
        Expr::Binary(op, a, b, ty) => match op {
            BinaryOp::And => Ok(Value::Boolean(truth(a, row)? && truth(b, row)?)),
            BinaryOp::Or => Ok(Value::Boolean(truth(a, row)? || truth(b, row)?)),
            _ => binary(*op, &eval(a, row)?, &eval(b, row)?, ty),
        },
        Expr::Negate(e) => arithmetic::negate(&eval(e, row)?),
        Expr::Not(e) => Ok(Value::Boolean(!truth(e, row)?)),
        Expr::IsNull(e) => Ok(Value::Boolean(eval(e, row)?.is_null())),
        Expr::Like { operand, pattern, escape } => match (eval(operand, row)?, eval(pattern, row)?) {
            (Value::String(text), Value::String(pattern)) => {
                Ok(Value::Boolean(like::Pattern::new(&pattern, *escape).matches(&text)))
            }
            _ => Err(like::NULL.into()),
        },
        Expr::In(e, list) => {
            // All items are evaluated, also those after a match.
            let value = eval(e, row)?;
            let items = list.iter().map(|item| eval(item, row)).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::Boolean(items.iter().any(|item| compare(BinaryOp::Equal, &value, item))))
        }
        Expr::Case(branches, otherwise, _) => {
            for (condition, result) in branches {
                if truth(condition, row)? {
                    return eval(result, row);
                }
            }
            otherwise.as_ref().map_or(Ok(Value::Null), |e| eval(e, row))
        }
        Expr::Cast(e, to) => cast::cast(&eval(e, row)?, e.ty(), to),
        Expr::Try(e) => Ok(eval(e, row).unwrap_or_else(|message| {
            if let Some(failures) = row.failures {
                failures.borrow_mut().push(message);
            }
            Value::Null
        })),
        Expr::Call(function, args, ty) => function.eval(args, ty, row),
        Expr::Subscript(base, index, _) => Ok(subscript(&eval(base, row)?, &eval(index, row)?)),
        Expr::Field(base, position, _) => Ok(match eval(base, row)? {
            Value::Struct(fields) => fields.get(*position).cloned().unwrap_or(Value::Null),
            _ => Value::Null,
        }),
        Expr::Construct(parts, ty) => {
            let parts = parts.iter().map(|e| eval(e, row)).collect::<Result<Vec<_>, _>>()?;
            Ok(construct(parts, ty))
        }
        Expr::Parameter(i, _) => Ok(row.parameters.get(*i).cloned().unwrap_or(Value::Null)),
        Expr::Lambda(..) => Err("a lambda has no value of its own".into()),
    }
}

/// A condition's truth; null is an error, as it is for Java's `Boolean`.
pub(super) fn truth(expr: &Expr, row: &RowInput<'_>) -> Result<bool, String> {
    match eval(expr, row)? {
        Value::Boolean(b) => Ok(b),
        _ => Err(NULL_CONDITION.into()),
    }
}

/// What is said of a condition that is null.
pub(super) const NULL_CONDITION: &str = "a condition is null";

/// Comparison, arithmetic and concatenation of two values.
pub(super) fn binary(op: BinaryOp, a: &Value, b: &Value, ty: &SqlType) -> Result<Value, String> {
    match op {
        BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply | BinaryOp::Divide | BinaryOp::Modulo => {
            arithmetic::arithmetic(op, a, b, ty)
        }
        BinaryOp::Concat => Ok(match (a, b) {
            (Value::String(a), Value::String(b)) => Value::String(format!("{a}{b}").into()),
            (Value::Null, b) => b.clone(),
            (a, _) => a.clone(),
        }),
        _ => Ok(Value::Boolean(compare(op, a, b))),
    }
}

/// Comparison of two values of one type: false when either is null, but for IS [NOT] DISTINCT FROM.
pub(super) fn compare(op: BinaryOp, a: &Value, b: &Value) -> bool {
    let distinct = || a.is_null() != b.is_null() || (!a.is_null() && order(a, b) != Some(Ordering::Equal));
    match op {
        BinaryOp::Distinct => return distinct(),
        BinaryOp::NotDistinct => return !distinct(),
        _ => {}
    }
    if a.is_null() || b.is_null() {
        return false;
    }
    match (op, order(a, b)) {
        (_, None) => false,
        (BinaryOp::Equal, Some(o)) => o.is_eq(),
        (BinaryOp::NotEqual, Some(o)) => o.is_ne(),
        (BinaryOp::Less, Some(o)) => o.is_lt(),
        (BinaryOp::LessOrEqual, Some(o)) => o.is_le(),
        (BinaryOp::Greater, Some(o)) => o.is_gt(),
        (BinaryOp::GreaterOrEqual, Some(o)) => o.is_ge(),
        _ => false,
    }
}

/// Order of two values that are not null; none with NaN.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        _ => Some(a.cmp(b)),
    }
}

/// `array[i]` counts from 1, or from the end with -1; out of bounds is null, as is a missing key.
fn subscript(base: &Value, index: &Value) -> Value {
    match (base, index) {
        (Value::Array(items), Value::Int(i)) => item(items, i64::from(*i)),
        (Value::Array(items), Value::Bigint(i)) => item(items, *i),
        (Value::Map(entries), key) => {
            entries.iter().find(|(k, _)| k == key).map_or(Value::Null, |(_, value)| value.clone())
        }
        _ => Value::Null,
    }
}

fn item(items: &[Value], index: i64) -> Value {
    let position = if index > 0 { index - 1 } else { items.len() as i64 + index };
    match usize::try_from(position) {
        Ok(position) if index != 0 => items.get(position).cloned().unwrap_or(Value::Null),
        _ => Value::Null,
    }
}

/// `ARRAY[…]`, `MAP(…)`, `STRUCT(…)` out of their parts; of a key that stands twice the last value wins.
pub(super) fn construct(parts: Vec<Value>, ty: &SqlType) -> Value {
    match ty {
        SqlType::Array(_) => Value::Array(parts.into()),
        SqlType::Map(..) => {
            let mut entries: Vec<(Value, Value)> = Vec::with_capacity(parts.len() / 2);
            for pair in parts.chunks_exact(2) {
                match entries.iter_mut().find(|(k, _)| *k == pair[0]) {
                    Some(entry) => entry.1 = pair[1].clone(),
                    None => entries.push((pair[0].clone(), pair[1].clone())),
                }
            }
            Value::Map(entries.into())
        }
        _ => Value::Struct(parts.into()),
    }
}
