//! What was typed. What it means is [`crate::config`]'s.

use clap::{Args as Group, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// ksqlDB's SQL over Kafka topics as incrementally maintained views, in one process or several.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about, disable_help_subcommand = true)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The program's commands.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// The clickstream demo in one process: generators, script, queries over HTTP
    Demo(DemoArgs),
    /// A server: runs scripts, keeps their views, answers over HTTP until it is told to stop
    Run(RunArgs),
    /// Runs scripts over finite input files to their end and writes what each view holds
    Replay(ReplayArgs),
    /// Shows all errors of scripts, or the plan of each view; starts nothing
    Check(CheckArgs),
    /// Runs query-validation cases: ksqlDB's own, or yours in the same form
    Test(TestArgs),
    /// Writes generated records of a quickstart to stdout, a file or Kafka
    Generate(GenerateArgs),
}

/// `weir demo`.
#[derive(Debug, Group)]
pub struct DemoArgs {
    /// Where and how it listens.
    #[command(flatten)]
    pub server: ServerArgs,
    /// The broker.
    #[command(flatten)]
    pub kafka: KafkaArgs,
    /// The workers.
    #[command(flatten)]
    pub workers: WorkerArgs,
}

/// `weir run`.
#[derive(Debug, Group)]
pub struct RunArgs {
    /// Scripts, run in this order
    #[arg(value_name = "SCRIPT")]
    pub scripts: Vec<PathBuf>,
    /// Where and how it listens.
    #[command(flatten)]
    pub server: ServerArgs,
    /// The broker.
    #[command(flatten)]
    pub kafka: KafkaArgs,
    /// The workers.
    #[command(flatten)]
    pub workers: WorkerArgs,
}

/// `weir replay`.
#[derive(Debug, Group)]
pub struct ReplayArgs {
    /// Scripts, run in this order
    #[arg(value_name = "SCRIPT", required = true)]
    pub scripts: Vec<PathBuf>,
    /// A topic's records: a file of JSON lines, one value a line (repeatable)
    #[arg(long = "topic", value_name = "NAME=FILE", required_unless_present = "records")]
    pub topics: Vec<String>,
    /// A topic's records with their keys: a file of JSON lines, {"key": …, "value": …, "timestamp": MS} each, where no
    /// value is a tombstone and a string stands for its bytes (repeatable; several files of a topic are its partitions)
    #[arg(long, value_name = "NAME=FILE")]
    pub records: Vec<String>,
    /// The field of the values that is the record's timestamp (milliseconds); without it, all are 0
    #[arg(long, value_name = "FIELD")]
    pub timestamp_field: Option<String>,
    /// Write the final rows of each view to DIR/VIEW.jsonl
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Which streams of the script are computed and written: those that nothing reads, all, or none
    #[arg(long, value_name = "WHICH", default_value = "leaf", value_parser = ["leaf", "all", "none"])]
    pub streams: String,
    /// How much of a file one worker takes at a time, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub chunk_bytes: usize,
    /// The workers.
    #[command(flatten)]
    pub workers: WorkerArgs,
}

/// `weir check`.
#[derive(Debug, Group)]
pub struct CheckArgs {
    /// Scripts, read in this order as one
    #[arg(value_name = "SCRIPT", required = true)]
    pub scripts: Vec<PathBuf>,
}

/// `weir test`.
#[derive(Debug, Group)]
pub struct TestArgs {
    /// Files of cases: JSON lines in the normalised form, or .json files of ksqlDB's public suite
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Only cases whose file and name match
    #[arg(long = "match", value_name = "REGEX")]
    pub pattern: Option<String>,
    /// Only cases of this family
    #[arg(long, value_name = "F")]
    pub family: Option<String>,
    /// Only cases of this tier
    #[arg(long, value_name = "N")]
    pub tier: Option<u32>,
    /// Only cases that use no more than the clickstream script does
    #[arg(long)]
    pub demo_core: bool,
    /// Cases that run at a time; without it, one a core
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
}

/// `weir generate`.
#[derive(Debug, Group)]
pub struct GenerateArgs {
    /// The quickstart: clickstream, clickstream_users or clickstream_codes
    #[arg(value_name = "NAME")]
    pub quickstart: String,
    /// How many records; without it, without end
    #[arg(long, value_name = "N")]
    pub iterations: Option<u64>,
    /// Records: `parity` (as the demo's connectors really run), `intended` (as their scripts mean it), a number a
    /// second, or `max`
    #[arg(long, value_name = "RATE", default_value = "max")]
    pub rate: String,
    /// Makes the same records each time
    #[arg(long, value_name = "SEED")]
    pub seed: Option<i64>,
    /// Write JSON lines to this file, not to stdout
    #[arg(long, value_name = "FILE", conflicts_with = "kafka")]
    pub out: Option<PathBuf>,
    /// The topic to write to; the quickstart's name unless given
    #[arg(long, value_name = "TOPIC", requires = "kafka")]
    pub topic: Option<String>,
    /// The broker.
    #[command(flatten)]
    pub kafka: KafkaArgs,
}

/// Where and how a server listens.
#[derive(Clone, Debug, Group)]
pub struct ServerArgs {
    /// Address of the HTTP interface; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8088")]
    pub listen: SocketAddr,
    /// A second address for Connect's REST interface (scripts expect port 8083)
    #[arg(long, value_name = "ADDR")]
    pub connect_listen: Option<SocketAddr>,
    /// Largest body of a request, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    pub max_body: usize,
    /// Seconds that a client may take to send its request
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub read_timeout: u64,
    /// Seconds that a pull query or a statement may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub request_timeout: u64,
    /// Rows that may wait for a slow client of a push query; with more the query ends with an error
    #[arg(long, value_name = "ROWS", default_value_t = 100_000)]
    pub push_backlog: usize,
    /// Speed of the generators: `intended` (maxInterval honoured), `parity` (as the connector really runs: about 4
    /// a second), or a number of records a second for each
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// Where streams start when a statement does not say so (SET 'auto.offset.reset')
    #[arg(long, value_name = "WHERE", value_parser = ["earliest", "latest"])]
    pub offset_reset: Option<String>,
    /// Let push queries see every change of a table, not only the last of an epoch; slow, for tests
    #[arg(long)]
    pub every_change: bool,
}

/// The broker.
#[derive(Clone, Debug, Default, Group)]
pub struct KafkaArgs {
    /// Kafka's bootstrap servers; without it, topics live in the process
    #[arg(long, value_name = "HOST:PORT,…")]
    pub kafka: Option<String>,
    /// A property of librdkafka for all its clients (repeatable)
    #[arg(long, value_name = "KEY=VALUE", requires = "kafka")]
    pub kafka_property: Vec<String>,
    /// Do not write the changes of views to topics in Kafka
    #[arg(long, requires = "kafka")]
    pub no_output_topics: bool,
}

/// The workers.
#[derive(Clone, Debug, Group)]
pub struct WorkerArgs {
    /// Worker threads of each process
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub workers: usize,
    /// Processes that run together
    #[arg(long, value_name = "P", default_value_t = 1)]
    pub processes: usize,
    /// Which of them this is, from 0
    #[arg(long, value_name = "I", default_value_t = 0)]
    pub process: usize,
    /// A file with one HOST:PORT a line, a line a process; without it, 127.0.0.1 with ports from 2101
    #[arg(long, value_name = "FILE")]
    pub hosts: Option<PathBuf>,
    /// Seconds to wait for the other processes
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub meet_timeout: u64,
    /// How long an epoch lasts at most, in milliseconds: how fresh answers are
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub epoch_ms: u64,
}
