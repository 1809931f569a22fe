//! ksqlDB's own cases, where a copy of them is at hand: WEIR_CASES names the file of cases, one JSON object a line.
//! Here only what binding says of them: which statements it refuses and with which words, and the schemas it finds.

use super::*;
use crate::row::Schema;
use crate::sql::error::line_column;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What became of one case; the text says why it failed.
fn run(case: &Json) -> Result<(), String> {
    let session = Session {
        properties: case["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.as_str().map_or(v.to_string(), String::from)))
            .collect(),
        variables: BTreeMap::new(),
    };
    let statements: Vec<&str> = case["statements"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let error = [&case["expected_exception"], &case["expected_error"]].into_iter().find(|e| e.is_object());
    let expected = error.map(|e| e["message"].as_str().unwrap_or(""));
    let mut catalog = Catalog::default();
    let script = statements.join("\n");
    let (parsed, errors) = parse(&script);
    let failed = errors.into_iter().next().or_else(|| {
        parsed.iter().find_map(|s| match bind(&catalog, &session, s) {
            Ok(bound) => {
                catalog.add(&bound, &s.text);
                None
            }
            Err(error) => Some(error),
        })
    });
    let text = statements.last().unwrap_or(&"");
    match (failed, expected) {
        (None, None) => {}
        (None, Some(message)) => return Err(format!("bound, expected {message:?}\n{text}")),
        (Some(e), Some(message)) => {
            let span = e.span.unwrap_or_default();
            let (line, column) = line_column(&script, span.start as usize);
            let said = format!("Exception while preparing statement: Line: {line}, Col: {column}: {}", e.message);
            if !said.contains(message) && !e.message.contains(message) {
                return Err(format!("said {said:?}\nnot  {message:?}\n{text}"));
            }
        }
        (Some(e), None) => return Err(format!("refused {:?}\n{text}", e.message)),
    }
    for source in case["post"]["sources"].as_array().into_iter().flatten() {
        let (Some(name), Some(schema)) = (source["name"].as_str(), source["schema"].as_str()) else { continue };
        let found = catalog.get(name).ok_or_else(|| format!("no {name}"))?.schema();
        let wanted = parse_schema(schema, &catalog)?;
        if *found != wanted {
            return Err(format!("{name} is {found:?}\nnot {wanted:?}\n{}", statements.join("\n")));
        }
    }
    Ok(())
}

fn parse_schema(text: &str, catalog: &Catalog) -> Result<Schema, String> {
    let text = text.replace(" PRIMARY KEY", " KEY");
    // Only a view's columns may have these names.
    let text = text.replace("ROWOFFSET", "X_ROWOFFSET").replace("ROWPARTITION", "X_ROWPARTITION");
    let text = format!("CREATE STREAM SCHEMA_OF ({text}) WITH (kafka_topic='t', format='JSON');");
    let (statements, errors) = parse(&text);
    match (statements.first(), errors.first()) {
        (Some(s), None) => match bind(catalog, &Session::default(), s) {
            Ok(Bound::Source(mut source)) => {
                let columns = source.schema.key.iter_mut().chain(&mut source.schema.value);
                columns.for_each(|c| c.name = c.name.replace("X_ROW", "ROW"));
                Ok(source.schema)
            }
            other => Err(format!("{text}: {other:?}")),
        },
        (_, error) => Err(format!("{text}: {error:?}")),
    }
}

#[test]
#[allow(clippy::print_stderr, clippy::disallowed_methods, reason = "a report for whoever names the file")]
fn cases_bind_as_in_ksqldb() {
    let Ok(path) = std::env::var("WEIR_CASES") else { return };
    let text = std::fs::read_to_string(path).expect("the file of cases");
    let only = std::env::var("WEIR_CASES_MATCH").unwrap_or_default();
    let mut counts: BTreeMap<(bool, String), (usize, usize)> = BTreeMap::new();
    let mut report = String::new();
    for line in text.lines() {
        let case: Json = serde_json::from_str(line).expect("a case");
        let name = format!("{} {}", case["file"].as_str().unwrap_or(""), case["name"].as_str().unwrap_or(""));
        if !name.contains(&only) {
            continue;
        }
        let core = case["demo_core"] == Json::Bool(true);
        let key = format!("tier {} {}", case["tier"], case["family"].as_str().unwrap_or(""));
        let count = counts.entry((!core, key)).or_default();
        match run(&case) {
            Ok(()) => count.0 += 1,
            Err(reason) => {
                count.1 += 1;
                let _ = writeln!(report, "{}{name}: {reason}\n", if core { "CORE " } else { "" });
            }
        }
    }
    if let Ok(path) = std::env::var("WEIR_CASES_REPORT") {
        std::fs::write(path, &report).expect("a report");
    }
    let mut core = (0, 0);
    for ((other, family), (passed, failed)) in &counts {
        eprintln!("{}{family}: {passed} passed, {failed} failed", if *other { "     " } else { "core " });
        if !other {
            core = (core.0 + passed, core.1 + failed);
        }
    }
    eprintln!("core: {} passed, {} failed", core.0, core.1);
    assert!(!only.is_empty() || core.0 * 100 >= (core.0 + core.1) * 98, "fewer cases bind than did");
}
