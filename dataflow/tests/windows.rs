//! Grouping, windows, sessions and their late records against a naive twin that recomputes from all records, in several
//! cluster shapes and batch cuts; and the changes told against the rows that are there in the end.
#![allow(clippy::unwrap_used, clippy::type_complexity, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Shape, epochs};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use weir_dataflow::bind::Bound;
use weir_dataflow::plan::aggregate::{AggregateCall, AggregateFunction};
use weir_dataflow::plan::expr::Expr;
use weir_dataflow::plan::{Aggregate, Format, NamedExpr, Pipeline, Source, TopicSpec, View, ViewKind, Windowing};
use weir_dataflow::row::{Column, Schema, SqlType, Value};
use weir_dataflow::time::{Grace, WindowSpec};
use weir_dataflow::views::change::Bounds;
use weir_dataflow::views::peek::Unpack;

/// A record: its key, its time, its value.
type Record = (Option<i32>, i64, i64);
/// Rows by key and bounds: count and sum.
type Rows = BTreeMap<(i32, Option<(i64, i64)>), (i64, i64)>;

#[derive(Clone, Copy, Debug)]
struct Case {
    spec: Option<WindowSpec>,
    grace: i64,
    retention: i64,
}

/// ksqlDB's rules, one record at a time, over everything that ever came.
fn naive(records: &[Record], case: Case) -> Rows {
    let mut stream_time = i64::MIN;
    let mut rows: Rows = BTreeMap::new();
    let mut sessions: Vec<(i32, i64, i64, i64, i64)> = Vec::new();
    for &(key, time, value) in records {
        let Some(key) = key else { continue };
        stream_time = stream_time.max(time);
        let close = stream_time - case.grace;
        match case.spec {
            None => {
                let row = rows.entry((key, None)).or_default();
                *row = (row.0 + 1, row.1 + value);
            }
            Some(WindowSpec::Tumbling { size }) => hop(&mut rows, key, time, value, size, size, close),
            Some(WindowSpec::Hopping { size, advance }) => hop(&mut rows, key, time, value, size, advance, close),
            Some(WindowSpec::Session { gap }) => {
                let close = close - gap;
                let (met, rest): (Vec<_>, Vec<_>) = sessions
                    .into_iter()
                    .partition(|s| s.0 == key && s.2 >= time - gap && s.1 <= time + gap && s.2 >= close);
                let mut new = (key, time, time, 1, value);
                for s in &met {
                    new = (key, new.1.min(s.1), new.2.max(s.2), new.3 + s.3, new.4 + s.4);
                }
                sessions = rest;
                if new.2 < close {
                    sessions.extend(met);
                } else {
                    sessions.push(new);
                }
            }
        }
    }
    rows.extend(sessions.into_iter().map(|s| ((s.0, Some((s.1, s.2))), (s.3, s.4))));
    let horizon = stream_time.saturating_sub(case.retention);
    rows.retain(|(_, window), _| match (window, case.spec) {
        (Some((_, end)), Some(WindowSpec::Session { .. })) => *end >= horizon,
        (Some((start, _)), _) => *start >= horizon,
        (None, _) => true,
    });
    rows
}

fn hop(rows: &mut Rows, key: i32, time: i64, value: i64, size: i64, advance: i64, close: i64) {
    for start in (0..=time / advance).map(|k| k * advance) {
        if start + size > time && start + size > close {
            let row = rows.entry((key, Some((start, start + size)))).or_default();
            *row = (row.0 + 1, row.1 + value);
        }
    }
}

fn column(name: &str, ty: SqlType) -> Column {
    Column { name: name.into(), ty }
}

fn topic() -> TopicSpec {
    TopicSpec::new("t", Format::Json, Format::Json)
}

fn source() -> Source {
    let schema = Schema { key: vec![], value: vec![column("K", SqlType::Int), column("V", SqlType::Bigint)] };
    Source { name: "S".into(), table: false, queryable: false, schema, topic: topic() }
}

fn view(case: Case) -> View {
    let call = |function, args: Vec<Expr>| AggregateCall { function, args, ty: SqlType::Bigint };
    let named = |name: &str, expr| NamedExpr { name: name.into(), expr };
    let aggregate = Aggregate {
        input: Pipeline {
            input: "S".into(),
            names: vec!["K".into(), "V".into()],
            columns: vec![0, 1],
            keep_tombstones: None,
            steps: vec![],
        },
        retracts: false,
        group: vec![named("K", Expr::Column(0, SqlType::Int))],
        window: case.spec.map(|spec| Windowing {
            spec,
            grace: Grace(case.grace),
            retention_ms: case.retention,
            emit_final: false,
        }),
        calls: vec![
            call(AggregateFunction::CountRows, vec![]),
            call(AggregateFunction::Sum, vec![Expr::Column(1, SqlType::Bigint)]),
        ],
        having: None,
        project: vec![named("N", Expr::Column(1, SqlType::Bigint)), named("S", Expr::Column(2, SqlType::Bigint))],
    };
    let schema = Schema {
        key: vec![column("K", SqlType::Int)],
        value: vec![column("N", SqlType::Bigint), column("S", SqlType::Bigint)],
    };
    View {
        name: "OUTPUT".into(),
        query_id: "CTAS_OUTPUT_1".into(),
        schema,
        topic: topic(),
        joins: vec![],
        kind: ViewKind::Aggregate(aggregate),
    }
}

fn cells(key: &[Value], window: Option<Bounds>, value: &[Value]) -> ((i32, Option<(i64, i64)>), (i64, i64)) {
    match (key, value) {
        ([Value::Int(k)], [Value::Bigint(n), Value::Bigint(s)]) => ((*k, window.map(|w| (w.start, w.end))), (*n, *s)),
        other => panic!("not a row of the view: {other:?}"),
    }
}

/// Runs the records through the engine. Returns the rows at the end, and those that the changes add up to.
fn run(
    records: &[Record],
    case: Case,
    workers: usize,
    cut: usize,
    batches_an_epoch: usize,
    subscribe: bool,
) -> (Rows, Rows, u64) {
    let records: Vec<common::Record> = records.iter().map(|r| (r.0, Some(r.2), r.1)).collect();
    let shape = Shape { workers, finite: false, listens: subscribe };
    let rows: Arc<Mutex<Rows>> = Arc::default();
    let r = Arc::clone(&rows);
    let schema = view(case).schema;
    let plan = vec![Bound::Source(source()), Bound::View(view(case))];
    let (told, late) = common::run(plan, epochs("S", &records, cut, batches_an_epoch), shape, move |engine| {
        let unpack = Unpack::new(&schema);
        engine.scan("OUTPUT", |row| {
            let (key, row) = cells(&unpack.key(row.key), row.window, &unpack.value(row.value));
            assert!(r.lock().unwrap().insert(key, row).is_none(), "a row twice");
        });
    });
    let mut summed = Rows::new();
    for change in &told {
        match &change.value {
            Some(value) => {
                let (key, row) = cells(&change.key, change.window, value);
                summed.insert(key, row);
            }
            None => {
                let (key, _) = cells(&change.key, change.window, &[Value::Bigint(0), Value::Bigint(0)]);
                assert!(summed.remove(&key).is_some(), "a row goes that was never there");
            }
        }
    }
    let rows = rows.lock().unwrap().clone();
    (rows, summed, late)
}

fn case() -> impl Strategy<Value = Case> {
    let spec = prop_oneof![
        Just(None),
        (1i64..40).prop_map(|size| Some(WindowSpec::Tumbling { size })),
        (1i64..40, 1i64..40).prop_map(|(a, b)| Some(WindowSpec::Hopping { size: a.max(b), advance: a.min(b) })),
        (0i64..20).prop_map(|gap| Some(WindowSpec::Session { gap })),
    ];
    (spec, prop_oneof![Just(0i64), 0i64..30, Just(100_000i64)], prop_oneof![Just(0i64), 0i64..100, Just(1_000_000i64)])
        .prop_map(|(spec, grace, more)| {
            let length = match spec {
                Some(WindowSpec::Tumbling { size } | WindowSpec::Hopping { size, .. }) => size,
                Some(WindowSpec::Session { gap }) => gap,
                None => 0,
            };
            Case { spec, grace, retention: length + grace + more }
        })
}

/// Times that run on, with disorder, silences and now and then a very late or very early one.
fn records() -> impl Strategy<Value = Vec<Record>> {
    let record = || (prop::option::weighted(0.95, 0i32..4), 0i64..6, -30i64..30, prop::bool::weighted(0.05), -5i64..5);
    // Now and then more than are grouped together.
    let few_or_many =
        prop_oneof![9 => prop::collection::vec(record(), 0..120), 1 => prop::collection::vec(record(), 250..700)];
    few_or_many.prop_map(|raw| {
        let mut now = 0;
        raw.into_iter()
            .map(|(key, step, jitter, leap, value)| {
                now += step + if leap { 60 } else { 0 };
                (key, (now + jitter / 3).max(0), value)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn agrees_with_the_naive_twin_in_every_shape(
        records in records(), case in case(), cut in 1usize..30, per_epoch in 1usize..6, workers in 1usize..4
    ) {
        let expected = naive(&records, case);
        let (rows, told, late) = run(&records, case, workers, cut, per_epoch, true);
        prop_assert_eq!(&rows, &expected);
        // What is told stays told when its retention is over.
        let horizon_free = case.retention >= 1_000_000;
        if horizon_free {
            prop_assert_eq!(&told, &expected);
        }
        // Without anybody who listens, all at once and in the same pieces.
        for (workers, cut, per_epoch) in [(1, records.len().max(1), 1), (workers, cut, per_epoch)] {
            let (again, _, late_again) = run(&records, case, workers, cut, per_epoch, false);
            prop_assert_eq!(&again, &expected);
            prop_assert_eq!(late, late_again);
        }
    }
}

/// Times to and fro within a narrow grace: sessions close, and later ones reach back over them.
fn wild() -> impl Strategy<Value = (Vec<Record>, Case)> {
    let records = prop::collection::vec((0i32..2, 0i64..3, 0i64..25), 0..120).prop_map(|raw| {
        let mut now = 0;
        raw.into_iter()
            .map(|(key, step, back)| {
                now += step;
                (Some(key), (now - back).max(0), 1)
            })
            .collect()
    });
    (records, 0i64..6, 0i64..5).prop_map(|(records, gap, grace)| {
        let spec = Some(WindowSpec::Session { gap });
        (records, Case { spec, grace, retention: 1_000_000 })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn sessions_reach_back_over_closed_ones(
        (records, case) in wild(), cut in 1usize..10, per_epoch in 1usize..4, workers in 1usize..3
    ) {
        let expected = naive(&records, case);
        let (rows, told, late) = run(&records, case, workers, cut, per_epoch, true);
        prop_assert_eq!(&rows, &expected);
        prop_assert_eq!(&told, &expected);
        // Without anybody who listens, all at once and in the same pieces.
        for (workers, cut, per_epoch) in [(1, records.len().max(1), 1), (workers, cut, per_epoch)] {
            let (again, _, late_again) = run(&records, case, workers, cut, per_epoch, false);
            prop_assert_eq!(&again, &expected);
            prop_assert_eq!(late, late_again);
        }
    }
}

#[test]
fn late_for_some_windows_and_not_for_others() {
    let case = Case { spec: Some(WindowSpec::Hopping { size: 30, advance: 10 }), grace: 0, retention: 1_000_000 };
    // At stream time 45 the windows that end at 30 and 40 are closed for the record of time 25, the one of [20, 50) is not.
    let records = [(Some(1), 45, 1), (Some(1), 25, 1)];
    let (rows, _, late) = run(&records, case, 1, 10, 1, false);
    assert_eq!(rows, naive(&records, case));
    assert_eq!(rows[&(1, Some((20, 50)))], (2, 2));
    assert!(!rows.contains_key(&(1, Some((10, 40)))));
    assert_eq!(late, 0);
}
