//! Functions that deal with null.

use super::{Definition, Parameter as P, Signature};
use crate::row::Value;

/// The family.
pub(super) static FUNCTIONS: &[Definition] = &[
    Definition::new(
        "COALESCE",
        "The first of the values that is not null",
        &[Signature::new(&[P::Generic('T'), P::Generic('T')], P::Generic('T'), |c| {
            c.values.iter().find(|v| !v.is_null()).cloned()
        })
        .variadic()],
    ),
    Definition::new(
        "IFNULL",
        "The value, or another where it is null",
        &[Signature::new(&[P::Generic('T'), P::Generic('T')], P::Generic('T'), |c| {
            c.values.iter().find(|v| !v.is_null()).cloned()
        })],
    ),
    Definition::new(
        "NULLIF",
        "The value, or null where it equals another",
        &[Signature::new(&[P::Generic('T'), P::Generic('T')], P::Generic('T'), |c| {
            if c.values[0] == c.values[1] { Some(Value::Null) } else { Some(c.values[0].clone()) }
        })],
    ),
    Definition::new(
        "AS_VALUE",
        "A copy of a key column for the value",
        &[Signature::new(&[P::Generic('T')], P::Generic('T'), |c| Some(c.values[0].clone()))],
    ),
];
