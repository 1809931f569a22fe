//! A server from start to end: `weir run` and `weir demo`.
//!
//! Listeners first, so that a taken port is told before anything else happens; then the workers of all processes meet;
//! then the scripts, judged as a whole; then requests, until a signal comes or the workers end. It ends in the opposite
//! order: no new requests, generators, sinks when they have delivered, workers.

use crate::command::{Command, Workers};
use crate::config::{ConnectListen, Script, ServeConfig};
use crate::connect::{Connectors, Context};
use crate::http::{self, Role, Site};
use crate::intake::session::Session;
use crate::intake::topics::Topics;
use crate::intake::{Intake, Parts, Settings, script};
use crate::mesh::Place;
use crate::metrics::Metrics;
use crate::processing_log::{self, ProcessingLog};
use crate::worker::{self, Running, reading};
use crate::{clock, demo};
use anyhow::{Context as _, anyhow, bail};
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use weir_dataflow::bind::Catalog;
use weir_ingest::source::memory::{MemoryBroker, NewRecord};

/// How long sinks may take to deliver what is pending when the server ends.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until told to stop.
///
/// # Errors
/// A port is taken, the processes do not meet, a script is wrong, or a worker failed.
pub async fn serve(config: ServeConfig) -> anyhow::Result<()> {
    if config.kafka.is_some() {
        bail!("--kafka is not supported yet: without it, topics live in the process");
    }
    let listener = bind(config.listen).await?;
    let address = listener.local_addr()?;
    let connect = match config.connect_listen {
        Some(listen) => bind_connect(listen).await?,
        None => None,
    };
    let metrics = Arc::new(Metrics::default());
    let (log, entries) = ProcessingLog::new(Arc::clone(&metrics));
    let memory = MemoryBroker::new();
    let workers_config = worker::Config {
        place: Place::new(&config.shape),
        epoch: config.shape.epoch,
        topics: reading::Topics { memory: memory.clone(), ..reading::Topics::default() },
        metrics: Arc::clone(&metrics),
        log: log.clone(),
        keep_recent: true,
    };
    let running = tokio::task::spawn_blocking(move || worker::start(workers_config)).await??;
    let (stop, stopping) = watch::channel(false);
    if config.shape.process > 0 {
        say(&format!("listening on http://{address}, for process 0"));
        let server = tokio::spawn(http::forward::serve(listener, running.home.clone(), stopping));
        wait(&running).await?;
        stop.send_replace(true);
        let _ = tokio::time::timeout(DRAIN, server).await;
        return running.join().map_err(|e| anyhow!(e));
    }
    let server = Server::new(&config, running.workers.clone(), memory, entries, metrics, log).await?;
    let scripts = server.run_scripts(&config).await;
    let site = Arc::new(server.site(&config, address));
    let mut tasks = vec![tokio::spawn(http::serve(Arc::clone(&site), Role::Ksql, listener, stopping.clone()))];
    running.workers.send(Command::Home(address));
    if let Err(e) = scripts {
        stop.send_replace(true);
        running.workers.send(Command::Stop);
        let _ = running.join();
        return Err(e);
    }
    say(&format!("listening on http://{address}"));
    if let Some(listener) = connect {
        say(&format!("connectors on http://{}", listener.local_addr()?));
        tasks.push(tokio::spawn(http::serve(site, Role::Connect, listener, stopping)));
    }
    if config.demo {
        say(&demo::tour(address));
    }
    let live = tokio::spawn(live_line(server.intake.clone(), Arc::clone(&server.metrics), config.demo));
    let ended = wait(&running).await;
    live.abort();
    stop.send_replace(true);
    server.intake.stop().await;
    server.connectors.stop(DRAIN).await;
    for task in tasks {
        let _ = tokio::time::timeout(Duration::from_secs(2), task).await;
    }
    running.workers.send(Command::Stop);
    let joined = tokio::task::spawn_blocking(move || running.join()).await?;
    ended?;
    joined.map_err(|e| anyhow!(e))
}

/// The parts of process 0 that outlive a request.
struct Server {
    intake: Intake,
    connectors: Connectors,
    metrics: Arc<Metrics>,
}

impl Server {
    async fn new(
        config: &ServeConfig,
        workers: Workers,
        memory: MemoryBroker,
        entries: mpsc::Receiver<processing_log::Entry>,
        metrics: Arc<Metrics>,
        log: ProcessingLog,
    ) -> anyhow::Result<Self> {
        let topics = Topics::in_process(memory.clone());
        let (catalog, known) = watch::channel(Arc::new(Catalog::default()));
        let generation = u32::try_from(clock::now_ms() / 1000).unwrap_or(u32::MAX);
        let connectors = Connectors::new(Context {
            workers: workers.clone(),
            topics: topics.clone(),
            catalog: known,
            metrics: Arc::clone(&metrics),
            log: log.clone(),
            rate: config.rate,
            spill: std::env::temp_dir(),
            generation,
        });
        let intake = Intake::new(Parts {
            workers,
            topics,
            connectors: connectors.clone(),
            catalog,
            metrics: Arc::clone(&metrics),
            log,
            settings: Settings {
                http_offset: config.http_offset,
                backlog: config.limits.backlog,
                output_topics: config.kafka.as_ref().is_some_and(|k| k.output_topics),
                generation,
            },
        });
        let mut session = Session::with_offset(config.script_offset);
        intake
            .execute(processing_log::DECLARATION, &mut session)
            .await
            .map_err(|failure| anyhow!("the processing log cannot be declared: {}", failure.message))?;
        tokio::spawn(write_log(entries, memory));
        Ok(Server { intake, connectors, metrics })
    }

    /// Runs the scripts, all of them judged before the first is begun.
    async fn run_scripts(&self, config: &ServeConfig) -> anyhow::Result<()> {
        let mut session = Session::with_offset(config.script_offset);
        let texts =
            config.scripts.iter().map(Script::read).collect::<Result<Vec<_>, _>>().context("cannot read a script")?;
        script::bind_texts(&self.intake.catalog(), &texts)?;
        self.intake.begin_group();
        let mut result = Ok(());
        for (name, text) in &texts {
            result = self
                .intake
                .execute(text, &mut session)
                .await
                .map(|_| ())
                .map_err(|failure| anyhow!("{name}: {}", failure.message));
            if result.is_err() {
                break;
            }
        }
        self.intake.end_group();
        result
    }

    fn site(&self, config: &ServeConfig, address: SocketAddr) -> Site {
        Site {
            intake: self.intake.clone(),
            connectors: self.connectors.clone(),
            metrics: Arc::clone(&self.metrics),
            limits: config.limits,
            name: address.to_string(),
        }
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: another program may use the port; --listen takes another")
    })
}

async fn bind_connect(listen: ConnectListen) -> anyhow::Result<Option<TcpListener>> {
    match TcpListener::bind(listen.address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(e) if listen.optional => {
            say(&format!("no port for connectors: {} is taken ({e}); they are on the other port too", listen.address));
            Ok(None)
        }
        Err(e) => Err(e).with_context(|| {
            format!(
                "cannot listen on {}: another program may use the port; --connect-listen takes another",
                listen.address
            )
        }),
    }
}

/// A line for people, on stdout.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Until SIGINT or SIGTERM, or the workers' end.
async fn wait(running: &Running) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut look = tokio::time::interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = look.tick() => if running.is_finished() {
                return Ok(());
            },
        }
    }
}

/// Writes the processing log's entries to its topic.
async fn write_log(mut entries: mpsc::Receiver<processing_log::Entry>, memory: MemoryBroker) {
    while let Some(entry) = entries.recv().await {
        if let Ok(value) = serde_json::to_vec(&entry) {
            let record = NewRecord { key: None, value: Some(&value), time: clock::now_ms(), headers: &[] };
            if let Err(e) = memory.append(processing_log::TOPIC, None, record) {
                tracing::warn!("the processing log cannot be written: {e}");
            }
        }
    }
}

/// On a terminal: records a second, and changes of each view, in one line.
async fn live_line(intake: Intake, metrics: Arc<Metrics>, demo: bool) {
    if !demo || !std::io::stderr().is_terminal() {
        return;
    }
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let catalog = intake.catalog();
        let names: Vec<&str> = catalog.entries().map(|e| e.name()).collect();
        let read: u64 = names.iter().map(|n| metrics.records_read(n).get()).sum();
        let views: Vec<String> = names
            .iter()
            .map(|n| (n, metrics.view_changes(n).get()))
            .filter(|(_, changes)| *changes > 0)
            .map(|(n, changes)| format!("{} {changes}", n.to_lowercase()))
            .collect();
        let _ = write!(std::io::stderr(), "\r\x1b[K{} records/s  {}", read - last, views.join("  "));
        last = read;
    }
}
