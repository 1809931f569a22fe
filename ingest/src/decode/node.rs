//! A JSON value as a tree, for the values that do not go straight from their bytes into a column.

use super::number::Digits;
use super::scan::{Kind, Malformed, Scan, Token};
use hashbrown::HashMap;
use std::borrow::Cow;
use weir_dataflow::row::json::write_string;

/// A value over a text that was checked to be well-formed.
pub(super) enum Node<'a> {
    /// Neither array nor object.
    Scalar(Token),
    /// Elements.
    Array(Vec<Node<'a>>),
    /// Fields in the order of their first appearance, each name once, with its last value.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// The tree of a token.
    pub(super) fn read(all: &'a [u8], token: Token) -> Node<'a> {
        let mut scan = Scan::new(all, token.start(), token.end());
        match token.kind {
            Kind::Array | Kind::Object => Node::parse(&mut scan).unwrap_or(Node::Scalar(token)),
            Kind::Text | Kind::Escaped | Kind::Integer | Kind::Fraction | Kind::True | Kind::False | Kind::Null => {
                Node::Scalar(token)
            }
        }
    }

    /// Reads the value that comes next. The depth is that of the checked text, so it is bounded.
    fn parse(scan: &mut Scan<'a>) -> Result<Node<'a>, Malformed> {
        let close = match scan.peek() {
            b'{' => b'}',
            b'[' => b']',
            _ => return scan.value().map(Node::Scalar),
        };
        let (mut items, mut fields) = (Vec::new(), Vec::new());
        scan.step();
        scan.space();
        while !scan.take(close) {
            if close == b'}' {
                let name = text_of(scan.all(), scan.key()?);
                fields.push((name, Node::parse(scan)?));
            } else {
                items.push(Node::parse(scan)?);
            }
            scan.space();
            if scan.peek() != close {
                scan.comma()?;
            }
        }
        Ok(if close == b'}' { Node::Object(unique(fields)) } else { Node::Array(items) })
    }
}

/// Each name once: where it stood first, with the value it had last.
fn unique<'a>(fields: Vec<(Cow<'a, str>, Node<'a>)>) -> Vec<(Cow<'a, str>, Node<'a>)> {
    let mut places: HashMap<Cow<'a, str>, usize> = HashMap::with_capacity(fields.len());
    let mut out: Vec<(Cow<'a, str>, Node<'a>)> = Vec::with_capacity(fields.len());
    for (name, node) in fields {
        match places.get(&name) {
            Some(&at) => out[at].1 = node,
            None => {
                places.insert(name.clone(), out.len());
                out.push((name, node));
            }
        }
    }
    out
}

/// The text of a string token, unescaped.
pub(super) fn text_of<'a>(all: &'a [u8], token: Token) -> Cow<'a, str> {
    let bytes = token.bytes(all);
    if token.kind == Kind::Escaped {
        let mut out = Vec::with_capacity(bytes.len());
        unescape(&mut out, bytes);
        return Cow::Owned(String::from_utf8(out).unwrap_or_default());
    }
    String::from_utf8_lossy(bytes)
}

/// Appends a string without its escapes. Half of a surrogate pair, which no UTF-8 text can hold, becomes U+FFFD.
pub(super) fn unescape(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let Some((&escape, behind)) = rest.split_first() else { return };
        rest = behind;
        out.push(match escape {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let c = unicode(&mut rest);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            other => other,
        });
    }
    out.extend_from_slice(rest);
}

/// Takes four digits, and a second escape when the first is the upper half of a pair.
fn unicode(rest: &mut &[u8]) -> char {
    let unit = |bytes: &[u8]| bytes.get(..4).and_then(|h| u32::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
    let first = unit(rest).unwrap_or(0xfffd);
    *rest = rest.get(4..).unwrap_or_default();
    if (0xd800..0xdc00).contains(&first)
        && let Some(behind) = rest.strip_prefix(b"\\u")
        && let Some(second @ 0xdc00..0xe000) = unit(behind)
    {
        *rest = behind.get(4..).unwrap_or_default();
        return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).unwrap_or('\u{fffd}');
    }
    char::from_u32(first).unwrap_or('\u{fffd}')
}

/// Appends what a STRING column holds for this value: a string itself, a number's or boolean's text, an object's JSON
/// text, an array's elements as `[a, b]`. `None` for a number that Java cannot read.
pub(super) fn push_text(out: &mut Vec<u8>, all: &[u8], node: &Node<'_>) -> Option<()> {
    match node {
        Node::Scalar(token) => match token.kind {
            Kind::Text => out.extend_from_slice(token.bytes(all)),
            Kind::Escaped => unescape(out, token.bytes(all)),
            Kind::Integer if token.bytes(all) == b"-0" => out.push(b'0'),
            Kind::Fraction => out.extend_from_slice(Digits::parse(token.bytes(all))?.text().as_bytes()),
            Kind::Integer | Kind::True | Kind::False | Kind::Null | Kind::Array | Kind::Object => {
                out.extend_from_slice(token.bytes(all));
            }
        },
        Node::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.extend_from_slice(b", ");
                }
                push_text(out, all, item)?;
            }
            out.push(b']');
        }
        Node::Object(_) => push_json(out, all, node)?,
    }
    Some(())
}

/// Appends compact JSON text.
fn push_json(out: &mut Vec<u8>, all: &[u8], node: &Node<'_>) -> Option<()> {
    match node {
        Node::Scalar(token) if matches!(token.kind, Kind::Text | Kind::Escaped) => {
            write_string(out, &text_of(all, *token));
        }
        Node::Scalar(_) => push_text(out, all, node)?,
        Node::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                push_json(out, all, item)?;
            }
            out.push(b']');
        }
        Node::Object(fields) => {
            out.push(b'{');
            for (i, (name, item)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(out, name);
                out.push(b':');
                push_json(out, all, item)?;
            }
            out.push(b'}');
        }
    }
    Some(())
}
