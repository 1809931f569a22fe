//! One persistent query on a worker of its own: topics' records in, its changes as records out.
//!
//! Each record is decoded by every source that reads its topic and makes an epoch of its own, so that each intermediate
//! change comes out.

use super::records::Raw;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use timely::worker::Worker;
use weir_dataflow::engine::{Engine, Options};
use weir_dataflow::plan::{Source, View};
use weir_dataflow::views::change::{ChangeBatch, Row};
use weir_ingest::decode::Decoder;

/// A query and what it reads.
pub(super) struct Feed {
    pub(super) view: View,
    /// The streams and tables that it reads, each over its topic.
    pub(super) sources: Vec<Source>,
    /// The records of their topics, in the order in which they come.
    pub(super) records: Vec<(String, Raw)>,
}

/// What has come out.
#[derive(Default)]
struct Output {
    rows: Vec<Row>,
    /// Of the epochs before this one.
    upper: u64,
}

/// No epoch takes as long as this.
const PATIENCE: Duration = Duration::from_secs(20);

const OUTPUT: &str = "output of the case";

/// The rows that come out, in order.
///
/// # Errors
/// The engine does not take the query, or it does not come to an end.
pub(super) fn run(feed: Feed) -> Result<Vec<Row>, String> {
    timely::execute_directly(move |worker| {
        let result = feed_all(worker, &feed);
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
        result
    })
}

fn feed_all(worker: &mut Worker, feed: &Feed) -> Result<Vec<Row>, String> {
    weir_dataflow::plan::functions::set_now(crate::clock::now_ms());
    let mut engine = Engine::new(Options::default());
    feed.sources.iter().for_each(|source| engine.declare(worker, source, false));
    engine.install(worker, &feed.view, false)?;
    let output = Rc::new(RefCell::new(Output::default()));
    let sink = Rc::clone(&output);
    let deliver = Box::new(move |batch: ChangeBatch| {
        let mut output = sink.borrow_mut();
        output.upper = batch.upper;
        output.rows.extend(batch.rows.into_vec());
    });
    engine.subscribe(worker, OUTPUT, &feed.view.name, 0, false, Some(deliver))?;
    let mut readers: Vec<(&Source, Decoder, u64)> = Vec::new();
    for source in &feed.sources {
        let mut decoder = Decoder::new(source);
        decoder.demand(&engine.demand(&source.name).unwrap_or_default());
        readers.push((source, decoder, 0));
    }
    for (topic, raw) in &feed.records {
        for (source, decoder, sequence) in readers.iter_mut().filter(|(s, ..)| s.topic.topic == *topic) {
            let mut rejects = Vec::new();
            let batch = decoder.decode(&raw.batch(*sequence), &mut rejects);
            *sequence += 1;
            for reject in rejects {
                tracing::info!(topic = &*reject.topic, offset = reject.offset, "left out: {}", reject.reason);
            }
            engine.send(&source.name, batch);
        }
        close(worker, &mut engine, &output)?;
    }
    Ok(output.take().rows)
}

/// Closes the epoch and waits until what it brought is out.
fn close(worker: &mut Worker, engine: &mut Engine, output: &RefCell<Output>) -> Result<(), String> {
    let epoch = engine.epoch() + 1;
    engine.advance(epoch);
    let began = Instant::now();
    while output.borrow().upper < epoch {
        worker.step();
        engine.pump();
        if began.elapsed() > PATIENCE {
            return Err("the query does not come to an end with a record".into());
        }
    }
    Ok(())
}
