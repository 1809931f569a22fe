//! Values that an aggregate keeps, so that parts of a group may meet in any order and give what one pass would.
//!
//! Every value has its [`Place`] in the order of the input, and a weight: 1 where a row was added, −1 where a table's
//! old row was taken back. What an aggregate can no longer show is dropped at once, so LATEST and TOPK keep as many
//! values as they show; COLLECT_LIST keeps a list.

use crate::plan::aggregate::Keep;
use crate::row::Value;
use serde::{Deserialize, Serialize};

/// A row's place in the order of an aggregate's input: for a stream offset, partition, and the number among the rows made
/// of one record; for a table's changes epoch and position.
pub type Place = (i64, u32, u32);

/// Most entries of HISTOGRAM.
const HISTOGRAM: usize = 1000;

/// A value that is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Entry {
    place: Place,
    value: Value,
    /// How often it was added less how often it was taken back; for lists ±1.
    weight: i64,
}

/// The values of one aggregate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gathered {
    keep: Keep,
    /// By place; for sets and counts each value once, with its first place.
    entries: Vec<Entry>,
    /// Entries of a list that take a value back which is not here yet.
    open: usize,
}

impl Gathered {
    /// Of no row.
    pub fn empty(keep: Keep) -> Self {
        Gathered { keep, entries: Vec::new(), open: 0 }
    }

    /// Adds a row's value (`sign` 1) or takes it back (−1).
    pub fn add(&mut self, value: &Value, sign: i64, place: Place) {
        let left_out = match self.keep {
            Keep::Earliest { nulls, .. } | Keep::Latest { nulls, .. } => value.is_null() && !nulls,
            Keep::Top { records: true, .. } => {
                matches!(value, Value::Struct(v) if v.first().is_none_or(Value::is_null))
            }
            Keep::Top { .. } | Keep::TopDistinct { .. } | Keep::Histogram => value.is_null(),
            Keep::List { .. } | Keep::Set { .. } | Keep::Attr => false,
        };
        if !left_out {
            self.insert(Entry { place, value: value.clone(), weight: sign });
            self.settle();
        }
    }

    /// Adds what others have.
    pub fn merge(&mut self, other: &Gathered) {
        other.entries.iter().for_each(|e| self.insert(e.clone()));
        self.settle();
    }

    /// True when each value is kept once.
    fn by_value(&self) -> bool {
        matches!(self.keep, Keep::Set { .. } | Keep::TopDistinct { .. } | Keep::Histogram | Keep::Attr)
    }

    fn insert(&mut self, mut entry: Entry) {
        if self.by_value()
            && let Some(at) = self.entries.iter().position(|e| e.value == entry.value)
        {
            let known = self.entries.remove(at);
            entry.weight += known.weight;
            entry.place = entry.place.min(known.place);
            if entry.weight == 0 {
                return;
            }
        }
        self.open += usize::from(entry.weight < 0);
        // Mostly at the end.
        let at = match self.entries.last() {
            Some(last) if *last > entry => self.entries.partition_point(|e| *e <= entry),
            _ => self.entries.len(),
        };
        self.entries.insert(at, entry);
    }

    /// Drops what will never be shown.
    fn settle(&mut self) {
        let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        match self.keep {
            Keep::Earliest { n, .. } => self.entries.truncate(size(n.unwrap_or(1))),
            Keep::Latest { n, .. } => {
                let surplus = self.entries.len().saturating_sub(size(n.unwrap_or(1)));
                self.entries.drain(..surplus);
            }
            Keep::List { most } => {
                if self.open > 0 {
                    self.take_back();
                }
                if self.open == 0 {
                    self.entries.truncate(size(most));
                }
            }
            Keep::Set { most } => self.entries.truncate(size(most)),
            Keep::Histogram if self.entries.iter().all(|e| e.weight > 0) => self.entries.truncate(HISTOGRAM),
            Keep::Top { n, .. } | Keep::TopDistinct { n } if self.entries.len() > size(n) => {
                let least = (0..self.entries.len())
                    .min_by(|&a, &b| self.rank(&self.entries[a]).cmp(self.rank(&self.entries[b])).then(b.cmp(&a)));
                if let Some(least) = least {
                    self.entries.remove(least);
                    self.settle();
                }
            }
            Keep::Top { .. } | Keep::TopDistinct { .. } | Keep::Histogram | Keep::Attr => {}
        }
    }

    /// What TOPK sorts by.
    fn rank<'e>(&self, entry: &'e Entry) -> &'e Value {
        match (&entry.value, self.keep) {
            (Value::Struct(fields), Keep::Top { records: true, .. }) => fields.first().unwrap_or(&Value::Null),
            (value, _) => value,
        }
    }

    /// Lets each value that was taken back go with the last equal one before it.
    fn take_back(&mut self) {
        self.open = 0;
        let mut at = 0;
        while at < self.entries.len() {
            if self.entries[at].weight > 0 {
                at += 1;
                continue;
            }
            let value = &self.entries[at].value;
            match self.entries[..at].iter().rposition(|e| e.weight > 0 && e.value == *value) {
                Some(added) => {
                    self.entries.remove(at);
                    self.entries.remove(added);
                    at -= 1;
                }
                None => {
                    self.open += 1;
                    at += 1;
                }
            }
        }
    }

    /// The aggregate's value.
    pub fn result(&self) -> Value {
        let there = || self.entries.iter().filter(|e| e.weight > 0);
        let array = |values: &mut dyn Iterator<Item = &Entry>| Value::Array(values.map(|e| e.value.clone()).collect());
        match self.keep {
            Keep::Earliest { n: None, .. } | Keep::Latest { n: None, .. } => {
                self.entries.first().map_or(Value::Null, |e| e.value.clone())
            }
            Keep::Earliest { .. } | Keep::Latest { .. } => array(&mut self.entries.iter()),
            Keep::List { most } | Keep::Set { most } => {
                array(&mut there().take(usize::try_from(most).unwrap_or(usize::MAX)))
            }
            Keep::Top { .. } | Keep::TopDistinct { .. } => {
                let mut sorted: Vec<&Entry> = self.entries.iter().collect();
                sorted.sort_by(|a, b| self.rank(b).cmp(self.rank(a)));
                array(&mut sorted.into_iter())
            }
            Keep::Histogram => {
                let counts = there().take(HISTOGRAM).map(|e| (e.value.clone(), Value::Bigint(e.weight)));
                Value::Map(counts.collect())
            }
            Keep::Attr => match there().collect::<Vec<_>>().as_slice() {
                [one] => one.value.clone(),
                _ => Value::Null,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One pass in order, as ksqlDB does it.
    fn naive(keep: Keep, values: &[Option<i32>]) -> Value {
        let value = |v: &Option<i32>| v.map_or(Value::Null, Value::Int);
        let all: Vec<Value> = values.iter().map(value).collect();
        let some: Vec<Value> = all.iter().filter(|v| !v.is_null()).cloned().collect();
        let mut distinct: Vec<Value> = Vec::new();
        all.iter().for_each(|v| {
            if !distinct.contains(v) {
                distinct.push(v.clone());
            }
        });
        let head = |v: &[Value], n: u32| Value::Array(v[..v.len().min(n as usize)].into());
        match keep {
            Keep::Earliest { n: Some(n), nulls } => head(if nulls { &all } else { &some }, n),
            Keep::Latest { n: Some(n), nulls } => {
                let from = if nulls { &all } else { &some };
                Value::Array(from[from.len().saturating_sub(n as usize)..].into())
            }
            Keep::List { most } => head(&all, most),
            Keep::Set { most } => head(&distinct, most),
            Keep::Top { n, .. } => {
                let mut sorted = some;
                sorted.sort_by(|a, b| b.cmp(a));
                head(&sorted, n)
            }
            Keep::TopDistinct { n } => {
                let mut sorted: Vec<Value> = distinct.into_iter().filter(|v| !v.is_null()).collect();
                sorted.sort_by(|a, b| b.cmp(a));
                head(&sorted, n)
            }
            Keep::Attr if distinct.len() == 1 => distinct[0].clone(),
            _ => Value::Null,
        }
    }

    fn keep() -> impl Strategy<Value = Keep> {
        (1u32..4, any::<bool>()).prop_flat_map(|(n, nulls)| {
            prop::sample::select(vec![
                Keep::Earliest { n: Some(n), nulls },
                Keep::Latest { n: Some(n), nulls },
                Keep::List { most: 3 * n },
                Keep::Set { most: n },
                Keep::Top { n, records: false },
                Keep::TopDistinct { n },
                Keep::Attr,
            ])
        })
    }

    proptest! {
        #[test]
        fn parts_meet_in_any_order(
            keep in keep(), values in prop::collection::vec(prop::option::of(0i32..4), 0..12),
            cuts in prop::collection::vec(0usize..4, 12)
        ) {
            let mut parts = vec![Gathered::empty(keep); 4];
            for (i, v) in values.iter().enumerate() {
                parts[cuts[i]].add(&v.map_or(Value::Null, Value::Int), 1, (i as i64, 0, 0));
            }
            let mut whole = Gathered::empty(keep);
            parts.iter().rev().for_each(|p| whole.merge(p));
            prop_assert_eq!(whole.result(), naive(keep, &values));
        }

        #[test]
        fn lists_forget_the_last_equal_value(
            events in prop::collection::vec((0i32..3, any::<bool>()), 0..12), cut in 0usize..12
        ) {
            let mut list: Vec<Value> = Vec::new();
            let keep = Keep::List { most: 100 };
            let mut parts = [Gathered::empty(keep), Gathered::empty(keep)];
            for (i, (v, add)) in events.iter().enumerate() {
                let (value, part) = (Value::Int(*v), &mut parts[usize::from(i >= cut)]);
                if *add {
                    list.push(value.clone());
                } else if let Some(at) = list.iter().rposition(|l| *l == value) {
                    list.remove(at);
                } else {
                    continue;
                }
                part.add(&value, if *add { 1 } else { -1 }, (i as i64, 0, 0));
            }
            let [mut first, second] = parts;
            first.merge(&second);
            prop_assert_eq!(first.result(), Value::Array(list.into()));
        }
    }
}
