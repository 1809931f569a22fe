//! Making an index ready: its template and the index itself.
//!
//! The template `weir-INDEX` applies to exactly the index that is written: one shard, no replica, EVENT_TS and TIMESTAMP
//! columns are dates, text is a keyword, a DOUBLE stays a double. It is there for an index that is deleted and made
//! again. It gives way to a user's: when another template matches the index, ours is not put at all, and what we put
//! has the lowest priority that there is.

use super::bulk::reason;
use super::server::{Answer, Kind, Server};
use crate::{SinkError, Target};
use bytes::Bytes;
use reqwest::Method;
use serde_json::{Map, Value, json};
use weir_dataflow::row::SqlType;

/// Puts the template, unless a user's matches the index, and makes the index, unless it is there.
///
/// # Errors
/// When the server cannot be reached, or does not want the index.
pub(super) async fn make_ready(
    server: &Server,
    kind: &Kind,
    index: &str,
    type_name: &str,
    target: &Target,
) -> Result<(), SinkError> {
    match foreign_template(server, kind, index).await? {
        Some(name) => tracing::warn!(
            view = %target.view,
            "template \"{name}\" matches index \"{index}\" and is left in charge; EVENT_TS has to be a date in it, and text a keyword"
        ),
        None => put_template(server, kind, index, type_name, target).await?,
    }
    let answer = server.request(Method::PUT, &escape(index), None).await?;
    match answer.status {
        200..=299 => Ok(()),
        // It is there already, or its name is an alias' or a data stream's.
        400 | 409 if String::from_utf8_lossy(&answer.body).contains("exists") => Ok(()),
        // Who may not make indices may still write to one that is there.
        403 => Ok(()),
        400 => Err(SinkError::Failed(said("index", index, &answer))),
        401 => Err(SinkError::Failed(said("index", index, &answer))),
        _ => Err(SinkError::Unavailable(said("index", index, &answer))),
    }
}

async fn put_template(
    server: &Server,
    kind: &Kind,
    index: &str,
    type_name: &str,
    target: &Target,
) -> Result<(), SinkError> {
    let (api, body) = if kind.has_index_templates() {
        ("_index_template", index_template(index, target))
    } else {
        ("_template", legacy_template(index, kind.has_types().then_some(type_name), target))
    };
    let body = Bytes::from(body.to_string());
    let path = format!("{api}/{}", escape(&template_name(index)));
    let answer = server.request(Method::PUT, &path, Some(("application/json", body))).await?;
    match answer.status {
        200..=299 => Ok(()),
        400 | 403 | 404 | 405 => {
            let said = said("template", &template_name(index), &answer);
            tracing::warn!(view = %target.view, "{said}; the server's defaults apply to index \"{index}\"");
            Ok(())
        }
        401 => Err(SinkError::Failed(said("template", &template_name(index), &answer))),
        _ => Err(SinkError::Unavailable(said("template", &template_name(index), &answer))),
    }
}

fn template_name(index: &str) -> String {
    format!("weir-{index}")
}

fn said(what: &str, name: &str, answer: &Answer) -> String {
    format!("the server does not take {what} \"{name}\": {}", reason(answer.status, &answer.body))
}

fn settings() -> Value {
    json!({"number_of_shards": 1, "number_of_replicas": 0})
}

/// Longest text that is indexed, in characters; a keyword of more than 32,766 bytes would spoil its document.
const LONGEST_KEYWORD: u32 = 8191;

fn mappings(target: &Target) -> Value {
    let timestamps = target.schema.value.iter().filter(|c| c.ty == SqlType::Timestamp);
    let properties: Map<String, Value> = timestamps.map(|c| (c.name.clone(), json!({"type": "date"}))).collect();
    json!({
        "dynamic_templates": [
            {"event_ts": {"match": "EVENT_TS", "mapping": {"type": "date"}}},
            {"text": {"match_mapping_type": "string", "mapping": {"type": "keyword", "ignore_above": LONGEST_KEYWORD}}},
            {"numbers": {"match_mapping_type": "double", "mapping": {"type": "double"}}}
        ],
        "properties": properties
    })
}

fn index_template(index: &str, target: &Target) -> Value {
    json!({
        "index_patterns": [index],
        "priority": 0,
        "template": {"settings": settings(), "mappings": mappings(target)},
        "_meta": {"made_by": "weir", "view": target.view}
    })
}

fn legacy_template(index: &str, type_name: Option<&str>, target: &Target) -> Value {
    let mappings = match type_name {
        Some(name) => json!({ name: mappings(target) }),
        None => mappings(target),
    };
    // Matching templates are merged, and a user's have order 0 when they say nothing.
    json!({"index_patterns": [index], "order": -1, "settings": settings(), "mappings": mappings})
}

/// The name of a template of somebody else that matches the index.
async fn foreign_template(server: &Server, kind: &Kind, index: &str) -> Result<Option<String>, SinkError> {
    let mut names = Vec::new();
    if kind.has_index_templates() {
        let answer = server.request(Method::GET, "_index_template", None).await?;
        names.extend(matching(&answer.body, index));
        // Ours would also hide a template of the old kind.
        let answer = server.request(Method::GET, "_template", None).await?;
        names.extend(matching_legacy(&answer.body, index));
    }
    Ok(names.into_iter().find(|name| *name != template_name(index)))
}

fn matching(body: &[u8], index: &str) -> Vec<String> {
    let Ok(answer) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let templates = answer["index_templates"].as_array().cloned().unwrap_or_default();
    let matching = templates.iter().filter(|t| applies(&t["index_template"]["index_patterns"], index));
    matching.filter_map(|t| t["name"].as_str().map(str::to_owned)).collect()
}

fn matching_legacy(body: &[u8], index: &str) -> Vec<String> {
    let Ok(Value::Object(templates)) = serde_json::from_slice(body) else { return Vec::new() };
    templates.into_iter().filter(|(_, t)| applies(&t["index_patterns"], index)).map(|(name, _)| name).collect()
}

fn applies(patterns: &Value, index: &str) -> bool {
    match patterns {
        Value::Array(patterns) => patterns.iter().any(|p| applies(p, index)),
        Value::String(pattern) => matches(pattern.as_bytes(), index.as_bytes()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// `*` stands for any text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not fit: one byte further under the star.
    let mut star = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((after, under)) = star {
            star = Some((after, under + 1));
            (p, t) = (after, under + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// A name as part of a path.
pub(super) fn escape(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use weir_dataflow::row::{Column, Schema};

    fn target() -> Target {
        let column = |name: &str, ty| Column { name: name.into(), ty };
        let value = vec![column("EVENT_TS", SqlType::Bigint), column("SEEN", SqlType::Timestamp)];
        Target {
            view: "EVENTS_PER_MIN".into(),
            topic: "EVENTS_PER_MIN".into(),
            schema: Schema { key: Vec::new(), value },
            table: true,
            window: None,
            generation: 0,
        }
    }

    #[test]
    fn a_template_for_each_kind_of_server() {
        expect![[r#"{"index_patterns":["events_per_min"],"priority":0,"template":{"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"dynamic_templates":[{"event_ts":{"match":"EVENT_TS","mapping":{"type":"date"}}},{"text":{"match_mapping_type":"string","mapping":{"type":"keyword","ignore_above":8191}}},{"numbers":{"match_mapping_type":"double","mapping":{"type":"double"}}}],"properties":{"SEEN":{"type":"date"}}}},"_meta":{"made_by":"weir","view":"EVENTS_PER_MIN"}}"#]].assert_eq(&index_template("events_per_min", &target()).to_string());
        expect![[r#"{"index_patterns":["events_per_min"],"order":-1,"settings":{"number_of_shards":1,"number_of_replicas":0},"mappings":{"_doc":{"dynamic_templates":[{"event_ts":{"match":"EVENT_TS","mapping":{"type":"date"}}},{"text":{"match_mapping_type":"string","mapping":{"type":"keyword","ignore_above":8191}}},{"numbers":{"match_mapping_type":"double","mapping":{"type":"double"}}}],"properties":{"SEEN":{"type":"date"}}}}}"#]].assert_eq(&legacy_template("events_per_min", Some("_doc"), &target()).to_string());
        let untyped = legacy_template("events_per_min", None, &target());
        assert!(untyped["mappings"]["dynamic_templates"].is_array());
    }

    #[test]
    fn a_users_template_is_found_by_its_patterns() {
        let body = br#"{"index_templates":[
            {"name":"logs","index_template":{"index_patterns":["logs-*-*"]}},
            {"name":"mine","index_template":{"index_patterns":["x","events_*"]}}]}"#;
        assert_eq!(matching(body, "events_per_min"), ["mine"]);
        assert_eq!(matching(body, "pages_per_min"), Vec::<String>::new());
        let legacy = br#"{"kafkaconnect":{"order":0,"index_patterns":["*"]},".monitoring":{"index_patterns":[".monitoring-*"]}}"#;
        assert_eq!(matching_legacy(legacy, "events_per_min"), ["kafkaconnect"]);
        assert_eq!(matching(b"<html>", "a"), Vec::<String>::new());
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*b*c", "aXbYbc", true),
            ("a*b", "abc", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("", "a", false),
            ("*a", "aab", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        assert_eq!(escape("a b/ü"), "a%20b%2F%C3%BC");
    }
}
