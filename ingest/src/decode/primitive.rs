//! KAFKA: the bytes of Kafka's primitive serializers, big-endian.

use super::coerce::Mismatch;
use weir_dataflow::row::{SqlType, Value};

/// The value of all of the bytes.
///
/// # Errors
/// When there are too many or too few for the type.
pub(super) fn value(ty: &SqlType, bytes: &[u8]) -> Result<Value, Mismatch> {
    let value = match ty {
        SqlType::Int => bytes.try_into().ok().map(|b| Value::Int(i32::from_be_bytes(b))),
        SqlType::Bigint => bytes.try_into().ok().map(|b| Value::Bigint(i64::from_be_bytes(b))),
        SqlType::Double => bytes.try_into().ok().map(|b| Value::Double(f64::from_be_bytes(b))),
        SqlType::String => Some(Value::String(String::from_utf8_lossy(bytes).into())),
        SqlType::Bytes => Some(Value::Bytes(bytes.into())),
        SqlType::Boolean
        | SqlType::Decimal(..)
        | SqlType::Date
        | SqlType::Time
        | SqlType::Timestamp
        | SqlType::Array(_)
        | SqlType::Map(..)
        | SqlType::Struct(_) => return Err(format!("the KAFKA format has no {ty}")),
    };
    value.ok_or_else(|| format!("{} bytes are no {ty} in the KAFKA format", bytes.len()))
}
