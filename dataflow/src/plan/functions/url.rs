//! Functions on URLs.

use super::{Definition, Parameter as P, Signature, string};
use crate::row::Value;

/// The family.
pub(super) static FUNCTIONS: &[Definition] = &[
    Definition::new(
        "URL_DECODE_PARAM",
        "The text of a URL's parameter: %XX and + undone",
        &[Signature::new(&[P::String], P::String, |c| decode(c.text(0)?).map(string))],
    ),
    Definition::new(
        "URL_ENCODE_PARAM",
        "The text as a URL's parameter",
        &[Signature::new(&[P::String], P::String, |c| Some(string(encode(c.text(0)?))))],
    ),
    Definition::new(
        "URL_EXTRACT_FRAGMENT",
        "What stands behind # in a URL",
        &[Signature::new(&[P::String], P::String, |c| Url::new(c.text(0)?)?.fragment.and_then(decode).map(string))],
    ),
    Definition::new(
        "URL_EXTRACT_HOST",
        "A URL's host",
        &[Signature::new(&[P::String], P::String, |c| Url::new(c.text(0)?)?.host.map(string))],
    ),
    Definition::new(
        "URL_EXTRACT_PARAMETER",
        "The value of a parameter in a URL's query",
        &[Signature::new(&[P::String, P::String], P::String, |c| {
            let (url, name) = (c.text(0)?, c.text(1)?);
            let pairs = Url::new(url)?.query?.split('&');
            let mut found = pairs.filter_map(|p| p.split_once('=')).filter(|(n, _)| decode(n).as_deref() == Some(name));
            decode(found.next()?.1).map(string)
        })],
    ),
    Definition::new(
        "URL_EXTRACT_PATH",
        "A URL's path",
        &[Signature::new(&[P::String], P::String, |c| decode(Url::new(c.text(0)?)?.path).map(string))],
    ),
    Definition::new(
        "URL_EXTRACT_PORT",
        "A URL's port",
        &[Signature::new(&[P::String], P::Int, |c| Some(Value::Int(Url::new(c.text(0)?)?.port?.parse().ok()?)))],
    ),
    Definition::new(
        "URL_EXTRACT_PROTOCOL",
        "A URL's scheme",
        &[Signature::new(&[P::String], P::String, |c| Url::new(c.text(0)?)?.scheme.map(string))],
    ),
    Definition::new(
        "URL_EXTRACT_QUERY",
        "A URL's query",
        &[Signature::new(&[P::String], P::String, |c| Url::new(c.text(0)?)?.query.and_then(decode).map(string))],
    ),
];

/// The parts of a URL.
struct Url<'t> {
    scheme: Option<&'t str>,
    host: Option<&'t str>,
    port: Option<&'t str>,
    path: &'t str,
    query: Option<&'t str>,
    fragment: Option<&'t str>,
}

impl<'t> Url<'t> {
    /// None when it is not one: it has blanks in it.
    fn new(text: &'t str) -> Option<Self> {
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || "<>\"{}|\\^`".contains(c)) {
            return None;
        }
        let (rest, fragment) = text.split_once('#').map_or((text, None), |(r, f)| (r, Some(f)));
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(r, q)| (r, Some(q)));
        let is_scheme = |s: &&str| {
            s.starts_with(|c: char| c.is_ascii_alphabetic())
                && s.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        let (scheme, rest) = match rest.split_once(':').filter(|(s, _)| is_scheme(s)) {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, rest),
        };
        let Some(rest) = rest.strip_prefix("//") else {
            return Some(Url { scheme, host: None, port: None, path: rest, query, fragment });
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let server = authority.rsplit_once('@').map_or(authority, |(_, s)| s);
        let (host, port) = match server.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
            _ => (server, None),
        };
        Some(Url { scheme, host: Some(host).filter(|h| !h.is_empty()), port, path, query, fragment })
    }
}

/// Undoes %XX and +; none when an escape is broken.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte => out.push(byte),
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// As Java's URLEncoder: letters, digits and `.-*_` stay, a blank is +.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
