//! Type names, and what formats can carry.

use super::Catalog;
use crate::plan::Format;
use crate::row::{Column, SqlType};
use crate::sql::ast::{TypeKind, TypeName};
use crate::sql::error::Diagnostic;
use crate::sql::nearest;

const NAMES: [&str; 12] = [
    "BOOLEAN",
    "INT",
    "INTEGER",
    "BIGINT",
    "DOUBLE",
    "DECIMAL",
    "STRING",
    "VARCHAR",
    "BYTES",
    "DATE",
    "TIME",
    "TIMESTAMP",
];

/// The type that a name means: one of the dialect's own, or a custom one.
pub(super) fn resolve(catalog: &Catalog, ty: &TypeName) -> Result<SqlType, Diagnostic> {
    let boxed = |t: &TypeName| resolve(catalog, t).map(Box::new);
    Ok(match &ty.kind {
        TypeKind::Name(name) | TypeKind::Sized(name, _) => match name.name.to_ascii_uppercase().as_str() {
            "BOOLEAN" => SqlType::Boolean,
            "INT" | "INTEGER" => SqlType::Int,
            "BIGINT" => SqlType::Bigint,
            "DOUBLE" => SqlType::Double,
            "STRING" | "VARCHAR" => SqlType::String,
            "BYTES" => SqlType::Bytes,
            "DATE" => SqlType::Date,
            "TIME" => SqlType::Time,
            "TIMESTAMP" => SqlType::Timestamp,
            "DECIMAL" | "NUMERIC" | "DEC" => SqlType::Decimal(38, 10),
            upper => match catalog.custom_type(&name.name).or_else(|| catalog.custom_type(upper)) {
                Some(ty) => ty.clone(),
                None => {
                    let error = Diagnostic::at(ty.span, format!("Cannot resolve unknown type: {}", name.name));
                    let names = NAMES.into_iter().chain(catalog.types().map(|(n, _)| n));
                    return Err(match nearest(upper, names) {
                        Some(other) => error.hint(format!("did you mean {other}?")),
                        None => error.hint("SHOW TYPES lists custom types"),
                    });
                }
            },
        },
        TypeKind::Decimal(precision, scale) => match (u8::try_from(*precision), u8::try_from(*scale)) {
            (Ok(0), _) => return Err(Diagnostic::at(ty.span, "DECIMAL precision must be >= 1")),
            (Ok(p), Ok(s)) if p <= 38 && s <= p => SqlType::Decimal(p, s),
            (Ok(p), Ok(_)) if p <= 38 => return Err(Diagnostic::at(ty.span, "DECIMAL precision must be >= scale")),
            _ => {
                return Err(Diagnostic::at(ty.span, format!("DECIMAL({precision}, {scale}) has more than 38 digits"))
                    .hint("weir keeps decimals of up to 38 digits"));
            }
        },
        TypeKind::Array(t) => SqlType::Array(boxed(t)?),
        TypeKind::Map(k, v) => SqlType::Map(boxed(k)?, boxed(v)?),
        TypeKind::Struct(fields) => SqlType::Struct(
            fields
                .iter()
                .map(|(n, t)| Ok((n.name.clone(), resolve(catalog, t)?)))
                .collect::<Result<_, Diagnostic>>()?,
        ),
    })
}

/// The name of a type without its parts.
pub(super) fn base_name(ty: &SqlType) -> &'static str {
    match ty {
        SqlType::Boolean => "BOOLEAN",
        SqlType::Int => "INTEGER",
        SqlType::Bigint => "BIGINT",
        SqlType::Double => "DOUBLE",
        SqlType::Decimal(..) => "DECIMAL",
        SqlType::String => "STRING",
        SqlType::Bytes => "BYTES",
        SqlType::Date => "DATE",
        SqlType::Time => "TIME",
        SqlType::Timestamp => "TIMESTAMP",
        SqlType::Array(_) => "ARRAY",
        SqlType::Map(..) => "MAP",
        SqlType::Struct(_) => "STRUCT",
    }
}

/// The name of a format.
pub(super) fn format_name(format: Format) -> &'static str {
    match format {
        Format::Json => "JSON",
        Format::Delimited { .. } => "DELIMITED",
        Format::Kafka => "KAFKA",
        Format::None => "NONE",
    }
}

/// Whether a format can carry these columns.
///
/// # Errors
/// What ksqlDB says when it cannot.
pub(super) fn check_format(format: Format, columns: &[Column], key: bool) -> Result<(), String> {
    let reason = match reason(format, columns, key) {
        None => return Ok(()),
        Some(reason) => reason,
    };
    let (what, kind) = if key { ("Key", "KEY") } else { ("Value", "") };
    Err(format!(
        "{what} format does not support schema.\nformat: {}\nschema: Persistence{{columns=[{}], features=[]}}\nreason: {reason}",
        format_name(format),
        list(columns, kind),
    ))
}

/// `` `A` INTEGER KEY, `B` STRING KEY``.
pub(super) fn list(columns: &[Column], kind: &str) -> String {
    let space = if kind.is_empty() { "" } else { " " };
    columns.iter().map(|c| format!("`{}` {}{space}{kind}", c.name, c.ty)).collect::<Vec<_>>().join(", ")
}

fn reason(format: Format, columns: &[Column], key: bool) -> Option<String> {
    let name = format_name(format);
    let unsupported = |c: &Column| format!("The '{name}' format does not support type '{}'", base_name(&c.ty));
    let nested = |c: &&Column| matches!(c.ty, SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_));
    match format {
        Format::None if !columns.is_empty() => Some(format!(
            "The 'NONE' format can only be used when no columns are defined. Got: [{}]",
            list(columns, if key { "KEY" } else { "" })
        )),
        Format::None => None,
        Format::Delimited { .. } => {
            columns.iter().find(nested).map(|c| format!("{}, column: `{}`", unsupported(c), c.name))
        }
        Format::Kafka if columns.len() > 1 => Some(format!(
            "The 'KAFKA' format only supports a single field. Got: [{}]",
            list(columns, if key { "KEY" } else { "" })
        )),
        Format::Kafka => columns
            .iter()
            .find(|c| {
                !matches!(c.ty, SqlType::Int | SqlType::Bigint | SqlType::Double | SqlType::String | SqlType::Bytes)
            })
            .map(unsupported),
        Format::Json => {
            columns.iter().any(|c| odd_map(&c.ty)).then(|| "JSON only supports MAP types with STRING keys".into())
        }
    }
}

/// True when the type has a map whose keys are not strings.
fn odd_map(ty: &SqlType) -> bool {
    match ty {
        SqlType::Map(k, v) => **k != SqlType::String || odd_map(v),
        SqlType::Array(t) => odd_map(t),
        SqlType::Struct(fields) => fields.iter().any(|(_, t)| odd_map(t)),
        _ => false,
    }
}

/// Key columns may not have maps within: their bytes have no order of their own.
///
/// # Errors
/// What ksqlDB says.
pub(super) fn check_key(columns: &[Column]) -> Result<(), String> {
    fn has_map(ty: &SqlType) -> bool {
        match ty {
            SqlType::Map(..) => true,
            SqlType::Array(t) => has_map(t),
            SqlType::Struct(fields) => fields.iter().any(|(_, t)| has_map(t)),
            _ => false,
        }
    }
    match columns.iter().find(|c| has_map(&c.ty)) {
        None => Ok(()),
        Some(c) => Err(format!(
            "Map keys, including types that contain maps, are not supported as they may lead to unexpected behavior \
             due to inconsistent serialization. Key column name: `{}`. Column type: {}. See \
             https://github.com/confluentinc/ksql/issues/6621 for more.",
            c.name, c.ty
        )),
    }
}
