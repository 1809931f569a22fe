//! What the command line means: checked, with defaults filled in.

use crate::args::{DemoArgs, KafkaArgs, ReplayArgs, RunArgs, ServerArgs, WorkerArgs};
use crate::command::Offset;
use crate::worker::reading::TopicFiles;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The command line is wrong: exit status 2.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// `--workers 0`.
    #[error("--workers must be at least 1")]
    NoWorkers,
    /// `--processes 0`.
    #[error("--processes must be at least 1")]
    NoProcesses,
    /// `--process` does not fit `--processes`.
    #[error("--process {process} does not exist among --processes {processes}: they count from 0 to {}", processes - 1)]
    ProcessOutOfRange {
        /// What was given.
        process: usize,
        /// How many there are.
        processes: usize,
    },
    /// `--epoch-ms` out of range.
    #[error("--epoch-ms {0} is out of range: an epoch lasts from 1 to 10000 ms")]
    Epoch(u64),
    /// `--hosts` cannot be read.
    #[error("the hosts file '{file}' cannot be read: {reason}")]
    HostsUnreadable {
        /// The file.
        file: String,
        /// What the system says.
        reason: String,
    },
    /// A line of `--hosts` is no address.
    #[error("{file}:{line}: '{text}' is not HOST:PORT")]
    HostsLine {
        /// The file.
        file: String,
        /// From 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// A line of `--hosts` stands twice.
    #[error("{file}:{line}: '{text}' stands in it twice: each process needs an address of its own")]
    HostsDuplicate {
        /// The file.
        file: String,
        /// From 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// `--hosts` has too few or too many lines.
    #[error("the hosts file '{file}' names {found} processes, --processes says {processes}")]
    HostsCount {
        /// The file.
        file: String,
        /// Its addresses.
        found: usize,
        /// `--processes`.
        processes: usize,
    },
    /// `--topic` is not NAME=FILE.
    #[error("--topic '{0}' is not NAME=FILE")]
    Topic(String),
    /// `--topic` twice for one topic, or beside `--records`.
    #[error("topic '{0}' is given twice: put its values into one file, or give all partitions with --records")]
    DuplicateTopic(String),
    /// `--kafka-property` is not KEY=VALUE.
    #[error("--kafka-property '{0}' is not KEY=VALUE")]
    KafkaProperty(String),
    /// `--kafka` has no address.
    #[error("--kafka '{0}' is not HOST:PORT, or several with commas between")]
    Kafka(String),
    /// `--rate` is neither a name nor a number.
    #[error("--rate '{0}' is not {1}")]
    Rate(String, &'static str),
    /// `--chunk-bytes` too small.
    #[error("--chunk-bytes {0} is too small: at least 1")]
    Chunk(usize),
    /// Filters that leave nothing.
    #[error("none of {0} cases is selected: look at --match, --family, --tier and --demo-core")]
    NoCase(usize),
    /// `--match` with what is no regular expression.
    #[error("--match '{0}' is no regular expression: {1}")]
    Pattern(String, String),
    /// `--max-body 0` and its like.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
}

/// The shape of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Worker threads of each process, at least 1.
    pub workers: usize,
    /// This process, from 0.
    pub process: usize,
    /// All processes, at least 1.
    pub processes: usize,
    /// Their addresses (HOST:PORT) for one another; empty when there is one.
    pub hosts: Vec<String>,
    /// How long to wait for the others.
    pub patience: Duration,
    /// An epoch closes after this.
    pub epoch: Duration,
}

/// How to reach Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// `bootstrap.servers`.
    pub servers: String,
    /// Further properties of librdkafka.
    pub properties: Vec<(String, String)>,
    /// Views' changes are written to topics.
    pub output_topics: bool,
}

/// How fast generators are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// As the connector really runs: `max.interval`, 500 ms unless given.
    Parity,
    /// As the demo's scripts mean it: `maxInterval` is honoured.
    Intended,
    /// Records a second.
    PerSecond(f64),
    /// As fast as they can.
    Unlimited,
}

/// What a server allows a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body in bytes.
    pub body: usize,
    /// Until the whole request has come.
    pub read: Duration,
    /// Until a statement or pull query is answered.
    pub request: Duration,
    /// Rows that may wait for a slow client of a push query.
    pub backlog: usize,
}

/// A second address, for Connect's REST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectListen {
    /// The address.
    pub address: SocketAddr,
    /// Go on without it when the address is taken.
    pub optional: bool,
}

/// A server: `weir run` and `weir demo`.
#[derive(Clone, Debug, PartialEq)]
pub struct ServeConfig {
    /// HTTP's address.
    pub listen: SocketAddr,
    /// Connect's address.
    pub connect_listen: Option<ConnectListen>,
    /// What clients may do.
    pub limits: Limits,
    /// Kafka; without it, topics live in the process.
    pub kafka: Option<Kafka>,
    /// The cluster.
    pub shape: Shape,
    /// Generators' speed.
    pub rate: Rate,
    /// Where scripts' streams start.
    pub script_offset: Offset,
    /// Where streams of statements that come over HTTP start.
    pub http_offset: Offset,
    /// An epoch a record, and tables keep their changes, so that push queries see each of them: as ksqlDB without
    /// caches, for tests.
    pub every_change: bool,
    /// Scripts in order.
    pub scripts: Vec<Script>,
    /// Show the demo's tour and live line.
    pub demo: bool,
}

/// A script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Script {
    /// In a file.
    File(PathBuf),
    /// Built in: its name and text.
    Text(&'static str, &'static str),
}

impl Script {
    /// Name and text.
    ///
    /// # Errors
    /// The file cannot be read, or is not UTF-8.
    pub fn read(&self) -> std::io::Result<(String, String)> {
        match self {
            Script::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| std::io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
                Ok((path.display().to_string(), text))
            }
            Script::Text(name, text) => Ok(((*name).to_owned(), (*text).to_owned())),
        }
    }
}

/// `weir replay`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayConfig {
    /// Scripts in order.
    pub scripts: Vec<PathBuf>,
    /// Topics and their files.
    pub topics: BTreeMap<String, TopicFiles>,
    /// The values' timestamp field.
    pub timestamp_field: Option<String>,
    /// Where the views' rows go.
    pub out: Option<PathBuf>,
    /// Which streams are computed.
    pub streams: Streams,
    /// How much of a file one worker takes at a time, in bytes.
    pub chunk_bytes: usize,
    /// The cluster.
    pub shape: Shape,
}

/// Which streams of a script are computed in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// Those that no other view reads.
    Leaf,
    /// All.
    All,
    /// None but what tables need.
    None,
}

impl ServeConfig {
    /// Of `weir run`.
    ///
    /// # Errors
    /// The command line is wrong.
    pub fn run(args: &RunArgs) -> Result<Self, ConfigError> {
        let scripts = args.scripts.iter().cloned().map(Script::File).collect();
        let connect = args.server.connect_listen.map(|address| ConnectListen { address, optional: false });
        Self::new(&args.server, &args.kafka, &args.workers, connect, Rate::Parity, scripts)
    }

    /// Of `weir demo`: the built-in scripts, intended rates, and Connect on its usual port.
    ///
    /// # Errors
    /// The command line is wrong.
    pub fn demo(args: &DemoArgs, scripts: Vec<Script>) -> Result<Self, ConfigError> {
        let connect = match args.server.connect_listen {
            Some(address) => ConnectListen { address, optional: false },
            None => ConnectListen { address: SocketAddr::from(([127, 0, 0, 1], 8083)), optional: true },
        };
        let config = Self::new(&args.server, &args.kafka, &args.workers, Some(connect), Rate::Intended, scripts)?;
        Ok(ServeConfig { demo: true, ..config })
    }

    fn new(
        server: &ServerArgs,
        kafka: &KafkaArgs,
        workers: &WorkerArgs,
        connect_listen: Option<ConnectListen>,
        rate: Rate,
        scripts: Vec<Script>,
    ) -> Result<Self, ConfigError> {
        let offset = match server.offset_reset.as_deref() {
            Some("earliest") => Some(Offset::Earliest),
            Some(_) => Some(Offset::Latest),
            None => None,
        };
        Ok(ServeConfig {
            listen: server.listen,
            connect_listen,
            limits: limits(server)?,
            kafka: self::kafka(kafka)?,
            shape: shape(workers)?,
            rate: server.rate.as_deref().map_or(Ok(rate), self::rate)?,
            script_offset: offset.unwrap_or(Offset::Earliest),
            http_offset: offset.unwrap_or(Offset::Latest),
            every_change: server.every_change,
            scripts,
            demo: false,
        })
    }
}

impl ReplayConfig {
    /// Of `weir replay`.
    ///
    /// # Errors
    /// The command line is wrong.
    pub fn new(args: &ReplayArgs) -> Result<Self, ConfigError> {
        let mut topics: BTreeMap<String, TopicFiles> = BTreeMap::new();
        let given = args.topics.iter().map(|t| (t, false)).chain(args.records.iter().map(|t| (t, true)));
        for (text, records) in given {
            let (name, file) = match text.split_once('=') {
                Some((name, file)) if !name.is_empty() && !file.is_empty() => (name, PathBuf::from(file)),
                _ => return Err(ConfigError::Topic(text.clone())),
            };
            match topics.get_mut(name) {
                Some(topic) if records && topic.records => topic.partitions.push(file),
                Some(_) => return Err(ConfigError::DuplicateTopic(name.into())),
                None => {
                    topics.insert(name.to_owned(), TopicFiles { partitions: vec![file], records });
                }
            }
        }
        if args.chunk_bytes < 1 {
            return Err(ConfigError::Chunk(args.chunk_bytes));
        }
        let streams = match args.streams.as_str() {
            "all" => Streams::All,
            "none" => Streams::None,
            _ => Streams::Leaf,
        };
        Ok(ReplayConfig {
            scripts: args.scripts.clone(),
            topics,
            timestamp_field: args.timestamp_field.clone(),
            out: args.out.clone(),
            streams,
            chunk_bytes: args.chunk_bytes,
            shape: shape(&args.workers)?,
        })
    }
}

fn limits(args: &ServerArgs) -> Result<Limits, ConfigError> {
    let at_least_1 = |name, n: u64| if n == 0 { Err(ConfigError::Zero(name)) } else { Ok(n) };
    at_least_1("--max-body", args.max_body as u64)?;
    at_least_1("--push-backlog", args.push_backlog as u64)?;
    Ok(Limits {
        body: args.max_body,
        read: Duration::from_secs(at_least_1("--read-timeout", args.read_timeout)?),
        request: Duration::from_secs(at_least_1("--request-timeout", args.request_timeout)?),
        backlog: args.push_backlog,
    })
}

/// Reads `--rate`: `parity`, `intended`, `max`, or a number of records a second.
///
/// # Errors
/// It is none of these.
pub fn rate(text: &str) -> Result<Rate, ConfigError> {
    match text {
        "parity" => Ok(Rate::Parity),
        "intended" => Ok(Rate::Intended),
        "max" => Ok(Rate::Unlimited),
        number => match number.parse::<f64>() {
            Ok(n) if n.is_finite() && n > 0.0 => Ok(Rate::PerSecond(n)),
            _ => Err(ConfigError::Rate(number.into(), "parity, intended, max or a number of records a second above 0")),
        },
    }
}

/// Reads the broker's flags.
///
/// # Errors
/// An address or property is malformed.
pub fn kafka(args: &KafkaArgs) -> Result<Option<Kafka>, ConfigError> {
    let Some(servers) = &args.kafka else { return Ok(None) };
    if !servers.split(',').all(is_address) {
        return Err(ConfigError::Kafka(servers.clone()));
    }
    let mut properties = Vec::new();
    for text in &args.kafka_property {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => properties.push((key.trim().into(), value.trim().into())),
            _ => return Err(ConfigError::KafkaProperty(text.clone())),
        }
    }
    Ok(Some(Kafka { servers: servers.clone(), properties, output_topics: !args.no_output_topics }))
}

fn shape(args: &WorkerArgs) -> Result<Shape, ConfigError> {
    let WorkerArgs { workers, processes, process, meet_timeout, epoch_ms, .. } = *args;
    if workers == 0 {
        return Err(ConfigError::NoWorkers);
    }
    if processes == 0 {
        return Err(ConfigError::NoProcesses);
    }
    if process >= processes {
        return Err(ConfigError::ProcessOutOfRange { process, processes });
    }
    if !(1..=10_000).contains(&epoch_ms) {
        return Err(ConfigError::Epoch(epoch_ms));
    }
    let hosts = match &args.hosts {
        Some(file) => hosts(file, processes)?,
        None if processes == 1 => Vec::new(),
        None => (0..processes).map(|i| format!("127.0.0.1:{}", 2101 + i)).collect(),
    };
    let hosts = if processes == 1 { Vec::new() } else { hosts };
    let patience = Duration::from_secs(meet_timeout);
    Ok(Shape { workers, process, processes, hosts, patience, epoch: Duration::from_millis(epoch_ms) })
}

/// The addresses in a hosts file: one a line; empty lines and what follows a `#` are passed over.
fn hosts(file: &Path, processes: usize) -> Result<Vec<String>, ConfigError> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|e| ConfigError::HostsUnreadable { file: name.clone(), reason: e.to_string() })?;
    let mut hosts: Vec<String> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let (file, line, text) = (name.clone(), i + 1, line.split('#').next().unwrap_or("").trim());
        if text.is_empty() {
            continue;
        }
        let text = text.to_owned();
        if !is_address(&text) {
            return Err(ConfigError::HostsLine { file, line, text });
        }
        if hosts.contains(&text) {
            return Err(ConfigError::HostsDuplicate { file, line, text });
        }
        hosts.push(text);
    }
    if hosts.len() != processes {
        return Err(ConfigError::HostsCount { file: name, found: hosts.len(), processes });
    }
    Ok(hosts)
}

/// True for `HOST:PORT`.
fn is_address(text: &str) -> bool {
    let text = text.trim();
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    !host.is_empty() && !host.contains(char::is_whitespace) && port.parse::<u16>().is_ok_and(|p| p > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Verb};
    use clap::Parser;
    use std::io::Write;

    fn run(line: &str) -> Result<ServeConfig, ConfigError> {
        match Args::try_parse_from(line.split_whitespace()).expect("parses").verb {
            Verb::Run(args) => ServeConfig::run(&args),
            _ => unreachable!(),
        }
    }

    #[test]
    fn defaults_listen_on_this_machine_only_with_one_worker() {
        let config = run("weir run a.sql").unwrap();
        assert_eq!(config.listen, "127.0.0.1:8088".parse().unwrap());
        assert_eq!(config.shape.workers, 1);
        assert!(config.kafka.is_none() && config.connect_listen.is_none() && config.shape.hosts.is_empty());
        assert_eq!((config.script_offset, config.http_offset), (Offset::Earliest, Offset::Latest));
    }

    #[test]
    fn wrong_values_are_told_apart() {
        let cases = [
            ("--workers 0", "--workers must be at least 1"),
            ("--processes 2 --process 2", "--process 2 does not exist among --processes 2: they count from 0 to 1"),
            ("--epoch-ms 0", "--epoch-ms 0 is out of range: an epoch lasts from 1 to 10000 ms"),
            ("--kafka localhost", "--kafka 'localhost' is not HOST:PORT, or several with commas between"),
            ("--kafka a:1 --kafka-property x", "--kafka-property 'x' is not KEY=VALUE"),
            ("--rate fast", "--rate 'fast' is not parity, intended, max or a number of records a second above 0"),
            ("--hosts /nowhere --processes 2", "the hosts file '/nowhere' cannot be read: "),
            ("--max-body 0", "--max-body must be at least 1"),
        ];
        for (flags, message) in cases {
            let error = run(&format!("weir run {flags}")).unwrap_err().to_string();
            assert!(error.starts_with(message), "{flags}: {error}");
        }
    }

    #[test]
    fn hosts_files_say_what_is_wrong_with_them() {
        let check = |text: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            hosts(file.path(), 2).map_err(|e| e.to_string().replace(&file.path().display().to_string(), "F"))
        };
        assert_eq!(check("# both\na:1\n\nb:2 # second\n").unwrap(), ["a:1", "b:2"]);
        assert_eq!(check("a:1\n").unwrap_err(), "the hosts file 'F' names 1 processes, --processes says 2");
        assert_eq!(check("a:1\nb\n").unwrap_err(), "F:2: 'b' is not HOST:PORT");
        assert!(check("a:1\na:1\n").unwrap_err().starts_with("F:2: 'a:1' stands in it twice"));
    }

    #[test]
    fn replay_takes_each_topic_once() {
        let replay = |line: &str| match Args::try_parse_from(line.split_whitespace()).expect("parses").verb {
            Verb::Replay(args) => ReplayConfig::new(&args),
            _ => unreachable!(),
        };
        let config = replay("weir replay s.sql --topic a=x --topic b=y --streams all").unwrap();
        assert_eq!(config.topics.len(), 2);
        assert_eq!(config.streams, Streams::All);
        assert_eq!(
            replay("weir replay s.sql --topic a=x --topic a=y").unwrap_err(),
            ConfigError::DuplicateTopic("a".into())
        );
        assert_eq!(replay("weir replay s.sql --topic a").unwrap_err(), ConfigError::Topic("a".into()));
        let config = replay("weir replay s.sql --records a=x --records a=y --topic b=z").unwrap();
        assert_eq!(config.topics["a"].partitions, [PathBuf::from("x"), PathBuf::from("y")]);
        assert!(config.topics["a"].records && !config.topics["b"].records);
        assert_eq!(
            replay("weir replay s.sql --topic a=x --records a=y").unwrap_err(),
            ConfigError::DuplicateTopic("a".into())
        );
    }
}
