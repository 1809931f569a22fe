use super::*;

/// A text that is read at once, and the error that its last statement must have.
struct Script {
    name: String,
    text: String,
    expected: Option<String>,
}

/// The statements of each case of a file of JSON lines. Cases of the REST suite send theirs one by one.
fn scripts() -> Vec<Script> {
    let Ok(path) = std::env::var("WEIR_CASES") else { return Vec::new() };
    let lines = std::fs::read_to_string(&path).expect("WEIR_CASES names a file");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut scripts = Vec::new();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let case: serde_json::Value = serde_json::from_str(line).expect("each line is a JSON object");
        let name = format!("{} {}", text(&case["file"]), text(&case["name"]));
        let error = [&case["expected_exception"], &case["expected_error"]].into_iter().find(|e| e.is_object());
        let expected = error.map(|e| text(&e["message"]));
        let statements: Vec<String> = case["statements"].as_array().into_iter().flatten().map(text).collect();
        let texts = if case["suite"] == "rqtt" { statements } else { vec![statements.join("\n")] };
        scripts.extend(texts.into_iter().map(|text| Script { name: name.clone(), text, expected: expected.clone() }));
    }
    scripts
}

#[test]
fn every_statement_of_the_cases_is_read() {
    let (mut read, mut wrong) = (0, Vec::new());
    for Script { name, text, expected } in scripts() {
        let (statements, errors) = parse(&text);
        read += statements.len();
        for error in errors {
            if !expected.as_ref().is_some_and(|expected| error.message.contains(expected)) {
                wrong.push(format!("{name}: {error:?}, expected {expected:?}"));
            }
        }
    }
    eprintln!("{read} statements of cases");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
