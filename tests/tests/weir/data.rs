//! Every data file in every cluster shape: the rows do not depend on workers, processes, or how the input was cut.

use crate::case::Case;
use crate::program::{Finished, Run, workspace};
use crate::server::free_ports;
use crate::turn;
use anyhow::{Context as _, Result};
use libtest_mimic::Trial;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// How many workers and processes take part, and how long the pieces are in which they read.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) workers: usize,
    pub(crate) processes: usize,
    pub(crate) chunk_bytes: Option<usize>,
}

/// The shapes of every data file.
pub(crate) const SHAPES: [Shape; 5] = [
    Shape { name: "1-worker", workers: 1, processes: 1, chunk_bytes: None },
    Shape { name: "4-workers", workers: 4, processes: 1, chunk_bytes: None },
    Shape { name: "2-processes", workers: 2, processes: 2, chunk_bytes: None },
    Shape { name: "record-by-record", workers: 1, processes: 1, chunk_bytes: Some(1) },
    Shape { name: "small-chunks", workers: 3, processes: 1, chunk_bytes: Some(150) },
];

/// One test a file and shape.
pub(crate) fn trials() -> Vec<Trial> {
    let folder = workspace().join("tests/data");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .collect();
    files.sort();
    let mut trials = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for shape in &SHAPES {
            let file = file.clone();
            trials.push(turn::shared(format!("data/{name}/{}", shape.name), move || run(&file, shape)));
        }
    }
    trials
}

fn run(file: &Path, shape: &Shape) -> Result<()> {
    let case = Case::read(file)?;
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let mut args = case.write(folder.path())?;
    args.extend(["--streams", "all", "--out", &out.display().to_string()].map(str::to_owned));
    let finished = replay(&args, shape, folder.path())?;
    case.verify(&out, &finished.summary()?)
}

/// Runs `weir ARGS` in a shape; gives how process 0 ended.
pub(crate) fn replay(args: &[String], shape: &Shape, folder: &Path) -> Result<Finished> {
    replay_within(Duration::from_secs(120), args, shape, folder)
}

/// The same, with what it may take.
pub(crate) fn replay_within(limit: Duration, args: &[String], shape: &Shape, folder: &Path) -> Result<Finished> {
    let mut common = vec!["--workers".to_owned(), shape.workers.to_string()];
    if let Some(bytes) = shape.chunk_bytes {
        common.extend(["--chunk-bytes".to_owned(), bytes.to_string()]);
    }
    if shape.processes == 1 {
        return Run::new(args)?.args(&common).folder(folder).limit(limit).succeed();
    }
    let hosts = folder.join("hosts");
    let lines: Vec<String> = free_ports(shape.processes)?.iter().map(|p| format!("127.0.0.1:{p}\n")).collect();
    fs::write(&hosts, lines.concat())?;
    common.extend(["--processes".to_owned(), shape.processes.to_string()]);
    common.extend(["--hosts".to_owned(), hosts.display().to_string()]);
    let mut others = Vec::new();
    for process in 1..shape.processes {
        let run = Run::new(args)?.args(&common).args(["--process", &process.to_string()]).folder(folder).limit(limit);
        others.push(run.start()?);
    }
    let first = Run::new(args)?.args(&common).args(["--process", "0"]).folder(folder).limit(limit).succeed();
    for (i, other) in others.into_iter().enumerate() {
        let other = other.finish().with_context(|| format!("process {}", i + 1))?;
        anyhow::ensure!(other.status == Some(0), "process {} ended with {:?}\n{}", i + 1, other.status, other.stderr);
    }
    first
}
