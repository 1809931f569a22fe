//! Joins against naive twins that recompute from all records: streams with disorder and late rows, tables with updates and
//! tombstones, in several numbers of workers and batch cuts.
#![allow(clippy::unwrap_used, clippy::type_complexity, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Epoch, Shape, batch, bound};
use proptest::prelude::*;
use std::collections::BTreeMap;
use weir_dataflow::row::Value;
use weir_dataflow::views::change::Row;

/// A record: source, key, value (`None`: a tombstone), time.
type Record = (usize, Option<i32>, Option<i64>, i64);

/// How records are handed in.
#[derive(Clone, Copy, Debug)]
struct Cut {
    workers: usize,
    /// Records of a source that go in one batch.
    batch: usize,
    /// Records of all sources that go in one epoch.
    epoch: usize,
    /// The inputs end: each side waits for the other.
    finite: bool,
}

const NAMES: [&str; 3] = ["A", "B", "C"];

/// Runs a script over records. Returns what the view OUTPUT told, change by change, and how many rows were late.
fn run(script: &str, records: &[Record], cut: Cut) -> (Vec<Row>, u64) {
    let mut sequences = [0; 3];
    let epochs = records
        .chunks(cut.epoch.max(1))
        .map(|epoch| {
            let mut batches = Epoch::new();
            for (source, next) in sequences.iter_mut().enumerate() {
                let own: Vec<common::Record> =
                    epoch.iter().filter(|r| r.0 == source).map(|&(_, key, value, time)| (key, value, time)).collect();
                for part in own.chunks(cut.batch.max(1)) {
                    batches.push((NAMES[source], batch(part, *next)));
                    *next += 1;
                }
            }
            batches
        })
        .collect();
    common::run(bound(script), epochs, Shape { workers: cut.workers, finite: cut.finite, listens: true }, |_| {})
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(v) => Some(i64::from(*v)),
        Value::Bigint(v) => Some(*v),
        _ => None,
    }
}

// Streams.

#[derive(Clone, Copy, Debug)]
struct Within {
    kind: &'static str,
    before: i64,
    after: i64,
    grace: Option<i64>,
}

impl Within {
    fn script(self) -> String {
        let grace = self.grace.map(|ms| format!("GRACE PERIOD {ms} MILLISECONDS")).unwrap_or_default();
        format!(
            "CREATE STREAM A (K INT KEY, V BIGINT) WITH (kafka_topic='a', value_format='JSON');
             CREATE STREAM B (K INT KEY, V BIGINT) WITH (kafka_topic='b', value_format='JSON');
             CREATE STREAM OUTPUT AS SELECT {} AS K, A.V AS AV, B.V AS BV FROM A {} JOIN B
             WITHIN ({} MILLISECONDS, {} MILLISECONDS) {grace} ON A.K = B.K;",
            if self.kind == "FULL" { "ROWKEY" } else { "A.K" },
            self.kind,
            self.before,
            self.after,
        )
    }
}

/// Key, left value, right value, time.
type Joined = (Option<i64>, Option<i64>, Option<i64>, i64);

/// Kafka Streams' rules, a record at a time, over everything that ever came. `clocks`: of the other side when a record comes
/// whose own side has this clock.
fn naive(records: &[Record], join: Within, mut other_clock: impl FnMut(usize, i64) -> i64) -> (Vec<Joined>, u64) {
    let grace = join.grace.unwrap_or((86_400_000 - 2 * join.before).max(0));
    let retention = join.before + join.after + grace;
    let outer = |side: usize| join.kind == "FULL" || join.kind == ["LEFT", "RIGHT"][side];
    let reach = |side: usize| if side == 0 { (join.before, join.after) } else { (join.after, join.before) };
    let pad = |side: usize, key: Option<i32>, value: i64, time: i64| {
        let key = key.map(i64::from);
        if side == 0 { (key, Some(value), None, time) } else { (key, None, Some(value), time) }
    };
    let mut clocks = [i64::MIN; 2];
    let mut kept: Vec<(usize, i32, i64, i64)> = Vec::new();
    // When it closes, time, left, key, value.
    let mut open: Vec<(i64, i64, bool, i32, i64)> = Vec::new();
    let (mut out, mut late) = (Vec::new(), 0);
    for &(side, key, value, time) in records {
        let Some(value) = value else { continue };
        let Some(key) = key else {
            if outer(side) {
                out.push(pad(side, None, value, time));
            }
            continue;
        };
        clocks[side] = clocks[side].max(time);
        let other = other_clock(1 - side, clocks[side]);
        let now = clocks[side].max(other);
        open.sort_by_key(|o| (o.0, o.1, o.2, o.3));
        open.retain(|&(close, time, left, key, value)| {
            if close < now {
                out.push(pad(usize::from(!left), Some(key), value, time));
            }
            close >= now
        });
        let (back, ahead) = reach(side);
        let mut matches: Vec<(i64, i64)> = kept
            .iter()
            .filter(|r| r.0 != side && r.1 == key && r.3 >= time - back && r.3 <= time + ahead)
            .filter(|r| r.3 > other - retention)
            .map(|r| (r.3, r.2))
            .collect();
        matches.sort_by_key(|m| m.0);
        for (other_time, other) in &matches {
            let (left, right) = if side == 0 { (value, *other) } else { (*other, value) };
            out.push((Some(i64::from(key)), Some(left), Some(right), time.max(*other_time)));
            open.retain(|o| o.2 != (side == 1) || o.3 != key || o.1 != *other_time);
        }
        if matches.is_empty() && outer(side) {
            if join.grace.is_none() || time + ahead < now {
                out.push(pad(side, Some(key), value, time));
            } else {
                open.push((time + ahead + grace, time, side == 0, key, value));
            }
        }
        if time > clocks[side] - retention {
            kept.push((side, key, value, time));
        } else {
            late += 1;
        }
    }
    (out, late)
}

fn joined(rows: &[Row]) -> Vec<Joined> {
    rows.iter()
        .map(|row| {
            let value = row.value.as_ref().unwrap();
            (int(&row.key[0]), int(&value[0]), int(&value[1]), row.time)
        })
        .collect()
}

fn within() -> impl Strategy<Value = Within> {
    let kind = prop_oneof![Just("INNER"), Just("LEFT"), Just("RIGHT"), Just("FULL")];
    (kind, 0i64..15, 0i64..15, prop::option::of(0i64..30)).prop_map(|(kind, before, after, grace)| Within {
        kind,
        before,
        after,
        grace,
    })
}

/// Times that run on, with disorder and leaps, tombstones, null keys.
fn records(sources: usize) -> impl Strategy<Value = Vec<Record>> {
    let record = (
        0..sources,
        prop::option::weighted(0.95, 0i32..3),
        prop::option::weighted(0.9, 0i64..1000),
        0i64..6,
        -40i64..40,
        prop::bool::weighted(0.05),
    );
    prop::collection::vec(record, 0..80).prop_map(|raw| {
        let mut now = 40;
        raw.into_iter()
            .map(|(source, key, value, step, jitter, leap)| {
                now += step + if leap { 60 } else { 0 };
                (source, key, value, (now + jitter / 3).max(0))
            })
            .collect()
    })
}

/// The records in the order in which two sides that wait for each other are taken, and each side's last clock.
fn in_order(records: &[Record]) -> (Vec<Record>, [i64; 2]) {
    let mut clocks = [i64::MIN; 2];
    let mut placed: Vec<(i64, usize, Record)> = records
        .iter()
        .filter(|r| r.2.is_some())
        .map(|r| {
            if r.1.is_some() {
                clocks[r.0] = clocks[r.0].max(r.3);
            }
            (clocks[r.0], r.0, *r)
        })
        .collect();
    placed.sort_by_key(|p| (p.0, p.1));
    (placed.into_iter().map(|p| p.2).collect(), clocks)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    /// A record an epoch: every row in ksqlDB's order.
    #[test]
    fn streams_meet_record_by_record(records in records(2), join in within(), workers in 1usize..4) {
        let mut known = [i64::MIN; 2];
        let mut so_far = records.iter().filter(|r| r.2.is_some() && r.1.is_some());
        let (expected, late) = naive(&records, join, |other, _| {
            let record = so_far.next().unwrap();
            known[record.0] = known[record.0].max(record.3);
            known[other]
        });
        let cut = Cut { workers, batch: 1, epoch: 1, finite: false };
        let (rows, told_late) = run(&join.script(), &records, cut);
        prop_assert_eq!(joined(&rows), expected);
        prop_assert_eq!(told_late, late);
    }

    /// Inputs that end: the same rows whatever the workers, the batches and the epochs.
    #[test]
    fn streams_wait_for_each_other(
        records in records(2), join in within(), workers in 1usize..4, batch in 1usize..20, epoch in 1usize..40
    ) {
        let (ordered, last) = in_order(&records);
        let (mut expected, late) = naive(&ordered, join, |other, now| last[other].min(now));
        let cut = Cut { workers, batch, epoch, finite: true };
        let (rows, told_late) = run(&join.script(), &records, cut);
        let mut rows = joined(&rows);
        expected.sort();
        rows.sort();
        prop_assert_eq!(rows, expected);
        prop_assert_eq!(told_late, late);
    }

    /// Inputs that go on for ever: of the same epochs the same rows in the same order, whatever the workers and batches.
    #[test]
    fn streams_meet_alike_in_every_shape(
        records in records(2), join in within(), workers in 2usize..4, batch in 1usize..20, epoch in 1usize..40
    ) {
        let whole = run(&join.script(), &records, Cut { workers: 1, batch: 1000, epoch, finite: false });
        let parts = run(&join.script(), &records, Cut { workers, batch, epoch, finite: false });
        prop_assert_eq!(joined(&parts.0), joined(&whole.0));
        prop_assert_eq!(parts.1, whole.1);
    }
}

// Tables.

const TABLES: &str = "
    CREATE TABLE A (K INT PRIMARY KEY, V BIGINT) WITH (kafka_topic='a', value_format='JSON');
    CREATE TABLE B (K INT PRIMARY KEY, V BIGINT) WITH (kafka_topic='b', value_format='JSON');
    CREATE TABLE C (K INT PRIMARY KEY, V BIGINT) WITH (kafka_topic='c', value_format='JSON');";

/// The rows at the end: by key, the values.
type Final = BTreeMap<i64, Vec<Option<i64>>>;

/// What changes add up to.
fn summed(rows: &[Row]) -> Final {
    let mut all = Final::new();
    for row in rows {
        let key = int(&row.key[0]).unwrap();
        match &row.value {
            Some(value) => all.insert(key, value.iter().map(int).collect()),
            None => all.remove(&key),
        };
    }
    all
}

/// The last value of each key of a table.
fn last(records: &[Record], table: usize) -> BTreeMap<i64, Option<i64>> {
    let mut rows = BTreeMap::new();
    for (_, key, value, _) in records.iter().filter(|r| r.0 == table) {
        let Some(key) = key else { continue };
        match value {
            Some(value) => rows.insert(i64::from(*key), Some(*value)),
            None => rows.remove(&i64::from(*key)),
        };
    }
    rows
}

/// Two tables' rows together, by definition.
fn pair(kind: &str, left: &Final, width: usize, right: &BTreeMap<i64, Option<i64>>) -> Final {
    let mut out = Final::new();
    for key in left.keys().chain(right.keys()) {
        let (l, r) = (left.get(key), right.get(key));
        let there = match (l, r) {
            (Some(_), Some(_)) => true,
            (Some(_), None) => kind == "LEFT" || kind == "FULL",
            (None, _) => kind == "RIGHT" || kind == "FULL",
        };
        if there {
            let mut row = l.cloned().unwrap_or_else(|| vec![None; width]);
            row.push(r.copied().flatten());
            out.insert(*key, row);
        }
    }
    out
}

fn kind() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("INNER"), Just("LEFT"), Just("RIGHT"), Just("FULL")]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn tables_pair_by_primary_key(
        records in records(3), first in kind(), second in kind(), workers in 1usize..4, batch in 1usize..9, epoch in 1usize..20
    ) {
        let key = |kind| if kind == "FULL" { "ROWKEY" } else { "A.K" };
        let two = format!(
            "{TABLES} CREATE TABLE OUTPUT AS SELECT {} AS K, A.V AS AV, B.V AS BV FROM A {first} JOIN B ON A.K = B.K;",
            key(first)
        );
        let cut = Cut { workers, batch, epoch, finite: false };
        let (rows, _) = run(&two, &records, cut);
        let a = last(&records, 0).into_iter().map(|(k, v)| (k, vec![v])).collect();
        let ab = pair(first, &a, 1, &last(&records, 1));
        prop_assert_eq!(summed(&rows), ab.clone());
        // In a chain the next join is by the same key, which is not null.
        if first != "FULL" {
            let three = format!(
                "{TABLES} CREATE TABLE OUTPUT AS SELECT {} AS K, A.V AS AV, B.V AS BV, C.V AS CV
                 FROM A {first} JOIN B ON A.K = B.K {second} JOIN C ON A.K = C.K;",
                key(second)
            );
            let (rows, _) = run(&three, &records, cut);
            prop_assert_eq!(summed(&rows), pair(second, &ab, 2, &last(&records, 2)));
        }
    }

    #[test]
    fn tables_pair_by_foreign_key(
        records in records(2), left in prop::bool::ANY, workers in 1usize..4, batch in 1usize..9, epoch in 1usize..20
    ) {
        // The left row names the right row whose key is the rest of its value by 4.
        let script = format!(
            "{TABLES} CREATE TABLE OUTPUT AS SELECT A.K, A.V AS AV, B.V AS BV FROM A {} JOIN B
             ON CAST(A.V % 4 AS INT) = B.K;",
            if left { "LEFT" } else { "INNER" }
        );
        let (rows, _) = run(&script, &records, Cut { workers, batch, epoch, finite: false });
        let right = last(&records, 1);
        let expected: Final = last(&records, 0)
            .into_iter()
            .filter_map(|(k, v)| {
                let found = v.and_then(|v| right.get(&(v % 4)));
                (left || found.is_some()).then(|| (k, vec![v, found.copied().flatten()]))
            })
            .collect();
        prop_assert_eq!(summed(&rows), expected);
    }
}
