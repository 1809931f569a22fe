//! What a group's rows add up to, as a difference.

use super::exact_sum::ExactSum;
use super::gathered::{Gathered, Place};
use super::moments::{Distinct, Moments};
use crate::plan::aggregate::{AggregateCall, AggregateFunction};
use crate::row::{Decimal, SqlType, Value};
use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};

/// The accumulated rows of a key.
///
/// Adding is associative and commutative, so partial accumulators may be made anywhere and meet in any order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Accum {
    /// Rows added less rows taken back; [`Accum::DEAD`] for a session that was merged into another.
    pub rows: i64,
    /// The greatest ROWTIME that was added, also by a row taken back. A session's end.
    pub time: i64,
    /// One part for each aggregate that is more than a count of rows; `None` when there is no such aggregate.
    pub parts: Option<Box<[Part]>>,
}

/// The state of one aggregate (or of a table's row).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// Rows whose argument is not null; the sum of an INT, BIGINT or DECIMAL (unscaled), modulo 2^64 or 2^128.
    Whole(i128),
    /// A sum of doubles.
    Double(ExactSum),
    /// Sum and count, for an average of whole numbers.
    WholeMean(i128, i64),
    /// Sum and count, for an average of doubles.
    DoubleMean(ExactSum, i64),
    /// The least value that is not null.
    Min(Option<Value>),
    /// The greatest value that is not null.
    Max(Option<Value>),
    /// Sums for deviations and correlations.
    Moments(Box<Moments>),
    /// Different values.
    Distinct(Box<Distinct>),
    /// Values that are kept.
    Gathered(Box<Gathered>),
    /// A table's row: its place in the order of updates, and the packed row; `None` when it was deleted.
    Latest(i64, Option<Box<[u8]>>),
}

impl Accum {
    /// [`Accum::rows`] of a session that is no more. It absorbs whatever is added to it.
    pub const DEAD: i64 = i64::MIN;

    /// A session that is no more.
    pub fn dead() -> Self {
        Accum { rows: Self::DEAD, time: i64::MIN, parts: None }
    }

    /// True for a session that is no more.
    pub fn is_dead(&self) -> bool {
        self.rows == Self::DEAD
    }

    /// Of no row, for these aggregates.
    pub fn empty(calls: &[AggregateCall]) -> Self {
        let parts: Box<[Part]> = calls.iter().filter_map(Part::empty).collect();
        Accum { rows: 0, time: i64::MIN, parts: (!parts.is_empty()).then_some(parts) }
    }

    /// A table's row as of its `order`-th update.
    pub fn latest(order: i64, row: Option<Box<[u8]>>, time: i64) -> Self {
        Accum { rows: 1, time, parts: Some([Part::Latest(order, row)].into()) }
    }

    /// The packed row of a table's key; `None` when it was deleted.
    pub fn row(&self) -> Option<&[u8]> {
        self.parts.as_deref().and_then(Part::row)
    }

    /// Adds another accumulator, which is given in its parts.
    pub fn add(&mut self, rows: i64, time: i64, parts: Option<&[Part]>) {
        if self.is_dead() || rows == Self::DEAD {
            *self = Accum::dead();
            return;
        }
        self.rows += rows;
        self.time = self.time.max(time);
        if let (Some(mine), Some(others)) = (&mut self.parts, parts) {
            Part::merge_all(mine, others);
        }
    }
}

impl Semigroup for Accum {
    fn plus_equals(&mut self, other: &Accum) {
        self.add(other.rows, other.time, other.parts.as_deref());
    }
}

impl IsZero for Accum {
    /// A group whose rows were all taken back is still a group (its count is 0), as in ksqlDB.
    fn is_zero(&self) -> bool {
        false
    }
}

impl Part {
    /// The packed row of a table's key, out of its accumulator's parts; `None` when it was deleted.
    pub fn row(parts: &[Part]) -> Option<&[u8]> {
        if let [Part::Latest(_, row)] = parts { row.as_deref() } else { None }
    }

    /// Of no row; `None` when the accumulator's own count of rows is all that the aggregate needs.
    fn empty(call: &AggregateCall) -> Option<Part> {
        let whole = !matches!(
            call.args.first().map(super::super::plan::expr::Expr::ty),
            Some(SqlType::Double | SqlType::Decimal(..))
        );
        match call.function {
            AggregateFunction::CountRows => None,
            AggregateFunction::Count => Some(Part::Whole(0)),
            AggregateFunction::Sum | AggregateFunction::SumList if call.ty == SqlType::Double => {
                Some(Part::Double(ExactSum::default()))
            }
            AggregateFunction::Sum | AggregateFunction::SumList => Some(Part::Whole(0)),
            AggregateFunction::Avg if whole => Some(Part::WholeMean(0, 0)),
            AggregateFunction::Avg => Some(Part::DoubleMean(ExactSum::default(), 0)),
            AggregateFunction::Min => Some(Part::Min(None)),
            AggregateFunction::Max => Some(Part::Max(None)),
            AggregateFunction::Deviation | AggregateFunction::Variance | AggregateFunction::Correlation => {
                Some(Part::Moments(Box::default()))
            }
            AggregateFunction::CountDistinct => Some(Part::Distinct(Box::default())),
            AggregateFunction::Kept(keep) => Some(Part::Gathered(Box::new(Gathered::empty(keep)))),
        }
    }

    /// Adds a row's argument (`sign` 1) or takes it back (−1). Nulls add nothing, but to what keeps values. What takes
    /// nothing back (MIN, MAX and the like) the binder does not let stand over a table, as in ksqlDB.
    pub fn add(&mut self, function: AggregateFunction, value: &Value, sign: i64, place: Place) {
        if let Part::Gathered(gathered) = self {
            return gathered.add(value, sign, place);
        }
        if let (Value::Array(items), AggregateFunction::SumList) = (value, function) {
            return items.iter().for_each(|item| self.add(AggregateFunction::Sum, item, sign, place));
        }
        if value.is_null() {
            return;
        }
        match self {
            Part::Whole(sum) => {
                let addend = if function == AggregateFunction::Count { 1 } else { whole(value) };
                *sum = sum.wrapping_add(addend.wrapping_mul(sign.into()));
            }
            Part::Double(sum) => sum.add(double(value) * sign as f64),
            Part::WholeMean(sum, n) => {
                *sum = sum.wrapping_add(whole(value).wrapping_mul(sign.into()));
                *n += sign;
            }
            Part::DoubleMean(sum, n) => {
                sum.add(double(value) * sign as f64);
                *n += sign;
            }
            Part::Min(least) => {
                if least.as_ref().is_none_or(|l| value < l) {
                    *least = Some(value.clone());
                }
            }
            Part::Max(greatest) => {
                if greatest.as_ref().is_none_or(|g| value > g) {
                    *greatest = Some(value.clone());
                }
            }
            Part::Moments(moments) => match value {
                Value::Struct(pair) => {
                    if let [x, y] = &**pair
                        && !x.is_null()
                        && !y.is_null()
                    {
                        moments.add_pair(double(x), double(y), sign);
                    }
                }
                value => moments.add(double(value), sign),
            },
            Part::Distinct(distinct) => distinct.add(value),
            Part::Latest(..) | Part::Gathered(_) => {}
        }
    }

    /// Adds each part of another accumulator.
    pub fn merge_all(parts: &mut [Part], others: &[Part]) {
        parts.iter_mut().zip(others).for_each(|(a, b)| a.merge(b));
    }

    fn merge(&mut self, other: &Part) {
        match (self, other) {
            (Part::Whole(a), Part::Whole(b)) => *a = a.wrapping_add(*b),
            (Part::Double(a), Part::Double(b)) => a.merge(b),
            (Part::WholeMean(a, n), Part::WholeMean(b, m)) => {
                *a = a.wrapping_add(*b);
                *n += m;
            }
            (Part::DoubleMean(a, n), Part::DoubleMean(b, m)) => {
                a.merge(b);
                *n += m;
            }
            (Part::Min(a), Part::Min(b)) => {
                if let Some(b) = b
                    && a.as_ref().is_none_or(|a| b < a)
                {
                    *a = Some(b.clone());
                }
            }
            (Part::Max(a), Part::Max(b)) => {
                if b.as_ref() > a.as_ref() {
                    *a = b.clone();
                }
            }
            (Part::Latest(a, row), Part::Latest(b, other)) => {
                if (*b, other.as_deref()) >= (*a, row.as_deref()) {
                    *a = *b;
                    *row = other.clone();
                }
            }
            (Part::Moments(a), Part::Moments(b)) => a.merge(b),
            (Part::Distinct(a), Part::Distinct(b)) => a.merge(b),
            (Part::Gathered(a), Part::Gathered(b)) => a.merge(b),
            // Accumulators of one store have the same parts.
            (Part::Whole(_) | Part::Double(_) | Part::WholeMean(..) | Part::DoubleMean(..), _)
            | (Part::Moments(_) | Part::Distinct(_) | Part::Gathered(_), _)
            | (Part::Min(_) | Part::Max(_) | Part::Latest(..), _) => {}
        }
    }

    /// The aggregate's result.
    pub fn result(&self, call: &AggregateCall) -> Value {
        match self {
            Part::Whole(n) => match &call.ty {
                SqlType::Int => Value::Int(*n as i32),
                SqlType::Decimal(_, scale) => Value::Decimal(Decimal { unscaled: *n, scale: *scale }),
                _ => Value::Bigint(*n as i64),
            },
            Part::Double(sum) => Value::Double(sum.value()),
            Part::WholeMean(sum, n) => Value::Double(if *n == 0 { 0.0 } else { *sum as f64 / *n as f64 }),
            Part::DoubleMean(sum, n) => Value::Double(if *n == 0 { 0.0 } else { sum.value() / *n as f64 }),
            Part::Min(v) | Part::Max(v) => v.clone().unwrap_or(Value::Null),
            Part::Moments(moments) => Value::Double(match call.function {
                AggregateFunction::Correlation => moments.correlation(),
                AggregateFunction::Deviation => moments.variance().sqrt(),
                _ => moments.variance(),
            }),
            Part::Distinct(distinct) => Value::Bigint(distinct.count()),
            Part::Gathered(gathered) => gathered.result(),
            Part::Latest(..) => Value::Null,
        }
    }
}

fn whole(value: &Value) -> i128 {
    match value {
        Value::Int(v) | Value::Date(v) | Value::Time(v) => i128::from(*v),
        Value::Bigint(v) | Value::Timestamp(v) => i128::from(*v),
        Value::Decimal(v) => v.unscaled,
        _ => 0,
    }
}

fn double(value: &Value) -> f64 {
    match value {
        Value::Double(v) => *v,
        Value::Decimal(v) => v.to_string().parse().unwrap_or(0.0),
        _ => whole(value) as f64,
    }
}
