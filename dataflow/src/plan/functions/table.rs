//! Table functions: those that make several rows of one.

use super::signature::accept;
use super::{Parameter as P, Returns};
use crate::row::{SqlType, Value};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A table function, of one array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TableFunction {
    /// EXPLODE: a row for each element.
    Explode,
    /// CUBE_EXPLODE: a row for each choice of elements of which the others are null.
    Cube,
}

/// A table function of the dialect.
#[derive(Debug)]
pub struct TableDefinition {
    /// Its name, upper case.
    pub name: &'static str,
    /// What it gives.
    pub description: &'static str,
    /// What it takes.
    pub takes: P,
    /// The type of what it gives a row.
    pub returns: P,
    /// Which it is.
    pub function: TableFunction,
}

const ARRAY: P = P::Array(&P::Generic('T'));

static DEFINITIONS: [TableDefinition; 2] = [
    TableDefinition {
        name: "EXPLODE",
        description: "A row for each element of an array",
        takes: ARRAY,
        returns: P::Generic('T'),
        function: TableFunction::Explode,
    },
    TableDefinition {
        name: "CUBE_EXPLODE",
        description: "A row for each choice of an array's elements, the others null: their combinations",
        takes: ARRAY,
        returns: ARRAY,
        function: TableFunction::Cube,
    },
];

/// All table functions.
pub fn definitions() -> impl Iterator<Item = &'static TableDefinition> {
    DEFINITIONS.iter()
}

/// A table function by its name, in any case.
pub fn find(name: &str) -> Option<&'static TableDefinition> {
    DEFINITIONS.iter().find(|d| d.name.eq_ignore_ascii_case(name))
}

/// The type of what a call gives a row.
///
/// # Errors
/// What ksqlDB says when it does not take the arguments.
pub fn resolve(definition: &TableDefinition, args: &[Option<SqlType>]) -> Result<SqlType, String> {
    let fits = match args {
        [one] => accept(&[definition.takes], &Returns::Is(definition.returns), std::slice::from_ref(one)),
        _ => None,
    };
    fits.map(|(_, _, ty)| ty).ok_or_else(|| {
        let given: Vec<String> = args.iter().map(|t| t.as_ref().map_or("null".into(), ToString::to_string)).collect();
        let name = definition.name.to_lowercase();
        let forms = match definition.function {
            TableFunction::Explode => "explode(ARRAY<DECIMAL> input)\nexplode(ARRAY<T> list)",
            TableFunction::Cube => "cube_explode(ARRAY<T> columns)",
        };
        format!(
            "Function '{name}' does not accept parameters ({}).\nValid alternatives are:\n{forms}",
            given.join(", ")
        )
    })
}

impl TableFunction {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            TableFunction::Explode => "EXPLODE",
            TableFunction::Cube => "CUBE_EXPLODE",
        }
    }

    /// The rows that it makes of a row's array; none of null.
    pub fn rows(self, array: &Value) -> Vec<Value> {
        let Value::Array(items) = array else { return Vec::new() };
        match self {
            TableFunction::Explode => items.to_vec(),
            TableFunction::Cube => cube(items),
        }
    }
}

/// All choices in the order of their bits, the last element's the lowest; a null element is not chosen.
fn cube(items: &Arc<[Value]>) -> Vec<Value> {
    /// 2^16 rows out of one are enough.
    const MOST: usize = 16;
    let there: Vec<usize> = (0..items.len()).filter(|&i| !items[i].is_null()).collect();
    if there.len() > MOST {
        return Vec::new();
    }
    let choice = |bits: u32| {
        let mut row = vec![Value::Null; items.len()];
        for (n, &i) in there.iter().rev().enumerate() {
            if bits >> n & 1 == 1 {
                row[i] = items[i].clone();
            }
        }
        Value::Array(row.into())
    };
    (0..1_u32 << there.len()).map(choice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cubes_count_up_and_skip_nulls() {
        let array = |v: &[Option<i32>]| {
            Value::Array(v.iter().map(|v| v.map_or(Value::Null, Value::Int)).collect::<Vec<_>>().into())
        };
        assert_eq!(
            TableFunction::Cube.rows(&array(&[Some(1), Some(2)])),
            [array(&[None, None]), array(&[None, Some(2)]), array(&[Some(1), None]), array(&[Some(1), Some(2)])]
        );
        assert_eq!(TableFunction::Cube.rows(&array(&[Some(1), None])), [array(&[None, None]), array(&[Some(1), None])]);
        assert!(TableFunction::Explode.rows(&Value::Null).is_empty());
    }
}
