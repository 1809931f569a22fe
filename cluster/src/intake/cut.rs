//! Where the statements of a text stand, without reading them: for what cannot be read, and for messages.

use std::ops::Range;

/// Where the statements of a text stand, each with its semicolon.
pub(super) fn statements(text: &str) -> Vec<Range<usize>> {
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
    fn statements_are_cut_at_semicolons_outside_of_text() {
        let text = "A ';' \"é;\" `;` -- ;\n /* ; */ b; ;c";
        let parts: Vec<&str> = statements(text).into_iter().map(|r| &text[r]).collect();
        assert_eq!(parts, ["A ';' \"é;\" `;` -- ;\n /* ; */ b;", " ;", "c"]);
        assert!(statements(" \n").is_empty());
        assert_eq!(statements("'open").len(), 1);
        assert_eq!(statements("/*").len(), 1);
    }
}
