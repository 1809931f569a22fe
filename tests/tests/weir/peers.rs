//! The unmodified demo script against DuckDB (`bench/peers/duckdb`), on the files of the shared generator. Only where
//! `../shared` is.
//!
//! 200,000 clicks a scale unless `WEIR_TEST_CLICKS` says otherwise. As large as it is meant, which takes some minutes:
//! `WEIR_TEST_CLICKS=5000000 cargo test --release -p weir-tests peers -- --test-threads 1`.

use crate::case::difference;
use crate::clickstream::SHAPES;
use crate::data::replay_within;
use crate::program::workspace;
use crate::turn;
use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use serde_json::Value;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

/// Each table and those of its columns that DuckDB computes, in its order.
const TABLES: [(&str, &[&str]); 7] = [
    ("EVENTS_PER_MIN", &["USERID", "WINDOWSTART", "EVENTS"]),
    ("PAGES_PER_MIN", &["USERID", "WINDOWSTART", "PAGES"]),
    ("CLICK_USER_SESSIONS", &["USERNAME", "WINDOWSTART", "WINDOWEND", "EVENTS"]),
    ("ERRORS_PER_MIN_ALERT", &["STATUS", "WINDOWSTART", "ERRORS"]),
    ("ERRORS_PER_MIN", &["STATUS", "WINDOWSTART", "ERRORS"]),
    ("ENRICHED_ERROR_CODES_COUNT", &["CODE", "DEFINITION", "WINDOWSTART", "COUNT"]),
    ("USER_IP_ACTIVITY", &["USERNAME", "IP", "CITY", "WINDOWSTART", "COUNT"]),
];

/// What a process may hold, MB.
const MEMORY: u64 = 3 << 10;

/// One test a scale.
pub(crate) fn trials() -> Vec<Trial> {
    let absent = !shared().join("peers/gen.py").is_file();
    if absent {
        println!("peers: left out, for there is no '{}'", shared().join("peers").display());
    }
    ["demo", "large"]
        .map(|scale| turn::shared(format!("peers/{scale}"), move || run(scale)).with_ignored_flag(absent))
        .into_iter()
        .collect()
}

fn shared() -> PathBuf {
    workspace().join("../shared")
}

fn run(scale: &str) -> Result<()> {
    let clicks = std::env::var("WEIR_TEST_CLICKS").unwrap_or_else(|_| "200000".to_owned());
    let python = python_with_duckdb()?;
    let folder = tempfile::tempdir()?;
    let (data, oracle) = (folder.path().join("data"), folder.path().join("oracle"));
    command(&python, &[&shared().join("peers/gen.py"), &data, Path::new(&clicks), Path::new(scale)])?;
    command(&python, &[&workspace().join("bench/peers/duckdb/peer.py"), &data, Path::new("2"), &oracle])?;
    let topic = |name: &str, file: &str| ["--topic".to_owned(), format!("{name}={}", data.join(file).display())];
    for shape in &SHAPES {
        let out = folder.path().join(shape.name);
        let mut args = vec!["replay".to_owned(), shared().join("demo/statements.sql").display().to_string()];
        args.extend(topic("clickstream", "clicks.jsonl"));
        args.extend(topic("clickstream_users", "users.jsonl"));
        args.extend(topic("clickstream_codes", "codes.jsonl"));
        args.extend(["--timestamp-field", "ts", "--out", &out.display().to_string()].map(str::to_owned));
        let finished = replay_within(Duration::from_secs(900), &args, shape, folder.path()).context(shape.name)?;
        let memory = finished.summary()?["rss_mb"].as_u64().context("no rss_mb")?;
        println!("peers/{scale}/{}: {}", shape.name, finished.stdout.lines().last().unwrap_or_default());
        ensure!(memory < MEMORY, "{} took {memory} MB of memory", shape.name);
        for (table, columns) in TABLES {
            let (oracle, weir) =
                (oracle.join(format!("{}.csv", table.to_lowercase())), out.join(format!("{table}.jsonl")));
            let expected = || lines(&oracle).map(|rows| rows.map(|l| Ok(l?.replace('"', ""))));
            let actual = || lines(&weir).map(|rows| rows.map(|l| as_csv(&l?, columns)));
            let (theirs, ours) = (digest(expected()?)?, digest(actual()?)?);
            if theirs != ours {
                let expected: Vec<String> = expected()?.collect::<Result<_>>()?;
                let actual: Vec<String> = actual()?.collect::<Result<_>>()?;
                let difference = difference(&expected, &actual);
                anyhow::bail!("{table}, {}: - DuckDB's, + weir's\n{difference}", shape.name);
            }
        }
    }
    Ok(())
}

/// The lines of a file, which may be larger than memory.
fn lines(file: &Path) -> Result<impl Iterator<Item = Result<String>>> {
    let open = fs::File::open(file).with_context(|| format!("cannot read '{}'", file.display()))?;
    Ok(BufReader::new(open).lines().map(|line| line.map_err(anyhow::Error::from)))
}

/// How many rows there are, and a sum over them that does not depend on their order: equal for equal collections.
fn digest(rows: impl Iterator<Item = Result<String>>) -> Result<(u64, u128)> {
    let (mut count, mut sum) = (0, 0_u128);
    for row in rows {
        let row = row?;
        let half = |salt: u64| {
            let mut hasher = DefaultHasher::new();
            (salt, &row).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        count += 1;
        sum = sum.wrapping_add(half(1) << 64 | half(2));
    }
    Ok((count, sum))
}

fn as_csv(row: &str, columns: &[&str]) -> Result<String> {
    let row: Value = serde_json::from_str(row)?;
    let cells = columns.iter().map(|c| match &row[*c] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    Ok(cells.collect::<Vec<_>>().join(","))
}

/// The Python that the peers have, with DuckDB; made at the first call.
fn python_with_duckdb() -> Result<PathBuf> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    command(&workspace().join("bench/peers/install"), &[Path::new("duckdb")])?;
    let peers = std::env::var_os("WEIR_PEERS").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")));
    let peers = peers.or_else(|| Some(cache?.join("weir/peers"))).context("no HOME")?;
    Ok(peers.join("python/bin/python"))
}

fn command(program: &Path, args: &[&Path]) -> Result<()> {
    let output = Command::new(program).args(args).output().with_context(|| format!("no '{}'", program.display()))?;
    ensure!(output.status.success(), "{} {args:?}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    Ok(())
}
