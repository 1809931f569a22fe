//! As fast as possible, from files: what `weir replay` does.

use super::{Measured, Part};
use crate::sample::{Sampling, peak_mb};
use crate::twin::Digest;
use anyhow::Context;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_cluster::config::{ReplayConfig, Shape, Streams};
use weir_cluster::replay::{self, Replay, Watch};
use weir_cluster::worker::reading::TopicFiles;

pub(super) fn run(part: &Part) -> anyhow::Result<Measured> {
    let script = tempfile::Builder::new().suffix(".sql").tempfile()?;
    std::fs::write(script.path(), part.script())?;
    let topics = [("clickstream", "clicks"), ("clickstream_users", "users"), ("clickstream_codes", "codes")];
    let config = ReplayConfig {
        scripts: vec![script.path().into()],
        topics: topics
            .map(|(topic, file)| (topic.into(), TopicFiles::of_values(part.data.join(format!("{file}.jsonl")))))
            .into(),
        timestamp_field: Some("ts".into()),
        out: None,
        streams: Streams::None,
        chunk_bytes: 4 << 20,
        shape: Shape {
            workers: part.run.workers,
            process: part.process,
            processes: part.run.processes,
            hosts: part.hosts.clone(),
            patience: part.place().patience,
            epoch: Duration::from_millis(part.run.epoch_ms),
        },
    };
    let records = Arc::new(AtomicU64::new(0));
    let changes = Arc::new(AtomicU64::new(0));
    let digests: Arc<Mutex<BTreeMap<String, Digest>>> = Arc::default();
    // The most memory before the tables are read for the check.
    let peak = Arc::new(Mutex::new(None));
    let mut replay = Replay::new(&config)?;
    replay.place = part.place();
    replay.watch = Watch { records: Arc::clone(&records), changes: None, rows: None };
    if part.run.changes {
        let changes = Arc::clone(&changes);
        replay.watch.changes = Some(Arc::new(move |_, batch| {
            changes.fetch_add(batch.rows.len() as u64, Ordering::Relaxed);
        }));
    }
    if part.run.check {
        let (digests, peak) = (Arc::clone(&digests), Arc::clone(&peak));
        replay.watch.rows = Some(Arc::new(move |table, row| {
            let mut digests = digests.lock().unwrap_or_else(PoisonError::into_inner);
            if digests.is_empty() {
                *peak.lock().unwrap_or_else(PoisonError::into_inner) = Some(peak_mb());
            }
            match digests.get_mut(&table.name) {
                Some(digest) => digest.add(row),
                None => digests.entry(table.name.clone()).or_default().add(row),
            }
        }));
    }
    let sampling = Sampling::begin(move || records.load(Ordering::Relaxed))?;
    let summary = replay::run(replay).context("the replay failed")?;
    let peak = peak.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(peak_mb);
    let tables = std::mem::take(&mut *digests.lock().unwrap_or_else(PoisonError::into_inner));
    // Counts are the cluster's: one part tells them.
    let once = |count| if part.process == 0 { count } else { 0 };
    Ok(Measured {
        events: once(summary.events),
        seconds: summary.seconds,
        cpu_s: summary.cpu_s,
        rss_mb: peak,
        exchanged_bytes: summary.exchanged_bytes,
        rejected: once(summary.rejected),
        late: once(summary.late),
        changes: changes.load(Ordering::Relaxed),
        samples: sampling.end(),
        tables,
        ..Measured::default()
    })
}
