//! The types of operators: what they take, what is widened, what they give.

use super::expr::Typed;
use super::types::base_name;
use crate::plan::eval::{can_cast, decimal_result, parse_decimal};
use crate::plan::expr::Expr;
use crate::plan::functions::wider;
use crate::row::{SqlType, Value, datetime};
use crate::sql::ast::BinaryOp;

/// A type's name in messages; NULL has none.
pub(super) fn type_text(ty: Option<&SqlType>) -> String {
    ty.map_or("null".into(), ToString::to_string)
}

/// Arithmetic, or `+` of strings; the error is ksqlDB's text without the expression.
pub(super) fn arithmetic(op: BinaryOp, left: Typed, right: Typed) -> Result<Expr, String> {
    let message =
        format!("Arithmetic on types {} and {} are not supported.", type_text(left.ty()), type_text(right.ty()));
    let (Some(a), Some(b)) = (left.ty().cloned(), right.ty().cloned()) else { return Err(message) };
    let binary = |l: Expr, r: Expr, ty: SqlType| Expr::Binary(op, Box::new(l), Box::new(r), ty);
    if a == SqlType::String && b == SqlType::String && op == BinaryOp::Add {
        return Ok(binary(left.expr, right.expr, SqlType::String));
    }
    if !a.is_numeric() || !b.is_numeric() {
        return Err(message);
    }
    let digits = |ty: &SqlType| match ty {
        SqlType::Int => (10, 0),
        SqlType::Decimal(p, s) => (*p, *s),
        _ => (19, 0),
    };
    let is_decimal = |ty: &SqlType| matches!(ty, SqlType::Decimal(..));
    if (is_decimal(&a) || is_decimal(&b)) && a != SqlType::Double && b != SqlType::Double {
        let ((p1, s1), (p2, s2)) = (digits(&a), digits(&b));
        let (precision, scale) = decimal_result(op, (p1, s1), (p2, s2));
        let left = left.cast(&SqlType::Decimal(p1, s1));
        let right = right.cast(&SqlType::Decimal(p2, s2));
        return Ok(binary(left, right, SqlType::Decimal(precision, scale)));
    }
    let ty = wider(&a, &b).unwrap_or(SqlType::Double);
    Ok(binary(left.cast(&ty), right.cast(&ty), ty))
}

/// ksqlDB's name of a comparison.
fn comparison_name(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Equal => "EQUAL",
        BinaryOp::NotEqual => "NOT_EQUAL",
        BinaryOp::Less => "LESS_THAN",
        BinaryOp::LessOrEqual => "LESS_THAN_OR_EQUAL",
        BinaryOp::Greater => "GREATER_THAN",
        BinaryOp::GreaterOrEqual => "GREATER_THAN_OR_EQUAL",
        BinaryOp::Distinct => "IS_DISTINCT_FROM",
        _ => "IS_NOT_DISTINCT_FROM",
    }
}

/// A comparison; `text` prints the two sides for the error.
pub(super) fn comparison(
    op: BinaryOp,
    left: Typed,
    right: Typed,
    text: impl Fn() -> (String, String),
) -> Result<Expr, String> {
    let distinct = matches!(op, BinaryOp::Distinct | BinaryOp::NotDistinct);
    let (left, right) = match (left.ty().cloned(), right.ty().cloned()) {
        (a, b) if !distinct && (a.is_none() || b.is_none()) => {
            let name = |t: Option<SqlType>| t.map_or("NULL".into(), |t| t.to_string());
            return Err(format!(
                "Comparison with NULL not supported: {} {} {}\nUse 'IS NULL' or 'IS NOT NULL' instead.",
                name(a),
                symbol(op),
                name(b)
            ));
        }
        (None, None) => (left.cast(&SqlType::String), right.cast(&SqlType::String)),
        (Some(ty), None) | (None, Some(ty)) => (left.cast(&ty), right.cast(&ty)),
        (Some(a), Some(b)) => match common(op, &a, &b) {
            Some(ty) => (left.cast_text(&ty)?, right.cast_text(&ty)?),
            None => {
                let (l, r) = text();
                return Err(format!("Cannot compare {l} ({a}) to {r} ({b}) with {}.", comparison_name(op)));
            }
        },
    };
    Ok(Expr::Binary(op, Box::new(left), Box::new(right), SqlType::Boolean))
}

fn symbol(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Equal => "=",
        BinaryOp::NotEqual => "<>",
        BinaryOp::Less => "<",
        BinaryOp::LessOrEqual => "<=",
        BinaryOp::Greater => ">",
        _ => ">=",
    }
}

/// The type in which two types are compared.
fn common(op: BinaryOp, a: &SqlType, b: &SqlType) -> Option<SqlType> {
    use SqlType as T;
    let equality = matches!(op, BinaryOp::Equal | BinaryOp::NotEqual | BinaryOp::Distinct | BinaryOp::NotDistinct);
    match (a, b) {
        (a, b) if a.is_numeric() && b.is_numeric() => wider(a, b),
        (T::String, T::String) => Some(T::String),
        (T::Bytes, T::Bytes) => Some(T::Bytes),
        (t @ (T::Date | T::Time | T::Timestamp), T::String) | (T::String, t @ (T::Date | T::Time | T::Timestamp)) => {
            Some(t.clone())
        }
        (T::Date, T::Timestamp) | (T::Timestamp, T::Date) => Some(T::Timestamp),
        (T::Date, T::Date) | (T::Time, T::Time) | (T::Timestamp, T::Timestamp) => Some(a.clone()),
        (a, b) if a == b && equality => Some(a.clone()),
        _ => None,
    }
}

/// The common type of values that stand for one another (branches, elements, lists): a string literal among numbers
/// is read as a number.
pub(super) fn unify(a: &SqlType, b: &SqlType) -> Option<SqlType> {
    use SqlType as T;
    match (a, b) {
        (a, b) if a == b => Some(a.clone()),
        (a, b) if a.is_numeric() && b.is_numeric() => wider(a, b),
        (T::Array(a), T::Array(b)) => Some(T::Array(Box::new(unify(a, b)?))),
        (T::Map(k1, v1), T::Map(k2, v2)) => Some(T::Map(Box::new(unify(k1, k2)?), Box::new(unify(v1, v2)?))),
        (T::Struct(a), T::Struct(b)) => {
            let mut fields = a.clone();
            for (name, ty) in b {
                match fields.iter_mut().find(|(n, _)| n == name) {
                    Some((_, known)) => *known = unify(known, ty)?,
                    None => fields.push((name.clone(), ty.clone())),
                }
            }
            Some(T::Struct(fields))
        }
        _ => None,
    }
}

/// The common type of a list that is written out, from this item on: the first one that is not NULL leads, numbers widen,
/// text among numbers is read as a number, and any literal stands among texts as text.
///
/// # Errors
/// What ksqlDB says of an item that does not fit; `text` prints it.
pub(super) fn common_type(known: &SqlType, item: &Typed, text: impl Fn() -> String) -> Result<SqlType, String> {
    let Some(ty) = item.ty() else { return Ok(known.clone()) };
    let is_literal = matches!(item.expr, Expr::Literal(..));
    match (known, &item.expr) {
        (known, Expr::Literal(Value::String(s), _)) if known.is_numeric() => {
            let number = number_type(s).and_then(|number| wider(known, &number));
            number.ok_or_else(|| format!("invalid input syntax for type {}: \"{s}\".", base_name(known)))
        }
        // Whether it says a value of the type shows when it is cast.
        (known, Expr::Literal(Value::String(_), _)) => Ok(known.clone()),
        (SqlType::String, _) if is_literal && (ty.is_numeric() || *ty == SqlType::Boolean) => Ok(SqlType::String),
        _ => unify(known, ty).or_else(|| constructed(&item.expr, known)).ok_or_else(|| {
            format!(
                "operator does not exist: {known} = {ty} ({})\nHint: You might need to add explicit type casts.",
                text()
            )
        }),
    }
}

/// The type of the number that a text says.
fn number_type(text: &str) -> Option<SqlType> {
    let text = text.trim();
    let decimal = parse_decimal(text)?;
    if !text.contains(['.', 'e', 'E']) {
        if text.parse::<i32>().is_ok() {
            return Some(SqlType::Int);
        }
        if text.parse::<i64>().is_ok() {
            return Some(SqlType::Bigint);
        }
    }
    let digits = decimal.unscaled.unsigned_abs().to_string().len();
    Some(SqlType::Decimal(u8::try_from(digits).ok()?.max(decimal.scale), decimal.scale))
}

/// An array, map or struct that is written out may take the type of what it is compared with.
fn constructed(expr: &Expr, ty: &SqlType) -> Option<SqlType> {
    match (expr, expr.ty(), ty) {
        (
            Expr::Construct(..) | Expr::Literal(..),
            SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_),
            SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_),
        ) if can_cast(expr.ty(), ty) => Some(ty.clone()),
        _ => None,
    }
}

/// What a text says of a window's bound or a ROWTIME, in ms.
pub(super) fn datetime_literal(text: &str) -> Option<Value> {
    datetime::parse_timestamp(text).map(Value::Bigint)
}
