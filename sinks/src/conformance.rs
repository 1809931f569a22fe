//! The sink contract as a suite that every sink passes.

use crate::delivery::{Delivery, Options, State};
use crate::{Chunk, Progress, Sink, SinkError, Target};
use std::collections::BTreeMap;
use std::time::Duration;
use weir_dataflow::row::{Column, Schema, SqlType, Value};
use weir_dataflow::views::change::{ChangeBatch, Row};

/// A destination under test: where sinks write to, and a way to look at what arrived.
pub(crate) trait World {
    /// The sink.
    type Sink: Sink;

    /// What the destination shows.
    const SHOWS: Shows;

    /// A new sink for the destination.
    fn sink(&self) -> Self::Sink;

    /// What arrived: for each key its values in order.
    async fn arrived(&self) -> BTreeMap<i64, Vec<Option<i64>>>;

    /// Makes the destination unreachable, or reachable again; false when it cannot be.
    async fn away(&self, away: bool) -> bool;
}

/// What a destination keeps of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// All of them, also those that are sent twice.
    All,
    /// All that have a value, each once.
    Values,
    /// The last of each key.
    Present,
}

/// The view that is delivered: key K, values K_COPY and N.
pub(crate) fn target() -> Target {
    let column = |name: &str| Column { name: name.into(), ty: SqlType::Bigint };
    Target {
        view: "V".into(),
        topic: "V".into(),
        schema: Schema { key: vec![column("K")], value: vec![column("K_COPY"), column("N")] },
        table: true,
        window: None,
        generation: 1,
    }
}

/// A change of key `k` to `n`; `None` takes it away.
pub(crate) fn change(k: i64, n: Option<i64>) -> Row {
    Row {
        key: vec![Value::Bigint(k)],
        window: None,
        value: n.map(|n| vec![Value::Bigint(k), Value::Bigint(n)]),
        time: 1_700_000_000_000 + n.unwrap_or(0),
    }
}

pub(crate) fn batch(epoch: u64, rows: Vec<Row>) -> ChangeBatch {
    ChangeBatch { lower: epoch, upper: epoch + 1, rows: rows.into() }
}

/// Changes of ten keys over `epochs`, with some taken away.
pub(crate) fn changes(epochs: std::ops::Range<u64>) -> Vec<ChangeBatch> {
    let rows = |epoch: u64| {
        let n = epoch as i64;
        (0..10).filter(|k| (k + n) % 3 != 0).map(|k| change(k, ((k * 7 + n) % 5 != 0).then_some(n * 100 + k))).collect()
    };
    epochs.map(|epoch| batch(epoch, rows(epoch))).collect()
}

/// What a destination has to show after these batches.
pub(crate) fn expected(shows: Shows, batches: &[ChangeBatch]) -> BTreeMap<i64, Vec<Option<i64>>> {
    let mut out: BTreeMap<i64, Vec<Option<i64>>> = BTreeMap::new();
    for row in batches.iter().flat_map(|batch| batch.rows.clone().into_vec()) {
        let [Value::Bigint(k)] = row.key[..] else { panic!("another key") };
        let n = row.value.as_ref().map(|values| {
            let Value::Bigint(n) = values[1] else { panic!("another value") };
            n
        });
        match (shows, n) {
            (Shows::All, _) | (Shows::Values, Some(_)) => out.entry(k).or_default().push(n),
            (Shows::Values, None) => {}
            (Shows::Present, Some(_)) => drop(out.insert(k, vec![n])),
            (Shows::Present, None) => drop(out.remove(&k)),
        }
    }
    out
}

/// Flushes until it succeeds, and returns what was counted.
pub(crate) async fn flush<S: Sink>(sink: &mut S) -> Progress {
    let mut progress = Progress::default();
    for _ in 0..1000 {
        match sink.flush(&mut progress).await {
            Ok(()) => return progress,
            Err(SinkError::Unavailable(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(SinkError::Failed(reason)) => panic!("{reason}"),
        }
    }
    panic!("not delivered");
}

/// Runs the suite; `world` makes a destination with nothing in it.
pub(crate) async fn conforms<W: World>(world: impl AsyncFn() -> W) {
    nothing_is_nothing(&world().await).await;
    rows_arrive_in_order_and_are_counted_once(&world().await).await;
    a_redelivery_is_recognised(&world().await).await;
    an_absence_loses_and_doubles_nothing(&world().await).await;
    delivery_survives_an_absence(&world().await).await;
}

async fn nothing_is_nothing<W: World>(world: &W) {
    let mut sink = world.sink();
    assert_eq!(flush(&mut sink).await, Progress::default());
    sink.accept(Chunk::from(batch(0, Vec::new())));
    assert_eq!(flush(&mut sink).await, Progress::default());
    assert_eq!(world.arrived().await, BTreeMap::new());
}

async fn rows_arrive_in_order_and_are_counted_once<W: World>(world: &W) {
    let mut sink = world.sink();
    let batches = changes(0..40);
    for several in batches.chunks(3) {
        several.iter().cloned().for_each(|batch| sink.accept(batch.into()));
        let progress = flush(&mut sink).await;
        let rows: usize = several.iter().map(|batch| batch.rows.len()).sum();
        assert_eq!(progress.delivered + progress.skipped, rows as u64);
        assert_eq!(progress.rejected, []);
    }
    assert_eq!(world.arrived().await, expected(W::SHOWS, &batches));
}

async fn a_redelivery_is_recognised<W: World>(world: &W) {
    if W::SHOWS == Shows::All {
        return;
    }
    let batches = changes(0..12);
    for again in [&batches[..], &batches[8..]] {
        let mut sink = world.sink();
        again.iter().cloned().for_each(|batch| sink.accept(batch.into()));
        flush(&mut sink).await;
    }
    assert_eq!(world.arrived().await, expected(W::SHOWS, &batches));
}

async fn an_absence_loses_and_doubles_nothing<W: World>(world: &W) {
    let mut sink = world.sink();
    let batches = changes(0..6);
    sink.accept(batches[0].clone().into());
    let mut progress = flush(&mut sink).await;
    if !world.away(true).await {
        return;
    }
    batches[1..].iter().cloned().for_each(|batch| sink.accept(batch.into()));
    for _ in 0..2 {
        let error = sink.flush(&mut progress).await;
        assert!(matches!(error, Err(SinkError::Unavailable(_))), "{error:?}");
    }
    world.away(false).await;
    let rest = flush(&mut sink).await;
    let rows: usize = batches.iter().map(|batch| batch.rows.len()).sum();
    let counted = progress.delivered + progress.skipped + rest.delivered + rest.skipped;
    assert_eq!(counted, rows as u64);
    assert_eq!(world.arrived().await, expected(W::SHOWS, &batches));
}

/// The same through a delivery, with so little memory that it has to spill.
async fn delivery_survives_an_absence<W: World>(world: &W) {
    let mut options = Options::new(std::env::temp_dir());
    options.queue.rows = 20;
    options.write_rows = 15;
    options.backoff.longest = Duration::from_millis(200);
    let unexpected = Box::new(|rejected| panic!("{rejected:?}"));
    let delivery = Delivery::start(world.sink(), &target(), options, unexpected, &tokio::runtime::Handle::current());
    let batches = changes(0..100);
    for (i, batch) in batches.iter().enumerate() {
        match i {
            20 => drop(world.away(true).await),
            80 => drop(world.away(false).await),
            _ => {}
        }
        delivery.send(batch.clone());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let status = delivery.stop(Duration::from_secs(60)).await;
    assert_eq!((status.pending, status.lost, status.rejected), (0, 0, 0), "{status:?}");
    assert_eq!((status.state, status.delivered_to), (State::Stopped, 100));
    assert_eq!(world.arrived().await, expected(W::SHOWS, &batches));
}

mod memory {
    use super::*;
    use crate::memory::{MemorySink, Ring};

    impl World for Ring {
        type Sink = MemorySink;
        const SHOWS: Shows = Shows::All;

        fn sink(&self) -> MemorySink {
            MemorySink::new(self.clone())
        }

        async fn arrived(&self) -> BTreeMap<i64, Vec<Option<i64>>> {
            let batches: Vec<_> = self.read(0).1.into_iter().map(|(epoch, row)| batch(epoch, vec![row])).collect();
            expected(Shows::All, &batches)
        }

        async fn away(&self, _away: bool) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn memory_conforms() {
        conforms(async || Ring::new(1_000_000)).await;
    }
}

mod log {
    use super::*;
    use crate::log::LogSink;
    use std::sync::{Arc, Mutex};
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Keeps the keys and values that are logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<[String; 2]>>>);

    struct Line([String; 2]);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
            match field.name() {
                "key" => self.0[0] = format!("{value:?}"),
                "message" => self.0[1] = format!("{value:?}"),
                _ => {}
            }
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "weir_sinks::log"
        }

        fn event(&self, event: &Event<'_>) {
            let mut line = Line(Default::default());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    impl World for Lines {
        type Sink = LogSink;
        const SHOWS: Shows = Shows::All;

        fn sink(&self) -> LogSink {
            LogSink::new(target())
        }

        async fn arrived(&self) -> BTreeMap<i64, Vec<Option<i64>>> {
            let mut out: BTreeMap<i64, Vec<Option<i64>>> = BTreeMap::new();
            for [key, value] in &*self.0.lock().unwrap() {
                let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
                out.entry(read(key)["K"].as_i64().unwrap()).or_default().push(read(value)["N"].as_i64());
            }
            out
        }

        async fn away(&self, _away: bool) -> bool {
            false
        }
    }

    #[tokio::test]
    async fn the_log_conforms() {
        let lines = Lines::default();
        let _guard = tracing::subscriber::set_default(lines.clone());
        conforms(async || {
            lines.0.lock().unwrap().clear();
            lines.clone()
        })
        .await;
    }
}
