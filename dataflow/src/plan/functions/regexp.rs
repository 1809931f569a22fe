//! Functions with regular expressions.

use super::{Compiled, Definition, Parameter as P, Signature, string};
use crate::row::Value;
use regex::Regex;
use std::rc::Rc;

thread_local! {
    static REGEXES: Compiled<Regex> = Compiled::new();
}

/// The family.
pub(super) static FUNCTIONS: &[Definition] = &[
    Definition::new(
        "REGEXP_EXTRACT",
        "The first match of a pattern in a text, or a group of it",
        &[
            Signature::fallible(&[P::String, P::String], P::String, |c| match (c.text(0), c.text(1)) {
                (Some(pattern), Some(text)) => extract(pattern, text, 0),
                _ => Ok(Value::Null),
            }),
            Signature::fallible(&[P::String, P::String, P::Int], P::String, |c| {
                match (c.text(0), c.text(1), c.int(2)) {
                    (Some(pattern), Some(text), Some(group)) => extract(pattern, text, group),
                    _ => Ok(Value::Null),
                }
            }),
        ],
    ),
    Definition::new(
        "REGEXP_EXTRACT_ALL",
        "All matches of a pattern in a text, or a group of each",
        &[
            Signature::fallible(&[P::String, P::String], P::Array(&P::String), |c| match (c.text(0), c.text(1)) {
                (Some(pattern), Some(text)) => extract_all(pattern, text, 0),
                _ => Ok(Value::Null),
            }),
            Signature::fallible(&[P::String, P::String, P::Int], P::Array(&P::String), |c| {
                match (c.text(0), c.text(1), c.int(2)) {
                    (Some(pattern), Some(text), Some(group)) => extract_all(pattern, text, group),
                    _ => Ok(Value::Null),
                }
            }),
        ],
    ),
    Definition::new(
        "REGEXP_REPLACE",
        "The text with all matches of a pattern replaced; $1 is a group",
        &[Signature::fallible(&[P::String, P::String, P::String], P::String, |c| {
            match (c.text(0), c.text(1), c.text(2)) {
                (Some(text), Some(pattern), Some(with)) => {
                    Ok(string(compiled(pattern)?.replace_all(text, with).into_owned()))
                }
                _ => Ok(Value::Null),
            }
        })],
    ),
    Definition::new(
        "REGEXP_SPLIT_TO_ARRAY",
        "The parts of a text between matches of a pattern",
        &[Signature::fallible(&[P::String, P::String], P::Array(&P::String), |c| match (c.text(0), c.text(1)) {
            (Some(text), Some(pattern)) => {
                let regex = compiled(pattern)?;
                Ok(Value::Array(regex.split(text).map(string).collect()))
            }
            _ => Ok(Value::Null),
        })],
    ),
];

fn compiled(pattern: &str) -> Result<Rc<Regex>, String> {
    REGEXES
        .with(|known| known.get(pattern, |p| Regex::new(p).ok()))
        .ok_or_else(|| format!("Invalid regular expression pattern: {pattern}"))
}

fn extract(pattern: &str, text: &str, group: i32) -> Result<Value, String> {
    let regex = compiled(pattern)?;
    let found = usize::try_from(group).ok().and_then(|g| regex.captures(text)?.get(g));
    Ok(found.map_or(Value::Null, |m| string(m.as_str())))
}

fn extract_all(pattern: &str, text: &str, group: i32) -> Result<Value, String> {
    let regex = compiled(pattern)?;
    let Some(group) = usize::try_from(group).ok().filter(|g| *g < regex.captures_len()) else { return Ok(Value::Null) };
    let all = regex.captures_iter(text).filter_map(|found| found.get(group));
    Ok(Value::Array(all.map(|m| string(m.as_str())).collect()))
}
