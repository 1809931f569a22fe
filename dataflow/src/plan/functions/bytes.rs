//! Functions between bytes and text.

use super::{Call, Definition, Parameter as P, Signature, string};
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
    Definition::new(
        "INT_FROM_BYTES",
        "The INT that 4 bytes say, 'BIG_ENDIAN' or 'LITTLE_ENDIAN'",
        &[
            Signature::fallible(&[P::Bytes], P::Int, |c| number(c, |b| Value::Int(i32::from_be_bytes(b)))),
            Signature::fallible(&[P::Bytes, P::String], P::Int, |c| number(c, |b| Value::Int(i32::from_be_bytes(b)))),
        ],
    ),
    Definition::new(
        "BIGINT_FROM_BYTES",
        "The BIGINT that 8 bytes say, 'BIG_ENDIAN' or 'LITTLE_ENDIAN'",
        &[
            Signature::fallible(&[P::Bytes], P::Bigint, |c| number(c, |b| Value::Bigint(i64::from_be_bytes(b)))),
            Signature::fallible(&[P::Bytes, P::String], P::Bigint, |c| {
                number(c, |b| Value::Bigint(i64::from_be_bytes(b)))
            }),
        ],
    ),
    Definition::new(
        "DOUBLE_FROM_BYTES",
        "The DOUBLE that 8 bytes say, 'BIG_ENDIAN' or 'LITTLE_ENDIAN'",
        &[
            Signature::fallible(&[P::Bytes], P::Double, |c| number(c, |b| Value::Double(f64::from_be_bytes(b)))),
            Signature::fallible(&[P::Bytes, P::String], P::Double, |c| {
                number(c, |b| Value::Double(f64::from_be_bytes(b)))
            }),
        ],
    ),
];

/// A number out of its bytes; the second argument says their order.
fn number<const N: usize>(c: &Call<'_>, read: fn([u8; N]) -> Value) -> Result<Value, String> {
    let Some(bytes) = c.bytes(0) else { return Ok(Value::Null) };
    let mut bytes: [u8; N] =
        bytes.try_into().map_err(|_| format!("Number of bytes must be equal to {N}, but found {}", bytes.len()))?;
    match c.text(1) {
        Some(order) if order.eq_ignore_ascii_case("LITTLE_ENDIAN") => bytes.reverse(),
        Some(order) if order.eq_ignore_ascii_case("BIG_ENDIAN") => {}
        None if c.values.len() < 2 => {}
        order => {
            let order = order.unwrap_or("null");
            return Err(format!("Byte order must be BIG_ENDIAN or LITTLE_ENDIAN. Unknown byte order '{order}'."));
        }
    }
    Ok(read(bytes))
}

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
