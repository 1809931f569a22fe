//! Expressions.

use std::fmt::{self, Display, Formatter};

use super::super::ast::{BinaryOp, Expr, ExprKind, Literal};
use super::{each, enclosed, string};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if f.alternate() && is_negated(&self.kind) {
            f.write_str("(NOT ")?;
            positive(f, &self.kind)?;
            return f.write_str(")");
        }
        positive(f, &self.kind)
    }
}

/// The predicates that ksqlDB keeps, and its messages quote, as NOT and the predicate without it.
fn is_negated(kind: &ExprKind) -> bool {
    matches!(
        kind,
        ExprKind::Between { negated: true, .. }
            | ExprKind::In { negated: true, .. }
            | ExprKind::Like { negated: true, .. }
            | ExprKind::Binary { op: BinaryOp::NotDistinct, .. }
    )
}

/// The expression; in `{:#}` without the NOT of a predicate.
fn positive(f: &mut Formatter<'_>, kind: &ExprKind) -> fmt::Result {
    match kind {
        ExprKind::Literal(literal) => literal.fmt(f),
        ExprKind::Column { qualifier: None, name } => name.fmt(f),
        ExprKind::Column { qualifier: Some(qualifier), name } => {
            // `A.1B` would be `A` and the number `.1`.
            let number = !name.quoted && name.name.starts_with(|c: char| c.is_ascii_digit());
            enclosed(f, "", qualifier, if number && !f.alternate() { ". " } else { "." })?;
            name.fmt(f)
        }
        ExprKind::Field { base, field } => {
            postfix_base(f, base)?;
            enclosed(f, "->", field, "")
        }
        ExprKind::Subscript { base, index } => {
            postfix_base(f, base)?;
            enclosed(f, "[", index.as_ref(), "]")
        }
        ExprKind::Unary { negative, operand } => unary(f, *negative, operand),
        ExprKind::Binary { op: BinaryOp::Concat, left, right } if f.alternate() => {
            enclosed(f, "concat(", left.as_ref(), ", ")?;
            enclosed(f, "", right.as_ref(), ")")
        }
        ExprKind::Binary { op, left, right } => {
            enclosed(f, "(", left.as_ref(), " ")?;
            let positive = *op == BinaryOp::NotDistinct && f.alternate();
            f.write_str(if positive { BinaryOp::Distinct.symbol() } else { op.symbol() })?;
            enclosed(f, " ", right.as_ref(), ")")
        }
        ExprKind::Not(operand) => enclosed(f, "(NOT ", operand.as_ref(), ")"),
        ExprKind::IsNull { operand, negated } => {
            enclosed(f, "(", operand.as_ref(), if *negated { " IS NOT NULL)" } else { " IS NULL)" })
        }
        ExprKind::Between { operand, low, high, negated } => {
            let not = not(f, *negated);
            enclosed(f, "(", operand.as_ref(), not)?;
            enclosed(f, " BETWEEN ", low.as_ref(), " AND ")?;
            enclosed(f, "", high.as_ref(), ")")
        }
        ExprKind::In { operand, list, negated } => {
            let not = not(f, *negated);
            enclosed(f, "(", operand.as_ref(), not)?;
            f.write_str(" IN (")?;
            each(f, list, |f, item| item.fmt(f))?;
            f.write_str("))")
        }
        ExprKind::Like { operand, pattern, escape, negated } => {
            let not = not(f, *negated);
            enclosed(f, "(", operand.as_ref(), not)?;
            enclosed(f, " LIKE ", pattern.as_ref(), "")?;
            if let Some(escape) = escape {
                f.write_str(" ESCAPE ")?;
                string(f, &escape.to_string())?;
            }
            f.write_str(")")
        }
        ExprKind::Case { operand, branches, otherwise } => {
            f.write_str("(CASE")?;
            if let Some(operand) = operand {
                enclosed(f, " ", operand.as_ref(), "")?;
            }
            for (when, then) in branches {
                enclosed(f, " WHEN ", when, "")?;
                enclosed(f, " THEN ", then, "")?;
            }
            if let Some(otherwise) = otherwise {
                enclosed(f, " ELSE ", otherwise.as_ref(), "")?;
            }
            f.write_str(" END)")
        }
        ExprKind::Cast { operand, ty } => {
            enclosed(f, "CAST(", operand.as_ref(), " AS ")?;
            enclosed(f, "", ty, ")")
        }
        ExprKind::Call { name, args, star } => {
            enclosed(f, "", name, "(")?;
            if *star || f.alternate() && args.is_empty() && name.name == "COUNT" {
                f.write_str("*")?;
            }
            each(f, args, |f, arg| arg.fmt(f))?;
            f.write_str(")")
        }
        ExprKind::Array(items) => {
            f.write_str("ARRAY[")?;
            each(f, items, |f, item| item.fmt(f))?;
            f.write_str("]")
        }
        ExprKind::Map(entries) => {
            f.write_str("MAP(")?;
            each(f, entries, |f, (key, value)| assignment(f, key, value))?;
            f.write_str(")")
        }
        ExprKind::Struct(fields) => {
            f.write_str("STRUCT(")?;
            each(f, fields, |f, (name, value)| assignment(f, name, value))?;
            f.write_str(")")
        }
        ExprKind::Lambda { params, body } => {
            f.write_str("(")?;
            each(f, params, |f, param| param.fmt(f))?;
            enclosed(f, ") => ", body.as_ref(), "")
        }
        ExprKind::Unit(unit) => unit.fmt(f),
    }
}

/// ` NOT`, which `{:#}` has said before.
fn not(f: &Formatter<'_>, negated: bool) -> &'static str {
    if negated && !f.alternate() { " NOT" } else { "" }
}

fn assignment(f: &mut Formatter<'_>, name: &dyn Display, value: &Expr) -> fmt::Result {
    enclosed(f, "", name, if f.alternate() { ":=" } else { " := " })?;
    value.fmt(f)
}

/// The sign and its operand, so that neither `--` nor a signed number comes of it.
fn unary(f: &mut Formatter<'_>, negative: bool, operand: &Expr) -> fmt::Result {
    f.write_str(if negative { "-" } else { "+" })?;
    let signed = matches!(operand.kind, ExprKind::Literal(_) | ExprKind::Unary { .. });
    if !f.alternate() && signed {
        return enclosed(f, "(", operand, ")");
    }
    enclosed(f, if negative && begins_with_minus(operand) { " " } else { "" }, operand, "")
}

fn begins_with_minus(expr: &Expr) -> bool {
    if let ExprKind::Field { base, .. } | ExprKind::Subscript { base, .. } = &expr.kind {
        return begins_with_minus(base);
    }
    if let ExprKind::Literal(Literal::Decimal(text) | Literal::Double(text)) = &expr.kind {
        return text.starts_with('-');
    }
    matches!(
        expr.kind,
        ExprKind::Unary { negative: true, .. }
            | ExprKind::Literal(Literal::Integer(i32::MIN..0) | Literal::Bigint(i64::MIN..0))
    )
}

/// What `->` or `[` follows, in brackets where it would otherwise be read as something else.
fn postfix_base(f: &mut Formatter<'_>, base: &Expr) -> fmt::Result {
    let unsafe_bare = if let ExprKind::Column { qualifier: None, name } = &base.kind {
        !name.quoted && name.name == "ARRAY"
    } else {
        matches!(base.kind, ExprKind::Literal(_) | ExprKind::Unary { .. } | ExprKind::Lambda { .. } | ExprKind::Unit(_))
    };
    if unsafe_bare && !f.alternate() { enclosed(f, "(", base, ")") } else { base.fmt(f) }
}

impl BinaryOp {
    /// How it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::Modulo => "%",
            BinaryOp::Concat => "||",
            BinaryOp::Equal => "=",
            BinaryOp::NotEqual => "<>",
            BinaryOp::Less => "<",
            BinaryOp::LessOrEqual => "<=",
            BinaryOp::Greater => ">",
            BinaryOp::GreaterOrEqual => ">=",
            BinaryOp::Distinct => "IS DISTINCT FROM",
            BinaryOp::NotDistinct => "IS NOT DISTINCT FROM",
            BinaryOp::And => "AND",
            BinaryOp::Or => "OR",
        }
    }
}
