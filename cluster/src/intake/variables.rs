//! `${name}` in statements.
//!
//! Variables are put in before parsing, so a text that has any is cut into its statements first: a DEFINE holds for
//! what comes after it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

/// The text with the values of the variables that it names; `$${name}` stays `${name}`, an unknown one as it is.
pub fn substitute<'a>(text: &'a str, variables: &BTreeMap<String, String>) -> Cow<'a, str> {
    if !text.contains("${") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let Some(end) = from.find('}') else { break };
        let name = &from[2..end];
        match before.strip_suffix('$') {
            Some(before) => {
                out.push_str(before);
                out.push_str(&from[..=end]);
            }
            None => {
                out.push_str(before);
                let value = variables.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
                out.push_str(value.unwrap_or(&from[..=end]));
            }
        }
        rest = &from[end + 1..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Where the statements of a text stand, each with its semicolon.
pub fn statements(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let (mut ranges, mut start, mut at) = (Vec::new(), 0, 0);
    let find = |from: usize, what: &str| text.get(from..).and_then(|t| t.find(what)).map_or(bytes.len(), |i| from + i);
    while at < bytes.len() {
        at = match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => {
                bytes[at + 1..].iter().position(|&b| b == quote).map_or(bytes.len(), |i| at + i + 2)
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => find(at, "\n"),
            b'/' if bytes.get(at + 1) == Some(&b'*') => (find(at + 2, "*/") + 2).min(bytes.len()),
            b';' => {
                ranges.push(start..at + 1);
                start = at + 1;
                start
            }
            _ => at + 1,
        };
    }
    if text.get(start..).is_some_and(|rest| !rest.trim().is_empty()) {
        ranges.push(start..bytes.len());
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_for_their_values() {
        let variables = BTreeMap::from([("topic".to_owned(), "t1".to_owned())]);
        assert_eq!(substitute("a '${TOPIC}' $${topic} ${none} ${", &variables), "a 't1' ${topic} ${none} ${");
    }

    #[test]
    fn statements_are_cut_at_semicolons_outside_of_text() {
        let text = "A ';' \"é;\" `;` -- ;\n /* ; */ b; ;c";
        let parts: Vec<&str> = statements(text).into_iter().map(|r| &text[r]).collect();
        assert_eq!(parts, ["A ';' \"é;\" `;` -- ;\n /* ; */ b;", " ;", "c"]);
        assert!(statements(" \n").is_empty());
        assert_eq!(statements("'open").len(), 1);
        assert_eq!(statements("/*").len(), 1);
    }
}
