//! Characters to tokens.
//!
//! A token is a kind and a place; its text is looked up in the script when somebody wants it. Nothing fails here:
//! what is not a token becomes [`TokenKind::Bad`], so that the parser meets it in order and the rest of the script
//! is still read. Keywords are plain words; only the grammar around them makes them keywords.

use super::error::Span;

/// A piece of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it stands.
    pub span: Span,
}

/// The kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A letter or `_`, then letters, digits, `_` and `@`.
    Word,
    /// A digit, then letters, digits, `_` and `@`: a name as well (`1R0`).
    DigitWord,
    /// A name in backquotes or double quotes, the quote doubled inside.
    Quoted,
    /// `'text'`, the quote doubled inside.
    String,
    /// Digits.
    Integer,
    /// Digits with a point.
    Decimal,
    /// Digits with an exponent.
    Double,
    /// `${name}`.
    Variable,
    /// An operator or a punctuation mark.
    Symbol(&'static str),
    /// No token at all.
    Bad(Flaw),
    /// After the last token.
    End,
}

impl TokenKind {
    pub(super) fn is_number(self) -> bool {
        matches!(self, TokenKind::Integer | TokenKind::Decimal | TokenKind::Double)
    }
}

/// Why something is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// A character that begins nothing.
    Character,
    /// `'text` without an end.
    OpenString,
    /// A quoted name without an end.
    OpenName,
    /// `/* …` without an end.
    OpenComment,
}

/// Longer ones first, so that the first that fits is the right one.
const SYMBOLS: [&str; 25] = [
    "->", "=>", ":=", "||", "<>", "!=", "<=", ">=", ";", ",", ".", "(", ")", "[", "]", "<", ">", "=", "+", "-", "*",
    "/", "%", "{", "}",
];

/// The tokens of a text, the last one [`TokenKind::End`]. White space and comments are left out.
///
/// A string or name without an end is taken to end with its line, so that what follows is read as it was meant.
pub(super) fn lex(text: &str) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(text.len() / 5 + 1);
    let mut at = 0;
    loop {
        let (start, open_comment) = skip_blank(text.as_bytes(), at);
        if let Some(comment) = open_comment {
            tokens.push(token(TokenKind::Bad(Flaw::OpenComment), comment, text.len()));
        }
        if start >= text.len() {
            tokens.push(token(TokenKind::End, text.len(), text.len()));
            return tokens;
        }
        let (kind, end) = next(text, start);
        tokens.push(token(kind, start, end));
        at = end;
    }
}

fn token(kind: TokenKind, start: usize, end: usize) -> Token {
    let place = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
    Token { kind, span: Span { start: place(start), end: place(end) } }
}

/// Where the next token starts, and where a comment without an end starts.
fn skip_blank(bytes: &[u8], mut at: usize) -> (usize, Option<usize>) {
    loop {
        match bytes.get(at..).unwrap_or_default() {
            [b' ' | b'\t' | b'\r' | b'\n', ..] => at += 1,
            [0xef, 0xbb, 0xbf, ..] if at == 0 => at += 3,
            [b'-', b'-', rest @ ..] => at += 2 + memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len()),
            [b'/', b'*', rest @ ..] => match memchr::memmem::find(rest, b"*/") {
                Some(end) => at += 2 + end + 2,
                None => return (bytes.len(), Some(at)),
            },
            _ => return (at, None),
        }
    }
}

fn next(text: &str, start: usize) -> (TokenKind, usize) {
    let rest = text.get(start..).unwrap_or_default();
    let bytes = rest.as_bytes();
    let (kind, length) = match bytes {
        [b'a'..=b'z' | b'A'..=b'Z' | b'_', ..] => (TokenKind::Word, run(bytes, 1, is_name)),
        [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => number(bytes),
        [b'\'', ..] => quoted(bytes, b'\'', TokenKind::String, Flaw::OpenString),
        [quote @ (b'`' | b'"'), ..] => quoted(bytes, *quote, TokenKind::Quoted, Flaw::OpenName),
        [b'$', b'{', ..] => variable(bytes),
        _ => match SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            Some(symbol) => (TokenKind::Symbol(symbol), symbol.len()),
            None => (TokenKind::Bad(Flaw::Character), rest.chars().next().map_or(1, char::len_utf8)),
        },
    };
    (kind, start + length)
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'@'
}

/// The first place from `at` on whose byte does not fit.
fn run(bytes: &[u8], at: usize, fits: fn(u8) -> bool) -> usize {
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|byte| fits(**byte)).count()
}

/// A number or a digit-led name, whichever is longer; a number when they are the same.
fn number(bytes: &[u8]) -> (TokenKind, usize) {
    let digit = |byte: u8| byte.is_ascii_digit();
    let mut kind = TokenKind::Integer;
    let mut end = run(bytes, 0, digit);
    if bytes.get(end) == Some(&b'.') {
        kind = TokenKind::Decimal;
        end = run(bytes, end + 1, digit);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = run(bytes, end + 1 + sign, digit);
        if exponent > end + 1 + sign {
            kind = TokenKind::Double;
            end = exponent;
        }
    }
    let name = run(bytes, 0, is_name);
    if name > end { (TokenKind::DigitWord, name) } else { (kind, end) }
}

fn quoted(bytes: &[u8], quote: u8, kind: TokenKind, flaw: Flaw) -> (TokenKind, usize) {
    let mut at = 1;
    while let Some(found) = memchr::memchr(quote, bytes.get(at..).unwrap_or_default()) {
        at += found + 1;
        if bytes.get(at) != Some(&quote) {
            return (kind, at);
        }
        at += 1;
    }
    (TokenKind::Bad(flaw), memchr::memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len()))
}

fn variable(bytes: &[u8]) -> (TokenKind, usize) {
    let end = run(bytes, 2, is_name);
    let named = matches!(bytes.get(2), Some(b'a'..=b'z' | b'A'..=b'Z' | b'_'));
    if named && bytes.get(end) == Some(&b'}') {
        (TokenKind::Variable, end + 1)
    } else {
        (TokenKind::Bad(Flaw::Character), 1)
    }
}

/// The text of a string or of a quoted name, without its quotes and with doubled quotes undone.
pub(super) fn unquote(text: &str) -> String {
    let Some(quote) = text.chars().next() else { return String::new() };
    let inner = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)).unwrap_or(text);
    inner.replace(&format!("{quote}{quote}"), &quote.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Vec<String> {
        let shown = |token: &Token| {
            let symbol = matches!(token.kind, TokenKind::Symbol(_));
            let kind = if symbol { "symbol".to_owned() } else { format!("{:?}", token.kind) };
            format!("{kind} {}", &text[token.span.start as usize..token.span.end as usize])
        };
        lex(text).iter().map(shown).collect()
    }

    #[test]
    fn names_and_numbers_take_the_longest_match() {
        assert_eq!(
            shown("a1@b 1R0 12 1. .5 1e3 1.5E-2 1E3x 1e _x"),
            [
                "Word a1@b",
                "DigitWord 1R0",
                "Integer 12",
                "Decimal 1.",
                "Decimal .5",
                "Double 1e3",
                "Double 1.5E-2",
                "DigitWord 1E3x",
                "DigitWord 1e",
                "Word _x",
                "End "
            ]
        );
    }

    #[test]
    fn quotes_double_inside_and_comments_vanish() {
        assert_eq!(
            shown("'it''s' `a``b` \"c\"\"d\" -- gone\n/* gone ; */ ${v} a->b:=c||d<>e!=f<=g=>h"),
            [
                "String 'it''s'",
                "Quoted `a``b`",
                "Quoted \"c\"\"d\"",
                "Variable ${v}",
                "Word a",
                "symbol ->",
                "Word b",
                "symbol :=",
                "Word c",
                "symbol ||",
                "Word d",
                "symbol <>",
                "Word e",
                "symbol !=",
                "Word f",
                "symbol <=",
                "Word g",
                "symbol =>",
                "Word h",
                "End "
            ]
        );
        assert_eq!(unquote("'it''s'"), "it's");
        assert_eq!(unquote("`a``b`"), "a`b");
    }

    #[test]
    fn what_has_no_end_ends_with_its_line() {
        assert_eq!(shown("'a b\nc"), ["Bad(OpenString) 'a b", "Word c", "End "]);
        assert_eq!(shown("`a b\r\nc"), ["Bad(OpenName) `a b", "Word c", "End "]);
        assert_eq!(shown("a /* b"), ["Word a", "Bad(OpenComment) /* b", "End "]);
        assert_eq!(shown("ä ?"), ["Bad(Character) ä", "Bad(Character) ?", "End "]);
    }

    proptest! {
        #[test]
        fn any_text_is_covered_in_order(text in "\\PC{0,40}|[-'\"`/*${}a1.eE\n;<=>|! ]{0,40}") {
            let mut at = 0;
            for token in lex(&text) {
                prop_assert!(token.span.start >= at && token.span.end >= token.span.start);
                prop_assert!(text.get(token.span.start as usize..token.span.end as usize).is_some());
                at = token.span.end;
            }
            prop_assert_eq!(at as usize, text.len());
        }
    }
}
