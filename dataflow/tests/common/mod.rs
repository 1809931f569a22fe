//! An engine on some workers, for the tests that hold it against a naive twin: a script is installed, records go in epoch
//! by epoch, and what the view OUTPUT tells is kept.
#![allow(dead_code, reason = "each test uses its part")]

use arrow_array::{ArrayRef, Int32Array, Int64Array};
use std::sync::{Arc, Mutex};
use timely::worker::Worker;
use weir_dataflow::bind::{Bound, Catalog, Session, bind};
use weir_dataflow::engine::{Deliver, Engine, Options};
use weir_dataflow::row::{Batch, Origin};
use weir_dataflow::sql::parse;
use weir_dataflow::views::change::{ChangeBatch, Row};

/// Binds a script.
pub(crate) fn bound(script: &str) -> Vec<Bound> {
    let (statements, errors) = parse(script);
    assert!(errors.is_empty(), "{errors:?}");
    let (mut catalog, session) = (Catalog::default(), Session::default());
    statements
        .iter()
        .map(|statement| {
            let bound = bind(&catalog, &session, statement).unwrap_or_else(|e| panic!("{}: {e:?}", statement.text));
            catalog.add(&bound, &statement.text);
            bound
        })
        .collect()
}

/// A record of two columns, INT and BIGINT, and its time. Without a value it is a tombstone.
pub(crate) type Record = (Option<i32>, Option<i64>, i64);

/// A source's batch of this number.
pub(crate) fn batch(records: &[Record], sequence: u64) -> Batch {
    let keys: ArrayRef = Arc::new(records.iter().map(|r| r.0).collect::<Int32Array>());
    let values: ArrayRef = Arc::new(records.iter().map(|r| r.1).collect::<Int64Array>());
    Batch {
        columns: vec![Some(keys), Some(values)],
        times: records.iter().map(|r| r.2).collect(),
        offsets: (0..records.len() as i64).map(|i| sequence as i64 * 1_000_000 + i).collect(),
        tombstones: Some(records.iter().map(|r| r.1.is_none()).collect()),
        origin: Origin { partition: 0, sequence },
    }
}

/// The batches of an epoch with their sources.
pub(crate) type Epoch = Vec<(&'static str, Batch)>;

/// One source's records in batches of so many, so many batches an epoch.
pub(crate) fn epochs(source: &'static str, records: &[Record], cut: usize, batches: usize) -> Vec<Epoch> {
    let all: Vec<(&'static str, Batch)> =
        (0..).zip(records.chunks(cut.max(1))).map(|(i, records)| (source, batch(records, i))).collect();
    all.chunks(batches.max(1)).map(<[_]>::to_vec).collect()
}

/// How a script is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) workers: usize,
    /// The inputs end: who reads two waits for both.
    pub(crate) finite: bool,
    /// Somebody listens to the view OUTPUT.
    pub(crate) listens: bool,
}

/// An epoch behind all others.
const END: u64 = 1_000_000;

/// Closes all epochs, and waits until all that they brought is out.
pub(crate) fn close(worker: &mut Worker, engine: &mut Engine) {
    engine.advance(END);
    while engine.frontiers() < END {
        worker.step_or_park(Some(std::time::Duration::from_micros(100)));
        engine.pump();
    }
    // Once more for what hangs on the last node.
    for _ in 0..50 {
        worker.step();
        engine.pump();
    }
}

/// Runs a script over the epochs' batches, dealt out to the workers. Returns what OUTPUT told, change by change, and how
/// many rows were late. `look` sees each worker's engine in the end.
pub(crate) fn run(
    script: Vec<Bound>,
    epochs: Vec<Epoch>,
    shape: Shape,
    look: impl Fn(&mut Engine) + Send + Sync + 'static,
) -> (Vec<Row>, u64) {
    let told: Arc<Mutex<Vec<ChangeBatch>>> = Arc::default();
    let late: Arc<Mutex<u64>> = Arc::default();
    let (t, l) = (Arc::clone(&told), Arc::clone(&late));
    timely::execute(timely::Config::process(shape.workers), move |worker| {
        let (index, peers) = (worker.index(), worker.peers());
        let mut engine = Engine::new(Options { finite: shape.finite, ..Options::default() });
        for bound in &script {
            match bound {
                Bound::Source(source) => engine.declare(worker, source, peers > 1),
                Bound::View(view) => engine.install(worker, view, false).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        if shape.listens {
            let told = Arc::clone(&t);
            let deliver = (index == 0).then(|| Box::new(move |b| told.lock().unwrap().push(b)) as Deliver);
            engine.subscribe(worker, "watch", "OUTPUT", 0, true, deliver).unwrap();
        }
        for (epoch, batches) in (1..).zip(&epochs) {
            for (source, batch) in batches {
                if batch.origin.sequence as usize % peers == index {
                    engine.send(source, batch.clone());
                }
                worker.step();
                engine.pump();
            }
            engine.advance(epoch);
            worker.step();
            engine.pump();
        }
        for bound in &script {
            if let Bound::Source(source) = bound {
                engine.end(&source.name);
            }
        }
        close(worker, &mut engine);
        look(&mut engine);
        *l.lock().unwrap() += engine.reports().late.values().sum::<u64>();
    })
    .unwrap()
    .join()
    .into_iter()
    .for_each(|r| r.unwrap());
    let rows = told.lock().unwrap().iter().flat_map(|b| b.rows.clone().into_vec()).collect();
    let late = *late.lock().unwrap();
    (rows, late)
}
