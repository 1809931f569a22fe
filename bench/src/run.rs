//! A run from outside: input made, processes started, what they measured put together and checked.

use crate::args::{Run, Through};
use crate::clicks::Load;
use crate::kafka;
use crate::part::{Measured, Part};
use crate::tables;
use crate::twin::{self, Digest};
use anyhow::{Context, anyhow, bail, ensure};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What is the same for all runs of a test.
pub(crate) struct Ground {
    /// Folder of the input files.
    pub(crate) data: PathBuf,
    /// Keeps a temporary folder.
    pub(crate) _temporary: Option<tempfile::TempDir>,
    /// The broker.
    pub(crate) kafka: Option<String>,
    /// What tables must hold, once it is known.
    expected: Option<(Wanted, BTreeMap<String, Digest>)>,
}

/// What the tables' contents depend on.
type Wanted = (Load, usize, Option<u64>);

impl Ground {
    /// With the input files in `data`, else in a temporary folder.
    pub(crate) fn new(data: Option<PathBuf>, kafka: Option<String>) -> anyhow::Result<Self> {
        let temporary = if data.is_none() { Some(tempfile::tempdir()?) } else { None };
        let data = data.or_else(|| Some(temporary.as_ref()?.path().into())).unwrap_or_default();
        Ok(Ground { data, _temporary: temporary, kafka, expected: None })
    }

    fn expected(&mut self, run: &Run) -> &BTreeMap<String, Digest> {
        let wanted = (run.load.clone(), run.views, run.retention);
        let (_, tables) = match self.expected.take() {
            Some(known) if known.0 == wanted => self.expected.insert(known),
            _ => {
                let tables = tables::tables(run.views);
                let digest = |table: &tables::Table| twin::digest(&run.load, table, run.retention);
                let digests = tables.iter().map(|table| (table.name.clone(), digest(table))).collect();
                self.expected.insert((wanted, digests))
            }
        };
        tables
    }
}

/// Writes a load's files, unless they are there: `load.json` beside them says which load they are.
pub(crate) fn write_data(load: &Load, folder: &Path) -> anyhow::Result<()> {
    let (mark, text) = (folder.join("load.json"), serde_json::to_string(load)?);
    if std::fs::read_to_string(&mark).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if mark.exists() {
        std::fs::remove_file(&mark)?;
    }
    load.write(folder).with_context(|| format!("cannot write the load to {}", folder.display()))?;
    Ok(std::fs::write(&mark, text)?)
}

/// Runs it; what all processes measured together, and what is wrong with the answers.
pub(crate) fn run(ground: &mut Ground, run: &Run, number: usize) -> anyhow::Result<(Measured, Vec<String>)> {
    let prefix = match run.through {
        Through::Kafka => format!("weir-bench-{}-{number}-", std::process::id()),
        Through::Files | Through::Memory => String::new(),
    };
    let brokers = ground.kafka.clone().unwrap_or_default();
    let topics = kafka::Topics { brokers: &brokers, prefix: &prefix, partitions: run.partitions };
    match run.through {
        Through::Files => write_data(&run.load, &ground.data)?,
        Through::Kafka => {
            topics.create(&run.load)?;
            if run.rate.is_none() {
                topics.fill(&run.load, None)?;
            }
        }
        Through::Memory => {}
    }
    let part = Part {
        run: run.clone(),
        process: 0,
        hosts: hosts(run.processes)?,
        data: ground.data.clone(),
        kafka: ground.kafka.clone(),
        prefix: prefix.clone(),
    };
    let measured = Processes::start(&part)?.measure(run, &topics);
    if run.through == Through::Kafka {
        topics.delete()?;
    }
    let measured = measured?;
    let mut wrong = Vec::new();
    let counts =
        [("read", measured.events, run.load.clicks), ("rejected", measured.rejected, 0), ("late", measured.late, 0)];
    wrong.extend(
        counts
            .iter()
            .filter(|(_, is, want)| is != want)
            .map(|(what, is, want)| format!("clicks {what}: {is}, not {want}")),
    );
    if run.check {
        for (table, want) in ground.expected(run) {
            let is = measured.tables.get(table).copied().unwrap_or_default();
            if is != *want {
                wrong.push(format!(
                    "{table}: {} rows that count {} together, expected {} rows and {}{}",
                    is.rows,
                    is.counted,
                    want.rows,
                    want.counted,
                    if (is.rows, is.counted) == (want.rows, want.counted) { "; the rows differ" } else { "" },
                ));
            }
        }
    }
    Ok((measured, wrong))
}

/// Free addresses for processes to meet at; none for one process.
fn hosts(processes: usize) -> anyhow::Result<Vec<String>> {
    if processes < 2 {
        return Ok(Vec::new());
    }
    let listeners: Vec<TcpListener> =
        (0..processes).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    listeners.iter().map(|l| Ok(l.local_addr()?.to_string())).collect()
}

/// The processes of a run; they end with this.
struct Processes {
    children: Vec<Child>,
    lines: Vec<BufReader<std::process::ChildStdout>>,
    _specs: Vec<tempfile::NamedTempFile>,
}

impl Processes {
    fn start(part: &Part) -> anyhow::Result<Self> {
        let mut all = Processes { children: Vec::new(), lines: Vec::new(), _specs: Vec::new() };
        for process in 0..part.run.processes {
            let spec = tempfile::NamedTempFile::new()?;
            std::fs::write(spec.path(), serde_json::to_vec(&Part { process, ..part.clone() })?)?;
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--part").arg(spec.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().context("cannot start a process of the run")?;
            let out = child.stdout.take().context("no output of a process")?;
            all.children.push(child);
            all.lines.push(BufReader::new(out));
            all._specs.push(spec);
        }
        Ok(all)
    }

    fn measure(mut self, run: &Run, topics: &kafka::Topics<'_>) -> anyhow::Result<Measured> {
        if run.through != Through::Files {
            self.expect("ready")?;
            let lead = Duration::from_millis(200);
            let start = SystemTime::now().duration_since(UNIX_EPOCH)? + lead;
            let at = Instant::now() + lead;
            self.tell(0.., &format!("begin {}", start.as_micros()))?;
            if let (Through::Kafka, Some(rate)) = (run.through, run.rate) {
                topics.fill(&run.load, Some((at, rate)))?;
            }
            self.expect("measured")?;
            self.tell(1.., "measured")?;
            std::thread::sleep(Duration::from_millis(50));
            self.tell(..1, "go on")?;
        }
        let mut sum: Option<Measured> = None;
        for (child, lines) in self.children.iter_mut().zip(&mut self.lines) {
            let last = lines.lines().last().transpose()?.unwrap_or_default();
            let status = child.wait()?;
            ensure!(status.success(), "a process of the run failed ({status}); its message stands above");
            let one: Measured = serde_json::from_str(&last).map_err(|e| anyhow!("a process said '{last}': {e}"))?;
            sum = Some(match sum {
                Some(sum) => together(sum, one),
                None => one,
            });
        }
        sum.context("no process ran")
    }

    /// Waits for a line of process 0.
    fn expect(&mut self, word: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        if let Some(lines) = self.lines.first_mut() {
            lines.read_line(&mut line)?;
        }
        if line.trim() != word {
            bail!("a process of the run failed; its message stands above");
        }
        Ok(())
    }

    fn tell(&mut self, who: impl std::slice::SliceIndex<[Child], Output = [Child]>, line: &str) -> anyhow::Result<()> {
        for child in &mut self.children[who] {
            let input = child.stdin.as_mut().context("no input of a process")?;
            writeln!(input, "{line}")?;
        }
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.children {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn together(mut sum: Measured, other: Measured) -> Measured {
    sum.events += other.events;
    sum.seconds = sum.seconds.max(other.seconds);
    sum.cpu_s += other.cpu_s;
    sum.rss_mb += other.rss_mb;
    sum.exchanged_bytes += other.exchanged_bytes;
    sum.rejected += other.rejected;
    sum.late += other.late;
    sum.changes += other.changes;
    for (kind, seconds) in other.cpu.0 {
        *sum.cpu.0.entry(kind).or_default() += seconds;
    }
    for (mine, theirs) in sum.samples.iter_mut().zip(&other.samples) {
        mine.records += theirs.records;
        mine.rss_mb += theirs.rss_mb;
    }
    for (table, digest) in other.tables {
        *sum.tables.entry(table).or_default() += digest;
    }
    sum
}
