//! Functions on dates and times. Zones are names (`Europe/London`) or offsets (`+0200`); without one it is UTC.

use super::{Call, Compiled, Definition, Parameter as P, Signature, string};
use crate::row::Value;
use crate::row::datetime::{Pattern, zone_offset_at};
use std::rc::Rc;

const DAY_MS: i64 = 86_400_000;

thread_local! {
    static PATTERNS: Compiled<Pattern> = Compiled::new();
}

/// The family.
pub(super) static FUNCTIONS: &[Definition] = &[
    Definition::new(
        "UNIX_TIMESTAMP",
        "Milliseconds since 1970-01-01T00:00:00Z of a timestamp, or of now",
        &[
            Signature::new(&[], P::Bigint, |_| Some(Value::Bigint(super::now()))),
            Signature::new(&[P::Timestamp], P::Bigint, |c| Some(Value::Bigint(c.bigint(0)?))),
        ],
    )
    .changing(),
    Definition::new(
        "UNIX_DATE",
        "Days since 1970-01-01 of a date, or of today",
        &[
            Signature::new(&[], P::Int, |_| Some(Value::Int(i32::try_from(super::now().div_euclid(DAY_MS)).ok()?))),
            Signature::new(&[P::Date], P::Int, |c| Some(Value::Int(c.int(0)?))),
        ],
    )
    .changing(),
    Definition::new(
        "FROM_UNIXTIME",
        "The timestamp of milliseconds since 1970-01-01T00:00:00Z",
        &[Signature::new(&[P::Bigint], P::Timestamp, |c| Some(Value::Timestamp(c.bigint(0)?)))],
    ),
    Definition::new(
        "FROM_DAYS",
        "The date of days since 1970-01-01",
        &[Signature::new(&[P::Int], P::Date, |c| Some(Value::Date(c.int(0)?)))],
    ),
    Definition::new(
        "TIMESTAMPTOSTRING",
        "The text of milliseconds since 1970 after a pattern, in a zone",
        &[
            Signature::fallible(&[P::Bigint, P::String], P::String, format_timestamp),
            Signature::fallible(&[P::Bigint, P::String, P::String], P::String, format_timestamp),
        ],
    ),
    Definition::new(
        "STRINGTOTIMESTAMP",
        "Milliseconds since 1970 of a text after a pattern, in a zone",
        &[
            Signature::fallible(&[P::String, P::String], P::Bigint, |c| parse_timestamp(c, Value::Bigint)),
            Signature::fallible(&[P::String, P::String, P::String], P::Bigint, |c| parse_timestamp(c, Value::Bigint)),
        ],
    ),
    Definition::new(
        "FORMAT_TIMESTAMP",
        "The text of a timestamp after a pattern, in a zone",
        &[
            Signature::fallible(&[P::Timestamp, P::String], P::String, format_timestamp),
            Signature::fallible(&[P::Timestamp, P::String, P::String], P::String, format_timestamp),
        ],
    ),
    Definition::new(
        "PARSE_TIMESTAMP",
        "The timestamp of a text after a pattern, in a zone",
        &[
            Signature::fallible(&[P::String, P::String], P::Timestamp, |c| parse_timestamp(c, Value::Timestamp)),
            Signature::fallible(&[P::String, P::String, P::String], P::Timestamp, |c| {
                parse_timestamp(c, Value::Timestamp)
            }),
        ],
    ),
    Definition::new(
        "DATETOSTRING",
        "The text of days since 1970-01-01 after a pattern",
        &[Signature::fallible(&[P::Int, P::String], P::String, format_date)],
    ),
    Definition::new(
        "STRINGTODATE",
        "Days since 1970-01-01 of a text after a pattern",
        &[Signature::fallible(&[P::String, P::String], P::Int, |c| parse_date(c, Value::Int))],
    ),
    Definition::new(
        "FORMAT_DATE",
        "The text of a date after a pattern",
        &[Signature::fallible(&[P::Date, P::String], P::String, format_date)],
    ),
    Definition::new(
        "PARSE_DATE",
        "The date of a text after a pattern; what follows the date does not matter",
        &[Signature::fallible(&[P::String, P::String], P::Date, |c| match (c.text(0), c.text(1)) {
            (Some(text), Some(pattern)) => compiled(pattern)?.parse_leading_date(text).map(Value::Date),
            _ => Ok(Value::Null),
        })],
    ),
    Definition::new(
        "FORMAT_TIME",
        "The text of a time after a pattern",
        &[Signature::fallible(&[P::Time, P::String], P::String, |c| match (c.int(0), c.text(1)) {
            (Some(time), Some(pattern)) => Ok(string(compiled(pattern)?.format_time(time)?)),
            _ => Ok(Value::Null),
        })],
    ),
    Definition::new(
        "PARSE_TIME",
        "The time of a text after a pattern",
        &[Signature::fallible(&[P::String, P::String], P::Time, |c| match (c.text(0), c.text(1)) {
            (Some(text), Some(pattern)) => compiled(pattern)?.parse_time(text).map(Value::Time),
            _ => Ok(Value::Null),
        })],
    ),
    Definition::new(
        "CONVERT_TZ",
        "The timestamp of the same clock in one zone as in another",
        &[Signature::fallible(&[P::Timestamp, P::String, P::String], P::Timestamp, |c| {
            let (Some(ms), Some(from), Some(to)) = (c.bigint(0), c.text(1), c.text(2)) else { return Ok(Value::Null) };
            let offset = |zone: &str| zone_offset_at(zone, ms).ok_or_else(|| format!("Invalid time zone: {zone}"));
            Ok(Value::Timestamp(ms - offset(from)? + offset(to)?))
        })],
    ),
    Definition::new(
        "TIMESTAMPADD",
        "The timestamp so many units later",
        &[Signature::new(&[P::Unit, P::Int, P::Timestamp], P::Timestamp, |c| {
            Some(Value::Timestamp(c.bigint(2)?.checked_add(span(c)?)?))
        })],
    ),
    Definition::new(
        "TIMESTAMPSUB",
        "The timestamp so many units earlier",
        &[Signature::new(&[P::Unit, P::Int, P::Timestamp], P::Timestamp, |c| {
            Some(Value::Timestamp(c.bigint(2)?.checked_sub(span(c)?)?))
        })],
    ),
    Definition::new(
        "DATEADD",
        "The date so many units later",
        &[Signature::new(&[P::Unit, P::Int, P::Date], P::Date, |c| {
            Some(Value::Date(c.int(2)?.checked_add(i32::try_from(span(c)?.div_euclid(DAY_MS)).ok()?)?))
        })],
    ),
    Definition::new(
        "DATESUB",
        "The date so many units earlier",
        &[Signature::new(&[P::Unit, P::Int, P::Date], P::Date, |c| {
            Some(Value::Date(c.int(2)?.checked_sub(i32::try_from(span(c)?.div_euclid(DAY_MS)).ok()?)?))
        })],
    ),
    Definition::new(
        "TIMEADD",
        "The time so many units later, round the clock",
        &[Signature::new(&[P::Unit, P::Int, P::Time], P::Time, |c| clock(i64::from(c.int(2)?).checked_add(span(c)?)?))],
    ),
    Definition::new(
        "TIMESUB",
        "The time so many units earlier, round the clock",
        &[Signature::new(&[P::Unit, P::Int, P::Time], P::Time, |c| clock(i64::from(c.int(2)?).checked_sub(span(c)?)?))],
    ),
];

fn compiled(pattern: &str) -> Result<Rc<Pattern>, String> {
    PATTERNS
        .with(|known| known.get(pattern, |p| Pattern::new(p).ok()))
        .ok_or_else(|| Pattern::new(pattern).err().unwrap_or_else(|| "an invalid date pattern".into()))
}

/// The zone in the third argument; none when that is null.
fn zone<'c>(c: &'c Call<'_>) -> Option<&'c str> {
    if c.values.len() < 3 { Some("UTC") } else { c.text(2) }
}

fn format_timestamp(c: &Call<'_>) -> Result<Value, String> {
    match (c.bigint(0), c.text(1), zone(c)) {
        (Some(ms), Some(pattern), Some(zone)) => Ok(string(compiled(pattern)?.format_timestamp(ms, zone)?)),
        _ => Ok(Value::Null),
    }
}

fn parse_timestamp(c: &Call<'_>, make: fn(i64) -> Value) -> Result<Value, String> {
    match (c.text(0), c.text(1), zone(c)) {
        (Some(text), Some(pattern), Some(zone)) => compiled(pattern)?.parse_timestamp(text, zone).map(make),
        _ => Ok(Value::Null),
    }
}

fn format_date(c: &Call<'_>) -> Result<Value, String> {
    match (c.int(0), c.text(1)) {
        (Some(days), Some(pattern)) => Ok(string(compiled(pattern)?.format_date(days)?)),
        _ => Ok(Value::Null),
    }
}

fn parse_date(c: &Call<'_>, make: fn(i32) -> Value) -> Result<Value, String> {
    match (c.text(0), c.text(1)) {
        (Some(text), Some(pattern)) => compiled(pattern)?.parse_date(text).map(make),
        _ => Ok(Value::Null),
    }
}

/// `unit, number` in ms.
fn span(c: &Call<'_>) -> Option<i64> {
    let unit = match c.text(0)? {
        "DAYS" => DAY_MS,
        "HOURS" => 3_600_000,
        "MINUTES" => 60_000,
        "SECONDS" => 1000,
        "MILLISECONDS" => 1,
        _ => return None,
    };
    unit.checked_mul(i64::from(c.int(1)?))
}

fn clock(ms: i64) -> Option<Value> {
    i32::try_from(ms.rem_euclid(DAY_MS)).ok().map(Value::Time)
}
