//! Functions between bytes and text.

use super::{Definition, Parameter as P, Signature, string};
use crate::row::Value;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The family.
pub(super) static FUNCTIONS: &[Definition] = &[
    Definition::new(
        "TO_BYTES",
        "The bytes that a text says in an encoding: hex, utf8, ascii or base64",
        &[Signature::fallible(&[P::String, P::String], P::Bytes, |c| match (c.text(0), c.text(1)) {
            (Some(text), Some(encoding)) => Ok(Value::Bytes(to_bytes(text, encoding)?.into())),
            _ => Ok(Value::Null),
        })],
    ),
    Definition::new(
        "FROM_BYTES",
        "The text of bytes in an encoding: hex, utf8, ascii or base64",
        &[Signature::fallible(&[P::Bytes, P::String], P::String, |c| match (c.bytes(0), c.text(1)) {
            (Some(bytes), Some(encoding)) => Ok(string(from_bytes(bytes, encoding)?)),
            _ => Ok(Value::Null),
        })],
    ),
    Definition::new(
        "ENCODE",
        "The text in another encoding: hex, utf8, ascii or base64",
        &[Signature::fallible(&[P::String, P::String, P::String], P::String, |c| {
            match (c.text(0), c.text(1), c.text(2)) {
                (Some(text), Some(from), Some(to)) => Ok(string(from_bytes(&to_bytes(text, from)?, to)?)),
                _ => Ok(Value::Null),
            }
        })],
    ),
];

fn unknown(encoding: &str) -> String {
    format!("Supported input and output encodings are: hex, utf8, ascii and base64. Got: {encoding}")
}

fn to_bytes(text: &str, encoding: &str) -> Result<Vec<u8>, String> {
    match encoding.to_ascii_lowercase().as_str() {
        "utf8" => Ok(text.as_bytes().to_vec()),
        "ascii" => Ok(text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).collect()),
        "base64" => STANDARD.decode(text).map_err(|_| format!("not base64: {text}")),
        "hex" => hex(text).ok_or_else(|| format!("not hexadecimal: {text}")),
        _ => Err(unknown(encoding)),
    }
}

fn from_bytes(bytes: &[u8], encoding: &str) -> Result<String, String> {
    match encoding.to_ascii_lowercase().as_str() {
        "utf8" => Ok(String::from_utf8_lossy(bytes).into_owned()),
        "ascii" => Ok(bytes.iter().map(|b| if b.is_ascii() { char::from(*b) } else { '\u{fffd}' }).collect()),
        "base64" => Ok(STANDARD.encode(bytes)),
        "hex" => Ok(bytes.iter().map(|b| format!("{b:02x}")).collect()),
        _ => Err(unknown(encoding)),
    }
}

/// `4a`, `0x4a`, `X'4a'`; an odd number of digits has a zero before.
fn hex(text: &str) -> Option<Vec<u8>> {
    let quoted = text.strip_prefix(['X', 'x']).and_then(|t| t.strip_prefix('\'')).and_then(|t| t.strip_suffix('\''));
    let digits = quoted.or_else(|| text.strip_prefix("0x")).unwrap_or(text);
    let digits = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits.to_string() };
    (0..digits.len() / 2).map(|i| u8::from_str_radix(digits.get(2 * i..2 * i + 2)?, 16).ok()).collect()
}
