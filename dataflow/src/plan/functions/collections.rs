//! Functions on arrays and maps.

use super::{Definition, Parameter as P, Signature, string};
use crate::row::text::value_text;
use crate::row::{SqlType, Value};

const T: P = P::Generic('T');
const ARRAY: P = P::Array(&T);
const MAP: P = P::Map(&P::Generic('K'), &P::Generic('V'));

/// The family.
pub(super) static FUNCTIONS: &[Definition] = &[
    Definition::new(
        "ARRAY_LENGTH",
        "The number of elements",
        &[Signature::new(&[ARRAY], P::Int, |c| Some(Value::Int(i32::try_from(c.array(0)?.len()).ok()?)))],
    ),
    Definition::new(
        "ARRAY_CONTAINS",
        "True when the array has the element",
        &[Signature::new(&[ARRAY, T], P::Boolean, |c| {
            Some(Value::Boolean(c.array(0).is_some_and(|a| a.contains(&c.values[1]))))
        })],
    ),
    Definition::new(
        "ARRAY_DISTINCT",
        "The different elements, in the order of their first",
        &[Signature::new(&[ARRAY], ARRAY, |c| Some(distinct(c.array(0)?.iter())))],
    ),
    Definition::new(
        "ARRAY_UNION",
        "The different elements of both arrays",
        &[Signature::new(&[ARRAY, ARRAY], ARRAY, |c| Some(distinct(c.array(0)?.iter().chain(c.array(1)?))))],
    ),
    Definition::new(
        "ARRAY_INTERSECT",
        "The different elements that both arrays have",
        &[Signature::new(&[ARRAY, ARRAY], ARRAY, |c| {
            let other = c.array(1)?;
            Some(distinct(c.array(0)?.iter().filter(|v| other.contains(v))))
        })],
    ),
    Definition::new(
        "ARRAY_EXCEPT",
        "The different elements that the second array does not have",
        &[Signature::new(&[ARRAY, ARRAY], ARRAY, |c| {
            let other = c.array(1)?;
            Some(distinct(c.array(0)?.iter().filter(|v| !other.contains(v))))
        })],
    ),
    Definition::new(
        "ARRAY_REMOVE",
        "The array without an element",
        &[Signature::new(&[ARRAY, T], ARRAY, |c| {
            Some(Value::Array(c.array(0)?.iter().filter(|v| **v != c.values[1]).cloned().collect()))
        })],
    ),
    Definition::new(
        "ARRAY_CONCAT",
        "The elements of both arrays",
        &[Signature::new(&[ARRAY, ARRAY], ARRAY, |c| match (c.array(0), c.array(1)) {
            (None, None) => None,
            (a, b) => Some(Value::Array(a.unwrap_or(&[]).iter().chain(b.unwrap_or(&[])).cloned().collect())),
        })],
    ),
    Definition::new(
        "ARRAY_MIN",
        "The least element that is not null",
        &[Signature::new(&[ARRAY], T, |c| c.array(0)?.iter().filter(|v| !v.is_null()).min().cloned())],
    ),
    Definition::new(
        "ARRAY_MAX",
        "The greatest element that is not null",
        &[Signature::new(&[ARRAY], T, |c| c.array(0)?.iter().filter(|v| !v.is_null()).max().cloned())],
    ),
    Definition::new(
        "ARRAY_SORT",
        "The elements in order ('ASC' or 'DESC'), nulls last",
        &[
            Signature::new(&[ARRAY], ARRAY, |c| Some(sorted(c.array(0)?, false))),
            Signature::new(&[ARRAY, P::String], ARRAY, |c| match c.text(1)?.to_ascii_uppercase().as_str() {
                "ASC" | "ASCENDING" => Some(sorted(c.array(0)?, false)),
                "DESC" | "DESCENDING" => Some(sorted(c.array(0)?, true)),
                _ => None,
            }),
        ],
    ),
    Definition::new(
        "ARRAY_JOIN",
        "The elements' texts with a delimiter between",
        &[
            Signature::new(&[ARRAY], P::String, |c| Some(string(join(c.array(0)?, c.args.first()?.ty(), ",")))),
            Signature::new(&[ARRAY, P::String], P::String, |c| {
                Some(string(join(c.array(0)?, c.args.first()?.ty(), c.text(1).unwrap_or(""))))
            }),
        ],
    ),
    Definition::new(
        "SLICE",
        "The elements from a position to another, both counted from 1 and included",
        &[Signature::new(&[ARRAY, P::Int, P::Int], ARRAY, |c| {
            let array = c.array(0)?;
            let place = |i: Option<i32>, default: usize| i.map_or(Some(default), |i| usize::try_from(i).ok());
            let (from, to) = (place(c.int(1), 1)?.max(1), place(c.int(2), array.len())?.min(array.len()));
            Some(Value::Array(array.get(from - 1..to).unwrap_or(&[]).into()))
        })],
    ),
    Definition::new(
        "MAP_KEYS",
        "The keys",
        &[Signature::new(&[MAP], P::Array(&P::Generic('K')), |c| {
            Some(Value::Array(c.map(0)?.iter().map(|(k, _)| k.clone()).collect()))
        })],
    ),
    Definition::new(
        "MAP_VALUES",
        "The values",
        &[Signature::new(&[MAP], P::Array(&P::Generic('V')), |c| {
            Some(Value::Array(c.map(0)?.iter().map(|(_, v)| v.clone()).collect()))
        })],
    ),
    Definition::new(
        "MAP_UNION",
        "The entries of both maps; of a key in both the second's",
        &[Signature::new(&[MAP, MAP], MAP, |c| match (c.map(0), c.map(1)) {
            (None, None) => None,
            (a, b) => {
                let (a, b) = (a.unwrap_or(&[]), b.unwrap_or(&[]));
                let kept = a.iter().filter(|(k, _)| !b.iter().any(|(other, _)| other == k));
                Some(Value::Map(kept.chain(b).cloned().collect()))
            }
        })],
    ),
    Definition::new(
        "AS_MAP",
        "A map out of an array of keys and one of values",
        &[Signature::new(
            &[P::Array(&P::String), P::Array(&P::Generic('V'))],
            P::Map(&P::String, &P::Generic('V')),
            |c| Some(Value::Map(c.array(0)?.iter().cloned().zip(c.array(1)?.iter().cloned()).collect())),
        )],
    ),
    Definition::new(
        "ENTRIES",
        "The entries of a map as structs of K and V, sorted by key if so wanted",
        &[entries(&P::Int), entries(&P::Bigint), entries(&P::Double), entries(&P::Boolean), entries(&P::String)],
    ),
    Definition::new(
        "GENERATE_SERIES",
        "The numbers from one to another, both included, by a step",
        &[
            Signature::fallible(&[P::Int, P::Int], P::Array(&P::Int), |c| {
                series(c.bigint(0), c.bigint(1), None, small)
            }),
            Signature::fallible(&[P::Int, P::Int, P::Int], P::Array(&P::Int), |c| {
                series(c.bigint(0), c.bigint(1), Some(c.bigint(2)), small)
            }),
            Signature::fallible(&[P::Bigint, P::Bigint], P::Array(&P::Bigint), |c| {
                series(c.bigint(0), c.bigint(1), None, Value::Bigint)
            }),
            Signature::fallible(&[P::Bigint, P::Bigint, P::Int], P::Array(&P::Bigint), |c| {
                series(c.bigint(0), c.bigint(1), Some(c.bigint(2)), Value::Bigint)
            }),
        ],
    ),
];

macro_rules! map_of {
    ($($value:ident),+) => {
        /// The one form of ENTRIES for a type of values.
        const fn entries(value: &'static P) -> Signature {
            let params: &'static [P] = match value {
                $(P::$value => &[P::Map(&P::String, &P::$value), P::Boolean],)+
                _ => &[MAP, P::Boolean],
            };
            Signature::new(params, P::Any, |c| {
                let mut entries = c.map(0)?.to_vec();
                if c.values.get(1) == Some(&Value::Boolean(true)) {
                    entries.sort_by(|a, b| a.0.cmp(&b.0));
                }
                Some(Value::Array(entries.into_iter().map(|(k, v)| Value::Struct([k, v].into())).collect()))
            })
            .returning(|args| {
                let value = if let Some(SqlType::Map(_, v)) = args.first() { (**v).clone() } else { SqlType::String };
                let fields = vec![("K".into(), SqlType::String), ("V".into(), value)];
                SqlType::Array(Box::new(SqlType::Struct(fields)))
            })
        }
    };
}
map_of!(Int, Bigint, Double, Boolean, String);

fn distinct<'v>(values: impl Iterator<Item = &'v Value>) -> Value {
    let mut seen: Vec<Value> = Vec::new();
    for value in values {
        if !seen.contains(value) {
            seen.push(value.clone());
        }
    }
    Value::Array(seen.into())
}

fn sorted(array: &[Value], descending: bool) -> Value {
    let mut values = array.to_vec();
    values.sort_by(|a, b| {
        let order = if descending { b.cmp(a) } else { a.cmp(b) };
        a.is_null().cmp(&b.is_null()).then(order)
    });
    Value::Array(values.into())
}

fn join(array: &[Value], ty: &SqlType, delimiter: &str) -> String {
    let item = if let SqlType::Array(t) = ty { t } else { ty };
    let texts = array.iter().map(|v| value_text(v, item).unwrap_or_else(|| "null".into()));
    texts.collect::<Vec<_>>().join(delimiter)
}

fn small(v: i64) -> Value {
    Value::Int(v as i32)
}

fn series(
    from: Option<i64>,
    to: Option<i64>,
    step: Option<Option<i64>>,
    make: fn(i64) -> Value,
) -> Result<Value, String> {
    /// More is a mistake rather than a wish.
    const MOST: usize = 1_000_000;
    let (Some(from), Some(to)) = (from, to) else { return Ok(Value::Null) };
    let step = match step {
        None => {
            if from <= to {
                1
            } else {
                -1
            }
        }
        Some(None) => return Ok(Value::Null),
        Some(Some(0)) => return Err("GENERATE_SERIES step cannot be zero".into()),
        Some(Some(step)) if (to - from).signum() * step.signum() < 0 => {
            return Err(format!("GENERATE_SERIES step has wrong sign: {step}"));
        }
        Some(Some(step)) => step,
    };
    let within = move |v: &i64| if step > 0 { *v <= to } else { *v >= to };
    let values = std::iter::successors(Some(from), |v| v.checked_add(step)).take_while(within).take(MOST);
    Ok(Value::Array(values.map(make).collect()))
}
