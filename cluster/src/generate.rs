//! `weir generate`: a quickstart's records as JSON lines, one value a line.

use crate::args::GenerateArgs;
use crate::clock;
use crate::config::{self, Rate};
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::Duration;
use weir_ingest::source::datagen::{self, DatagenConfig, Generator, Progress, Runner};

/// Records made between two looks at the clock.
const STEP: usize = 1024;

/// Writes records until there are as many as asked for, or for ever.
///
/// # Errors
/// The quickstart is unknown, or the records cannot be written.
pub fn run(args: &GenerateArgs) -> anyhow::Result<()> {
    if args.kafka.kafka.is_some() {
        bail!("--kafka is not supported yet: write to stdout or to a file with --out");
    }
    let mut properties: BTreeMap<String, String> =
        [("quickstart", args.quickstart.as_str()), ("kafka.topic", args.quickstart.as_str())]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
    if let Some(n) = args.iterations {
        properties.insert("iterations".into(), n.to_string());
    }
    if let Some(seed) = args.seed {
        properties.insert("random.seed".into(), seed.to_string());
    }
    let (config, _) = DatagenConfig::from_properties(&properties)?;
    let mut out: Box<dyn Write> = match &args.out {
        Some(path) => {
            Box::new(BufWriter::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?))
        }
        None => Box::new(BufWriter::new(io::stdout().lock())),
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
                result = out.write_all(record.value).and_then(|()| out.write_all(b"\n"));
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

/// As fast as they can be written.
fn all(config: &DatagenConfig, random: u64, iterations: Option<u64>, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut generator = Generator::new(config.quickstart, config.key_format, config.seed.unwrap_or(random));
    for _ in 0..iterations.unwrap_or(u64::MAX) {
        let (_, value) = generator.next();
        out.write_all(value)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
