//! LIKE: `%` is any text within a line, `_` any character but a line's end; the whole text must match.

use crate::row::packer::used_text;
use arrow_array::{Array, StringArray};
use arrow_buffer::BooleanBuffer;

/// What is said of LIKE with null.
pub(super) const NULL: &str = "LIKE of null";

/// A compiled LIKE pattern.
#[derive(Clone, Debug)]
pub struct Pattern(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// No wildcard.
    Exact(String),
    /// `text%`.
    Prefix(String),
    /// `%text`.
    Suffix(String),
    /// `%text%`.
    Contains(Box<memchr::memmem::Finder<'static>>),
    /// All others.
    General(Vec<Part>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Char(char),
    /// `_`.
    One,
    /// `%`.
    Many,
}

impl Pattern {
    /// Compiles a pattern; the character after `escape` stands for itself.
    pub fn new(pattern: &str, escape: Option<char>) -> Self {
        let mut parts = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            match c {
                c if Some(c) == escape => parts.extend(chars.next().map(Part::Char)),
                '%' if parts.last() == Some(&Part::Many) => {}
                '%' => parts.push(Part::Many),
                '_' => parts.push(Part::One),
                c => parts.push(Part::Char(c)),
            }
        }
        let text = |parts: &[Part]| -> Option<String> {
            parts.iter().map(|p| if let Part::Char(c) = p { Some(*c) } else { None }).collect()
        };
        Pattern(match parts.as_slice() {
            [Part::Many, inner @ .., Part::Many] => match text(inner) {
                Some(text) => Kind::Contains(Box::new(memchr::memmem::Finder::new(&text).into_owned())),
                None => Kind::General(parts),
            },
            [inner @ .., Part::Many] => text(inner).map_or_else(|| Kind::General(parts.clone()), Kind::Prefix),
            [Part::Many, inner @ ..] => text(inner).map_or_else(|| Kind::General(parts.clone()), Kind::Suffix),
            all => text(all).map_or_else(|| Kind::General(parts.clone()), Kind::Exact),
        })
    }

    /// Which texts of a column match; null does not.
    pub(super) fn matching(&self, texts: &StringArray) -> BooleanBuffer {
        let rows = |matches: &dyn Fn(&str) -> bool| {
            BooleanBuffer::collect_bool(texts.len(), |i| texts.is_valid(i) && matches(texts.value(i)))
        };
        match &self.0 {
            // Where no text has a line's end, the two `%` are any text.
            Kind::Contains(finder) if str::from_utf8(used_text(texts)).is_ok_and(is_one_line) => {
                rows(&|text| finder.find(text.as_bytes()).is_some())
            }
            _ => rows(&|text| self.matches(text)),
        }
    }

    /// True when the whole text matches.
    #[inline]
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Exact(pattern) => text == pattern,
            Kind::Prefix(prefix) => text.strip_prefix(prefix.as_str()).is_some_and(is_one_line),
            Kind::Suffix(suffix) => text.strip_suffix(suffix.as_str()).is_some_and(is_one_line),
            Kind::Contains(finder) => match finder.find(text.as_bytes()) {
                None => false,
                Some(at) => {
                    // A later place would have the line ends between both to cross.
                    let rest = at + finder.needle().len();
                    is_one_line(&text[..at]) && is_one_line(&text[rest..])
                        || (!is_one_line(text) && contains_anywhere(finder, text))
                }
            },
            Kind::General(parts) => general(parts, text),
        }
    }
}

/// `%needle%` when the text has more than one line: some occurrence has no line's end before or after it.
fn contains_anywhere(finder: &memchr::memmem::Finder<'_>, text: &str) -> bool {
    let needle = finder.needle();
    (0..=text.len().saturating_sub(needle.len()))
        .filter(|&at| text.as_bytes()[at..].starts_with(needle) && text.is_char_boundary(at))
        .any(|at| is_one_line(&text[..at]) && is_one_line(&text[at + needle.len()..]))
}

/// What Java's `.` does not match.
fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

#[inline]
fn is_one_line(text: &str) -> bool {
    memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() && (text.is_ascii() || !text.contains(is_line_end))
}

/// Matches part by part; at a mismatch the last `%` takes one more character. That is enough, for a `%` that stands
/// before could only take more by taking what the last one cannot.
fn general(parts: &[Part], text: &str) -> bool {
    let (mut part, mut rest) = (0, text.chars());
    let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
    loop {
        let before = rest.clone();
        let matched = match (parts.get(part), rest.next()) {
            (None, None) => return true,
            (Some(Part::Many), _) => {
                rest = before.clone();
                retry = Some((part + 1, before));
                true
            }
            (Some(Part::Char(p)), Some(c)) => *p == c,
            (Some(Part::One), Some(c)) => !is_line_end(c),
            _ => false,
        };
        if matched {
            part += 1;
            continue;
        }
        match &mut retry {
            None => return false,
            Some((again, from)) => match from.next() {
                Some(c) if !is_line_end(c) => {
                    part = *again;
                    rest = from.clone();
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The pattern as a regular expression, as ksqlDB does it.
    fn twin(pattern: &str, escape: Option<char>, text: &str) -> bool {
        let mut regex = String::from("^(?:");
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            match c {
                c if Some(c) == escape => regex.extend(chars.next().map(|c| regex::escape(&c.to_string()))),
                '%' => regex.push_str("[^\n\r\u{85}\u{2028}\u{2029}]*"),
                '_' => regex.push_str("[^\n\r\u{85}\u{2028}\u{2029}]"),
                c => regex.push_str(&regex::escape(&c.to_string())),
            }
        }
        regex.push_str(")$");
        // `$` of the regex crate is the very end, unlike Java's, and matches() asks for the very end too.
        regex::Regex::new(&regex).expect("a valid regex").is_match(text)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn like_is_the_regular_expression(pattern in "[ab%_\n!]{0,6}", text in "[abé\n\u{2028}]{0,7}", escape in prop::option::of(Just('!'))) {
            let (compiled, expected) = (Pattern::new(&pattern, escape), twin(&pattern, escape, &text));
            prop_assert_eq!(compiled.matches(&text), expected, "{:?} LIKE {:?}", text, pattern);
            let column = StringArray::from(vec![Some("a"), Some(&text), None]).slice(1, 2);
            prop_assert_eq!(compiled.matching(&column).iter().collect::<Vec<_>>(), [expected, false]);
        }
    }
}
