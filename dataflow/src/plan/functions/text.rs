//! Functions on strings.

use super::{Call, Definition, Parameter as P, Returns, Signature};
use crate::row::Value;

/// The family.
pub(super) static FUNCTIONS: &[Definition] = &[
    Definition {
        name: "UCASE",
        aliases: &["UPPER"],
        description: "The text in upper case",
        signatures: &[Signature {
            params: &[P::String],
            variadic: false,
            returns: Returns::Is(P::String),
            eval: |c: &Call<'_>| match &c.values[0] {
                Value::String(s) => Ok(Value::String(s.to_uppercase().into())),
                _ => Ok(Value::Null),
            },
            columns: None,
        }],
        deterministic: true,
    },
];
