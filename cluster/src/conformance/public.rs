//! The public suite's own files: an object with `tests`, each with a list of formats that `{FORMAT}` stands for.
//!
//! A test becomes a case a format. Formats that weir does not have are left out and counted.

use super::case::{Case, Suite};
use serde_json::{Map, Value as Json};

/// Formats that weir reads and writes.
const FORMATS: [&str; 4] = ["JSON", "DELIMITED", "KAFKA", "NONE"];

/// Formats of ksqlDB that weir does not have.
const ABSENT: [&str; 5] = ["AVRO", "PROTOBUF", "PROTOBUF_NOSR", "JSON_SR", "KAFKA_AVRO"];

/// Appends the cases of a file's object; how many were left out because of their format.
///
/// # Errors
/// The object is not a file of the suite; the text says where.
pub fn cases(file: &str, content: &Json, cases: &mut Vec<Case>) -> Result<usize, String> {
    let tests = content["tests"].as_array().ok_or("it has no list 'tests'")?;
    let mut left_out = 0;
    for (i, test) in tests.iter().enumerate() {
        let test = test.as_object().ok_or_else(|| format!("tests[{i}] is no object"))?;
        if test.get("enabled") == Some(&Json::Bool(false)) {
            continue;
        }
        let listed = test.get("format").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        let formats: Vec<Option<&str>> =
            if listed.is_empty() { vec![None] } else { listed.iter().map(Json::as_str).collect() };
        for format in formats {
            if format.is_some_and(|f| !FORMATS.contains(&f)) {
                left_out += 1;
                continue;
            }
            let expanded = expand(test, format);
            if uses_absent(&expanded) {
                left_out += 1;
                continue;
            }
            let mut case: Case =
                serde_json::from_value(Json::Object(expanded)).map_err(|e| format!("tests[{i}]: {e}"))?;
            case.file = file.into();
            case.base.clone_from(&case.name);
            case.format = format.map(str::to_owned);
            if let (Some(format), true) = (format, listed.len() > 1) {
                case.name = format!("{} - {format}", case.name);
            }
            if test.contains_key("responses") || test.contains_key("expectedError") {
                case.suite = Suite::Rqtt;
            }
            cases.push(case);
        }
    }
    Ok(left_out)
}

/// A test with a format put in for `{FORMAT}`.
fn expand(test: &Map<String, Json>, format: Option<&str>) -> Map<String, Json> {
    let put_in = |text: &str| format.map_or_else(|| text.to_owned(), |f| text.replace("{FORMAT}", f));
    let fields = test.iter().filter(|(name, _)| *name != "format");
    fields.map(|(name, value)| (name.clone(), replace(value, &put_in))).collect()
}

fn replace(value: &Json, put_in: &impl Fn(&str) -> String) -> Json {
    match value {
        Json::String(text) => Json::String(put_in(text)),
        Json::Array(items) => Json::Array(items.iter().map(|i| replace(i, put_in)).collect()),
        Json::Object(fields) => {
            Json::Object(fields.iter().map(|(name, value)| (put_in(name), replace(value, put_in))).collect())
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
    }
}

/// A statement or topic of the test names a format that weir does not have, and the test is not about its refusal.
fn uses_absent(test: &Map<String, Json>) -> bool {
    let statements = test.get("statements").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    let named = |text: &str| {
        let text = text.to_ascii_uppercase();
        let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        words.any(|word| ABSENT.contains(&word))
    };
    statements.iter().filter_map(Json::as_str).any(|s| s.to_ascii_uppercase().contains("FORMAT") && named(s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_test_becomes_a_case_a_format() {
        let file = json!({"comments": ["c"], "tests": [
            {"name": "one", "format": ["AVRO", "JSON", "DELIMITED"], "statements": ["… FORMAT='{FORMAT}';"],
             "inputs": [{"topic": "t", "key": null, "value": {"A": 1}, "timestamp": 5}],
             "expectedException": {"type": "E", "message": "no {FORMAT}"}},
            {"name": "two", "statements": ["CREATE STREAM S (A INT) WITH (value_format='avro');"]},
            {"name": "three", "format": ["JSON"], "statements": ["SELECT 1;"], "responses": []},
            {"name": "four", "enabled": false, "statements": []}
        ]});
        let mut found = Vec::new();
        assert_eq!(cases("f.json", &file, &mut found), Ok(2));
        let titles: Vec<String> = found.iter().map(Case::title).collect();
        assert_eq!(titles, ["f.json one - JSON", "f.json one - DELIMITED", "f.json three"]);
        assert_eq!(found[1].statements, ["… FORMAT='DELIMITED';"]);
        assert_eq!(found[1].refusal().unwrap().message, "no DELIMITED");
        assert_eq!(found[0].inputs[0].timestamp, Some(5));
        assert_eq!(found[2].suite, Suite::Rqtt);
        assert!(cases("f.json", &json!({"test": []}), &mut found).is_err());
    }
}
