//! Functions on JSON in strings.

use super::{Definition, Parameter as P, Signature, string};
use crate::row::text::double_text;
use crate::row::{SqlType, Value, datetime};
use serde_json::Value as Json;

/// The family.
pub(super) static FUNCTIONS: &[Definition] = &[
    Definition::new(
        "EXTRACTJSONFIELD",
        "The text at a path (`$.a.b[0]`) in JSON",
        &[Signature::new(&[P::String, P::String], P::String, |c| {
            let json = read(c.text(0)?)?;
            match at(&json, c.text(1)?)? {
                Json::Null => None,
                Json::String(text) => Some(string(text.as_str())),
                other => Some(string(other.to_string())),
            }
        })],
    ),
    Definition::new(
        "IS_JSON_STRING",
        "True when the text is JSON",
        &[Signature::new(&[P::String], P::Boolean, |c| {
            let text = c.text(0).unwrap_or("");
            Some(Value::Boolean(serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()))
        })],
    ),
    Definition::new(
        "JSON_ARRAY_LENGTH",
        "The number of elements of a JSON array",
        &[Signature::new(&[P::String], P::Int, |c| match read(c.text(0)?)? {
            Json::Array(items) => Some(Value::Int(i32::try_from(items.len()).ok()?)),
            _ => None,
        })],
    ),
    Definition::new(
        "JSON_ARRAY_CONTAINS",
        "True when a JSON array has the value",
        &[Signature::new(&[P::String, P::Any], P::Boolean, |c| {
            let Json::Array(items) = read(c.text(0)?)? else { return Some(Value::Boolean(false)) };
            let wanted = to_json(&c.values[1], c.args.get(1)?.ty());
            Some(Value::Boolean(items.iter().any(|i| same(i, &wanted))))
        })],
    ),
    Definition::new(
        "JSON_KEYS",
        "The keys of a JSON object",
        &[Signature::new(&[P::String], P::Array(&P::String), |c| match read(c.text(0)?)? {
            Json::Object(fields) => Some(Value::Array(fields.keys().map(|k| string(k.as_str())).collect())),
            _ => None,
        })],
    ),
    Definition::new(
        "JSON_RECORDS",
        "The fields of a JSON object, values as JSON",
        &[Signature::new(&[P::String], P::Map(&P::String, &P::String), |c| match read(c.text(0)?)? {
            Json::Object(fields) => {
                let entry = |(k, v): (&String, &Json)| (string(k.as_str()), string(plain(v)));
                Some(Value::Map(fields.iter().map(entry).collect()))
            }
            _ => None,
        })],
    ),
    Definition::new(
        "JSON_ITEMS",
        "The elements of a JSON array as JSON",
        &[Signature::new(&[P::String], P::Array(&P::String), |c| match read(c.text(0)?)? {
            Json::Array(items) => Some(Value::Array(items.iter().map(|i| string(i.to_string())).collect())),
            _ => None,
        })],
    ),
    Definition::new(
        "JSON_CONCAT",
        "JSON objects as one, or arrays and other values as one array",
        &[Signature::new(&[P::String], P::String, |c| {
            let mut all = (0..c.values.len()).map(|i| c.text(i).and_then(read));
            let mut result = all.next()??;
            for next in all {
                result = match (result, next?) {
                    (Json::Object(mut a), Json::Object(b)) => {
                        a.extend(b);
                        Json::Object(a)
                    }
                    (a, b) => Json::Array(items(a).into_iter().chain(items(b)).collect()),
                };
            }
            Some(string(result.to_string()))
        })
        .variadic()],
    ),
    Definition::new(
        "TO_JSON_STRING",
        "The value as JSON",
        &[Signature::new(&[P::Any], P::String, |c| {
            Some(string(to_json(&c.values[0], c.args.first()?.ty()).to_string()))
        })],
    ),
];

/// The first JSON value of a text.
fn read(text: &str) -> Option<Json> {
    serde_json::Deserializer::from_str(text).into_iter::<Json>().next()?.ok()
}

/// A string without its quotes, all else as JSON.
fn plain(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn items(json: Json) -> Vec<Json> {
    match json {
        Json::Array(items) => items,
        other => vec![other],
    }
}

fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// The value at `$.a.b[0]`, `$['a']`.
fn at<'j>(json: &'j Json, path: &str) -> Option<&'j Json> {
    let mut rest = path.strip_prefix('$')?;
    let mut json = json;
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            json = json.get(&tail[..end])?;
            rest = &tail[end..];
        } else {
            let (inside, tail) = rest.strip_prefix('[')?.split_once(']')?;
            let name = inside.strip_prefix(['\'', '"']).and_then(|n| n.strip_suffix(['\'', '"']));
            json = match name {
                Some(name) => json.get(name)?,
                None => json.get(inside.parse::<usize>().ok()?)?,
            };
            rest = tail;
        }
    }
    Some(json)
}

/// A value as JSON; dates and times as their texts.
fn to_json(value: &Value, ty: &SqlType) -> Json {
    let number = |text: String| serde_json::from_str(&text).unwrap_or(Json::Null);
    match (value, ty) {
        (Value::Null, _) => Json::Null,
        (Value::Boolean(v), _) => Json::Bool(*v),
        (Value::Int(v), _) => Json::from(*v),
        (Value::Bigint(v), _) => Json::from(*v),
        (Value::Double(v), _) => number(double_text(*v)),
        (Value::Decimal(v), _) => number(v.to_string()),
        (Value::String(v), _) => Json::String(v.to_string()),
        (Value::Bytes(v), _) => {
            use base64::Engine as _;
            Json::String(base64::engine::general_purpose::STANDARD.encode(v))
        }
        (Value::Date(v), _) => Json::String(datetime::date_text(*v)),
        (Value::Time(v), _) => Json::String(datetime::time_text(*v)),
        (Value::Timestamp(v), _) => Json::String(datetime::timestamp_text(*v)),
        (Value::Array(items), SqlType::Array(t)) => items.iter().map(|v| to_json(v, t)).collect(),
        (Value::Map(entries), SqlType::Map(k, v)) => {
            Json::Object(entries.iter().map(|(key, value)| (plain(&to_json(key, k)), to_json(value, v))).collect())
        }
        (Value::Struct(values), SqlType::Struct(fields)) => {
            Json::Object(fields.iter().zip(values.iter()).map(|((n, t), v)| (n.clone(), to_json(v, t))).collect())
        }
        _ => Json::Null,
    }
}
