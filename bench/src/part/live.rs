//! Clicks that come into a topic, at a rate or as a topic that is full already: what `weir run` does.
//!
//! Process 0 installs the views, follows them, asks point queries and, where topics are in memory, makes the clicks on
//! a thread of its own. With the starter it speaks in lines: `ready` ▶, ◀ `begin MICROS` (since 1970), `measured` ▶, ◀ `go on`.

use super::freshness::{Due, Freshness};
use super::{Measured, Part};
use crate::args::Through;
use crate::clicks::{Load, Texts};
use crate::latency::Latencies;
use crate::sample::{Cpu, Sampling, peak_mb};
use crate::tables::{self, Window};
use crate::twin::Digest;
use anyhow::{Context, anyhow, bail, ensure};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use weir_cluster::command::{Command, Offset, Subscription, Words, Workers};
use weir_cluster::intake::script::{self, Missing};
use weir_cluster::metrics::Metrics;
use weir_cluster::processing_log::ProcessingLog;
use weir_cluster::threads;
use weir_cluster::worker::{self, Running, reading::Topics};
use weir_dataflow::bind::{Bound, Catalog};
use weir_dataflow::plan::query::RowQuery;
use weir_dataflow::row::Value;
use weir_ingest::source::kafka::KafkaConfig;
use weir_ingest::source::memory::{Cleanup, MemoryBroker, NewRecord};

/// Counts all clicks.
const COUNTING: &str = "WEIR_BENCH_CLICKS";

/// So long after the last click was due all must be visible.
const PATIENCE: Duration = Duration::from_secs(120);

/// Rows that are looked at together in the check, about.
const SLICE: u64 = 500_000;

pub(super) fn run(part: &Part) -> anyhow::Result<Measured> {
    let metrics = Arc::new(Metrics::default());
    let (log, mut entries) = ProcessingLog::new(Arc::clone(&metrics));
    let runtime = threads::runtime()?;
    runtime.spawn(async move { while entries.recv().await.is_some() {} });
    let memory = MemoryBroker::new();
    let running = worker::start(worker::Config {
        place: part.place(),
        epoch: Duration::from_millis(part.run.epoch_ms),
        topics: Topics { files: None, memory: memory.clone(), kafka: part.kafka.as_deref().map(KafkaConfig::new) },
        metrics: Arc::clone(&metrics),
        log,
        keep_recent: true,
        every_change: false,
        words: Words::default(),
    })?;
    if part.process > 0 {
        return beside(running, &metrics);
    }
    let mut measured = runtime.block_on(measure(part, &running.workers, &metrics, &memory))?;
    say("measured")?;
    heard("go on")?;
    if part.run.check {
        measured.tables = runtime.block_on(digests(part, &running.workers))?;
    }
    running.workers.send(Command::Stop);
    running.join().map_err(|e| anyhow!(e))?;
    Ok(measured)
}

/// A process that only has workers.
fn beside(running: Running, metrics: &Metrics) -> anyhow::Result<Measured> {
    heard("begin")?;
    let before = Cpu::now();
    heard("measured")?;
    let cpu = Cpu::now().since(&before);
    let measured = counted(metrics, Measured { cpu_s: cpu.total(), cpu, rss_mb: peak_mb(), ..Measured::default() });
    running.join().map_err(|e| anyhow!(e))?;
    Ok(measured)
}

/// With what this process counted.
fn counted(metrics: &Metrics, measured: Measured) -> Measured {
    Measured {
        events: metrics.records_read("CLICKSTREAM").get(),
        rejected: ["CLICKSTREAM", "WEB_USERS", "CLICKSTREAM_CODES"]
            .map(|s| metrics.records_rejected(s).get())
            .iter()
            .sum(),
        exchanged_bytes: metrics.exchanged_bytes.get(),
        ..measured
    }
}

async fn measure(
    part: &Part,
    workers: &Workers,
    metrics: &Arc<Metrics>,
    memory: &MemoryBroker,
) -> anyhow::Result<Measured> {
    let run = &part.run;
    if run.through == Through::Memory {
        create_topics(part, memory)?;
    }
    let (mut commands, views) = commands(part)?;
    let (visible, mut progress) = watch::channel(0);
    let freshness = Arc::new(Mutex::new(Freshness::new(if run.changes { views.len() } else { 1 }, run.warm_up)?));
    let changes = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let follow = |number: usize, subscription: Subscription| {
        let (freshness, changes, visible) = (Arc::clone(&freshness), Arc::clone(&changes), visible.clone());
        tokio::spawn(async move {
            let told = follow(number, subscription, &freshness, &changes, &visible).await;
            if let Err(error) = told {
                tracing::error!("{error:#}");
            }
        });
    };
    // The counting view is the first.
    for (number, view) in views.iter().enumerate().take(if run.changes { views.len() } else { 1 }) {
        let (subscription, command) = workers.subscription(view, true);
        commands.push(command);
        follow(number, subscription);
    }
    let full = run.through == Through::Kafka && run.rate.is_none();
    if !full {
        workers.send(Command::Group(std::mem::take(&mut commands)));
        let users = u64::from(run.load.users);
        while metrics.records_read("WEB_USERS").get() < users
            && tables::script(&tables::tables(run.views), None, "").contains("JOIN")
        {
            ensure!(workers.is_alive(), "the workers have ended");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    say("ready")?;
    let start = tokio::task::spawn_blocking(|| heard("begin")).await??;
    let micros: u64 = start.trim().parse().context("no time to begin")?;
    let began = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    let start = Instant::now() + Duration::from_micros(micros.saturating_sub(u64::try_from(began)?));
    let counter = metrics.records_read("CLICKSTREAM");
    let sampling = Sampling::begin(move || counter.get())?;
    let due = run.rate.map(|rate| Due { start, rate });
    if let Some(due) = due {
        lock(&freshness).begin(due);
    }
    let making = match (run.through, due) {
        (Through::Memory, Some(due)) => Some(make_clicks(part, memory, due)?),
        _ => None,
    };
    if full {
        workers.send(Command::Group(commands));
        let first = metrics.records_read("CLICKSTREAM");
        while first.get() == 0 {
            ensure!(start.elapsed() < PATIENCE, "no click came out of Kafka");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let (began, before) = (if full { Instant::now() } else { start }, Cpu::now());
    let asking = (run.peeks > 0).then(|| ask(part, workers, began)).transpose()?;
    let deadline = due.map_or(began, |due| due.of(run.load.clicks)) + PATIENCE * if full { 5 } else { 1 };
    while *progress.borrow_and_update() < run.load.clicks {
        let changed = tokio::time::timeout_at(deadline.into(), progress.changed()).await;
        let read = metrics.records_read("CLICKSTREAM").get();
        ensure!(
            changed.is_ok(),
            "of {} clicks {read} were read and {} became visible in time",
            run.load.clicks,
            *progress.borrow()
        );
        changed??;
    }
    let seconds = began.elapsed().as_secs_f64();
    let cpu = Cpu::now().since(&before);
    let rss_mb = peak_mb();
    let peek = asking.map(|asking| asking.end()).transpose()?;
    let offered_behind =
        making.map(|thread| thread.join().map_err(|_| anyhow!("clicks could not be made"))).transpose()?;
    if let Some(behind) = offered_behind.filter(|b| *b > Duration::from_millis(20)) {
        tracing::warn!(
            "clicks were up to {} ms late in being offered: the machine has no room for the test itself",
            behind.as_millis()
        );
    }
    let late = views.iter().map(|v| metrics.records_late(v).get()).sum();
    Ok(counted(
        metrics,
        Measured {
            seconds,
            cpu_s: cpu.total(),
            cpu,
            rss_mb,
            late,
            changes: changes.load(std::sync::atomic::Ordering::Relaxed),
            freshness: lock(&freshness).latencies.quantiles(),
            peek: peek.and_then(|p| p.quantiles()),
            samples: sampling.end(),
            ..Measured::default()
        },
    ))
}

fn create_topics(part: &Part, memory: &MemoryBroker) -> anyhow::Result<()> {
    let (load, prefix) = (&part.run.load, &part.prefix);
    memory.create(&format!("{prefix}clickstream"), part.run.partitions, Cleanup::default())?;
    let tables: [(&str, Vec<_>); 2] = [("users", load.users().collect()), ("codes", load.codes().collect())];
    for (name, rows) in tables {
        let topic = memory.create(&format!("{prefix}clickstream_{name}"), 1, Cleanup::Compact)?;
        for (key, value) in rows {
            let key = key.to_be_bytes();
            topic.append(None, NewRecord { key: Some(&key), value: Some(value.as_bytes()), ..NewRecord::default() })?;
        }
    }
    Ok(())
}

/// What installs the views, and their names, the counting one first.
fn commands(part: &Part) -> anyhow::Result<(Vec<Command>, Vec<String>)> {
    let mut sql = part.script();
    sql.push_str(&format!("CREATE TABLE {COUNTING} AS SELECT 1 AS k, COUNT(*) AS n FROM clickstream GROUP BY 1;\n"));
    let (mut commands, mut views) = (Vec::new(), vec![COUNTING.to_owned()]);
    for bound in script::bind_texts(&Catalog::default(), &[("views".into(), sql)], Missing::Wrong)? {
        match bound {
            Bound::Source(source) => commands.push(Command::Declare(source)),
            Bound::View(view) => commands.push(Command::Install { view, offset: Offset::Earliest }),
            _ => bail!("the test's script has only sources and views"),
        }
    }
    views.extend(tables::tables(part.run.views).into_iter().map(|t| t.name));
    Ok((commands, views))
}

async fn follow(
    number: usize,
    mut subscription: Subscription,
    freshness: &Mutex<Freshness>,
    changes: &std::sync::atomic::AtomicU64,
    visible: &watch::Sender<u64>,
) -> anyhow::Result<()> {
    while let Some(batch) = subscription.next().await {
        let batch = batch.map_err(|e| anyhow!(e))?;
        let now = Instant::now();
        let counted = || batch.rows.last()?.value?.pop();
        let count = match (number == 0).then(counted).flatten() {
            Some(Value::Bigint(n)) => u64::try_from(n).ok(),
            _ => None,
        };
        if number > 0 {
            changes.fetch_add(batch.rows.len() as u64, std::sync::atomic::Ordering::Relaxed);
        }
        let seen = lock(freshness).told(number, batch.upper, count, now);
        visible.send_if_modified(|visible| {
            let more = seen > *visible;
            *visible = seen.max(*visible);
            more
        });
    }
    Ok(())
}

/// Makes the clicks when they are due. How late the latest one was.
fn make_clicks(part: &Part, memory: &MemoryBroker, due: Due) -> anyhow::Result<std::thread::JoinHandle<Duration>> {
    let topic = memory.topic(&format!("{}clickstream", part.prefix))?;
    let (load, partitions) = (part.run.load.clone(), u64::from(part.run.partitions));
    Ok(std::thread::Builder::new().name("clicks".into()).spawn(move || {
        let (mut bytes, mut ends, texts) = (Vec::new(), Vec::new(), Texts::new(&load));
        let mut clicks = load.clicks().peekable();
        let mut behind = Duration::ZERO;
        while clicks.peek().is_some() {
            let now = Instant::now();
            bytes.clear();
            ends.clear();
            while let Some(click) = clicks.next_if(|click| due.of(click.number) <= now && bytes.len() < 1 << 20) {
                if ends.is_empty() {
                    behind = behind.max(now - due.of(click.number));
                }
                let start = bytes.len();
                texts.value(&click, &mut bytes);
                ends.push((start, (click.number % partitions) as u32, click.time));
            }
            let ends_of = ends.iter().skip(1).map(|e| e.0).chain([bytes.len()]);
            let records = ends.iter().zip(ends_of).map(|((from, partition, time), to)| {
                (Some(*partition), NewRecord { value: Some(&bytes[*from..to]), time: *time, ..NewRecord::default() })
            });
            if let Err(error) = topic.append_all(records) {
                tracing::error!("a click cannot be written: {error}");
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        behind
    })?)
}

/// Asks point queries until it is ended.
struct Asking {
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
    latencies: Arc<Mutex<Latencies>>,
}

fn ask(part: &Part, workers: &Workers, start: Instant) -> anyhow::Result<Asking> {
    let (stop, stopped) = watch::channel(false);
    let latencies = Arc::new(Mutex::new(Latencies::new()?));
    let (asked, workers, runtime) = (Arc::clone(&latencies), workers.clone(), tokio::runtime::Handle::current());
    let (due, users) = (Due { start, rate: part.run.peeks }, u64::from(part.run.load.users));
    let warm_up = start + Duration::from_secs_f64(part.run.warm_up);
    let view = tables::tables(1).remove(0).name;
    let thread = std::thread::Builder::new().name("peeks".into()).spawn(move || {
        threads::answer_soon();
        for number in 0.. {
            if *stopped.borrow() {
                break;
            }
            let (due, key) = (due.of(number), 1 + number.wrapping_mul(0x9E37_79B9) % users);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let key = vec![Value::Int(i32::try_from(key).unwrap_or(1))];
            let query = RowQuery { keys: Some(vec![key]), ..RowQuery::all(&view) };
            let (workers, asked) = (workers.clone(), Arc::clone(&asked));
            runtime.spawn(async move {
                match workers.peek(query).await {
                    Ok(_) if due >= warm_up => lock(&asked).record(due.elapsed(), 1),
                    Ok(_) => {}
                    Err(error) => tracing::error!("a query failed: {error}"),
                }
            });
        }
    })?;
    Ok(Asking { stop, thread, latencies })
}

impl Asking {
    fn end(self) -> anyhow::Result<Latencies> {
        self.stop.send_replace(true);
        self.thread.join().map_err(|_| anyhow!("queries could not be asked"))?;
        let fresh = Latencies::new()?;
        Ok(std::mem::replace(&mut *lock(&self.latencies), fresh))
    }
}

/// What the tables hold, read in stretches of time.
async fn digests(part: &Part, workers: &Workers) -> anyhow::Result<BTreeMap<String, Digest>> {
    let load: &Load = &part.run.load;
    let span = (load.clicks as f64 * 1000.0 / load.event_rate) as i64 + 1000;
    let mut all = BTreeMap::new();
    for table in tables::tables(part.run.views) {
        let most = match table.window {
            Window::Hopping(size, advance) => load.clicks * u64::try_from(size / advance).unwrap_or(1),
            Window::Tumbling(_) | Window::Session(_) => load.clicks,
        };
        let slices = i64::try_from((most / SLICE).clamp(1, 64))?;
        let digest: &mut Digest = all.entry(table.name.clone()).or_default();
        let (first, last) = (crate::clicks::START - 60_000, crate::clicks::START + span);
        let bound = |slice: i64| first + (last - first) * slice / slices;
        for slice in 0..slices {
            let window_starts = (bound(slice), bound(slice + 1) - 1);
            let query = RowQuery { window_starts, ..RowQuery::all(&table.name) };
            workers.peek(query).await.map_err(|e| anyhow!(e))?.iter().for_each(|row| digest.add(row));
        }
    }
    Ok(all)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the starter.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Waits for a line of the starter that begins so; the rest of it.
fn heard(word: &str) -> anyhow::Result<String> {
    for line in std::io::stdin().lock().lines() {
        if let Some(rest) = line?.strip_prefix(word) {
            return Ok(rest.to_owned());
        }
    }
    bail!("the starter is gone")
}
