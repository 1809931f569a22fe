//! `weir test`: the cases of tests/cases, what it says of failures, and ksqlDB's own cases where `../shared` is there.
//!
//! tests/conformance-floor holds how many of ksqlDB's cases pass, a line a selection: the count may not fall below it.

use crate::program::{Run, workspace};
use crate::turn;
use anyhow::{Context as _, Result, bail, ensure};
use libtest_mimic::Trial;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The tests.
pub(crate) fn trials() -> Vec<Trial> {
    let absent = !cases().is_file();
    let floor = fs::read_to_string(workspace().join("tests/conformance-floor")).unwrap_or_default();
    let floors = floor.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).map(str::to_owned);
    let floors = floors.map(|line| {
        let name = line.split(':').next().unwrap_or_default().replace(' ', "-");
        turn::shared(format!("cases/ksqldb-{name}"), move || hold(&line)).with_ignored_flag(absent)
    });
    let files = fs::read_dir(workspace().join("tests/cases")).into_iter().flatten();
    let mut files: Vec<PathBuf> = files.filter_map(|e| Some(e.ok()?.path())).collect();
    files.sort();
    let own = files.into_iter().map(|file| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        turn::shared(format!("cases/{name}"), move || Run::new(["test"])?.args([file]).succeed().map(|_| ()))
    });
    own.chain(floors).chain([turn::shared("cases/failures-are-shown", failures)]).collect()
}

fn cases() -> PathBuf {
    workspace().join("../shared/ksqldb/cases.jsonl")
}

/// One line of the floor: `FLAGS: COUNT`.
fn hold(line: &str) -> Result<()> {
    let (flags, count) = line.split_once(':').context("a line of the floor is FLAGS: COUNT")?;
    let floor: usize = count.trim().parse().with_context(|| format!("no count in '{line}'"))?;
    let run = Run::new(["test"])?.args(flags.split_whitespace()).args([cases()]).limit(Duration::from_secs(1200));
    let finished = run.finish()?;
    let last = finished.stdout.lines().last().unwrap_or_default();
    let Some(passed) = last.split_once(" passed, ").and_then(|(n, _)| n.parse::<usize>().ok()) else {
        bail!("it does not end in a count: {last}\n{}", finished.stderr);
    };
    ensure!(passed >= floor, "{last}, but {floor} passed before:\n{}", finished.stdout);
    if passed > floor {
        println!("{flags}: {passed} pass, more than the {floor} of tests/conformance-floor: raise it");
    }
    Ok(())
}

fn failures() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("mine.json");
    let case = r#"{"tests": [{"name": "wrong", "format": ["JSON", "AVRO"],
        "statements": ["CREATE STREAM a (v INT) WITH (kafka_topic='a', format='{FORMAT}');",
                       "CREATE STREAM b AS SELECT v + 1 AS v FROM a;"],
        "inputs": [{"topic": "a", "value": {"v": 1}}, {"topic": "a", "value": {"v": 2}}],
        "outputs": [{"topic": "B", "key": null, "value": {"V": 2}}, {"topic": "B", "key": null, "value": {"V": 4}}]}]}"#;
    fs::write(&file, case)?;
    let finished = Run::new(["test"])?.args([&file]).finish()?;
    let expected = "1 cases are left out: they need a format that weir does not have\n\
        FAIL mine: mine.json wrong - JSON: topic 'B' differs at record 2\n    \
            =        null {\"V\":2}\n    \
            expected null {\"V\":4}\n    \
            actual   null {\"V\":3}\n\
        mine     0 passed,    1 failed\n\
        0 passed, 1 failed\n";
    ensure!(finished.stdout == expected, "it says\n{}", finished.stdout);
    ensure!(finished.status == Some(1), "it ended with {:?}", finished.status);
    for flags in [&["--match", "("][..], &["--match", "no such case"], &["--tier", "one"], &["--jobs", "0"]] {
        let finished = Run::new(["test"])?.args([&file]).args(flags).finish()?;
        ensure!(finished.status == Some(2), "{flags:?} ended with {:?}: {}", finished.status, finished.stderr);
    }
    fs::write(&file, "{\"tests\": 1}")?;
    let finished = Run::new(["test"])?.args([&file]).finish()?;
    ensure!(finished.status == Some(1) && finished.stderr.contains("mine.json"), "it says {}", finished.stderr);
    Ok(())
}
