//! One cell on its own.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A decimal number: `unscaled × 10^-scale`. Equality and order are by number, not by scale. It lies as other numbers of
/// 64 bits do, or every [`Value`] would take half as much again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[repr(C, packed(8))]
pub struct Decimal {
    /// The digits.
    pub unscaled: i128,
    /// How many of them stand behind the point.
    pub scale: u8,
}

/// A cell. Equality, order and hash are total (doubles by their total order; null first), so a value can be a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Value {
    /// NULL of any type.
    Null,
    /// BOOLEAN.
    Boolean(bool),
    /// INTEGER.
    Int(i32),
    /// BIGINT.
    Bigint(i64),
    /// DOUBLE.
    Double(f64),
    /// DECIMAL.
    Decimal(Decimal),
    /// STRING.
    String(Arc<str>),
    /// BYTES.
    Bytes(Arc<[u8]>),
    /// DATE: days since the epoch.
    Date(i32),
    /// TIME: milliseconds of the day.
    Time(i32),
    /// TIMESTAMP: milliseconds since the epoch.
    Timestamp(i64),
    /// ARRAY.
    Array(Arc<[Value]>),
    /// MAP: entries in order of insertion, each key once.
    Map(Arc<[(Value, Value)]>),
    /// STRUCT: the fields' values in the type's order.
    Struct(Arc<[Value]>),
}

impl Decimal {
    /// The order of two numbers, whatever their scales.
    fn compare(self, other: Decimal) -> Ordering {
        // Whole parts first, so that bringing both to one scale cannot overflow.
        let (a, b) = (self.split(), other.split());
        a.cmp(&b)
    }

    /// Whole part and fraction in units of 10^-38.
    fn split(self) -> (i128, i128) {
        let unit = 10_i128.pow(u32::from(self.scale.min(38)));
        let fraction = self.unscaled.rem_euclid(unit) * 10_i128.pow(38 - u32::from(self.scale.min(38)));
        (self.unscaled.div_euclid(unit), fraction)
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(*other)
    }
}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.split().hash(state);
    }
}

impl std::fmt::Display for Decimal {
    /// Plain digits that keep the scale: `12.30`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.unscaled.unsigned_abs().to_string();
        let scale = usize::from(self.scale);
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        let sign = if self.unscaled < 0 { "-" } else { "" };
        if scale == 0 { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

impl Value {
    /// True for NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Order of the variants; values of one column differ only within a variant, or by being null.
    fn rank(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Boolean(_) => 1,
            Value::Int(_) => 2,
            Value::Bigint(_) => 3,
            Value::Double(_) => 4,
            Value::Decimal(_) => 5,
            Value::String(_) => 6,
            Value::Bytes(_) => 7,
            Value::Date(_) => 8,
            Value::Time(_) => 9,
            Value::Timestamp(_) => 10,
            Value::Array(_) => 11,
            Value::Map(_) => 12,
            Value::Struct(_) => 13,
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) | (Value::Date(a), Value::Date(b)) | (Value::Time(a), Value::Time(b)) => {
                a.cmp(b)
            }
            (Value::Bigint(a), Value::Bigint(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
            (Value::Double(a), Value::Double(b)) => a.total_cmp(b),
            (Value::Decimal(a), Value::Decimal(b)) => a.cmp(b),
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Array(a), Value::Array(b)) | (Value::Struct(a), Value::Struct(b)) => a.cmp(b),
            (Value::Map(a), Value::Map(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.rank());
        match self {
            Value::Null => {}
            Value::Boolean(v) => v.hash(state),
            Value::Int(v) | Value::Date(v) | Value::Time(v) => v.hash(state),
            Value::Bigint(v) | Value::Timestamp(v) => v.hash(state),
            Value::Double(v) => v.to_bits().hash(state),
            Value::Decimal(v) => v.hash(state),
            Value::String(v) => v.hash(state),
            Value::Bytes(v) => v.hash(state),
            Value::Array(v) | Value::Struct(v) => v.hash(state),
            Value::Map(v) => v.hash(state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_small() {
        assert_eq!(size_of::<Value>(), 32);
    }

    #[test]
    fn decimals_compare_by_number_and_print_with_their_scale() {
        let d = |unscaled, scale| Decimal { unscaled, scale };
        assert_eq!(d(1230, 2), d(123, 1));
        assert!(d(-1, 0) < d(-5, 1));
        assert!(d(i128::MAX, 0) > d(1, 38));
        assert_eq!(d(1230, 2).to_string(), "12.30");
        assert_eq!(d(-5, 2).to_string(), "-0.05");
        assert_eq!(d(7, 0).to_string(), "7");
    }
}
