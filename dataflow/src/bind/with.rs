//! The WITH clause of CREATE: topic, formats, timestamps, windows.

use super::types::format_name;
use super::{Session, types};
use crate::plan::{Format, KeyWindow, TimestampColumn};
use crate::row::{Schema, SqlType};
use crate::sql::ast::{Literal, Properties, Property};
use crate::sql::error::{Diagnostic, Span};
use crate::sql::nearest;

/// What a WITH clause says; what it leaves out is `None`.
#[derive(Debug, Default)]
pub(super) struct With {
    pub(super) topic: Option<String>,
    pub(super) partitions: Option<u32>,
    pub(super) replicas: Option<u16>,
    pub(super) key_format: Option<Format>,
    pub(super) value_format: Option<Format>,
    pub(super) wrap_single_value: Option<bool>,
    pub(super) timestamp: Option<(String, Span)>,
    pub(super) timestamp_format: Option<(String, Span)>,
    pub(super) window: Option<KeyWindow>,
    /// Where the key's format is said.
    pub(super) key_span: Option<Span>,
    /// Where the value's format is said.
    pub(super) value_span: Option<Span>,
    /// Where WRAP_SINGLE_VALUE is said.
    pub(super) wrap_span: Option<Span>,
    /// The full name of a schema in a registry, for the key (true) or the value.
    pub(super) schema_name: Option<(bool, Span)>,
    pub(super) key_delimiter: Option<(char, Span)>,
    pub(super) value_delimiter: Option<(char, Span)>,
}

const COMMON: [&str; 11] = [
    "KAFKA_TOPIC",
    "VALUE_FORMAT",
    "KEY_FORMAT",
    "FORMAT",
    "PARTITIONS",
    "REPLICAS",
    "TIMESTAMP",
    "TIMESTAMP_FORMAT",
    "VALUE_DELIMITER",
    "KEY_DELIMITER",
    "WRAP_SINGLE_VALUE",
];
const SOURCES: [&str; 2] = ["WINDOW_TYPE", "WINDOW_SIZE"];
/// Known to ksqlDB, without meaning or not yet there in weir.
const UNSUPPORTED: [&str; 7] = [
    "KEY_SCHEMA_ID",
    "VALUE_SCHEMA_ID",
    "KEY_PROTOBUF_NULLABLE_REPRESENTATION",
    "VALUE_PROTOBUF_NULLABLE_REPRESENTATION",
    "SOURCED_BY_CONNECTOR",
    "RETENTION_MS",
    "CLEANUP_POLICY",
];

impl With {
    /// Reads the clause of a CREATE with columns (`source`) or of a CREATE AS SELECT.
    pub(super) fn read(properties: &Properties, source: bool) -> Result<With, Diagnostic> {
        let mut with = With::default();
        let mut window_type = None;
        let mut window_size = None;
        let mut both: Option<Span> = None;
        for p in &properties.0 {
            let name = p.name.to_ascii_uppercase();
            match name.as_str() {
                "KAFKA_TOPIC" => with.topic = Some(text(p)?),
                "PARTITIONS" => with.partitions = Some(number(p)?),
                "REPLICAS" => with.replicas = Some(number(p)?),
                "KEY_FORMAT" => {
                    with.key_format = Some(format(p)?);
                    with.key_span = Some(p.value_span);
                }
                "VALUE_FORMAT" => {
                    with.value_format = Some(format(p)?);
                    with.value_span = Some(p.value_span);
                }
                "FORMAT" => both = Some(p.span.to(p.value_span)),
                "KEY_DELIMITER" => with.key_delimiter = Some((delimiter(p)?, p.value_span)),
                "VALUE_DELIMITER" => with.value_delimiter = Some((delimiter(p)?, p.value_span)),
                "WRAP_SINGLE_VALUE" => {
                    with.wrap_single_value = Some(truth(p)?);
                    with.wrap_span = Some(p.span.to(p.value_span));
                }
                "TIMESTAMP" => with.timestamp = Some((column(&text(p)?), p.value_span)),
                "TIMESTAMP_FORMAT" => with.timestamp_format = Some((text(p)?, p.value_span)),
                "WINDOW_TYPE" if source => window_type = Some((text(p)?.to_ascii_uppercase(), p.value_span)),
                "WINDOW_SIZE" if source => window_size = Some((duration(p)?, p.value_span)),
                "KEY_SCHEMA_FULL_NAME" => with.schema_name = Some((true, p.span)),
                "VALUE_SCHEMA_FULL_NAME" | "VALUE_AVRO_SCHEMA_FULL_NAME" => with.schema_name = Some((false, p.span)),
                upper if UNSUPPORTED.contains(&upper) => {
                    return Err(Diagnostic::at(p.span, format!("weir does not support the property '{upper}'"))
                        .hint("leave it out"));
                }
                upper => {
                    let error =
                        Diagnostic::at(p.span, format!("Invalid config variable(s) in the WITH clause: {upper}"));
                    let names = COMMON.into_iter().chain(SOURCES.into_iter().filter(|_| source));
                    return Err(match nearest(upper, names) {
                        Some(other) => error.hint(format!("did you mean {other}?")),
                        None => error.hint(format!("known properties are {}", COMMON.join(", "))),
                    });
                }
            }
        }
        if let Some(span) = both {
            for (said, name) in [(with.key_format, "KEY_FORMAT"), (with.value_format, "VALUE_FORMAT")] {
                if said.is_some() {
                    return Err(Diagnostic::at(
                        span,
                        format!(
                            "Cannot supply both '{name}' and 'FORMAT' properties, as 'FORMAT' sets both key and value \
                             formats. Either use just 'FORMAT', or use 'KEY_FORMAT' and 'VALUE_FORMAT'."
                        ),
                    ));
                }
            }
            if let Some(p) = properties.get("FORMAT") {
                with.key_format = Some(format(p)?);
                with.value_format = with.key_format;
                (with.key_span, with.value_span) = (Some(p.value_span), Some(p.value_span));
            }
        }
        with.window = window(window_type, window_size)?;
        Ok(with)
    }

    /// The key's format with its delimiter, or this one.
    pub(super) fn key_format_or(&self, default: Format) -> Result<Format, Diagnostic> {
        with_delimiter(self.key_format.unwrap_or(default), self.key_delimiter)
    }

    /// The value's format with its delimiter, or this one.
    pub(super) fn value_format_or(&self, default: Format) -> Result<Format, Diagnostic> {
        with_delimiter(self.value_format.unwrap_or(default), self.value_delimiter)
    }

    /// Whether a single value column stands in an object.
    pub(super) fn wrap(&self, session: &Session, format: Format, schema: &Schema) -> Result<bool, Diagnostic> {
        let default = session.is_true("ksql.persistence.wrap.single.values").unwrap_or(true);
        let Some(wrap) = self.wrap_single_value else {
            return Ok(default && !matches!(format, Format::Kafka | Format::None));
        };
        let refuse = |message: String| match self.wrap_span {
            Some(span) => Err(Diagnostic::at(span, message)),
            None => Err(Diagnostic::new(message)),
        };
        let possible = match format {
            Format::Json => true,
            Format::Kafka | Format::None => !wrap,
            Format::Delimited { .. } => !wrap,
        };
        if !possible {
            return refuse(format!(
                "Format '{}' does not support 'WRAP_SINGLE_VALUE' set to '{wrap}'.",
                format_name(format)
            ));
        }
        if schema.value.len() != 1 {
            return refuse("'WRAP_SINGLE_VALUE' is only valid for single-field value schemas".into());
        }
        Ok(wrap)
    }

    /// The column that ROWTIME comes from.
    pub(super) fn timestamp_column(&self, schema: &Schema) -> Result<Option<TimestampColumn>, Diagnostic> {
        let format = self.timestamp_format.as_ref().map(|(f, _)| f.clone());
        let Some((name, span)) = &self.timestamp else { return Ok(None) };
        let Some(column) = schema.position(name) else {
            let message = format!("The TIMESTAMP column set in the WITH clause does not exist in the schema: '{name}'");
            let error = Diagnostic::at(*span, message);
            return Err(match nearest(name, schema.columns().map(|c| c.name.as_str())) {
                Some(other) => error.hint(format!("did you mean {other}?")),
                None => error,
            });
        };
        let ty = schema.columns().nth(column).map(|c| &c.ty);
        match (ty, &format) {
            (Some(SqlType::String), Some(pattern)) => {
                crate::row::datetime::Pattern::new(pattern).map_err(|message| {
                    Diagnostic::at(self.timestamp_format.as_ref().map_or(*span, |f| f.1), message)
                })?;
            }
            (Some(SqlType::Bigint | SqlType::Timestamp), None) => {}
            (Some(SqlType::Bigint | SqlType::Timestamp), Some(_)) => {
                return Err(Diagnostic::at(*span, "'TIMESTAMP_FORMAT' set, but the TIMESTAMP column is not a STRING")
                    .hint("leave TIMESTAMP_FORMAT out"));
            }
            _ => {
                return Err(Diagnostic::at(
                    *span,
                    format!(
                        "Timestamp column, `{name}`, should be LONG(INT64), TIMESTAMP, or a String with a timestamp_format specified"
                    ),
                ));
            }
        }
        Ok(Some(TimestampColumn { column, format }))
    }

    /// Whether the formats can carry the columns.
    pub(super) fn check_formats(&self, key: Format, value: Format, schema: &Schema) -> Result<(), Diagnostic> {
        let place = |message: String, span: Option<Span>| match span {
            Some(span) => Diagnostic::at(span, message),
            None => Diagnostic::new(message),
        };
        if let Some((of_key, span)) = self.schema_name {
            let name = format_name(if of_key { key } else { value });
            return Err(Diagnostic::at(
                span,
                format!("{name} does not support the following configs: [fullSchemaName]"),
            )
            .hint("leave it out: there is no schema registry"));
        }
        types::check_key(&schema.key).map_err(|m| place(m, None))?;
        types::check_format(key, &schema.key, true).map_err(|m| {
            let error = place(m, self.key_span);
            if key == Format::Kafka { error.hint("set key_format='JSON'") } else { error }
        })?;
        types::check_format(value, &schema.value, false).map_err(|m| place(m, self.value_span))
    }
}

fn text(p: &Property) -> Result<String, Diagnostic> {
    match &p.value {
        Literal::String(s) => Ok(s.clone()),
        Literal::Integer(v) => Ok(v.to_string()),
        Literal::Bigint(v) => Ok(v.to_string()),
        Literal::Boolean(v) => Ok(v.to_string()),
        Literal::Decimal(s) | Literal::Double(s) => Ok(s.clone()),
        Literal::Null => Err(Diagnostic::at(p.value_span, format!("'{}' cannot be null", p.name.to_ascii_uppercase()))),
    }
}

fn number<T: std::str::FromStr + Default + PartialEq>(p: &Property) -> Result<T, Diagnostic> {
    let value = text(p)?;
    match value.parse() {
        Ok(number) if number != T::default() => Ok(number),
        _ => Err(Diagnostic::at(
            p.value_span,
            format!("Invalid value {value} for property {}: it is a number of at least 1", p.name.to_ascii_uppercase()),
        )),
    }
}

fn truth(p: &Property) -> Result<bool, Diagnostic> {
    match text(p)?.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(Diagnostic::at(
            p.value_span,
            format!("Invalid value {other} for property {}: it is true or false", p.name.to_ascii_uppercase()),
        )),
    }
}

/// A column's name out of a string: folded unless it is quoted within.
fn column(text: &str) -> String {
    let quoted = text.strip_prefix(['`', '"']).and_then(|t| t.strip_suffix(['`', '"']));
    quoted.map_or_else(|| text.to_uppercase(), String::from)
}

/// A format by its name.
fn format(p: &Property) -> Result<Format, Diagnostic> {
    parse_format(&text(p)?).map_err(|error| Diagnostic { span: Some(p.value_span), ..error })
}

/// A format by its name, without its delimiter.
pub(super) fn parse_format(name: &str) -> Result<Format, Diagnostic> {
    match name.to_ascii_uppercase().as_str() {
        "JSON" => Ok(Format::Json),
        "DELIMITED" => Ok(Format::Delimited { delimiter: ',' }),
        "KAFKA" => Ok(Format::Kafka),
        "NONE" => Ok(Format::None),
        "AVRO" | "PROTOBUF" | "PROTOBUF_NOSR" | "JSON_SR" => {
            Err(Diagnostic::new(format!("weir does not support the format {}", name.to_ascii_uppercase()))
                .hint("use JSON, DELIMITED or KAFKA"))
        }
        _ => {
            let error = Diagnostic::new(format!("Unknown format: {name}"));
            Err(match nearest(name, ["JSON", "DELIMITED", "KAFKA", "NONE"]) {
                Some(other) => error.hint(format!("did you mean {other}?")),
                None => error.hint("use JSON, DELIMITED, KAFKA or NONE"),
            })
        }
    }
}

fn delimiter(p: &Property) -> Result<char, Diagnostic> {
    let value = text(p)?;
    let name = p.name.to_ascii_uppercase();
    let invalid = |what: String| {
        Err(Diagnostic::at(
            p.value_span,
            format!("Failed to prepare statement: Configuration {name} is invalid: {what}\nExample valid value: ';'"),
        ))
    };
    let mut chars = value.chars();
    match (chars.next(), chars.next()) {
        _ if value.trim().is_empty() => invalid(
            "Delimiter cannot be empty, if you meant to have a tab or space for delimiter, please use the special \
             values 'TAB' or 'SPACE'"
                .into(),
        ),
        (Some(c), None) => Ok(c),
        _ if value.eq_ignore_ascii_case("TAB") => Ok('\t'),
        _ if value.eq_ignore_ascii_case("SPACE") => Ok(' '),
        _ => invalid(format!("Invalid delimiter value: '{value}'. Delimiter must be a single character or TAB,SPACE")),
    }
}

fn with_delimiter(format: Format, delimiter: Option<(char, Span)>) -> Result<Format, Diagnostic> {
    match (format, delimiter) {
        (Format::Delimited { .. }, Some((delimiter, _))) => Ok(Format::Delimited { delimiter }),
        (format, None) => Ok(format),
        (format, Some((_, span))) => Err(Diagnostic::at(
            span,
            format!("{} does not support the following configs: [delimiter]", format_name(format)),
        )),
    }
}

/// `10 SECONDS` in ms.
fn duration(p: &Property) -> Result<i64, Diagnostic> {
    let value = text(p)?;
    let mut words = value.split_whitespace();
    let number: Option<i64> = words.next().and_then(|n| n.parse().ok());
    let said = words.next().map(|u| u.to_ascii_uppercase());
    let unit = match said.as_deref().map(|u| u.strip_suffix('S').unwrap_or(u)) {
        Some("DAY") => Some(86_400_000),
        Some("HOUR") => Some(3_600_000),
        Some("MINUTE") => Some(60_000),
        Some("SECOND") => Some(1000),
        Some("MILLISECOND") => Some(1),
        _ => None,
    };
    let unknown = match (&said, unit) {
        (Some(said), None) => format!(" Unknown time unit: '{said}'"),
        _ => String::new(),
    };
    match (number, unit, words.next()) {
        (Some(n), Some(unit), None) if n > 0 => Ok(n.saturating_mul(unit)),
        _ => Err(Diagnostic::at(
            p.value_span,
            format!("Configuration WINDOW_SIZE is invalid: Invalid duration: '{value}'.{unknown}"),
        )
        .hint("write a number and a unit: '30 SECONDS'")),
    }
}

fn window(ty: Option<(String, Span)>, size: Option<(i64, Span)>) -> Result<Option<KeyWindow>, Diagnostic> {
    match (ty, size) {
        (None, None) => Ok(None),
        (Some((ty, span)), size) => match (ty.as_str(), size) {
            ("SESSION", None) => Ok(Some(KeyWindow::Session)),
            ("SESSION", Some((_, span))) => {
                Err(Diagnostic::at(span, "'WINDOW_SIZE' should not be set for SESSION windows."))
            }
            ("TUMBLING" | "HOPPING", Some((size, _))) => Ok(Some(KeyWindow::Time(size))),
            ("TUMBLING" | "HOPPING", None) => Err(Diagnostic::at(
                span,
                format!(
                    "{ty} windows require 'WINDOW_SIZE' to be provided in the WITH clause. For example: 'WINDOW_SIZE'='10 SECONDS'"
                ),
            )),
            _ => {
                Err(Diagnostic::at(span, format!("Configuration WINDOW_TYPE is invalid: Unknown window type: '{ty}'"))
                    .hint("use TUMBLING, HOPPING or SESSION"))
            }
        },
        (None, Some((_, span))) => {
            Err(Diagnostic::at(span, "'WINDOW_SIZE' is set, but 'WINDOW_TYPE' is not")
                .hint("add WINDOW_TYPE='TUMBLING'"))
        }
    }
}
