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
            // Where no text has a line's end, the two `%` are any text. (Of an empty needle there would be too many.)
            Kind::Contains(finder) if !finder.needle().is_empty() && is_one_line(used_text(texts)) => {
                let found = containing(finder, texts.value_offsets(), texts.value_data());
                match texts.nulls() {
                    Some(nulls) => &found & nulls.inner(),
                    None => found,
                }
            }
            _ => rows(&|text| self.matches(text)),
        }
    }

    /// True when the whole text matches.
    #[inline]
    pub fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Kind::Exact(pattern) => text == pattern,
            Kind::Prefix(prefix) => text.strip_prefix(prefix.as_str()).is_some_and(|rest| is_one_line(rest.as_bytes())),
            Kind::Suffix(suffix) => text.strip_suffix(suffix.as_str()).is_some_and(|rest| is_one_line(rest.as_bytes())),
            Kind::Contains(finder) => match finder.find(text.as_bytes()) {
                None => false,
                Some(at) => {
                    // A later place would have the line ends between both to cross.
                    let rest = at + finder.needle().len();
                    let text = text.as_bytes();
                    is_one_line(&text[..at]) && is_one_line(&text[rest..])
                        || (!is_one_line(text) && contains_anywhere(finder, text))
                }
            },
            Kind::General(parts) => general(parts, text),
        }
    }
}

/// `%needle%` when the text has more than one line: some occurrence has no line's end before or after it.
fn contains_anywhere(finder: &memchr::memmem::Finder<'_>, text: &[u8]) -> bool {
    let needle = finder.needle();
    (0..=text.len().saturating_sub(needle.len()))
        .filter(|&at| text[at..].starts_with(needle))
        .any(|at| is_one_line(&text[..at]) && is_one_line(&text[at + needle.len()..]))
}

/// Which of the texts between these ends have the needle in them, which is not empty: searched for in all of them at once.
fn containing(finder: &memchr::memmem::Finder<'_>, ends: &[i32], all: &[u8]) -> BooleanBuffer {
    let mut found = vec![false; ends.len() - 1];
    let (mut row, mut at, last) = (0, ends[0] as usize, ends[ends.len() - 1] as usize);
    while let Some(hit) = all.get(at..last).and_then(|rest| finder.find(rest)) {
        let hit = at + hit..at + hit + finder.needle().len();
        row += ends[row + 1..].iter().take_while(|end| **end as usize <= hit.start).count();
        // One that reaches into the next text leaves no room for another in this one.
        at = ends[row + 1] as usize;
        found[row] = hit.end <= at;
    }
    found.into()
}

/// What Java's `.` does not match.
fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// There is no line's end in it, and it is whole characters.
#[inline]
fn is_one_line(text: &[u8]) -> bool {
    memchr::memchr2(b'\n', b'\r', text).is_none()
        && (text.is_ascii() || str::from_utf8(text).is_ok_and(|text| !text.contains(is_line_end)))
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
    use arrow_buffer::NullBuffer;
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
        fn like_is_the_regular_expression(pattern in "[abé%_\n!]{0,6}", text in "[abé\n\u{2028}]{0,7}", escape in prop::option::of(Just('!'))) {
            let (compiled, expected) = (Pattern::new(&pattern, escape), twin(&pattern, escape, &text));
            prop_assert_eq!(compiled.matches(&text), expected, "{:?} LIKE {:?}", text, pattern);
            // The texts' bytes stand together: a match of all of them need not be one of a text.
            let [head, tail] = [0, 1].map(|half| text.chars().skip(half * 3).take(3).collect::<String>());
            let texts = ["a", &text, &text, &head, "", &tail, &text];
            let nulls = NullBuffer::from(vec![true, true, false, true, true, true, true]);
            let all = StringArray::from(texts.to_vec());
            let column = StringArray::new(all.offsets().clone(), all.values().clone(), Some(nulls)).slice(1, 6);
            let expected: Vec<bool> =
                (1..7).map(|row| row != 2 && twin(&pattern, escape, texts[row])).collect();
            prop_assert_eq!(compiled.matching(&column).iter().collect::<Vec<_>>(), expected);
        }
    }
}
