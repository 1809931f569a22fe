//! What was typed, and what it means: runs, one after the other.

use crate::clicks::{Keys, Load};
use clap::{Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The load test: measures weir on a load like yours, and checks that its answers are right.
///
/// Without --rate, clicks are read as fast as possible, from files or from Kafka. With --rate, they come at that rate
/// whatever happens, into a topic in memory or in Kafka; latency then counts from when a click was due.
/// The last line printed is one JSON object. Exit status: 0 done, 1 a run failed or an answer was wrong, 2 the command line is
/// wrong.
#[derive(Debug, Parser)]
#[command(name = "weir-bench", version)]
pub(crate) struct Args {
    /// Clicks in all; with --rate: 20 seconds of them unless given; else 1,000,000
    #[arg(long, value_name = "N")]
    pub(crate) clicks: Option<u64>,
    /// Offered clicks a second; without it, as fast as possible
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<u64>,
    /// Which keys; --users and --ips take the place of its numbers
    #[arg(long, value_name = "KEYS", default_value = "demo")]
    pub(crate) keys: Keys,
    /// How many users
    #[arg(long, value_name = "N")]
    pub(crate) users: Option<u32>,
    /// How many addresses
    #[arg(long, value_name = "N")]
    pub(crate) ips: Option<u32>,
    /// Zipf exponent of how often each user clicks; 0: all alike
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    pub(crate) skew: f64,
    /// The same seed makes the same clicks
    #[arg(long, value_name = "SEED", default_value_t = 42)]
    pub(crate) seed: u64,
    /// Clicks a second of event time; as --rate unless given, without --rate 2777.8 (5 million span 30 minutes)
    #[arg(long, value_name = "N")]
    pub(crate) event_rate: Option<f64>,
    /// How many views: the seven of the clickstream script, the first few of them, or variants of them too
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub(crate) views: usize,
    /// Forget windows after so many seconds of event time
    #[arg(long, value_name = "SECONDS")]
    pub(crate) retention: Option<u64>,
    /// Follow every change of every view
    #[arg(long)]
    pub(crate) changes: bool,
    /// Worker threads of each process; several numbers, with commas between, are tried one after the other
    #[arg(long, value_name = "N,…", default_value = "1", value_delimiter = ',')]
    pub(crate) workers: Vec<usize>,
    /// Processes on this machine; several numbers as for --workers
    #[arg(long, value_name = "P,…", default_value = "1", value_delimiter = ',')]
    pub(crate) processes: Vec<usize>,
    /// Each configuration is run so often, in turn
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) repeat: usize,
    /// How long an epoch lasts, in milliseconds (where records come at a rate, or through Kafka)
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub(crate) epoch_ms: u64,
    /// Point queries a second, of random keys (where records come at a rate, or through Kafka)
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) peeks: u64,
    /// Seconds at the start that count for no latency
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub(crate) warm_up: f64,
    /// Through this Kafka broker, with topics of the test's own
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) kafka: Option<String>,
    /// Partitions of the topic of clicks; without it one a worker, in Kafka 4
    #[arg(long, value_name = "N")]
    pub(crate) partitions: Option<u32>,
    /// Folder for the input files; those of the same load are used again. Without it, a temporary one
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Write the load to --data and end: clicks.jsonl, users.jsonl, codes.jsonl
    #[arg(long, requires = "data")]
    pub(crate) only_data: bool,
    /// Do not compare the tables with a plain recomputation
    #[arg(long)]
    pub(crate) no_check: bool,
    /// Write pictures to this folder: throughput over time, latency, scaling with workers
    #[arg(long, value_name = "DIR")]
    pub(crate) report: Option<PathBuf>,
    /// One process of a run, as the others are started by the first.
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) part: Option<PathBuf>,
}

/// Where clicks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Through {
    /// Files of JSON lines, read to their end.
    Files,
    /// A topic in the first process.
    Memory,
    /// A topic in Kafka.
    Kafka,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The clicks.
    pub(crate) load: Load,
    /// Where they come from.
    pub(crate) through: Through,
    /// Clicks a second; none: as fast as possible.
    pub(crate) rate: Option<u64>,
    /// How many views.
    pub(crate) views: usize,
    /// Seconds until windows are forgotten.
    pub(crate) retention: Option<u64>,
    /// Every change is followed.
    pub(crate) changes: bool,
    /// Worker threads of each process.
    pub(crate) workers: usize,
    /// Processes.
    pub(crate) processes: usize,
    /// Partitions of the topic of clicks.
    pub(crate) partitions: u32,
    /// How long an epoch lasts.
    pub(crate) epoch_ms: u64,
    /// Point queries a second.
    pub(crate) peeks: u64,
    /// Seconds that count for no latency.
    pub(crate) warm_up: f64,
    /// Tables are compared.
    pub(crate) check: bool,
}

impl Args {
    /// The runs that were asked for, in order.
    ///
    /// # Errors
    /// What is wrong with the command line.
    pub(crate) fn runs(&self) -> Result<Vec<Run>, String> {
        let through = match (&self.kafka, self.rate) {
            (Some(_), _) => Through::Kafka,
            (None, Some(_)) => Through::Memory,
            (None, None) => Through::Files,
        };
        let (users, ips) = self.keys.sizes();
        let load = Load {
            clicks: self.clicks.unwrap_or(self.rate.map_or(1_000_000, |rate| 20 * rate)),
            users: self.users.unwrap_or(users),
            ips: self.ips.unwrap_or(ips),
            skew: self.skew,
            seed: self.seed,
            event_rate: self.event_rate.unwrap_or(self.rate.map_or(5_000_000.0 / 1800.0, |rate| rate as f64)),
        };
        let positive = [
            ("--clicks", load.clicks),
            ("--users", u64::from(load.users)),
            ("--ips", u64::from(load.ips)),
            ("--views", self.views as u64),
            ("--rate", self.rate.unwrap_or(1)),
            ("--epoch-ms", self.epoch_ms),
            ("--workers", self.workers.iter().copied().min().unwrap_or(0) as u64),
            ("--processes", self.processes.iter().copied().min().unwrap_or(0) as u64),
            ("--partitions", u64::from(self.partitions.unwrap_or(1))),
        ];
        if let Some((flag, _)) = positive.iter().find(|(_, n)| *n == 0) {
            return Err(format!("{flag} must be at least 1"));
        }
        if load.event_rate.is_nan() || load.event_rate <= 0.0 || load.skew.is_nan() || load.skew < 0.0 {
            return Err("--event-rate must be above 0, and --skew not below".into());
        }
        if load.ips > 1 << 23 || load.users > 1 << 30 {
            return Err("at most 8,388,608 addresses and 1,073,741,824 users".into());
        }
        if self.retention.is_some_and(|s| s < 120) {
            return Err("--retention must be at least 120 seconds: a window's 60 and the grace's 60".into());
        }
        let mut runs = Vec::new();
        for _ in 0..self.repeat.max(1) {
            for &processes in &self.processes {
                runs.extend(self.workers.iter().map(|&workers| Run {
                    load: load.clone(),
                    through,
                    rate: self.rate,
                    views: self.views,
                    retention: self.retention,
                    changes: self.changes,
                    workers,
                    processes,
                    partitions: self.partitions.unwrap_or(if through == Through::Kafka {
                        4
                    } else {
                        u32::try_from(workers).unwrap_or(1)
                    }),
                    epoch_ms: self.epoch_ms,
                    peeks: self.peeks,
                    warm_up: self.warm_up,
                    check: !self.no_check,
                }));
            }
        }
        Ok(runs)
    }
}
