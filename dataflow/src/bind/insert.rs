//! INSERT INTO … SELECT and INSERT INTO … VALUES.

use super::expr::Binder;
use super::items::select_span;
use super::query::{self, Purpose};
use super::scope::{Clause, Scope};
use super::types::list;
use super::with::With;
use super::{Bound, Catalog, Relation, Session};
use crate::plan::ViewKind;
use crate::plan::eval::can_cast;
use crate::plan::expr::Expr;
use crate::row::{Column, Schema, SqlType, Value};
use crate::sql::ast::{self, Ident, Properties, Query};
use crate::sql::error::Diagnostic;
use crate::sql::nearest;

/// One record to write into a stream's or table's topic.
#[derive(Clone, Debug, PartialEq)]
pub struct InsertValues {
    /// The stream or table.
    pub target: String,
    /// The key columns' values.
    pub key: Vec<Value>,
    /// The value columns' values.
    pub value: Vec<Value>,
    /// ROWTIME in ms, when the statement says it; else it is now.
    pub time: Option<i64>,
}

/// Binds INSERT INTO … SELECT.
pub(super) fn into(
    catalog: &Catalog,
    session: &Session,
    target: &Ident,
    with: &Properties,
    query: &Query,
) -> Result<Bound, Diagnostic> {
    let Some(entry) = catalog.get(&target.name) else {
        return Err(Diagnostic::at(target.span, format!("Source `{}` does not exist.", target.name)));
    };
    if entry.is_table() {
        return Err(Diagnostic::at(
            target.span,
            format!("INSERT INTO can only be used to insert into a stream. {} is a table.", target.name),
        ));
    }
    read_only(entry.relation.is_read_only(), target)?;
    if !entry.topic().headers.is_empty() {
        return Err(Diagnostic::at(
            target.span,
            format!("Cannot insert into {} because it has header columns", target.name),
        ));
    }
    let mut query_id = format!("INSERTQUERY_{}", catalog.next_number());
    for p in &with.0 {
        match (&p.value, p.name.eq_ignore_ascii_case("QUERY_ID")) {
            (ast::Literal::String(id), true) => query_id = id.to_uppercase(),
            _ => {
                return Err(Diagnostic::at(
                    p.span,
                    format!("Invalid config variable(s) in the WITH clause: {}", p.name.to_ascii_uppercase()),
                )
                .hint("INSERT INTO takes QUERY_ID only"));
            }
        }
    }
    if catalog.query(&query_id).is_some() {
        return Err(Diagnostic::at(target.span, format!("Query ID '{query_id}' already exists.")));
    }
    // The formats are the target's: they are checked against the same columns.
    let own = With {
        key_format: Some(entry.topic().key_format),
        value_format: Some(entry.topic().value_format),
        ..With::default()
    };
    let mut view =
        query::view(catalog, session, query, Purpose::Keep(&target.name), target.name.clone(), query_id, &own)?;
    if !matches!(view.kind, ViewKind::Stream(_)) {
        return Err(Diagnostic::at(
            query.span,
            "INSERT INTO can only be used to insert into a stream, but the query's result is a table.",
        ));
    }
    if view.schema != *entry.schema() {
        let text = |s: &Schema| {
            let parts = [list(&s.key, "KEY"), list(&s.value, "")];
            parts.into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join(", ")
        };
        return Err(Diagnostic::at(
            select_span(query),
            format!(
                "Incompatible schema between results and sink.\nResult schema is {}\nSink schema is {}",
                text(&view.schema),
                text(entry.schema())
            ),
        )
        .hint("names, types and their order must be the same; AS and CAST can make them so"));
    }
    view.topic = entry.topic().clone();
    Ok(Bound::Insert(view))
}

impl Relation {
    /// Declared with SOURCE: nothing may write into it.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self, Relation::Source(s) if s.queryable)
    }
}

fn read_only(is: bool, target: &Ident) -> Result<(), Diagnostic> {
    if is {
        return Err(Diagnostic::at(target.span, format!("Cannot insert into read-only source: {}", target.name)));
    }
    Ok(())
}

/// Binds INSERT INTO … VALUES.
pub(super) fn values(
    catalog: &Catalog,
    _session: &Session,
    target: &Ident,
    columns: &[Ident],
    values: &[ast::Expr],
) -> Result<Bound, Diagnostic> {
    let Some(entry) = catalog.get(&target.name) else { return Err(unknown_target(catalog, target)) };
    if entry.relation.is_read_only() {
        let kind = entry.kind().to_ascii_lowercase();
        return Err(Diagnostic::at(
            target.span,
            format!("Cannot insert values into read-only {kind}: {}", target.name),
        ));
    }
    if entry.is_windowed() {
        return Err(Diagnostic::at(target.span, "Cannot insert values into windowed stream/table!"));
    }
    let schema = entry.schema();
    let all: Vec<Ident> =
        schema.columns().map(|c| Ident { name: c.name.clone(), quoted: false, span: target.span }).collect();
    let columns = if columns.is_empty() { &all } else { columns };
    if columns.len() != values.len() {
        return Err(Diagnostic::at(
            values.iter().map(|e| e.span).reduce(crate::sql::error::Span::to).unwrap_or(target.span),
            format!(
                "Failed to prepare statement: Expected number columns and values to match: {}, {}",
                columns.len(),
                values.len()
            ),
        ));
    }
    let headers: Vec<&str> = (entry.topic().headers.iter())
        .filter_map(|(position, _)| schema.columns().nth(*position))
        .map(|c| c.name.as_str())
        .filter(|name| columns.iter().any(|c| c.name == *name))
        .collect();
    if !headers.is_empty() {
        return Err(Diagnostic::at(target.span, format!("Cannot insert into HEADER columns: {}", headers.join(", "))));
    }
    let mut row: Vec<Value> = vec![Value::Null; schema.len()];
    let mut time = None;
    for (i, (column, expr)) in columns.iter().zip(values).enumerate() {
        if columns[..i].iter().any(|c| c.name == column.name) {
            return Err(Diagnostic::at(column.span, format!("Duplicate column: {}", column.name)));
        }
        if column.name == "ROWTIME" {
            if let Value::Bigint(ms) = constant(catalog, expr, "ROWTIME", &SqlType::Bigint)? {
                time = Some(ms);
            }
            continue;
        }
        if ["ROWPARTITION", "ROWOFFSET"].contains(&column.name.as_str()) {
            return Err(Diagnostic::at(
                column.span,
                format!("Inserting into column `{}` is not allowed.", column.name),
            ));
        }
        let Some(position) = schema.position(&column.name) else {
            let error = Diagnostic::at(column.span, format!("Column name {} does not exist.", column.name));
            return Err(match nearest(&column.name, schema.columns().map(|c| c.name.as_str())) {
                Some(other) => error.hint(format!("did you mean {other}?")),
                None => error,
            });
        };
        let ty = schema.columns().nth(position).map_or(&SqlType::String, |c| &c.ty);
        row[position] = constant(catalog, expr, &column.name, ty)?;
    }
    let value = row.split_off(schema.key.len());
    if entry.is_table() {
        let missing = |(column, value): (&Column, &Value)| value.is_null().then(|| column.name.clone());
        if let Some(name) = schema.key.iter().zip(&row).find_map(missing) {
            return Err(Diagnostic::at(
                target.span,
                format!(
                    "Failed to insert values into '{}'. Value for primary key column(s) {name} is required for tables",
                    target.name
                ),
            ));
        }
    }
    Ok(Bound::InsertValues(InsertValues { target: target.name.clone(), key: row, value, time }))
}

/// What is said of a target that does not exist; perhaps it does in another case.
fn unknown_target(catalog: &Catalog, target: &Ident) -> Diagnostic {
    let mut message = format!("Cannot insert values into an unknown stream/table: `{}`", target.name);
    if let Some(other) = catalog.entries().find(|e| e.name().eq_ignore_ascii_case(&target.name)) {
        let plain = super::show::quoted(other.name()) == other.name();
        message.push_str(&if plain {
            format!("\nDid you mean {}? Hint: try removing double quotes from the source name.", other.name())
        } else {
            format!(
                "\nDid you mean \"{}\"? Hint: wrap the source name in double quotes to make it case-sensitive.",
                other.name()
            )
        });
        return Diagnostic::at(target.span, message);
    }
    let error = Diagnostic::at(target.span, message);
    match nearest(&target.name, catalog.entries().map(super::Entry::name)) {
        Some(other) => error.hint(format!("did you mean {other}?")),
        None => error,
    }
}

/// The value of an expression that reads no row, as a column's type.
fn constant(catalog: &Catalog, expr: &ast::Expr, column: &str, ty: &SqlType) -> Result<Value, Diagnostic> {
    let scope = Scope::default();
    let typed = Binder::new(catalog, &scope, Clause::Values).bind(expr)?;
    let fits = match typed.ty() {
        None => true,
        Some(from) => coerces(from, ty, &typed.expr),
    };
    let given = super::operators::type_text(typed.ty());
    let refuse = || {
        Diagnostic::at(expr.span, format!("Expected type {ty} for field `{column}` but got {given}"))
            .hint(format!("CAST makes a {ty} of it, where there is a cast"))
    };
    if !fits {
        return Err(refuse());
    }
    typed.cast(ty).constant().map_err(|reason| Diagnostic::at(expr.span, format!("Failed to insert values: {reason}")))
}

/// What INSERT VALUES makes of a value by itself: wider numbers, times out of text, parts of collections alike.
fn coerces(from: &SqlType, to: &SqlType, expr: &Expr) -> bool {
    use SqlType as T;
    match (from, to) {
        (a, b) if a == b => true,
        (T::Int, T::Bigint | T::Double | T::Decimal(..)) | (T::Bigint, T::Double | T::Decimal(..)) => true,
        (T::Decimal(..), T::Double | T::Decimal(..)) => true,
        (T::String, T::Date | T::Time | T::Timestamp) => true,
        (T::String, T::Int | T::Bigint | T::Double | T::Decimal(..) | T::Boolean) => matches!(expr, Expr::Literal(..)),
        (T::Array(_), T::Array(_)) | (T::Map(..), T::Map(..)) | (T::Struct(_), T::Struct(_)) => can_cast(from, to),
        _ => false,
    }
}
