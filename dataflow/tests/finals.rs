//! EMIT FINAL against a naive twin: each window once, when no row can count for it any more, and none is lost.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Shape, bound, epochs};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use weir_dataflow::row::Value;

/// Key, time, value.
type Record = (i32, i64, i64);
/// Start, end, key, count, sum, time.
type Window = (i64, i64, i64, i64, i64, i64);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Hops { size: i64, advance: i64 },
    Sessions { gap: i64 },
}

/// By definition, a record at a time: what closes with each.
fn naive(records: &[Record], kind: Kind, grace: i64) -> Vec<Window> {
    let mut now = i64::MIN;
    let mut open: BTreeSet<Window> = BTreeSet::new();
    let mut out = Vec::new();
    for &(key, time, value) in records {
        now = now.max(time);
        let key = i64::from(key);
        match kind {
            Kind::Hops { size, advance } => {
                for start in (0..=time / advance).map(|k| k * advance) {
                    if start + size > time && start + size > now - grace {
                        let old = open.iter().find(|w| w.0 == start && w.2 == key).copied();
                        let (n, sum, last) = old.map_or((0, 0, i64::MIN), |w| (w.3, w.4, w.5));
                        old.iter().for_each(|w| assert!(open.remove(w)));
                        open.insert((start, start + size, key, n + 1, sum + value, last.max(time)));
                    }
                }
            }
            Kind::Sessions { gap } => {
                let close = now - grace - gap;
                let met: Vec<Window> =
                    open.iter().filter(|w| w.2 == key && w.1 >= time - gap && w.0 <= time + gap).copied().collect();
                let mut new = (time, time, key, 1, value, time);
                for w in &met {
                    new = (new.0.min(w.0), new.1.max(w.1), key, new.3 + w.3, new.4 + w.4, new.5.max(w.5));
                }
                if new.1 >= close {
                    met.iter().for_each(|w| assert!(open.remove(w)));
                    open.insert(new);
                }
            }
        }
        let over = |w: &Window| match kind {
            Kind::Hops { .. } => w.1 <= now - grace,
            Kind::Sessions { gap } => w.1 < now - grace - gap,
        };
        let mut closed: Vec<Window> = open.iter().filter(|w| over(w)).copied().collect();
        open.retain(|w| !over(w));
        match kind {
            Kind::Hops { .. } => closed.sort_by_key(|w| (w.0, w.2)),
            Kind::Sessions { .. } => closed.sort_by_key(|w| (w.1, w.0, w.2)),
        }
        out.extend(closed);
    }
    out
}

fn run(records: &[Record], kind: Kind, grace: i64, workers: usize, cut: usize, epoch: usize) -> Vec<Window> {
    let window = match kind {
        Kind::Hops { size, advance } => format!("HOPPING (SIZE {size} MILLISECONDS, ADVANCE BY {advance} MILLISECONDS"),
        Kind::Sessions { gap } => format!("SESSION ({gap} MILLISECONDS"),
    };
    let script = format!(
        "CREATE STREAM S (K INT KEY, V BIGINT) WITH (kafka_topic='s', value_format='JSON');
         CREATE TABLE OUTPUT AS SELECT K, COUNT(*) AS N, SUM(V) AS S FROM S
         WINDOW {window}, GRACE PERIOD {grace} MILLISECONDS) GROUP BY K EMIT FINAL;"
    );
    let records: Vec<common::Record> = records.iter().map(|r| (Some(r.0), Some(r.2), r.1)).collect();
    let shape = Shape { workers, finite: false, listens: true };
    let (rows, _) = common::run(bound(&script), epochs("S", &records, cut, epoch), shape, |_| {});
    rows.iter()
        .map(|row| match (row.key.as_slice(), row.window, row.value.as_deref()) {
            ([Value::Int(k)], Some(w), Some([Value::Bigint(n), Value::Bigint(s)])) => {
                (w.start, w.end, i64::from(*k), *n, *s, row.time)
            }
            other => panic!("not a final row: {other:?}"),
        })
        .collect()
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let record = (0i32..3, 0i64..6, -30i64..30, prop::bool::weighted(0.08), -5i64..5);
    prop::collection::vec(record, 1..80).prop_map(|raw| {
        let mut now = 0;
        raw.into_iter()
            .map(|(key, step, jitter, leap, value)| {
                now += step + if leap { 90 } else { 0 };
                (key, (now + jitter / 3).max(0), value)
            })
            .collect()
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (1i64..30, 1i64..30).prop_map(|(a, b)| Kind::Hops { size: a.max(b), advance: a.min(b) }),
        (1i64..15).prop_map(|gap| Kind::Sessions { gap }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn windows_come_once_when_they_are_over(
        records in records(), kind in kind(), grace in 0i64..20, workers in 1usize..4, cut in 1usize..20, epoch in 1usize..5
    ) {
        let expected = naive(&records, kind, grace);
        // A record an epoch: in order.
        prop_assert_eq!(run(&records, kind, grace, 1, 1, 1), expected.clone());
        let rows = run(&records, kind, grace, workers, cut, epoch);
        let by_place = |rows: &[Window]| rows.iter().map(|w| ((w.0, w.1, w.2), *w)).collect::<BTreeMap<_, _>>();
        prop_assert_eq!(rows.len(), expected.len(), "a window came twice or not at all");
        prop_assert_eq!(by_place(&rows), by_place(&expected));
    }
}
