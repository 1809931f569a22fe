//! Syntax trees back to text.
//!
//! `{}` prints SQL that parses to the same tree, spans aside: brackets around every operator, quotes around every
//! name that needs them or had them. `{:#}` prints an expression or a type the way ksqlDB's messages quote it, with
//! bare names: `(STATUS > 400)`.

mod expression;
mod query;
mod statement;

use std::fmt::{self, Display, Formatter};

use super::ast::{Duration, Ident, Literal, TypeKind, TypeName, Unit};
use super::words;

impl Display for Ident {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if f.alternate() || !self.quoted && words::is_plain(&self.name) {
            f.write_str(&self.name)
        } else {
            write!(f, "`{}`", self.name.replace('`', "``"))
        }
    }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Null => f.write_str(if f.alternate() { "null" } else { "NULL" }),
            Literal::Boolean(true) => f.write_str(if f.alternate() { "true" } else { "TRUE" }),
            Literal::Boolean(false) => f.write_str(if f.alternate() { "false" } else { "FALSE" }),
            Literal::Integer(number) => write!(f, "{number}"),
            Literal::Bigint(number) => write!(f, "{number}"),
            Literal::Decimal(text) => f.write_str(text),
            Literal::Double(text) => match text.parse::<f64>() {
                Ok(number) if f.alternate() => write!(f, "{number:E}"),
                _ => f.write_str(text),
            },
            Literal::String(text) => string(f, text),
        }
    }
}

impl Display for TypeName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            TypeKind::Name(name) if f.alternate() => f.write_str(full_name(&name.name)),
            TypeKind::Sized(name, _) if f.alternate() => f.write_str(full_name(&name.name)),
            TypeKind::Name(name) => name.fmt(f),
            TypeKind::Sized(name, size) => write!(f, "{name}({size})"),
            TypeKind::Decimal(precision, scale) => write!(f, "DECIMAL({precision}, {scale})"),
            TypeKind::Array(element) => enclosed(f, "ARRAY<", element.as_ref(), ">"),
            TypeKind::Map(key, value) => {
                enclosed(f, "MAP<", key.as_ref(), ", ")?;
                enclosed(f, "", value.as_ref(), ">")
            }
            TypeKind::Struct(fields) => {
                f.write_str("STRUCT<")?;
                each(f, fields, |f, (name, ty)| {
                    name.fmt(f)?;
                    enclosed(f, " ", ty, "")
                })?;
                f.write_str(">")
            }
        }
    }
}

impl Display for Unit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Days => "DAYS",
            Unit::Hours => "HOURS",
            Unit::Minutes => "MINUTES",
            Unit::Seconds => "SECONDS",
            Unit::Milliseconds => "MILLISECONDS",
        })
    }
}

impl Display for Duration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.unit)
    }
}

/// The name that ksqlDB has for a type of several names.
fn full_name(name: &str) -> &str {
    match name {
        "INT" => "INTEGER",
        "VARCHAR" => "STRING",
        _ => name,
    }
}

fn string(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "'{}'", text.replace('\'', "''"))
}

/// Something between two texts, in the form (`{}` or `{:#}`) of the whole.
fn enclosed(f: &mut Formatter<'_>, before: &str, inner: &dyn Display, after: &str) -> fmt::Result {
    f.write_str(before)?;
    inner.fmt(f)?;
    f.write_str(after)
}

/// All of them, with commas between.
fn each<T>(f: &mut Formatter<'_>, all: &[T], one: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result) -> fmt::Result {
    for (index, item) in all.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        one(f, item)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
