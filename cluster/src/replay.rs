//! `weir replay`: files to their end, then what the views hold.
//!
//! Every worker reads its share of each file: chunk `i` of a file is worker `i mod n`'s. Tables are read first, all in
//! epoch 0; then the streams, an epoch for some chunks of each. What the views hold at the end, each worker writes to a
//! part of `DIR/VIEW.jsonl`, and worker 0 puts the parts together.

use crate::command::{Command, Offset};
use crate::config::{ReplayConfig, Streams};
use crate::intake::script::{self, Missing};
use crate::mesh::{self, Place};
use crate::metrics::Metrics;
use crate::processing_log::ProcessingLog;
use crate::worker::reading::{Files, Reading, Start, Topics, report};
use anyhow::{Context, anyhow, bail};
use prometheus_client::metrics::counter::Counter;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use timely::WorkerConfig;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::operator::Operator;
use timely::worker::Worker;
use weir_dataflow::bind::{Bound, Catalog};
use weir_dataflow::engine::{Deliver, Engine, Options};
use weir_dataflow::plan::ViewKind;
use weir_dataflow::render::port::{Inlet, Outlet};
use weir_dataflow::row::json::{write_json, write_string};
use weir_dataflow::row::{Batch, Schema, Value};
use weir_dataflow::views::change::{Bounds, ChangeBatch, Row};
use weir_dataflow::views::peek::Unpack;
use weir_dataflow::views::subscribe;
use weir_ingest::source::Limit;

/// What to replay.
pub struct Replay {
    /// The script's declarations and views, in order.
    pub commands: Vec<Command>,
    /// The views whose contents are written, with what they are.
    pub outputs: Vec<Output>,
    /// Where to; `None`: nowhere.
    pub out: Option<PathBuf>,
    /// Who is in the cluster.
    pub place: Place,
    /// The files.
    pub topics: Topics,
    /// Who else looks on.
    pub watch: Watch,
}

/// Sees a table's changes, an epoch at a time, in the order of the epochs.
pub type SeeChanges = Arc<dyn Fn(&str, &ChangeBatch) + Send + Sync>;

/// Sees a row.
pub type SeeRow = Arc<dyn Fn(&Output, &Row) + Send + Sync>;

/// What a caller sees of a replay, beside what is written.
#[derive(Clone, Default)]
pub struct Watch {
    /// Records of streams that this process has read so far.
    pub records: Arc<AtomicU64>,
    /// Called in process 0 with all changes of each table, so that the views work every change out.
    pub changes: Option<SeeChanges>,
    /// Called with each row that a table has at the end, in the process that keeps it.
    pub rows: Option<SeeRow>,
}

/// A view whose contents are written.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub schema: Schema,
    /// A table, not a stream.
    pub table: bool,
    /// Its rows have windows.
    pub windowed: bool,
}

impl Replay {
    /// What a command line asks for: its scripts read and bound.
    ///
    /// # Errors
    /// All errors of the scripts, each with its place; or a script cannot be read.
    pub fn new(config: &ReplayConfig) -> anyhow::Result<Replay> {
        let (mut commands, mut views) = (Vec::new(), Vec::new());
        let mut read = BTreeSet::new();
        for bound in script::bind_texts(&Catalog::default(), &script::texts(&config.scripts)?, Missing::Wrong)? {
            match bound {
                Bound::Source(source) => commands.push(Command::Declare(source)),
                Bound::View(view) => {
                    read.extend(view.inputs().into_iter().map(String::from));
                    views.push(Output {
                        name: view.name.clone(),
                        schema: view.schema.clone(),
                        table: !matches!(view.kind, ViewKind::Stream(_)),
                        windowed: view.is_windowed(),
                    });
                    commands.push(Command::Install { view, offset: Offset::Earliest });
                }
                Bound::Nothing(_) | Bound::Other | Bound::Type { .. } => {}
                Bound::Insert(view) => bail!("INSERT INTO '{}' cannot be replayed", view.name),
                Bound::InsertValues(_) | Bound::Pull(_) | Bound::Push(_) | Bound::Drop(_) | Bound::Alter { .. } => {
                    bail!("a script to be replayed declares sources and views; queries and changes have no place in it")
                }
            }
        }
        topics_fit(&commands, config)?;
        let outputs = views.into_iter().filter(|view| match config.streams {
            _ if view.table => true,
            Streams::All => true,
            Streams::Leaf => !read.contains(&view.name),
            Streams::None => false,
        });
        let files = Files {
            topics: config.topics.clone(),
            timestamp_field: config.timestamp_field.clone(),
            chunk: Some(config.chunk_bytes as u64),
        };
        Ok(Replay {
            commands,
            outputs: outputs.collect(),
            out: config.out.clone(),
            place: Place::new(&config.shape),
            topics: Topics { files: Some(files), ..Topics::default() },
            watch: Watch::default(),
        })
    }
}

/// A file for a topic that no source reads is a mistake; a source without a file is empty, and that is told.
fn topics_fit(commands: &[Command], config: &ReplayConfig) -> anyhow::Result<()> {
    let topic = |c: &Command| if let Command::Declare(source) = c { Some(source.topic.topic.clone()) } else { None };
    let declared: BTreeSet<String> = commands.iter().filter_map(topic).collect();
    if let Some(unread) = config.topics.keys().find(|topic| !declared.contains(*topic)) {
        let topics: Vec<&str> = declared.iter().map(String::as_str).collect();
        bail!("no stream or table of the scripts reads the topic '{unread}'; they read: {}", topics.join(", "));
    }
    for topic in declared.iter().filter(|topic| !config.topics.contains_key(*topic)) {
        tracing::warn!("no file is given for the topic '{topic}': it is empty");
    }
    Ok(())
}

/// What came of it: the last line printed.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Records of streams that were read, on all workers.
    pub events: u64,
    /// From the first record to the last view's last epoch, without start-up and without writing `--out`.
    pub seconds: f64,
    /// Events a second.
    pub events_per_s: u64,
    /// CPU seconds of this process in that time.
    pub cpu_s: f64,
    /// The most memory this process held, in MB.
    pub rss_mb: u64,
    /// Records that did not fit their declaration, on all workers.
    pub rejected: u64,
    /// Records that came too late for all their windows, counted once a view, on all workers.
    pub late: u64,
    /// Bytes that this process sent to the others.
    pub exchanged_bytes: u64,
}

/// Chunks of each stream that make an epoch, on each worker.
const CHUNKS: usize = 16;

/// Epochs that reading may run ahead of what is closed everywhere.
const AHEAD: u64 = 3;

/// Counts of one worker.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Counts {
    events: u64,
    rejected: u64,
    late: u64,
}

struct Shared {
    replay: Replay,
    progress: Progress,
    /// Of the whole cluster, as each worker learns it.
    totals: Mutex<Option<(Counts, f64, f64)>>,
}

/// Runs a replay to its end.
///
/// # Errors
/// The processes do not meet, a file cannot be read or written, a view cannot be kept.
pub fn run(replay: Replay) -> anyhow::Result<Summary> {
    if let Some(dir) = &replay.out {
        fs::create_dir_all(dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    }
    let exchanged = Counter::default();
    let (builders, guard) = mesh::connect(&replay.place, &exchanged)?;
    let progress = Progress::new(Arc::clone(&replay.watch.records));
    let shared = Arc::new(Shared { progress, replay, totals: Mutex::new(None) });
    let for_workers = Arc::clone(&shared);
    let guards = timely::execute::execute_from(builders, guard, WorkerConfig::default(), move |worker| {
        work(worker, &for_workers).map_err(|e| format!("{e:#}"))
    })
    .map_err(|e| anyhow!(e))?;
    for result in guards.join() {
        result.map_err(|e| anyhow!(e))?.map_err(|e| anyhow!(e))?;
    }
    shared.progress.end();
    let totals = shared.totals.lock().map_err(|_| anyhow!("a worker failed"))?.take();
    let (counts, seconds, cpu_s) = totals.ok_or_else(|| anyhow!("no worker came to its end"))?;
    Ok(Summary {
        events: counts.events,
        seconds: round(seconds),
        events_per_s: (counts.events as f64 / seconds.max(1e-9)) as u64,
        cpu_s: round(cpu_s),
        rss_mb: peak_memory() >> 20,
        rejected: counts.rejected,
        late: counts.late,
        exchanged_bytes: exchanged.get(),
    })
}

fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

fn work(worker: &mut Worker, shared: &Shared) -> anyhow::Result<()> {
    let replay = &shared.replay;
    let metrics = Arc::new(Metrics::default());
    let (log, mut entries) = ProcessingLog::new(Arc::clone(&metrics));
    let mut engine = Engine::new(Options { finite: true, ..Options::default() });
    let (mut tables, mut streams) = (Vec::new(), Vec::new());
    for command in &replay.commands {
        match command {
            Command::Declare(source) => {
                engine.declare(worker, source, worker.peers() > 1);
                let reading = Reading::wanted(source.clone(), Offset::Earliest, 0);
                if source.table { tables.push(reading) } else { streams.push(reading) }
            }
            Command::Install { view, .. } => {
                engine.install(worker, view, false).map_err(|e| anyhow!("{}: {e}", view.name))?;
            }
            _ => bail!("only declarations and views can be replayed"),
        }
    }
    let followed = follow(worker, &mut engine, replay)?;
    let start = Start { worker: worker.index(), peers: worker.peers(), place: &replay.place };
    for reading in tables.iter_mut().chain(&mut streams) {
        if let Some(columns) = engine.demand(&reading.source.name) {
            reading.demand(&columns);
            reading.open(&replay.topics, &start)?;
        }
    }
    let writers = taps(&mut engine, replay, worker.index())?;
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let mut counts = Counts::default();
    let mut batches = VecDeque::new();
    // To a replay it is one time throughout.
    weir_dataflow::plan::functions::set_now(crate::clock::now_ms());
    for reading in &mut tables {
        while reading.is_open() && !reading.ended() {
            counts.rejected += reading.poll(&replay.topics, Limit::default(), &metrics, &log, &mut batches)?.rejected;
            batches.drain(..).for_each(|batch| engine.send(&reading.source.name, batch));
            worker.step();
        }
    }
    tables.iter().for_each(|r| engine.end(&r.source.name));
    engine.advance(1);
    settle(worker, &mut engine, 1);
    while streams.iter().any(|r| r.is_open() && !r.ended()) {
        for _ in 0..CHUNKS {
            for reading in streams.iter_mut().filter(|r| r.is_open() && !r.ended()) {
                let polled = reading.poll(&replay.topics, Limit::default(), &metrics, &log, &mut batches)?;
                counts.events += polled.records;
                counts.rejected += polled.rejected;
                shared.progress.add(polled.records);
                batches.drain(..).for_each(|batch| engine.send(&reading.source.name, batch));
            }
            worker.step();
            engine.pump();
        }
        streams.iter().filter(|r| !r.is_open() || r.ended()).for_each(|r| engine.end(&r.source.name));
        let epoch = engine.epoch() + 1;
        engine.advance(epoch);
        settle(worker, &mut engine, epoch.saturating_sub(AHEAD));
        while entries.try_recv().is_ok() {}
    }
    streams.iter().for_each(|r| engine.end(&r.source.name));
    let last = u64::MAX - 1;
    engine.advance(last);
    settle(worker, &mut engine, last);
    while followed.iter().any(|upper| upper.get() < last) {
        worker.step_or_park(Some(Duration::from_micros(200)));
        engine.pump();
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let reports = engine.reports();
    counts.late = reports.late.values().sum();
    report(&reports, &metrics, &log);
    engine_output(&engine, replay, worker.index())?;
    show_rows(&engine, replay);
    for writer in writers {
        writer.lock().map_err(|_| anyhow!("a worker failed"))?.flush()?;
    }
    let total = meet(worker, counts);
    if let Ok(mut totals) = shared.totals.lock() {
        *totals = Some((total, seconds, cpu));
    }
    if worker.index() == 0
        && let Some(dir) = &replay.out
    {
        replay.outputs.iter().try_for_each(|output| join_parts(dir, &output.name, worker.peers()))?;
    }
    Ok(())
}

/// Subscribes to the tables, when somebody wants their changes. How far each has been told, in process 0.
fn follow(worker: &mut Worker, engine: &mut Engine, replay: &Replay) -> anyhow::Result<Vec<Rc<Cell<u64>>>> {
    let mut followed = Vec::new();
    let Some(see) = &replay.watch.changes else { return Ok(followed) };
    for output in replay.outputs.iter().filter(|o| o.table) {
        let deliver = (worker.index() == 0).then(|| {
            let (see, name, told) = (Arc::clone(see), output.name.clone(), Rc::new(Cell::new(0)));
            followed.push(Rc::clone(&told));
            Box::new(move |batch: ChangeBatch| {
                told.set(batch.upper);
                see(&name, &batch);
            }) as Deliver
        });
        let subscription = format!("changes of {}", output.name);
        engine.subscribe(worker, &subscription, &output.name, 0, false, deliver).map_err(|e| anyhow!(e))?;
    }
    Ok(followed)
}

/// Steps until every epoch before this one is closed everywhere.
fn settle(worker: &mut Worker, engine: &mut Engine, epoch: u64) {
    engine.pump();
    while engine.frontiers() < epoch {
        worker.step_or_park(Some(Duration::from_micros(200)));
        engine.pump();
    }
}

/// Sums the counts of all workers, when all have come here.
fn meet(worker: &mut Worker, counts: Counts) -> Counts {
    let peers = worker.peers() as u64;
    let (mut inlet, outlet) = worker.dataflow::<u64, _, _>(|scope| {
        let (inlet, counts) = Inlet::<(u64, Counts)>::new(scope, 0);
        let counts = counts.unary::<CapacityContainerBuilder<Vec<(u64, Counts)>>, _, _, _>(
            Exchange::new(|(peer, _): &(u64, Counts)| *peer),
            "Meet",
            |_, _| {
                |input, output| {
                    input.for_each(|time, data| output.session(&time).give_container(data));
                }
            },
        );
        (inlet, Outlet::new(counts))
    });
    (0..peers).for_each(|peer| inlet.send(0, (peer, counts)));
    inlet.close();
    while outlet.frontier() < u64::MAX {
        worker.step_or_park(Some(Duration::from_micros(200)));
    }
    outlet.take().into_iter().fold(Counts::default(), |sum, (_, (_, c))| Counts {
        events: sum.events + c.events,
        rejected: sum.rejected + c.rejected,
        late: sum.late + c.late,
    })
}

type Writer = Arc<Mutex<BufWriter<File>>>;

fn part(dir: &Path, name: &str, worker: usize) -> PathBuf {
    dir.join(format!("{name}.jsonl.part{worker}"))
}

fn create(dir: &Path, name: &str, worker: usize) -> anyhow::Result<BufWriter<File>> {
    let path = part(dir, name, worker);
    Ok(BufWriter::with_capacity(
        1 << 20,
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))?,
    ))
}

/// Writes the streams that are to be written as they come.
fn taps(engine: &mut Engine, replay: &Replay, worker: usize) -> anyhow::Result<Vec<Writer>> {
    let mut writers = Vec::new();
    let Some(dir) = &replay.out else { return Ok(writers) };
    for output in replay.outputs.iter().filter(|o| !o.table) {
        let writer = Arc::new(Mutex::new(create(dir, &output.name, worker)?));
        writers.push(Arc::clone(&writer));
        let schema = output.schema.clone();
        engine.tap(
            &output.name,
            Box::new(move |batch: &Batch| {
                let mut lines = Vec::new();
                for row in subscribe::rows(batch, &schema) {
                    write_row(&mut lines, &schema, &row.key, None, row.value.as_deref().unwrap_or(&[]));
                }
                if let Ok(mut writer) = writer.lock()
                    && let Err(e) = writer.write_all(&lines)
                {
                    tracing::error!("cannot write a stream's rows: {e}");
                }
            }),
        );
    }
    Ok(writers)
}

/// Writes this worker's rows of the tables.
fn engine_output(engine: &Engine, replay: &Replay, worker: usize) -> anyhow::Result<()> {
    let Some(dir) = &replay.out else { return Ok(()) };
    for output in replay.outputs.iter().filter(|o| o.table) {
        let mut writer = create(dir, &output.name, worker)?;
        let unpack = Unpack::new(&output.schema);
        let (mut line, mut result) = (Vec::new(), Ok(()));
        engine.scan(&output.name, |row| {
            line.clear();
            write_row(&mut line, &output.schema, &unpack.key(row.key), row.window, &unpack.value(row.value));
            if result.is_ok() {
                result = writer.write_all(&line);
            }
        });
        result?;
        writer.flush()?;
    }
    Ok(())
}

/// Shows this worker's rows of the tables to who wants them.
fn show_rows(engine: &Engine, replay: &Replay) {
    let Some(see) = &replay.watch.rows else { return };
    for output in replay.outputs.iter().filter(|o| o.table) {
        let unpack = Unpack::new(&output.schema);
        engine.scan(&output.name, |row| see(output, &unpack.row(&row)));
    }
}

/// One row as a line of JSON: key columns, WINDOWSTART and WINDOWEND where there are windows, value columns.
fn write_row(out: &mut Vec<u8>, schema: &Schema, key: &[Value], window: Option<Bounds>, value: &[Value]) {
    let mut first = true;
    let mut field = |out: &mut Vec<u8>, name: &str| {
        out.push(if first { b'{' } else { b',' });
        first = false;
        write_string(out, name);
        out.push(b':');
    };
    for (column, cell) in schema.key.iter().zip(key) {
        field(out, &column.name);
        write_json(out, cell, &column.ty);
    }
    if let Some(window) = window {
        for (name, time) in [("WINDOWSTART", window.start), ("WINDOWEND", window.end)] {
            field(out, name);
            out.extend_from_slice(time.to_string().as_bytes());
        }
    }
    for (i, column) in schema.value.iter().enumerate() {
        field(out, &column.name);
        write_json(out, value.get(i).unwrap_or(&Value::Null), &column.ty);
    }
    out.extend_from_slice(if first { b"{}\n" } else { b"}\n" });
}

fn join_parts(dir: &Path, name: &str, peers: usize) -> anyhow::Result<()> {
    let path = dir.join(format!("{name}.jsonl"));
    let first = part(dir, name, 0);
    fs::rename(&first, &path).with_context(|| format!("cannot rename {}", first.display()))?;
    let mut whole = fs::OpenOptions::new().append(true).open(&path)?;
    for worker in 1..peers {
        let part = part(dir, name, worker);
        let mut file = File::open(&part)
            .with_context(|| format!("cannot read {}: all processes need the same --out folder", part.display()))?;
        io::copy(&mut file, &mut whole)?;
        fs::remove_file(&part)?;
    }
    Ok(())
}

/// CPU seconds of this process so far, 0 where the system does not tell.
fn cpu_seconds() -> f64 {
    crate::metrics::cpu_seconds().unwrap_or(0.0)
}

/// The most memory this process held so far, in bytes; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) << 10
}

/// A line on the terminal that tells how far it is.
struct Progress {
    terminal: bool,
    began: Instant,
    records: Arc<AtomicU64>,
    shown: AtomicU64,
}

impl Progress {
    fn new(records: Arc<AtomicU64>) -> Self {
        let terminal = io::stderr().is_terminal();
        Progress { terminal, began: Instant::now(), records, shown: AtomicU64::new(0) }
    }

    fn add(&self, records: u64) {
        let records = self.records.fetch_add(records, Ordering::Relaxed) + records;
        let halves = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX) / 500;
        if self.terminal && self.shown.fetch_max(halves, Ordering::Relaxed) < halves {
            let rate = records as f64 / self.began.elapsed().as_secs_f64();
            let _ = write!(io::stderr(), "\r{records} records, {rate:.0}/s ");
        }
    }

    fn end(&self) {
        if self.terminal {
            let _ = writeln!(io::stderr());
        }
    }
}
