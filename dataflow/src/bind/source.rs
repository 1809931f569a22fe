//! CREATE STREAM and CREATE TABLE with columns, and ALTER.

use super::with::{With, parse_format};
use super::{Bound, Catalog, Relation, Session, types};
use crate::plan::{Format, Source, TopicSpec};
use crate::row::{Column, Schema, SqlType};
use crate::sql::ast::{ColumnRole, CreateSource, Ident, TypeName};
use crate::sql::error::Diagnostic;

/// Names that columns of a source may not have.
const RESERVED: [&str; 5] = ["ROWTIME", "ROWPARTITION", "ROWOFFSET", "WINDOWSTART", "WINDOWEND"];

/// Binds a declaration.
pub(super) fn create(catalog: &Catalog, session: &Session, create: &CreateSource) -> Result<Bound, Diagnostic> {
    let kind = if create.table { "table" } else { "stream" };
    let name = &create.name;
    if create.source && create.or_replace {
        return Err(Diagnostic::at(
            name.span,
            format!("Cannot add {kind} '{}': CREATE OR REPLACE is not supported on source {kind}s.", name.name),
        ));
    }
    if let Some(done) = exists(catalog, name, kind, create.or_replace, create.if_not_exists)? {
        return Ok(done);
    }
    let with = With::read(&create.with, true)?;
    let Some(topic) = with.topic.clone() else {
        return Err(Diagnostic::at(name.span, "Missing required property \"KAFKA_TOPIC\" which has no default value.")
            .hint("add WITH (kafka_topic='…', value_format='json')"));
    };
    let (schema, headers) = columns(catalog, create)?;
    let key_format =
        with.key_format_or(default_format(session, "ksql.persistence.default.format.key", Format::Kafka)?)?;
    let value_format = match (with.value_format, session.properties.get("ksql.persistence.default.format.value")) {
        (Some(format), _) => with.value_format_or(format)?,
        (None, Some(name)) => with.value_format_or(parse_format(name)?)?,
        (None, None) => {
            return Err(Diagnostic::at(
                name.span,
                "Statement is missing the 'VALUE_FORMAT' property from the WITH clause. Either provide one or set a \
                 default via the 'ksql.persistence.default.format.value' config.",
            )
            .hint("add value_format='json'"));
        }
    };
    if schema.is_empty() {
        return Err(Diagnostic::at(name.span, "The statement does not define any columns.")
            .hint("list the columns: (name type, …)"));
    }
    if create.table && schema.key.is_empty() {
        return Err(Diagnostic::at(name.span, "Tables require a PRIMARY KEY. Please define the PRIMARY KEY.")
            .hint("write PRIMARY KEY behind the type of the column that is the record's key"));
    }
    with.check_formats(key_format, value_format, &schema)?;
    let topic = TopicSpec {
        topic,
        partitions: with.partitions,
        replicas: with.replicas,
        key_format,
        value_format,
        wrap_single_value: with.wrap(session, value_format, &schema)?,
        timestamp: with.timestamp_column(&schema)?,
        window: with.window,
        headers,
    };
    Ok(Bound::Source(Source { name: name.name.clone(), table: create.table, queryable: create.source, schema, topic }))
}

/// What to do when the name is taken: `Some` when there is nothing to do.
pub(super) fn exists(
    catalog: &Catalog,
    name: &Ident,
    kind: &str,
    or_replace: bool,
    if_not_exists: bool,
) -> Result<Option<Bound>, Diagnostic> {
    let Some(entry) = catalog.get(&name.name) else { return Ok(None) };
    let other = entry.kind().to_ascii_lowercase();
    let read_only = entry.relation.is_read_only();
    let message = format!("Cannot add {kind} '{}': A {other} with the same name already exists", name.name);
    if if_not_exists {
        return Ok(Some(Bound::Nothing(message)));
    }
    if or_replace && read_only {
        return Err(Diagnostic::at(
            name.span,
            format!("Cannot add {kind} '{}': CREATE OR REPLACE is not supported on source {kind}s.", name.name),
        ));
    }
    if or_replace && other == kind {
        return Ok(None);
    }
    let hint = if other == kind {
        format!("use CREATE OR REPLACE, or DROP {} {} first", kind.to_uppercase(), name.name)
    } else {
        format!("DROP {} {} first", other.to_uppercase(), name.name)
    };
    Err(Diagnostic::at(name.span, message).hint(hint))
}

/// A format that the session sets as default.
pub(super) fn default_format(session: &Session, property: &str, default: Format) -> Result<Format, Diagnostic> {
    session.properties.get(property).map_or(Ok(default), |name| parse_format(name))
}

type Headers = Vec<(usize, Option<String>)>;

fn columns(catalog: &Catalog, create: &CreateSource) -> Result<(Schema, Headers), Diagnostic> {
    let mut schema = Schema::default();
    let mut headers: Vec<(String, Option<String>)> = Vec::new();
    for column in &create.columns {
        let name = &column.name;
        let ty = types::resolve(catalog, &column.ty)?;
        if RESERVED.contains(&name.name.as_str()) {
            return Err(Diagnostic::at(
                name.span,
                format!("'{}' is a reserved column name. You cannot use it as a name for a column.", name.name),
            )
            .hint("choose another name"));
        }
        if schema.columns().any(|c| c.name == name.name) {
            return Err(Diagnostic::at(name.span, format!("Duplicate column names: {}", name.name)));
        }
        let entry = Column { name: name.name.clone(), ty };
        match &column.role {
            ColumnRole::Value => schema.value.push(entry),
            ColumnRole::Key if create.table => {
                return Err(Diagnostic::at(
                    name.span,
                    format!(
                        "Column `{}` is a 'KEY' column: please use 'PRIMARY KEY' for tables.\nTables have PRIMARY KEYs, which are unique and NON NULL.\nStreams have KEYs, which have no uniqueness or NON NULL constraints.",
                        name.name
                    ),
                ));
            }
            ColumnRole::PrimaryKey if !create.table => {
                return Err(Diagnostic::at(
                    name.span,
                    format!(
                        "Column `{}` is a 'PRIMARY KEY' column: please use 'KEY' for streams.\nTables have PRIMARY KEYs, which are unique and NON NULL.\nStreams have KEYs, which have no uniqueness or NON NULL constraints.",
                        name.name
                    ),
                ));
            }
            ColumnRole::Key | ColumnRole::PrimaryKey => schema.key.push(entry),
            ColumnRole::Headers | ColumnRole::Header(_) => {
                let header = if let ColumnRole::Header(h) = &column.role { Some(h.clone()) } else { None };
                check_header(&entry, header.as_deref(), column.ty.span)?;
                headers.push((entry.name.clone(), header));
                schema.value.push(entry);
            }
        }
    }
    let headers = headers.into_iter().filter_map(|(name, header)| Some((schema.position(&name)?, header))).collect();
    Ok((schema, headers))
}

fn check_header(column: &Column, one: Option<&str>, span: crate::sql::error::Span) -> Result<(), Diagnostic> {
    let record = SqlType::Struct(vec![("KEY".into(), SqlType::String), ("VALUE".into(), SqlType::Bytes)]);
    let expected = if one.is_some() { SqlType::Bytes } else { SqlType::Array(Box::new(record)) };
    if column.ty == expected {
        return Ok(());
    }
    let what = one.map_or("HEADERS".into(), |name| format!("HEADER('{name}')"));
    Err(Diagnostic::at(span, format!("Invalid type for {what} column: expected {expected}, got {}", column.ty)))
}

/// Binds ALTER … ADD COLUMN.
pub(super) fn alter(
    catalog: &Catalog,
    table: bool,
    name: &Ident,
    columns: &[(Ident, TypeName)],
) -> Result<Bound, Diagnostic> {
    let entry = catalog.find(name)?;
    if entry.is_table() != table {
        return Err(Diagnostic::at(
            name.span,
            format!(
                "Incompatible data source type is {}, but statement was ALTER {}",
                entry.kind(),
                if table { "TABLE" } else { "STREAM" }
            ),
        ));
    }
    if entry.relation.is_read_only() {
        let kind = entry.kind().to_ascii_lowercase();
        return Err(Diagnostic::at(
            name.span,
            format!("Cannot alter {kind} '{}': ALTER operations are not supported on source {kind}s.", name.name),
        ));
    }
    if !matches!(entry.relation, Relation::Source(_)) {
        return Err(Diagnostic::at(
            name.span,
            format!("ALTER command is not supported for CREATE ... AS statements: {}", name.name),
        )
        .hint("use CREATE OR REPLACE with the new query"));
    }
    let mut added: Vec<Column> = Vec::new();
    for (column, ty) in columns {
        if entry.schema().columns().chain(&added).any(|c| c.name == column.name) {
            return Err(Diagnostic::at(
                column.span,
                format!("Cannot add column `{}` to schema. A column with the same name already exists.", column.name),
            ));
        }
        added.push(Column { name: column.name.clone(), ty: types::resolve(catalog, ty)? });
    }
    Ok(Bound::Alter { name: name.name.clone(), columns: added })
}
