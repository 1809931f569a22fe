//! Whether answers over HTTP are those that a case expects.
//!
//! An expectation speaks of some keys of an object only: these must be there with their values, and a key
//! `name|starts_with` asks for the beginning of `name`. Arrays have as many items as expected; a query's rows may come in
//! any order, unless the case says `verifyOrder`.

use super::case::Case;
use super::report::Failure;
use serde_json::{Number, Value as Json};

/// How many items of a query's answer a case waits for; `None`: the answer ends by itself.
pub(super) fn length(case: &Case, statement: usize) -> Option<usize> {
    let items = case.responses.get(statement)?.get("query")?.as_array()?;
    let ends = items.last().is_some_and(|last| last.get("finalMessage").is_some());
    let push = case.statements.get(statement).is_some_and(|s| s.to_ascii_uppercase().contains("EMIT"));
    (push && !ends).then_some(items.len())
}

/// The items of an answer of `/query`, one a line; of one that has not ended, those that are there.
pub(super) fn items(body: &str) -> Vec<Json> {
    let item = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix('[').unwrap_or(line).trim_end_matches([',', ']']);
        serde_json::from_str(line).ok()
    };
    body.lines().filter_map(item).collect()
}

/// Compares a refused request with what the case expects.
///
/// # Errors
/// The case expects no error, not this one, or not of this statement.
pub(super) fn refused(case: &Case, last: bool, status: u16, body: &str) -> Result<(), Failure> {
    let answer = serde_json::from_str::<Json>(body).unwrap_or_default();
    let message = answer["message"].as_str().unwrap_or(body).to_owned();
    let Some(refusal) = &case.expected_error else { return Err(Failure::new(format!("refused: {message}"))) };
    if !message.contains(&refusal.message) {
        return Err(Failure::compared("another error came", refusal.message.clone(), message));
    }
    if let Some(expected) = refusal.status.filter(|s| *s != status) {
        return Err(Failure::compared("the error has another status", expected.to_string(), status.to_string()));
    }
    let kind = match refusal.kind.as_deref().and_then(|class| class.rsplit('.').next()) {
        Some("KsqlStatementErrorMessage") => Some("statement_error"),
        Some("KsqlErrorMessage") => Some("generic_error"),
        _ => None,
    };
    if let Some(expected) = kind.filter(|kind| answer["@type"] != *kind) {
        return Err(Failure::compared("the error is of another type", expected, answer["@type"].to_string()));
    }
    if last { Ok(()) } else { Err(Failure::new(format!("not the last statement is refused: {message}"))) }
}

/// Compares all answers: entities of statements first, then queries' items.
///
/// # Errors
/// The first that differs.
pub(super) fn compare(case: &Case, given: &[Json]) -> Result<(), Failure> {
    let ordered = case.output_conditions.as_ref().is_some_and(|c| c["verifyOrder"] == true);
    for (i, expected) in case.responses.iter().enumerate() {
        let Some(actual) = given.get(i) else {
            return Err(Failure::compared(format!("answer {} is missing", i + 1), expected.to_string(), ""));
        };
        match (expected["query"].as_array(), actual["query"].as_array()) {
            (Some(e), Some(a)) => rows(e, a, ordered).map_err(|lines| Failure {
                reason: format!("the answer to {} differs", case.statements.get(i).map_or("", String::as_str)),
                lines,
            })?,
            _ if matches(expected, actual) => {}
            _ => {
                let reason = format!("answer {} differs", i + 1);
                return Err(Failure::compared(reason, expected.to_string(), actual.to_string()));
            }
        }
    }
    Ok(())
}

/// Compares a query's items; what stands side by side when they differ.
fn rows(expected: &[Json], actual: &[Json], ordered: bool) -> Result<(), Vec<(String, String)>> {
    let mut left: Vec<&Json> = actual.iter().collect();
    let mut lines = Vec::new();
    for expected in expected {
        let found = if ordered {
            left.first().filter(|a| matches(expected, a)).map(|_| 0)
        } else {
            left.iter().position(|a| matches(expected, a))
        };
        match found {
            Some(at) => {
                let actual = left.remove(at).to_string();
                lines.push((actual.clone(), actual));
            }
            None if ordered && !left.is_empty() => lines.push((expected.to_string(), left.remove(0).to_string())),
            None => lines.push((expected.to_string(), String::new())),
        }
    }
    lines.extend(left.into_iter().map(|a| (String::new(), a.to_string())));
    if lines.iter().all(|(e, a)| e == a) { Ok(()) } else { Err(lines) }
}

/// Whether a value is what an expectation speaks of.
fn matches(expected: &Json, actual: &Json) -> bool {
    match (expected, actual) {
        (Json::Object(expected), Json::Object(actual)) => {
            expected.iter().all(|(name, expected)| match name.strip_suffix("|starts_with") {
                Some(name) => {
                    let text = actual.get(name).and_then(Json::as_str);
                    text.zip(expected.as_str()).is_some_and(|(text, start)| text.starts_with(start))
                }
                None => actual.get(name).is_some_and(|actual| matches(expected, actual)),
            })
        }
        (Json::Array(expected), Json::Array(actual)) => {
            expected.len() == actual.len() && expected.iter().zip(actual).all(|(e, a)| matches(e, a))
        }
        (Json::Number(expected), Json::Number(actual)) => number(expected, actual),
        _ => expected == actual,
    }
}

/// Numbers are equal by value, however they are written.
fn number(expected: &Number, actual: &Number) -> bool {
    let (e, a) = (expected.to_string(), actual.to_string());
    let whole = |text: &str| !text.contains(['.', 'e', 'E']);
    e == a || !(whole(&e) && whole(&a)) && expected.as_f64() == actual.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_an_expectation_names_is_compared() {
        let actual = json!({"header": {"queryId": "query_1", "schema": "`A` INTEGER"}});
        assert!(matches(&json!({"header": {"schema": "`A` INTEGER"}}), &actual));
        assert!(matches(&json!({"header": {"queryId|starts_with": "query"}}), &actual));
        assert!(!matches(&json!({"header": {"queryId|starts_with": "QUERY"}}), &actual));
        assert!(!matches(&json!({"header": {"other": null}}), &actual));
        assert!(matches(&json!([10, 1.5, null]), &json!([10.0, 1.50, null])));
        assert!(!matches(&json!([9007199254740993_i64]), &json!([9007199254740992_i64])));
        assert!(!matches(&json!([1]), &json!([1, 2])));
    }

    #[test]
    fn rows_may_come_in_any_order_unless_it_is_asked_for() {
        let (one, two) = (json!({"row": {"columns": [1]}}), json!({"row": {"columns": [2]}}));
        let (there, back) = ([one.clone(), two.clone()], [two.clone(), one.clone()]);
        assert!(rows(&there, &back, false).is_ok());
        assert!(rows(&there, &back, true).is_err() && rows(&there, &there, true).is_ok());
        let lines = rows(&there, &[two.clone(), two.clone()], false).unwrap_err();
        assert_eq!(lines[0], (one.to_string(), String::new()));
        assert_eq!(lines[2], (String::new(), two.to_string()));
    }

    #[test]
    fn an_answers_items_are_read_also_before_its_end() {
        let body = "[{\"header\":{}},\n{\"row\":{\"columns\":[[1,2]]}},\n{\"row\":{\"col";
        assert_eq!(items(body), [json!({"header": {}}), json!({"row": {"columns": [[1, 2]]}})]);
        let ended = "[{\"header\":{}},\n{\"row\":{\"columns\":[1]}}]\n";
        assert_eq!(items(ended).len(), 2);
    }

    #[test]
    fn a_refusal_has_its_message_and_status() {
        let mut case = Case::default();
        let body = json!({"message": "no such thing: X"}).to_string();
        assert!(refused(&case, true, 400, &body).is_err());
        let refusal =
            super::super::case::Refusal { message: "such thing".into(), status: Some(400), ..Default::default() };
        case.expected_error = Some(refusal.clone());
        assert!(refused(&case, true, 400, &body).is_ok());
        assert!(refused(&case, false, 400, &body).is_err());
        assert!(refused(&case, true, 500, &body).is_err());
        assert!(refused(&case, true, 400, "{}").is_err());
        let typed = json!({"@type": "generic_error", "message": "no such thing: X"}).to_string();
        let of = |class: &str| Some(super::super::case::Refusal { kind: Some(class.into()), ..refusal.clone() });
        case.expected_error = of("io.confluent.ksql.rest.entity.KsqlErrorMessage");
        assert!(refused(&case, true, 400, &typed).is_ok());
        case.expected_error = of("io.confluent.ksql.rest.entity.KsqlStatementErrorMessage");
        assert!(refused(&case, true, 400, &typed).is_err());
    }
}
