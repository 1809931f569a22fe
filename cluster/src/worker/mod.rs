//! The worker threads: timely workers that read their share of the topics and keep their share of the views.
//!
//! ```text
//! intake ─▶ Line ─▶ worker 0 ─▶ Sequencer ─▶ every worker: Command, in one order
//! every worker, for ever:  commands · poll readers, decode, hand in · close the epoch · step timely · carry · answer
//! intake ─▶ Ask ─▶ every worker of process 0, between and amid these (see [`peeks`]) ─▶ intake
//! ```
//!
//! Streams wait for tables: a stream that starts together with tables is admitted when every worker has read its share
//! of these tables to their end.

pub mod reading;
pub mod peeks;
pub mod live;

use crate::command::{Command, Words, Workers};
use crate::mesh::{self, MeshError, Place};
use crate::metrics::Metrics;
use crate::processing_log::ProcessingLog;
use reading::Topics;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use timely::WorkerConfig;
use tokio::sync::watch;

/// What the workers of a process need.
pub struct Config {
    /// Who is in the cluster.
    pub place: Place,
    /// An epoch closes after this.
    pub epoch: Duration,
    /// Where topics are.
    pub topics: Topics,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where rejected records are told.
    pub log: ProcessingLog,
    /// Keep the most recent part of each stream's output in memory.
    pub keep_recent: bool,
    /// An epoch a record, and tables keep their changes: see [`crate::config::ServeConfig::every_change`].
    pub every_change: bool,
    /// What processes say to process 0.
    pub words: Words,
}

/// Running workers.
pub struct Running {
    /// The line to them; process 0's is the one that counts.
    pub workers: Workers,
    /// The address at which process 0 answers HTTP, once it is known.
    pub home: watch::Receiver<Option<SocketAddr>>,
    join: std::thread::JoinHandle<Result<(), String>>,
}

impl Running {
    /// Waits until all workers of this process have ended.
    ///
    /// # Errors
    /// A worker failed.
    pub fn join(self) -> Result<(), String> {
        self.join.join().unwrap_or_else(|_| Err("a worker failed; its message stands above".into()))
    }

    /// True when the workers have ended.
    pub fn is_finished(&self) -> bool {
        self.join.is_finished()
    }
}

/// Starts this process's workers. Returns when all processes have met.
///
/// # Errors
/// The processes do not meet.
pub fn start(config: Config) -> Result<Running, MeshError> {
    let (builders, guard) = mesh::connect(&config.place, &config.metrics.exchanged_bytes)?;
    let peers = config.place.workers * config.place.hosts.len().max(1);
    let here = config.place.workers;
    let threads: Arc<[OnceLock<std::thread::Thread>]> = (0..here).map(|_| OnceLock::new()).collect();
    let sleepers = Arc::clone(&threads);
    let wake = move |worker: usize| {
        if let Some(thread) = sleepers.get(worker).and_then(OnceLock::get) {
            thread.unpark();
        }
    };
    let (workers, line) = Workers::new(peers, here, Arc::new(wake), config.words.heard.clone());
    let (home, receiver) = watch::channel(None);
    let shared = Arc::new(live::Shared { config, line: Mutex::new(line), home, threads });
    let join = std::thread::Builder::new()
        .name("weir workers".into())
        .spawn(move || {
            let guards = timely::execute::execute_from(builders, guard, WorkerConfig::default(), move |worker| {
                live::run(worker, &shared)
            })?;
            guards.join().into_iter().collect::<Result<Vec<()>, String>>().map(|_| ())
        })
        .map_err(MeshError::Network)?;
    Ok(Running { workers, home: receiver, join })
}

/// The commands of a group one after the other, groups within it too.
fn flatten(command: Command) -> Vec<Command> {
    match command {
        Command::Group(commands) => commands.into_iter().flat_map(flatten).collect(),
        one => vec![one],
    }
}
