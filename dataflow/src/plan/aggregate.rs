//! Aggregate functions in one table: what an expression of the select list that folds a group's rows asks for.
//!
//! [`definitions`] lists them, [`find`] gives one by name, [`resolve`] picks the form for the types of a call's
//! arguments, as for scalar functions. Arguments that must be literals (how many values TOPK keeps) become part of the
//! [`AggregateFunction`]; what is left is evaluated on each row. What a function keeps of its rows is an accumulator of
//! [`crate::arrange::accum`].

use super::expr::Expr;
use super::functions::{Parameter as P, Returns, accept};
use crate::row::{SqlType, Value};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An aggregate function with its constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AggregateFunction {
    /// `COUNT(*)`, `COUNT(1)`: rows. BIGINT.
    CountRows,
    /// `COUNT(e)`: rows where e is not null. BIGINT.
    Count,
    /// `SUM(e)`: of the type of e (INT stays INT, wrapping as Java's); null values add nothing; of no value: 0.
    Sum,
    /// `SUM_LIST(e)`: the sum of the elements of arrays.
    SumList,
    /// `AVG(e)`: DOUBLE.
    Avg,
    /// `MIN(e)`.
    Min,
    /// `MAX(e)`.
    Max,
    /// `STDDEV_SAMPLE(e)`: the sample's standard deviation, DOUBLE; 0 of less than two values.
    Deviation,
    /// `STDDEV_SAMP(e)`: its square, as ksqlDB has it.
    Variance,
    /// `CORRELATION(x, y)`: Pearson's coefficient, DOUBLE; its argument is a struct of both.
    Correlation,
    /// `COUNT_DISTINCT(e)`: about how many different values there are. BIGINT.
    CountDistinct,
    /// What is made of values that are kept.
    Kept(Keep),
}

/// Aggregates that keep (some of) their argument's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Keep {
    /// EARLIEST_BY_OFFSET: the first values; without `n` one value, else an array.
    Earliest {
        /// How many.
        n: Option<u32>,
        /// Nulls count.
        nulls: bool,
    },
    /// LATEST_BY_OFFSET: the last values.
    Latest {
        /// How many.
        n: Option<u32>,
        /// Nulls count.
        nulls: bool,
    },
    /// COLLECT_LIST: all values, the first `most` of them.
    List {
        /// The greatest length.
        most: u32,
    },
    /// COLLECT_SET: the different values in the order of their first.
    Set {
        /// The greatest length.
        most: u32,
    },
    /// TOPK: the greatest values, of equal ones the first.
    Top {
        /// How many.
        n: u32,
        /// The values are structs, of which the first field counts.
        records: bool,
    },
    /// TOPKDISTINCT: the greatest different values.
    TopDistinct {
        /// How many.
        n: u32,
    },
    /// HISTOGRAM: how often each text occurs.
    Histogram,
    /// ATTR: the one value that there is; null when there are several.
    Attr,
}

/// One aggregate call of a query.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AggregateCall {
    /// Which.
    pub function: AggregateFunction,
    /// Its argument on the input row (none for [`AggregateFunction::CountRows`]; several arguments are a struct).
    pub args: Vec<Expr>,
    /// The type of its result.
    pub ty: SqlType,
}

/// Limits that a session sets: `ksql.functions.collect_list.limit` and `ksql.functions.collect_set.limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The greatest length of COLLECT_LIST.
    pub list: u32,
    /// The greatest length of COLLECT_SET.
    pub set: u32,
}

/// An aggregate function of the dialect.
pub struct Definition {
    /// Its name, upper case.
    pub name: &'static str,
    /// What it gives.
    pub description: &'static str,
    /// Its forms.
    pub forms: &'static [Form],
    /// A table's old rows can be taken back.
    pub undoable: bool,
    /// What it keeps is a list or a struct in ksqlDB, which not every format of its internal topics can carry.
    pub nested: bool,
}

/// One form of an aggregate function.
pub struct Form {
    /// What is evaluated on each row.
    pub columns: &'static [P],
    /// Any number of further columns may follow.
    pub others: bool,
    /// Literals at the end.
    pub constants: &'static [P],
    /// What it gives.
    pub returns: Returns,
    make: fn(&[Value], Limits) -> Result<AggregateFunction, String>,
}

impl Form {
    const fn new(
        columns: &'static [P],
        constants: &'static [P],
        returns: P,
        make: fn(&[Value], Limits) -> Result<AggregateFunction, String>,
    ) -> Self {
        Form { columns, others: false, constants, returns: Returns::Is(returns), make }
    }
}

/// `(DOUBLE, INT)`.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.columns.iter().map(ToString::to_string);
        let others = self.others.then(|| "ANY...".to_owned());
        let all: Vec<String> = columns.chain(others).chain(self.constants.iter().map(ToString::to_string)).collect();
        write!(f, "({})", all.join(", "))
    }
}

const T: P = P::Generic('T');
const ARRAY: P = P::Array(&T);

/// A form without constants.
macro_rules! plain {
    ($f:expr; $($arg:expr => $returns:expr),+) => {
        &[$(Form::new(&[$arg], &[], $returns, |_, _| Ok($f))),+]
    };
}

/// Forms of one column whose result is of its type, for the types that have an order.
macro_rules! ordered {
    ($f:expr) => {
        plain!($f; P::Int => P::Int, P::Bigint => P::Bigint, P::Double => P::Double, P::Decimal => P::Decimal,
            P::String => P::String, P::Date => P::Date, P::Time => P::Time, P::Timestamp => P::Timestamp,
            P::Bytes => P::Bytes)
    };
}

macro_rules! by_offset {
    ($variant:ident, $name:literal) => {
        &[
            Form::new(&[T], &[], T, |_, _| kept(Keep::$variant { n: None, nulls: false })),
            Form::new(&[T], &[P::Boolean], T, |c, _| kept(Keep::$variant { n: None, nulls: !truth(c) })),
            Form::new(&[T], &[P::Int], ARRAY, |c, _| {
                kept(Keep::$variant { n: Some(count(c, concat!($name, "N must be 1 or greater"))?), nulls: false })
            }),
            Form::new(&[T], &[P::Int, P::Boolean], ARRAY, |c, _| {
                let n = Some(count(c, concat!($name, "N must be 1 or greater"))?);
                kept(Keep::$variant { n, nulls: !truth(&c[1..]) })
            }),
        ]
    };
}

const fn top(column: &'static [P]) -> Form {
    Form {
        columns: column,
        others: true,
        constants: &[P::Int],
        returns: Returns::Of(|types| {
            let field = |(i, t): (usize, &SqlType)| {
                (if i == 0 { "sort_col".into() } else { format!("col{}", i - 1) }, t.clone())
            };
            SqlType::Array(Box::new(match types {
                [value, _] => value.clone(),
                _ => SqlType::Struct(types[..types.len().saturating_sub(1)].iter().enumerate().map(field).collect()),
            }))
        }),
        make: |c, _| kept(Keep::Top { n: count(c, "k must be 1 or greater")?, records: false }),
    }
}

const fn top_distinct(column: &'static [P], returns: P) -> Form {
    Form::new(column, &[P::Int], returns, |c, _| kept(Keep::TopDistinct { n: count(c, "k must be 1 or greater")? }))
}

use AggregateFunction as A;

/// All aggregate functions.
static DEFINITIONS: &[Definition] = &[
    Definition {
        name: "ATTR",
        description: "The column's value, where all rows have the same; null where they have not",
        forms: &[Form::new(&[T], &[], T, |_, _| kept(Keep::Attr))],
        undoable: true,
        nested: true,
    },
    Definition {
        name: "AVG",
        description: "The average of the values that are not null",
        forms: plain!(A::Avg; P::Int => P::Double, P::Bigint => P::Double, P::Double => P::Double),
        undoable: true,
        nested: true,
    },
    Definition {
        name: "COLLECT_LIST",
        description: "All values as an array",
        forms: &[Form::new(&[T], &[], ARRAY, |_, limits| kept(Keep::List { most: limits.list }))],
        undoable: true,
        nested: true,
    },
    Definition {
        name: "COLLECT_SET",
        description: "The different values as an array",
        forms: &[Form::new(&[T], &[], ARRAY, |_, limits| kept(Keep::Set { most: limits.set }))],
        undoable: false,
        nested: true,
    },
    Definition {
        name: "CORRELATION",
        description: "Pearson's coefficient of the correlation of two columns",
        forms: &[
            Form::new(&[P::Int, P::Int], &[], P::Double, |_, _| Ok(A::Correlation)),
            Form::new(&[P::Bigint, P::Bigint], &[], P::Double, |_, _| Ok(A::Correlation)),
            Form::new(&[P::Double, P::Double], &[], P::Double, |_, _| Ok(A::Correlation)),
        ],
        undoable: true,
        nested: true,
    },
    Definition {
        name: "COUNT",
        description: "The number of rows; of a column: of its values that are not null",
        forms: &[Form::new(&[P::Any], &[], P::Bigint, |_, _| Ok(A::Count))],
        undoable: true,
        nested: false,
    },
    Definition {
        name: "COUNT_DISTINCT",
        description: "About how many different values there are (exact up to a thousand, then within 1 %)",
        forms: &[Form::new(&[P::Any], &[], P::Bigint, |_, _| Ok(A::CountDistinct))],
        undoable: false,
        nested: true,
    },
    Definition {
        name: "EARLIEST_BY_OFFSET",
        description: "The first value, or the first n values; nulls are left out unless the last argument is false",
        forms: by_offset!(Earliest, "earliest"),
        undoable: false,
        nested: true,
    },
    Definition {
        name: "HISTOGRAM",
        description: "How often each text occurs, as a map of at most 1000 entries",
        forms: &[Form::new(&[P::String], &[], P::Map(&P::String, &P::Bigint), |_, _| kept(Keep::Histogram))],
        undoable: true,
        nested: true,
    },
    Definition {
        name: "LATEST_BY_OFFSET",
        description: "The last value, or the last n values; nulls are left out unless the last argument is false",
        forms: by_offset!(Latest, "latest"),
        undoable: false,
        nested: true,
    },
    Definition {
        name: "MAX",
        description: "The greatest value",
        forms: ordered!(A::Max),
        undoable: false,
        nested: false,
    },
    Definition { name: "MIN", description: "The least value", forms: ordered!(A::Min), undoable: false, nested: false },
    Definition {
        name: "STDDEV_SAMP",
        description: "The variance of a sample; STDDEV_SAMPLE is the standard deviation",
        forms: plain!(A::Variance; P::Int => P::Double, P::Bigint => P::Double, P::Double => P::Double),
        undoable: true,
        nested: true,
    },
    Definition {
        name: "STDDEV_SAMPLE",
        description: "The standard deviation of a sample",
        forms: plain!(A::Deviation; P::Int => P::Double, P::Bigint => P::Double, P::Double => P::Double),
        undoable: true,
        nested: true,
    },
    Definition {
        name: "SUM",
        description: "The sum, of the column's type",
        forms: plain!(A::Sum; P::Int => P::Int, P::Bigint => P::Bigint, P::Double => P::Double, P::Decimal => P::Decimal),
        undoable: true,
        nested: false,
    },
    Definition {
        name: "SUM_LIST",
        description: "The sum of the elements of arrays",
        forms: plain!(A::SumList; P::Array(&P::Int) => P::Int, P::Array(&P::Bigint) => P::Bigint,
            P::Array(&P::Double) => P::Double),
        undoable: true,
        nested: false,
    },
    Definition {
        name: "TOPK",
        description: "The k greatest values, descending; with more columns, structs of them",
        forms: &[top(&[P::Int]), top(&[P::Bigint]), top(&[P::Double]), top(&[P::String])],
        undoable: false,
        nested: true,
    },
    Definition {
        name: "TOPKDISTINCT",
        description: "The k greatest different values, descending",
        forms: &[
            top_distinct(&[P::Int], P::Array(&P::Int)),
            top_distinct(&[P::Bigint], P::Array(&P::Bigint)),
            top_distinct(&[P::Double], P::Array(&P::Double)),
            top_distinct(&[P::String], P::Array(&P::String)),
            top_distinct(&[P::Decimal], P::Array(&P::Decimal)),
            top_distinct(&[P::Date], P::Array(&P::Date)),
            top_distinct(&[P::Time], P::Array(&P::Time)),
            top_distinct(&[P::Timestamp], P::Array(&P::Timestamp)),
            top_distinct(&[P::Bytes], P::Array(&P::Bytes)),
        ],
        undoable: false,
        nested: true,
    },
];

fn kept(keep: Keep) -> Result<AggregateFunction, String> {
    Ok(AggregateFunction::Kept(keep))
}

fn truth(constants: &[Value]) -> bool {
    matches!(constants.first(), Some(Value::Boolean(true)))
}

fn count(constants: &[Value], least: &str) -> Result<u32, String> {
    match constants.first() {
        Some(Value::Int(n)) if *n > 0 => Ok(n.unsigned_abs()),
        _ => Err(least.into()),
    }
}

/// All aggregate functions, by name.
pub fn definitions() -> impl Iterator<Item = &'static Definition> {
    DEFINITIONS.iter()
}

/// An aggregate function by its name, in any case.
pub fn find(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.iter().find(|d| d.name.eq_ignore_ascii_case(name))
}

/// What an argument of a call is, for [`resolve`].
#[derive(Clone, Debug)]
pub struct Argument {
    /// Its type; none for NULL.
    pub ty: Option<SqlType>,
    /// Its value, when it is a literal.
    pub literal: Option<Value>,
    /// How it is written, for messages.
    pub text: String,
}

/// What a call means: the function, the types its columns are cast to (`None`: as they are), and its result's type.
pub type Resolved = (AggregateFunction, Vec<Option<SqlType>>, SqlType);

/// The form of a function that a call means. The columns are the arguments before the form's constants.
///
/// # Errors
/// What ksqlDB says when there is none.
pub fn resolve(definition: &Definition, args: &[Argument], limits: Limits) -> Result<Resolved, String> {
    let types: Vec<Option<SqlType>> = args.iter().map(|a| a.ty.clone()).collect();
    let mut best: Option<(u32, &Form, Vec<Option<SqlType>>, SqlType)> = None;
    for form in definition.forms {
        let fixed = form.columns.len() + form.constants.len();
        if args.len() < fixed || (args.len() > fixed && !form.others) {
            continue;
        }
        let others = std::iter::repeat_n(P::Any, args.len() - fixed);
        let params: Vec<P> = form.columns.iter().copied().chain(others).chain(form.constants.iter().copied()).collect();
        let Some((cost, to, ty)) = accept(&params, &form.returns, &types) else { continue };
        if best.as_ref().is_none_or(|(least, ..)| cost < *least) {
            best = Some((cost, form, to, ty));
        }
    }
    let Some((_, form, mut to, ty)) = best else {
        let given: Vec<String> = types.iter().map(|t| t.as_ref().map_or("null".into(), ToString::to_string)).collect();
        let name = definition.name;
        let mut message =
            format!("Function '{name}' does not accept parameters ({}).\nValid alternatives are:", given.join(", "));
        definition.forms.iter().for_each(|f| message.push_str(&format!("\n{name}{f}")));
        return Err(message);
    };
    let columns = args.len() - form.constants.len();
    let mut constants = Vec::with_capacity(form.constants.len());
    for (i, arg) in args.iter().enumerate().skip(columns) {
        match &arg.literal {
            Some(value) => constants.push(value.clone()),
            None => {
                return Err(format!(
                    "Parameter {} passed to function {} must be a literal constant, but was expression: '{}'",
                    i + 1,
                    definition.name,
                    arg.text
                ));
            }
        }
    }
    to.truncate(columns);
    let function = match (form.make)(&constants, limits)? {
        AggregateFunction::Kept(Keep::Top { n, .. }) => AggregateFunction::Kept(Keep::Top { n, records: columns > 1 }),
        function => function,
    };
    Ok((function, to, ty))
}

impl AggregateFunction {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            A::CountRows | A::Count => "COUNT",
            A::Sum => "SUM",
            A::SumList => "SUM_LIST",
            A::Avg => "AVG",
            A::Min => "MIN",
            A::Max => "MAX",
            A::Deviation => "STDDEV_SAMPLE",
            A::Variance => "STDDEV_SAMP",
            A::Correlation => "CORRELATION",
            A::CountDistinct => "COUNT_DISTINCT",
            A::Kept(Keep::Earliest { .. }) => "EARLIEST_BY_OFFSET",
            A::Kept(Keep::Latest { .. }) => "LATEST_BY_OFFSET",
            A::Kept(Keep::List { .. }) => "COLLECT_LIST",
            A::Kept(Keep::Set { .. }) => "COLLECT_SET",
            A::Kept(Keep::Top { .. }) => "TOPK",
            A::Kept(Keep::TopDistinct { .. }) => "TOPKDISTINCT",
            A::Kept(Keep::Histogram) => "HISTOGRAM",
            A::Kept(Keep::Attr) => "ATTR",
        }
    }
}
