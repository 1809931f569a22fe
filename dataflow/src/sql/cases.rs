//! Scripts from outside, for tests: the files that the environment variable WEIR_CASES names (separated as in
//! PATH), `.sql` files or query-validation cases as JSON lines. Without it there are none.

/// A text that is read at once.
pub(super) struct Script {
    /// Which case it is.
    pub(super) name: String,
    /// Its statements.
    pub(super) text: String,
    /// A part of the error that its last statement must have, in the parser or later.
    pub(super) expected: Option<String>,
    /// True when the parser must be the one that refuses it.
    pub(super) is_refused: bool,
}

/// All scripts.
#[allow(clippy::disallowed_methods, reason = "a test, not the engine, asks where there are more scripts")]
pub(super) fn scripts() -> Vec<Script> {
    let Some(paths) = std::env::var_os("WEIR_CASES") else { return Vec::new() };
    let mut scripts = Vec::new();
    for path in std::env::split_paths(&paths) {
        let text = std::fs::read_to_string(&path).expect("WEIR_CASES names files");
        if path.extension().is_some_and(|extension| extension == "sql") {
            let name = path.display().to_string();
            scripts.push(Script { name, text, expected: None, is_refused: false });
        } else {
            scripts.extend(text.lines().filter(|line| !line.is_empty()).flat_map(case));
        }
    }
    scripts
}

/// The texts of a case: one of all statements, or, in the REST suite, one of each.
fn case(line: &str) -> Vec<Script> {
    let case: serde_json::Value = serde_json::from_str(line).expect("each line is a JSON object");
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let name = format!("{} {}", text(&case["file"]), text(&case["name"]));
    let error = [&case["expected_exception"], &case["expected_error"]].into_iter().find(|error| error.is_object());
    let expected = error.map(|error| text(&error["message"]));
    // A property with a wrong value is the binder's to refuse.
    let is_refused = error.is_some_and(|error| text(&error["type"]).ends_with("ParseFailedException"))
        && !expected.as_ref().is_some_and(|expected| expected.starts_with("Configuration"));
    let statements: Vec<String> = case["statements"].as_array().into_iter().flatten().map(text).collect();
    let texts = if case["suite"] == "rqtt" { statements } else { vec![statements.join("\n")] };
    let script = |text| Script { name: name.clone(), text, expected: expected.clone(), is_refused };
    texts.into_iter().map(script).collect()
}
