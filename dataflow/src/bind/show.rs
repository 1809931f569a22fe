//! Expressions as ksqlDB prints them in its messages: every operation in brackets, keywords in upper case.

use crate::sql::ast::{BinaryOp, Expr, ExprKind, Ident, Literal, TypeKind, TypeName, Unit};

/// Prints an expression; `column` says how a column is written.
pub(super) fn show(expr: &Expr, column: &dyn Fn(Option<&Ident>, &Ident) -> String) -> String {
    let one = |e: &Expr| show(e, column);
    let list = |items: &[Expr]| items.iter().map(one).collect::<Vec<_>>().join(", ");
    let not = |negated: &bool| if *negated { "NOT " } else { "" };
    match &expr.kind {
        ExprKind::Literal(literal) => self::literal(literal),
        ExprKind::Column { qualifier, name } => column(qualifier.as_ref(), name),
        ExprKind::Field { base, field } => format!("{}->{}", one(base), ident(field)),
        ExprKind::Subscript { base, index } => format!("{}[{}]", one(base), one(index)),
        ExprKind::Unary { negative, operand } => format!("{}{}", if *negative { "-" } else { "+" }, one(operand)),
        ExprKind::Binary { op, left, right } => format!("({} {} {})", one(left), symbol(*op), one(right)),
        ExprKind::Not(e) => format!("(NOT {})", one(e)),
        ExprKind::IsNull { operand, negated } => format!("({} IS {}NULL)", one(operand), not(negated)),
        ExprKind::Between { operand, low, high, negated } => {
            format!("({} {}BETWEEN {} AND {})", one(operand), not(negated), one(low), one(high))
        }
        ExprKind::In { operand, list: items, negated } => {
            format!("({} {}IN ({}))", one(operand), not(negated), list(items))
        }
        ExprKind::Like { operand, pattern, escape, negated } => {
            let escape = escape.map(|c| format!(" ESCAPE '{c}'")).unwrap_or_default();
            format!("({} {}LIKE {}{escape})", one(operand), not(negated), one(pattern))
        }
        ExprKind::Case { operand, branches, otherwise } => {
            let operand = operand.as_ref().map(|e| format!(" {}", one(e))).unwrap_or_default();
            let branches: String = branches.iter().map(|(c, r)| format!(" WHEN {} THEN {}", one(c), one(r))).collect();
            let otherwise = otherwise.as_ref().map(|e| format!(" ELSE {}", one(e))).unwrap_or_default();
            format!("(CASE{operand}{branches}{otherwise} END)")
        }
        ExprKind::Cast { operand, ty } => format!("CAST({} AS {})", one(operand), type_name(ty)),
        ExprKind::Call { name, star: true, .. } => format!("{}(*)", name.name),
        ExprKind::Call { name, args, .. } => format!("{}({})", name.name, list(args)),
        ExprKind::Array(items) => format!("ARRAY[{}]", list(items)),
        ExprKind::Map(pairs) => {
            let pairs: Vec<String> = pairs.iter().map(|(k, v)| format!("{}:={}", one(k), one(v))).collect();
            format!("MAP({})", pairs.join(", "))
        }
        ExprKind::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|(n, v)| format!("{}:={}", ident(n), one(v))).collect();
            format!("STRUCT({})", fields.join(", "))
        }
        ExprKind::Lambda { params, body } => {
            let params: Vec<&str> = params.iter().map(|p| p.name.as_str()).collect();
            match params.as_slice() {
                [param] => format!("{param} => {}", one(body)),
                _ => format!("({}) => {}", params.join(", "), one(body)),
            }
        }
        ExprKind::Unit(unit) => unit_name(*unit).into(),
    }
}

/// `DAYS` and so on.
pub(super) fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Days => "DAYS",
        Unit::Hours => "HOURS",
        Unit::Minutes => "MINUTES",
        Unit::Seconds => "SECONDS",
        Unit::Milliseconds => "MILLISECONDS",
    }
}

/// A name, in backquotes when it would not be read as itself without.
pub(super) fn ident(ident: &Ident) -> String {
    quoted(&ident.name)
}

/// The same for a bare name.
pub(super) fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '@');
    if plain { name.into() } else { format!("`{}`", name.replace('`', "``")) }
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Null => "null".into(),
        Literal::Boolean(b) => b.to_string(),
        Literal::Integer(v) => v.to_string(),
        Literal::Bigint(v) => v.to_string(),
        Literal::Decimal(text) | Literal::Double(text) => text.clone(),
        Literal::String(text) => format!("'{}'", text.replace('\'', "''")),
    }
}

fn symbol(op: BinaryOp) -> &'static str {
    match op {
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

fn type_name(ty: &TypeName) -> String {
    match &ty.kind {
        TypeKind::Name(name) | TypeKind::Sized(name, _) => name.name.clone(),
        TypeKind::Decimal(p, s) => format!("DECIMAL({p}, {s})"),
        TypeKind::Array(t) => format!("ARRAY<{}>", type_name(t)),
        TypeKind::Map(k, v) => format!("MAP<{}, {}>", type_name(k), type_name(v)),
        TypeKind::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|(n, t)| format!("{} {}", ident(n), type_name(t))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
    }
}
