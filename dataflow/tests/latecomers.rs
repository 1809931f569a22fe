//! Who comes to a table while data flows, on workers that carry out the same command at different times: a view over it ends
//! with what a plain recomputation gives, and a subscription has everything in its first batch and each row once in each.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Record, batch, bound, close};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use weir_dataflow::bind::Bound;
use weir_dataflow::engine::{Deliver, Engine, Options};
use weir_dataflow::row::Value;
use weir_dataflow::views::change::{ChangeBatch, Row};

const SCRIPT: &str = "
    CREATE STREAM S (K INT, V BIGINT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON');
    CREATE TABLE T AS SELECT K, SUM(V) AS V FROM S GROUP BY K;
    CREATE TABLE G AS SELECT V, COUNT(*) AS N FROM T GROUP BY V;";

/// How a worker goes about it.
#[derive(Clone, Debug)]
struct Pace {
    /// After how many epochs the latecomers come.
    late: usize,
    /// Steps behind each epoch.
    steps: Vec<usize>,
}

/// What the first reader of T, the one that came late, and the one of G were told.
type Told = [Vec<ChangeBatch>; 3];

fn run(records: Vec<Vec<Record>>, at: u64, paces: Vec<Pace>) -> Told {
    let told: Arc<Mutex<Told>> = Arc::default();
    let all = Arc::clone(&told);
    timely::execute(timely::Config::process(paces.len()), move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let pace = &paces[index];
        let mut engine = Engine::new(Options::default());
        let deliver = |reader: usize| {
            let all = Arc::clone(&all);
            (index == 0).then(|| Box::new(move |b| all.lock().unwrap()[reader].push(b)) as Deliver)
        };
        let script = bound(SCRIPT);
        let [Bound::Source(source), Bound::View(table), Bound::View(groups)] = &script[..] else {
            panic!("{script:?}")
        };
        engine.declare(worker, source, peers > 1);
        engine.install(worker, table, false).unwrap();
        engine.subscribe(worker, "first", "T", 0, true, deliver(0)).unwrap();
        for (epoch, records) in records.iter().enumerate() {
            if epoch == pace.late {
                engine.subscribe(worker, "late", "T", at, true, deliver(1)).unwrap();
                engine.install(worker, groups, false).unwrap();
                engine.subscribe(worker, "groups", "G", 0, true, deliver(2)).unwrap();
            }
            if epoch % peers == index {
                engine.send("S", batch(records, epoch as u64));
            }
            engine.advance(epoch as u64 + 1);
            for _ in 0..pace.steps[epoch % pace.steps.len()] {
                worker.step();
            }
            engine.pump();
        }
        close(worker, &mut engine);
    })
    .unwrap()
    .join()
    .into_iter()
    .for_each(|r| r.unwrap());
    Arc::try_unwrap(told).unwrap().into_inner().unwrap()
}

/// What is there after all changes.
fn rows(changes: impl IntoIterator<Item = Row>) -> BTreeMap<Vec<Value>, Vec<Value>> {
    let mut rows = BTreeMap::new();
    for change in changes {
        match change.value {
            Some(value) => rows.insert(change.key, value),
            None => rows.remove(&change.key),
        };
    }
    rows
}

fn paces() -> impl Strategy<Value = Vec<Pace>> {
    let pace = (3usize..8, prop::collection::vec(0usize..4, 1..6)).prop_map(|(late, steps)| Pace { late, steps });
    prop::collection::vec(pace, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn they_have_all_of_it_once(
        records in prop::collection::vec(prop::collection::vec((0i32..6, 1i64..4), 0..8), 9..14),
        at in 3u64..9, paces in paces()
    ) {
        let records: Vec<Vec<Record>> =
            records.into_iter().map(|e| e.into_iter().map(|(k, v)| (Some(k), Some(v), 0)).collect()).collect();
        let mut sums: BTreeMap<i32, i64> = BTreeMap::new();
        for (key, value, _) in records.iter().flatten() {
            *sums.entry(key.unwrap()).or_default() += value.unwrap();
        }
        let table = sums.iter().map(|(k, v)| (vec![Value::Int(*k)], vec![Value::Bigint(*v)])).collect::<BTreeMap<_, _>>();
        let mut groups: BTreeMap<Vec<Value>, Vec<Value>> = BTreeMap::new();
        for sum in sums.values() {
            let n = sums.values().filter(|s| *s == sum).count() as i64;
            groups.insert(vec![Value::Bigint(*sum)], vec![Value::Bigint(n)]);
        }

        let [first, late, grouped] = run(records, at, paces);
        let all = |batches: &[ChangeBatch]| rows(batches.iter().flat_map(|b| b.rows.clone().into_vec()));
        prop_assert_eq!(all(&first), table.clone());
        prop_assert_eq!(all(&late), table);
        let mut counted = all(&grouped);
        counted.retain(|_, n| *n != [Value::Bigint(0)]);
        prop_assert_eq!(counted, groups);

        for batch in first.iter().chain(&late) {
            let keys: BTreeSet<Vec<Value>> = batch.rows.clone().into_vec().into_iter().map(|r| r.key).collect();
            prop_assert_eq!(keys.len(), batch.rows.len(), "a row twice in {:?}", batch);
        }
        // The first batch has all that was there.
        let before = all(&first.iter().filter(|b| b.upper <= at).cloned().collect::<Vec<_>>());
        let snapshot = late.iter().filter(|b| b.upper <= at + 1).flat_map(|b| b.rows.clone().into_vec());
        let snapshot: BTreeSet<Vec<Value>> = snapshot.map(|r| r.key).collect();
        prop_assert!(before.keys().all(|key| snapshot.contains(key)), "{:?} of {:?}", snapshot, before);
    }
}
