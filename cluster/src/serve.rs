//! A server from start to end: `weir run` and `weir demo`.
//!
//! Listeners first, so that a taken port is told before anything else happens; then the workers of all processes meet;
//! then the scripts, judged as a whole; then requests, until a signal comes or the workers end. It ends in the opposite
//! order: no new requests, generators, sinks when they have delivered, workers.

use crate::command::{Command, Word, Words};
use crate::config::{ConnectListen, Script, ServeConfig};
use crate::connect::{Connectors, Context};
use crate::http::{self, Role, Site};
use crate::intake::script::{self, Missing};
use crate::intake::session::Session;
use crate::intake::topics::{self, Topics};
use crate::intake::{Intake, Parts, Settings};
use crate::mesh::Place;
use crate::metrics::Metrics;
use crate::processing_log::{self, ProcessingLog};
use crate::worker::{self, Running, reading};
use crate::{clock, demo};
use anyhow::{Context as _, anyhow, bail};
use std::io::Write;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use weir_dataflow::bind::Catalog;
use weir_ingest::source::memory::{MemoryBroker, NewRecord};

/// How long sinks may take to deliver what is pending when the server ends.
const DRAIN: Duration = Duration::from_secs(10);

/// How often a process tells process 0 what it has counted.
const TELL: Duration = Duration::from_secs(1);

/// Serves until told to stop.
///
/// # Errors
/// A port is taken, the processes do not meet, a script is wrong, or a worker failed.
pub async fn serve(config: ServeConfig) -> anyhow::Result<()> {
    let listener = bind(config.listen).await?;
    let address = listener.local_addr()?;
    let connect = match config.connect_listen {
        Some(listen) => bind_connect(listen).await?,
        None => None,
    };
    let process = Process::start(&config).await?;
    if config.shape.process > 0 {
        say(&format!("listening on http://{address}, for process 0"));
        return follow(config.shape.process, process, listener).await;
    }
    let mut server = Server::start(&config, process, listener).await?;
    say(&format!("listening on http://{address}"));
    if let Some(listener) = connect {
        say(&format!("connectors on http://{}", listener.local_addr()?));
        server.listen(Role::Connect, listener);
    }
    if config.demo {
        say(&demo::tour(address));
    }
    let live = tokio::spawn(demo::live_line(server.intake.clone(), Arc::clone(&server.site.metrics), config.demo));
    let ended = tokio::select! {
        ended = wait(&server.running) => ended,
        () = left(server.leaving.clone()) => Ok(()),
    };
    live.abort();
    let joined = server.end().await;
    ended.and(joined)
}

/// A process that is not the first: requests go on to process 0, and so does what there is to tell.
async fn follow(number: usize, process: Process, listener: TcpListener) -> anyhow::Result<()> {
    let Process { running, entries, metrics, said, .. } = process;
    let (stop, stopping) = watch::channel(false);
    let server = tokio::spawn(http::forward::serve(listener, running.home.clone(), stopping));
    let telling = tokio::spawn(tell(number, entries, metrics, said.clone()));
    wait(&running).await?;
    // Process 0 ends the workers, of all processes.
    let _ = said.send(Word::Leave);
    let joined = tokio::task::spawn_blocking(move || running.join());
    let ended = tokio::time::timeout(2 * DRAIN, joined).await;
    telling.abort();
    stop.send_replace(true);
    let _ = tokio::time::timeout(DRAIN, server).await;
    match ended {
        Ok(joined) => joined?.map_err(|e| anyhow!(e)),
        Err(_) => bail!("process 0 did not end within {} s", 2 * DRAIN.as_secs()),
    }
}

/// A process with its workers, which have met those of the others.
pub(crate) struct Process {
    running: Running,
    /// What this process has to say to process 0.
    said: std::sync::mpsc::Sender<Word>,
    /// What process 0 hears.
    words: mpsc::UnboundedReceiver<Word>,
    memory: MemoryBroker,
    entries: mpsc::Receiver<processing_log::Entry>,
    metrics: Arc<Metrics>,
    log: ProcessingLog,
}

impl Process {
    /// Starts the workers; returns when all processes have met.
    ///
    /// # Errors
    /// They do not meet.
    pub(crate) async fn start(config: &ServeConfig) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let (log, entries) = ProcessingLog::new(Arc::clone(&metrics));
        let memory = MemoryBroker::new();
        let (said, receiver) = std::sync::mpsc::channel();
        let (heard, words) = mpsc::unbounded_channel();
        let workers_config = worker::Config {
            place: Place::new(&config.shape),
            epoch: config.shape.epoch,
            topics: reading::Topics {
                memory: memory.clone(),
                kafka: config.kafka.as_ref().map(topics::client_config),
                files: None,
            },
            metrics: Arc::clone(&metrics),
            log: log.clone(),
            keep_recent: true,
            every_change: config.every_change,
            words: Words { said: Mutex::new(Some(receiver)), heard },
        };
        let running = tokio::task::spawn_blocking(move || worker::start(workers_config)).await??;
        Ok(Process { running, said, words, memory, entries, metrics, log })
    }
}

/// Process 0, answering requests.
pub(crate) struct Server {
    /// Statements and queries.
    pub(crate) intake: Intake,
    /// The topics that live in the process.
    pub(crate) memory: MemoryBroker,
    running: Running,
    site: Arc<Site>,
    /// True when another process was told to end.
    leaving: watch::Receiver<bool>,
    /// True tells the listeners to end.
    stop: watch::Sender<bool>,
    listeners: Vec<tokio::task::JoinHandle<()>>,
    /// Where sinks spill; the folder goes with the server.
    _spill: tempfile::TempDir,
}

impl Server {
    /// Runs the scripts, then answers on the listener.
    ///
    /// # Errors
    /// The brokers do not answer, or a script is wrong.
    pub(crate) async fn start(config: &ServeConfig, process: Process, listener: TcpListener) -> anyhow::Result<Self> {
        let Process { running, words, memory, entries, metrics, log, .. } = process;
        let address = listener.local_addr()?;
        let workers = running.workers.clone();
        let spill = tempfile::Builder::new().prefix("weir-").tempdir().context("no folder for what sinks spill")?;
        let topics = match &config.kafka {
            Some(kafka) => {
                Topics::in_kafka(memory.clone(), kafka, spill.path().to_owned()).await.map_err(|e| anyhow!(e))?
            }
            None => Topics::in_process(memory.clone()),
        };
        let (catalog, known) = watch::channel(Arc::new(Catalog::default()));
        let generation = u32::try_from(clock::now_ms() / 1000).unwrap_or(u32::MAX);
        let connectors = Connectors::new(Context {
            workers: workers.clone(),
            topics: topics.clone(),
            catalog: known,
            metrics: Arc::clone(&metrics),
            log: log.clone(),
            rate: config.rate,
            spill: spill.path().to_owned(),
            generation,
        });
        let intake = Intake::new(Parts {
            workers: workers.clone(),
            topics,
            connectors: connectors.clone(),
            catalog,
            metrics: Arc::clone(&metrics),
            log,
            settings: Settings {
                http_offset: config.http_offset,
                backlog: config.limits.backlog,
                every_change: config.every_change,
                output_topics: config.kafka.as_ref().is_some_and(|k| k.output_topics),
                generation,
            },
        });
        let mut session = Session::with_offset(config.script_offset);
        intake
            .execute(processing_log::DECLARATION, &mut session)
            .await
            .map_err(|failure| anyhow!("the processing log cannot be declared: {}", failure.message))?;
        tokio::spawn(write_log(entries, memory.clone()));
        let (leave, leaving) = watch::channel(false);
        tokio::spawn(hear(words, memory.clone(), Arc::clone(&metrics), leave));
        let site = Arc::new(Site {
            intake: intake.clone(),
            connectors,
            metrics,
            limits: config.limits,
            name: address.to_string(),
        });
        let (stop, _) = watch::channel(false);
        let mut server = Server { intake, memory, running, site, leaving, stop, listeners: Vec::new(), _spill: spill };
        if let Err(error) = server.run_scripts(config).await {
            let _ = server.end().await;
            return Err(error);
        }
        server.listen(Role::Ksql, listener);
        workers.send(Command::Home(reachable(address, &config.shape.hosts)));
        Ok(server)
    }

    /// Answers on one more listener.
    pub(crate) fn listen(&mut self, role: Role, listener: TcpListener) {
        let serving = http::serve(Arc::clone(&self.site), role, listener, self.stop.subscribe());
        self.listeners.push(tokio::spawn(serving));
    }

    /// Returns when all that the topics hold by now is in the views.
    ///
    /// # Errors
    /// The workers have ended.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        self.running.workers.settle().await.map_err(|e| anyhow!(e))
    }

    /// Ends it: no new requests, then generators and sinks when they have delivered, then the workers.
    ///
    /// # Errors
    /// A worker failed.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        self.intake.stop().await;
        self.site.connectors.stop(DRAIN).await;
        for listener in self.listeners {
            let _ = tokio::time::timeout(Duration::from_secs(2), listener).await;
        }
        let running = self.running;
        running.workers.send(Command::Stop);
        let joined = tokio::task::spawn_blocking(move || running.join());
        match tokio::time::timeout(DRAIN, joined).await {
            Ok(joined) => joined?.map_err(|e| anyhow!(e)),
            // Another process may be gone: nothing waits for it.
            Err(_) => bail!("the workers did not end within {} s", DRAIN.as_secs()),
        }
    }

    /// Runs the scripts, all of them judged before the first is begun.
    async fn run_scripts(&self, config: &ServeConfig) -> anyhow::Result<()> {
        let mut session = Session::with_offset(config.script_offset);
        let texts =
            config.scripts.iter().map(Script::read).collect::<Result<Vec<_>, _>>().context("cannot read a script")?;
        script::bind_texts(&self.intake.catalog(), &texts, Missing::PassedOver)?;
        self.intake.begin_group();
        let mut result = Ok(());
        for (name, text) in &texts {
            result = self.intake.run_script(name, text, &mut session).await;
            if result.is_err() {
                break;
            }
        }
        self.intake.end_group();
        result
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
            append_to_log(&memory, &value);
        }
    }
}

fn append_to_log(memory: &MemoryBroker, value: &[u8]) {
    let record = NewRecord { key: None, value: Some(value), time: clock::now_ms(), headers: &[] };
    if let Err(e) = memory.append(processing_log::TOPIC, None, record) {
        tracing::warn!("the processing log cannot be written: {e}");
    }
}

/// Tells process 0 what this one counts and what it rejects.
async fn tell(
    process: usize,
    mut entries: mpsc::Receiver<processing_log::Entry>,
    metrics: Arc<Metrics>,
    said: std::sync::mpsc::Sender<Word>,
) {
    let mut again = tokio::time::interval(TELL);
    loop {
        let word = tokio::select! {
            entry = entries.recv() => match entry.map(|entry| serde_json::to_vec(&entry)) {
                Some(Ok(entry)) => Word::Log(entry),
                Some(Err(_)) => continue,
                None => return,
            },
            _ = again.tick() => Word::Metrics { process, text: metrics.render() },
        };
        if said.send(word).is_err() {
            return;
        }
    }
}

/// Takes what the other processes say.
async fn hear(
    mut words: mpsc::UnboundedReceiver<Word>,
    memory: MemoryBroker,
    metrics: Arc<Metrics>,
    leave: watch::Sender<bool>,
) {
    while let Some(word) = words.recv().await {
        match word {
            Word::Log(entry) => append_to_log(&memory, &entry),
            Word::Metrics { process, text } => metrics.hear(process, text),
            Word::Leave => {
                leave.send_replace(true);
            }
        }
    }
}

/// Until another process was told to end.
async fn left(mut leaving: watch::Receiver<bool>) {
    if leaving.wait_for(|leaving| *leaving).await.is_err() {
        std::future::pending().await
    }
}

/// Where the other processes reach this one: when it listens everywhere, by its name in the hosts file.
fn reachable(address: SocketAddr, hosts: &[String]) -> SocketAddr {
    let named = || hosts.first()?.to_socket_addrs().ok()?.next();
    match named() {
        Some(host) if address.ip().is_unspecified() => SocketAddr::new(host.ip(), address.port()),
        _ => address,
    }
}
