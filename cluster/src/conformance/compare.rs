//! Whether a record is the one that a case expects.

use super::case::{Record, WindowKind};
use super::report::Failure;
use serde_json::{Number, Value as Json};
use std::fmt::Write as _;

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Whole numbers by value; fractions by value and scale.
    Exact,
    /// Fractions may differ in their last digits.
    Close,
}

/// Compares a topic's records, in order.
///
/// # Errors
/// What differs.
pub fn records(topic: &str, expected: &[&Record], actual: &[Record], numbers: Numbers) -> Result<(), Failure> {
    let pairs = expected.len().max(actual.len());
    let mut first = None;
    let mut lines = Vec::new();
    for i in 0..pairs {
        let (wanted, came) = (expected.get(i).copied(), actual.get(i));
        let equal = matches!((wanted, came), (Some(e), Some(a)) if record(e, a, numbers));
        let actual = came.map_or_else(String::new, |a| text(a, wanted));
        let expected = match wanted {
            Some(_) if equal => actual.clone(),
            Some(wanted) => text(wanted, Some(wanted)),
            None => String::new(),
        };
        if !equal && first.is_none() {
            first = Some(i + 1);
        }
        lines.push((expected, actual));
    }
    let Some(first) = first else { return Ok(()) };
    let count = if expected.len() == actual.len() {
        String::new()
    } else {
        format!(" ({} records expected, {} came)", expected.len(), actual.len())
    };
    Err(Failure { reason: format!("topic '{topic}' differs at record {first}{count}"), lines })
}

fn record(expected: &Record, actual: &Record, numbers: Numbers) -> bool {
    value(&expected.key, &actual.key, numbers)
        && value(&expected.value, &actual.value, numbers)
        && expected.window == actual.window
        && (expected.timestamp.is_none() || expected.timestamp == actual.timestamp)
        && (expected.headers.is_none() || expected.headers == actual.headers)
}

/// Compares two JSON values: objects by fields, whose names may be upper-cased.
pub fn value(expected: &Json, actual: &Json, numbers: Numbers) -> bool {
    match (expected, actual) {
        (Json::Number(e), Json::Number(a)) => number(e, a, numbers),
        (Json::Array(e), Json::Array(a)) => e.len() == a.len() && e.iter().zip(a).all(|(e, a)| value(e, a, numbers)),
        (Json::Object(e), Json::Object(a)) => {
            // A field that is not there is null.
            e.len() == a.len()
                && e.iter().all(|(name, e)| {
                    let found = a.get(name).or_else(|| a.get(&name.to_uppercase()));
                    value(e, found.unwrap_or(&Json::Null), numbers)
                })
        }
        // Where the format is text, a case may still say a number.
        (Json::Number(e), Json::String(a)) => e.to_string() == *a,
        _ => expected == actual,
    }
}

fn number(expected: &Number, actual: &Number, numbers: Numbers) -> bool {
    if let (Some(e), Some(a)) = (digits(&expected.to_string()), digits(&actual.to_string()))
        && e == a
    {
        return true;
    }
    numbers == Numbers::Close
        && match (expected.as_f64(), actual.as_f64()) {
            (Some(e), Some(a)) => (e - a).abs() <= e.abs().max(a.abs()) * 1e-9,
            _ => false,
        }
}

/// A number's digits with their sign, and how many of them stand behind the point.
fn digits(text: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let scale = i64::try_from(fraction.len()).ok()? - exponent;
    // `1.0E12` is a whole number.
    let zeros = usize::try_from(-scale.min(0)).ok().filter(|zeros| *zeros < 400)?;
    let (digits, scale) = (format!("{digits}{}", "0".repeat(zeros)), scale.max(0));
    Some((negative && !digits.is_empty(), digits, scale))
}

/// A record in a line; only what the expectation speaks of.
fn text(record: &Record, wanted: Option<&Record>) -> String {
    let mut out = format!("{} {}", record.key, record.value);
    if let Some(window) = record.window {
        let end = if window.kind == WindowKind::Session { ']' } else { ')' };
        let _ = write!(out, " [{}, {}{end}", window.start, window.end);
    }
    if let Some(time) = record.timestamp
        && wanted.is_none_or(|w| w.timestamp.is_some())
    {
        let _ = write!(out, " at {time}");
    }
    if let Some(headers) = &record.headers
        && wanted.is_some_and(|w| w.headers.is_some())
    {
        for header in headers {
            let _ = write!(out, " {}={}", header.key, header.value.as_deref().unwrap_or("null"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_equal_by_value_and_scale() {
        let equal = |e: &str, a: &str| {
            let json = |text: &str| serde_json::from_str(text).unwrap();
            value(&json(e), &json(a), Numbers::Exact)
        };
        assert!(equal("1", "1") && equal("10.0", "10.0") && equal("-0.5", "-0.5") && equal("1.0E10", "1.0e10"));
        assert!(equal("10000000000", "1.0E10") && equal(r#"{"a":null}"#, r#"{"B":null}"#));
        assert!(!equal("1", "1.0") && !equal("1.5", "1.50") && !equal("1", "-1"));
        assert!(equal(r#"{"a":1,"B":[null]}"#, r#"{"A":1,"B":[null]}"#));
        assert!(!equal(r#"{"A":1}"#, r#"{"A":1,"B":null}"#) && !equal("null", "0"));
    }

    #[test]
    fn close_numbers_may_differ_in_their_last_digits() {
        let json = |text: &str| serde_json::from_str::<Json>(text).unwrap();
        assert!(value(&json("0.30000000000000004"), &json("0.3"), Numbers::Close));
        assert!(!value(&json("0.31"), &json("0.3"), Numbers::Close));
    }

    #[test]
    fn missing_and_surplus_records_are_shown() {
        let record = |key: i64| Record { key: key.into(), ..Record::default() };
        let (one, two) = (record(1), record(2));
        let failure = records("T", &[&one, &two], std::slice::from_ref(&one), Numbers::Exact).unwrap_err();
        assert_eq!(failure.reason, "topic 'T' differs at record 2 (2 records expected, 1 came)");
        assert_eq!(failure.lines[0], ("1 null".into(), "1 null".into()));
        assert_eq!(failure.lines[1], ("2 null".into(), String::new()));
        assert!(records("T", &[&one], std::slice::from_ref(&one), Numbers::Exact).is_ok());
    }
}
