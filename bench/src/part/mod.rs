//! One process of a run. The test starts itself once for each, so that memory and CPU are the run's alone.
//!
//! ```text
//! weir-bench ─▶ weir-bench --part FILE  (process 0: workers, sampling; live also subscriptions, queries, clicks)
//!           └─▶ weir-bench --part FILE  (process 1: workers, sampling) …
//! ```
//!
//! A part says what it measured in one line of JSON, the last on stdout.

pub(crate) mod files;
pub(crate) mod live;
mod freshness;

use crate::args::{Run, Through};
use crate::latency::Quantiles;
use crate::sample::{Cpu, Sample};
use crate::tables;
use crate::twin::Digest;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use weir_cluster::mesh::Place;

/// What a part is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) run: Run,
    /// Which process it is.
    pub(crate) process: usize,
    /// Where the processes meet; one: empty.
    pub(crate) hosts: Vec<String>,
    /// The folder of the input files.
    pub(crate) data: PathBuf,
    /// The broker.
    pub(crate) kafka: Option<String>,
    /// Before the topics' names.
    pub(crate) prefix: String,
}

/// What a part measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Clicks read, by all parts.
    pub(crate) events: u64,
    /// From the first record to the last change.
    pub(crate) seconds: f64,
    /// CPU seconds in that time, the test's own threads left out.
    pub(crate) cpu_s: f64,
    /// By kind of thread, where they were told apart.
    pub(crate) cpu: Cpu,
    /// Most memory held, MB.
    pub(crate) rss_mb: f64,
    /// Bytes sent to other processes.
    pub(crate) exchanged_bytes: u64,
    /// Records that did not fit, and that came too late.
    pub(crate) rejected: u64,
    pub(crate) late: u64,
    /// Changes that were followed.
    pub(crate) changes: u64,
    /// From when a click was due to when its changes were with a subscriber.
    pub(crate) freshness: Option<Quantiles>,
    /// From when a point query was due to its answer.
    pub(crate) peek: Option<Quantiles>,
    pub(crate) samples: Vec<Sample>,
    /// What this part keeps of each table, when it is to be checked.
    pub(crate) tables: BTreeMap<String, Digest>,
}

impl Part {
    fn place(&self) -> Place {
        let patience = Duration::from_secs(60);
        Place { workers: self.run.workers, process: self.process, hosts: self.hosts.clone(), patience }
    }

    fn script(&self) -> String {
        tables::script(&tables::tables(self.run.views), self.run.retention, &self.prefix)
    }
}

/// Does a part's work and prints what it measured.
pub(crate) fn work(file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let part: Part = serde_json::from_slice(&text)?;
    let measured = match part.run.through {
        Through::Files => files::run(&part)?,
        Through::Memory | Through::Kafka => live::run(&part)?,
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&measured)?)?;
    Ok(())
}
