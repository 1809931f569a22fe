//! `weir generate`: a quickstart's records as JSON lines, one value a line, or as records of a topic in Kafka.

use crate::args::GenerateArgs;
use crate::clock;
use crate::config::{self, Rate};
use crate::intake::topics::{NewRow, Topics};
use anyhow::{Context, anyhow};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;
use weir_ingest::source::datagen::{self, DatagenConfig, Generator, Progress, Runner};
use weir_ingest::source::memory::MemoryBroker;

/// Records made between two looks at the clock.
const STEP: usize = 1024;

/// Writes records until there are as many as asked for, or for ever.
///
/// # Errors
/// The quickstart is unknown, or the records cannot be written.
pub fn run(args: &GenerateArgs) -> anyhow::Result<()> {
    let mut properties: BTreeMap<String, String> =
        [("quickstart", args.quickstart.as_str()), ("kafka.topic", args.quickstart.as_str())]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
    // As the demo's connectors have it: users and codes are keyed by number.
    if args.quickstart != "clickstream" {
        properties.insert("key.converter".into(), "org.apache.kafka.connect.converters.IntegerConverter".into());
    }
    if let Some(n) = args.iterations {
        properties.insert("iterations".into(), n.to_string());
    }
    if let Some(seed) = args.seed {
        properties.insert("random.seed".into(), seed.to_string());
    }
    let (config, _) = DatagenConfig::from_properties(&properties)?;
    let mut out = match config::kafka(&args.kafka)? {
        Some(kafka) => Out::topic(&kafka, args.topic.clone().unwrap_or_else(|| args.quickstart.clone()))?,
        None => Out::lines(args.out.as_deref())?,
    };
    let random = u64::try_from(clock::now_ms()).unwrap_or_default();
    let rate = match config::rate(&args.rate)? {
        Rate::Unlimited => return all(&config, random, args.iterations, &mut out),
        Rate::Parity => datagen::Rate::Parity,
        Rate::Intended => datagen::Rate::Intended,
        Rate::PerSecond(n) => datagen::Rate::PerSecond(n),
    };
    let mut runner = Runner::new(&config, rate, random, 0, clock::now_ms() as f64);
    loop {
        let mut result = Ok(());
        let progress = runner.step(clock::now_ms() as f64, STEP, |record| {
            if result.is_ok() {
                result = out.write(record.key, record.value, record.time);
            }
        });
        result.and_then(|()| out.flush())?;
        match progress {
            Progress::Finished(_) => return Ok(()),
            Progress::Next(due) => {
                let wait = (due - clock::now_ms() as f64).clamp(0.0, 1000.0);
                std::thread::sleep(Duration::from_millis(wait as u64));
            }
        }
    }
}

/// Where records go.
enum Out {
    /// Values, a line each.
    Lines(Box<dyn Write>),
    /// Records of a topic, kept until the next flush.
    Topic {
        /// Its name.
        name: String,
        /// Kafka's topics.
        topics: Topics,
        /// Not yet written.
        rows: Vec<NewRow>,
        /// Waits for Kafka.
        runtime: tokio::runtime::Runtime,
    },
}

impl Out {
    fn lines(file: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Out::Lines(match file {
            Some(path) => Box::new(BufWriter::new(
                File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
            )),
            None => Box::new(BufWriter::new(io::stdout().lock())),
        }))
    }

    fn topic(kafka: &config::Kafka, name: String) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let topics = runtime.block_on(async {
            let topics = Topics::in_kafka(MemoryBroker::new(), kafka, std::env::temp_dir()).await?;
            topics.ensure_any(&name).await?;
            Ok::<_, String>(topics)
        });
        Ok(Out::Topic { name, topics: topics.map_err(|e| anyhow!(e))?, rows: Vec::new(), runtime })
    }

    fn write(&mut self, key: &[u8], value: &[u8], time: i64) -> anyhow::Result<()> {
        match self {
            Out::Lines(out) => {
                out.write_all(value)?;
                out.write_all(b"\n")?;
            }
            Out::Topic { rows, .. } => {
                let part = |bytes| Some(Bytes::copy_from_slice(bytes));
                rows.push(NewRow { key: part(key), value: part(value), time });
                if rows.len() >= STEP {
                    self.flush()?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Out::Lines(out) => Ok(out.flush()?),
            Out::Topic { name, topics, rows, runtime } => {
                runtime.block_on(topics.append(name, std::mem::take(rows))).map_err(|e| anyhow!(e))
            }
        }
    }
}

/// As fast as they can be written.
fn all(config: &DatagenConfig, random: u64, iterations: Option<u64>, out: &mut Out) -> anyhow::Result<()> {
    let mut generator = Generator::new(config.quickstart, config.key_format, config.seed.unwrap_or(random));
    for _ in 0..iterations.unwrap_or(u64::MAX) {
        let (key, value) = generator.next();
        out.write(key, value, clock::now_ms())?;
    }
    out.flush()
}
