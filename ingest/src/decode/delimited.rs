//! DELIMITED: the first line of comma separated values of a text, and values from its fields.
//!
//! Fields may stand in double quotes, in which delimiters and line ends are text and two quotes are one. Space is part
//! of a field. Empty lines before the first record are passed. An empty field is null.

use super::coerce::{Mismatch, base64_bytes};
use super::number::{Digits, parse_double, parse_int, parse_long, quoted};
use weir_dataflow::row::{Decimal, SqlType, Value};

/// The fields of the first line.
///
/// # Errors
/// When there is none, or quotes do not match.
pub(super) fn split(text: &str, delimiter: char) -> Result<Vec<String>, Mismatch> {
    let mut rest = text.trim_start_matches(['\n', '\r']);
    if rest.is_empty() {
        return Err("no fields in the record".into());
    }
    let line_end = |c: char| c == '\n' || c == '\r';
    let mut fields = Vec::new();
    loop {
        let field = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (field, behind) = unquote(quoted)?;
                rest = behind.trim_start_matches(|c: char| c.is_whitespace() && c != delimiter && !line_end(c));
                if !(rest.is_empty() || rest.starts_with(delimiter) || rest.starts_with(line_end)) {
                    return Err("something stands between a closing quote and the delimiter".into());
                }
                field
            }
            None => {
                let end = rest.find(|c| c == delimiter || line_end(c)).unwrap_or(rest.len());
                let (field, behind) = rest.split_at(end);
                rest = behind;
                field.to_owned()
            }
        };
        fields.push(field);
        match rest.strip_prefix(delimiter) {
            Some(behind) => rest = behind,
            None => return Ok(fields),
        }
    }
}

/// The text up to the closing quote, and what follows that.
fn unquote(text: &str) -> Result<(String, &str), Mismatch> {
    let mut field = String::new();
    let mut rest = text;
    while let Some((part, behind)) = rest.split_once('"') {
        field.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Ok((field, behind)),
        }
    }
    Err("a quoted field does not end".into())
}

/// The value of a field.
///
/// # Errors
/// When it does not fit the type.
pub(super) fn value(ty: &SqlType, field: &str) -> Result<Value, Mismatch> {
    if field.is_empty() {
        return Ok(Value::Null);
    }
    let bytes = field.as_bytes();
    let date = || parse_long(bytes).and_then(|v| i32::try_from(v).ok());
    let value = match ty {
        SqlType::Boolean => Some(Value::Boolean(field.eq_ignore_ascii_case("true"))),
        SqlType::Int => parse_int(bytes).map(Value::Int),
        SqlType::Bigint => parse_long(bytes).map(Value::Bigint),
        SqlType::Double => parse_double(field).map(Value::Double),
        SqlType::Decimal(precision, scale) => Digits::parse(bytes)
            .and_then(|d| d.unscaled(*precision, *scale))
            .map(|unscaled| Value::Decimal(Decimal { unscaled, scale: *scale })),
        SqlType::String => Some(Value::String(field.into())),
        SqlType::Bytes => base64_bytes(field).map(|b| Value::Bytes(b.into())),
        SqlType::Date => date().map(Value::Date),
        SqlType::Time => date().map(Value::Time),
        SqlType::Timestamp => parse_long(bytes).map(Value::Timestamp),
        SqlType::Array(_) | SqlType::Map(..) | SqlType::Struct(_) => None,
    };
    value.ok_or_else(|| format!("the field {} is no {ty}", quoted(field)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_split_as_the_csv_parser_does() {
        let fields = |t: &str| split(t, ',');
        let ok = |f: &[&str]| Ok(f.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>());
        assert_eq!(fields("a,b"), ok(&["a", "b"]));
        assert_eq!(fields("a,"), ok(&["a", ""]));
        assert_eq!(fields("\n\r\na\nb"), ok(&["a"]));
        assert_eq!(
            fields(
                r#""a,""b"" 
c" ,d"#
            ),
            ok(&["a,\"b\" \nc", "d"])
        );
        assert_eq!(fields(" a , b "), ok(&[" a ", " b "]));
        assert_eq!(fields("a\"b,c"), ok(&["a\"b", "c"]));
        assert_eq!(split("a\tb", '\t'), ok(&["a", "b"]));
        assert!(fields("").is_err());
        assert!(fields("\"a").is_err());
        assert!(fields("\"a\"b,c").is_err());
    }

    #[test]
    fn fields_become_values() {
        assert_eq!(value(&SqlType::Int, ""), Ok(Value::Null));
        assert_eq!(value(&SqlType::Boolean, "TRUE"), Ok(Value::Boolean(true)));
        assert_eq!(value(&SqlType::Boolean, "yes"), Ok(Value::Boolean(false)));
        assert_eq!(value(&SqlType::Decimal(4, 2), ".5"), Ok(Value::Decimal(Decimal { unscaled: 50, scale: 2 })));
        assert_eq!(value(&SqlType::Int, "x"), Err("the field \"x\" is no INTEGER".into()));
    }
}
