//! Functions that take lambdas: TRANSFORM, FILTER, REDUCE on arrays and maps.

use super::{Call, Definition, Parameter as P, Signature};
use crate::row::Value;

const T: P = P::Generic('T');
const K: P = P::Generic('K');
const V: P = P::Generic('V');
const R: P = P::Generic('R');
const L: P = P::Generic('L');
const S: P = P::Generic('S');
const MAP: P = P::Map(&K, &V);

/// The family.
pub(super) static FUNCTIONS: &[Definition] = &[
    Definition::new(
        "TRANSFORM",
        "Each element, or each key and value, replaced by what a lambda makes of it",
        &[
            Signature::fallible(&[P::Array(&T), P::Lambda(&[T], &R)], P::Array(&R), |c| {
                let Some(items) = c.array(0) else { return Ok(Value::Null) };
                Ok(Value::Array(items.iter().map(|item| c.apply(1, &[item])).collect::<Result<_, _>>()?))
            }),
            Signature::fallible(&[MAP, P::Lambda(&[K, V], &L), P::Lambda(&[K, V], &R)], P::Map(&L, &R), |c| {
                let Some(entries) = c.map(0) else { return Ok(Value::Null) };
                let mut out: Vec<(Value, Value)> = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let (key, value) = (c.apply(1, &[key, value])?, c.apply(2, &[key, value])?);
                    if out.iter().any(|(k, _)| *k == key) {
                        return Err(format!("Duplicate key {key:?} in the transformed map"));
                    }
                    out.push((key, value));
                }
                Ok(Value::Map(out.into()))
            }),
        ],
    ),
    Definition::new(
        "FILTER",
        "The elements, or the entries, for which a lambda is true",
        &[
            Signature::fallible(&[P::Array(&T), P::Lambda(&[T], &P::Boolean)], P::Array(&T), |c| {
                let Some(items) = c.array(0) else { return Ok(Value::Null) };
                let mut out = Vec::new();
                for item in items {
                    if holds(c, &[item])? {
                        out.push(item.clone());
                    }
                }
                Ok(Value::Array(out.into()))
            }),
            Signature::fallible(&[MAP, P::Lambda(&[K, V], &P::Boolean)], MAP, |c| {
                let Some(entries) = c.map(0) else { return Ok(Value::Null) };
                let mut out = Vec::new();
                for (key, value) in entries {
                    if holds(c, &[key, value])? {
                        out.push((key.clone(), value.clone()));
                    }
                }
                Ok(Value::Map(out.into()))
            }),
        ],
    ),
    Definition::new(
        "REDUCE",
        "A state that a lambda takes through all elements, or all entries, from a first value on",
        &[
            Signature::fallible(&[P::Array(&T), S, P::Lambda(&[S, T], &S)], S, |c| {
                if c.values[1].is_null() {
                    return Ok(Value::Null);
                }
                let items = c.array(0).unwrap_or(&[]);
                items.iter().try_fold(c.values[1].clone(), |state, item| c.apply(2, &[&state, item]))
            }),
            Signature::fallible(&[MAP, S, P::Lambda(&[S, K, V], &S)], S, |c| {
                if c.values[1].is_null() {
                    return Ok(Value::Null);
                }
                let entries = c.map(0).unwrap_or(&[]);
                entries.iter().try_fold(c.values[1].clone(), |state, (key, value)| c.apply(2, &[&state, key, value]))
            }),
        ],
    ),
];

/// Whether FILTER's lambda is true.
fn holds(c: &Call<'_>, params: &[&Value]) -> Result<bool, String> {
    match c.apply(1, params)? {
        Value::Boolean(b) => Ok(b),
        _ => Err("a filter's lambda is null".into()),
    }
}
