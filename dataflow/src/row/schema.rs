//! SQL types and the columns of a stream or table.

use arrow_schema::{DataType, Field, Fields, TimeUnit};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// A type of the dialect.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SqlType {
    /// `BOOLEAN`.
    Boolean,
    /// `INTEGER`, 32 bits.
    Int,
    /// `BIGINT`, 64 bits.
    Bigint,
    /// `DOUBLE`, IEEE 64 bits.
    Double,
    /// `DECIMAL(precision, scale)`, precision at most 38.
    Decimal(u8, u8),
    /// `STRING`.
    String,
    /// `BYTES`.
    Bytes,
    /// `DATE`: days since 1970-01-01.
    Date,
    /// `TIME`: milliseconds of the day.
    Time,
    /// `TIMESTAMP`: milliseconds since 1970-01-01T00:00:00Z.
    Timestamp,
    /// `ARRAY<t>`.
    Array(Box<SqlType>),
    /// `MAP<k, v>`.
    Map(Box<SqlType>, Box<SqlType>),
    /// `STRUCT<name type, …>`.
    Struct(Vec<(String, SqlType)>),
}

impl SqlType {
    /// The Arrow type of a column of this type.
    pub fn arrow(&self) -> DataType {
        match self {
            SqlType::Boolean => DataType::Boolean,
            SqlType::Int => DataType::Int32,
            SqlType::Bigint => DataType::Int64,
            SqlType::Double => DataType::Float64,
            SqlType::Decimal(p, s) => DataType::Decimal128(*p, i8::try_from(*s).unwrap_or(i8::MAX)),
            SqlType::String => DataType::Utf8,
            SqlType::Bytes => DataType::Binary,
            SqlType::Date => DataType::Date32,
            SqlType::Time => DataType::Time32(TimeUnit::Millisecond),
            SqlType::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            SqlType::Array(t) => DataType::List(Arc::new(Field::new("item", t.arrow(), true))),
            SqlType::Map(k, v) => DataType::Map(
                Arc::new(Field::new(
                    "entries",
                    DataType::Struct(Fields::from(vec![
                        Field::new("keys", k.arrow(), false),
                        Field::new("values", v.arrow(), true),
                    ])),
                    false,
                )),
                false,
            ),
            SqlType::Struct(fields) => {
                DataType::Struct(fields.iter().map(|(n, t)| Field::new(n, t.arrow(), true)).collect())
            }
        }
    }

    /// True for INT, BIGINT, DOUBLE and DECIMAL.
    pub fn is_numeric(&self) -> bool {
        matches!(self, SqlType::Int | SqlType::Bigint | SqlType::Double | SqlType::Decimal(..))
    }
}

/// As ksqlDB prints it: `INTEGER`, `DECIMAL(4, 2)`, ``STRUCT<`A` STRING>``.
impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlType::Boolean => f.write_str("BOOLEAN"),
            SqlType::Int => f.write_str("INTEGER"),
            SqlType::Bigint => f.write_str("BIGINT"),
            SqlType::Double => f.write_str("DOUBLE"),
            SqlType::Decimal(p, s) => write!(f, "DECIMAL({p}, {s})"),
            SqlType::String => f.write_str("STRING"),
            SqlType::Bytes => f.write_str("BYTES"),
            SqlType::Date => f.write_str("DATE"),
            SqlType::Time => f.write_str("TIME"),
            SqlType::Timestamp => f.write_str("TIMESTAMP"),
            SqlType::Array(t) => write!(f, "ARRAY<{t}>"),
            SqlType::Map(k, v) => write!(f, "MAP<{k}, {v}>"),
            SqlType::Struct(fields) => {
                f.write_str("STRUCT<")?;
                for (i, (name, ty)) in fields.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "`{name}` {ty}")?;
                }
                f.write_str(">")
            }
        }
    }
}

/// A named column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    /// Its name, as stored (upper case unless it was quoted).
    pub name: String,
    /// Its type.
    pub ty: SqlType,
}

/// The columns of a stream or table: those of the record's key, then those of its value.
///
/// A batch of this schema has its columns in this order: `key`, then `value`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schema {
    /// Key columns.
    pub key: Vec<Column>,
    /// Value columns.
    pub value: Vec<Column>,
}

impl Schema {
    /// All columns, keys first.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().chain(&self.value)
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.key.len() + self.value.len()
    }

    /// True when there is no column.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Position of a column by its exact name, keys first.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns().position(|c| c.name == name)
    }

    /// The types in order.
    pub fn types(&self) -> Vec<SqlType> {
        self.columns().map(|c| c.ty.clone()).collect()
    }
}
