//! What a process uses, as the system tells it, many times a second.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(100);

/// One look.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Since the sampling began, seconds.
    pub(crate) seconds: f64,
    /// Records so far.
    pub(crate) records: u64,
    /// Memory that the process occupies, MB.
    pub(crate) rss_mb: f64,
}

/// Looks until it is told to stop.
pub(crate) struct Sampling {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Sampling {
    /// Begins; `records` tells how many were read.
    pub(crate) fn begin(records: impl Fn() -> u64 + Send + 'static) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, began) = (Arc::clone(&stop), Instant::now());
        let thread = std::thread::Builder::new().name("sampling".into()).spawn(move || {
            let mut samples = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                samples.push(Sample {
                    seconds: began.elapsed().as_secs_f64(),
                    records: records(),
                    rss_mb: weir_cluster::metrics::resident_bytes().unwrap_or(0) as f64 / 1e6,
                });
                std::thread::sleep(EVERY);
            }
            samples
        })?;
        Ok(Sampling { stop, thread })
    }

    /// Ends; what was seen from the first record to the last.
    pub(crate) fn end(self) -> Vec<Sample> {
        self.stop.store(true, Ordering::Relaxed);
        let samples = self.thread.join().unwrap_or_default();
        let all = samples.last().map_or(0, |s| s.records);
        let first = samples.partition_point(|s| s.records == 0).saturating_sub(1);
        let end = samples.partition_point(|s| s.records < all) + 1;
        let began = samples.get(first).map_or(0.0, |s| s.seconds);
        let shifted = |s: &Sample| Sample { seconds: s.seconds - began, ..*s };
        samples[first..end.clamp(first, samples.len())].iter().map(shifted).collect()
    }
}

/// CPU seconds of this process's threads by what they do, from `/proc`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cpu(pub(crate) BTreeMap<String, f64>);

/// Threads of the test itself: they would not be there in a server.
const OURS: [&str; 3] = ["clicks", "sampling", "peeks"];

impl Cpu {
    /// So far. Threads that have ended are not in it.
    pub(crate) fn now() -> Self {
        let mut by_name = BTreeMap::new();
        for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
            let Some((name, fields)) = stat.split_once('(').and_then(|(_, s)| s.rsplit_once(')')) else { continue };
            let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
            *by_name.entry(kind(name).to_owned()).or_default() += ticks as f64 / 100.0;
        }
        Cpu(by_name)
    }

    /// What was used since.
    pub(crate) fn since(&self, before: &Cpu) -> Cpu {
        let used = |(name, seconds): (&String, &f64)| {
            let used = seconds - before.0.get(name).copied().unwrap_or(0.0);
            (name.clone(), (used.max(0.0) * 1000.0).round() / 1000.0)
        };
        Cpu(self.0.iter().map(used).filter(|(_, s)| *s > 0.0).collect())
    }

    /// Of all threads that a server would have too.
    pub(crate) fn total(&self) -> f64 {
        self.0.iter().filter(|(name, _)| !OURS.contains(&name.as_str())).map(|(_, s)| s).sum()
    }
}

fn kind(thread: &str) -> &str {
    match thread {
        _ if thread.starts_with("timely:work") => "workers",
        _ if thread.starts_with("timely:") => "between processes",
        _ if thread.starts_with("rdk:") => "kafka",
        _ if OURS.contains(&thread) => thread,
        _ => "other",
    }
}

/// Most memory that this process held so far, MB.
pub(crate) fn peak_mb() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<f64>().ok()).unwrap_or(0.0) * 1.024 / 1000.0
}

/// How memory grows with records in the second half of a run, MB a million records: least squares. `None` with too few samples.
pub(crate) fn slope(samples: &[Sample]) -> Option<f64> {
    let half = samples.last()?.records / 2;
    let late: Vec<(f64, f64)> =
        samples.iter().filter(|s| s.records > half).map(|s| (s.records as f64 / 1e6, s.rss_mb)).collect();
    let n = late.len() as f64;
    let (x, y) = late.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let spread: f64 = late.iter().map(|p| (p.0 - x).powi(2)).sum();
    let together: f64 = late.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    (late.len() >= 5 && spread > 0.0).then(|| together / spread)
}
