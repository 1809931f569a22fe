//! Several processes as one weir: any of them answers for all, and they start and end together.

use crate::http;
use crate::kafka::Broker;
use crate::program::{Run, wait_for, workspace};
use crate::server::{Server, free_ports};
use crate::service::{self, Kind};
use crate::turn;
use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// 2024-01-01T00:00:00Z.
const TIME: i64 = 1_704_067_200_000;

/// The tests.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        turn::shared("processes/demo", demo),
        service::trial("kafka/two-processes", two_processes_read_kafka),
        turn::shared("processes/one-is-killed", one_is_killed),
        turn::shared("processes/one-never-comes", one_never_comes),
        turn::shared("processes/port-in-use", port_in_use),
        turn::shared("processes/wrong-hosts-file", wrong_hosts_file),
    ]
}

/// Starts `weir ARGS --processes 2` twice and waits until both answer.
fn two(args: &[&str], folder: &Path) -> Result<[Server; 2]> {
    let hosts: Vec<String> = free_ports(2)?.iter().map(|port| format!("127.0.0.1:{port}\n")).collect();
    fs::write(folder.join("hosts"), format!("# two processes\n{}", hosts.concat()))?;
    let start = |process: usize| {
        let mut all: Vec<String> = args.iter().map(|&a| a.to_owned()).collect();
        let place = ["--processes", "2", "--process", &process.to_string(), "--hosts", "hosts"].map(str::to_owned);
        all.extend(place);
        Server::start_unready(&all, folder)
    };
    let mut servers = [start(1)?, start(0)?];
    for server in &mut servers {
        server.wait_until_it_answers(Duration::from_secs(60))?;
    }
    servers.reverse();
    Ok(servers)
}

/// Each server's rows, which are to be the same.
fn same_rows(servers: &[Server; 2], query: &str) -> Result<Vec<String>> {
    let [first, second] = [servers[0].rows(query)?, servers[1].rows(query)?];
    ensure!(first == second, "{query}\nprocess 0: {first:?}\nprocess 1: {second:?}");
    Ok(first)
}

fn demo() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let servers = two(&["demo", "--rate", "400"], folder.path())?;
    wait_for(LIMIT, "rows", || {
        let rows = servers[1].rows("SELECT * FROM USER_IP_ACTIVITY;")?;
        Ok(ensure!(rows.len() > 20, "{} rows", rows.len()))
    })?;
    for connector in ["DATAGEN_CLICKSTREAM", "DATAGEN_CLICKSTREAM_USERS"] {
        let paused = http::put(&format!("{}/connectors/{connector}/pause", servers[1].url))?;
        ensure!(paused.status == 202, "pause over process 1: {}", paused.status);
    }
    for view in ["EVENTS_PER_MIN", "PAGES_PER_MIN", "CLICK_USER_SESSIONS", "USER_IP_ACTIVITY"] {
        wait_for(LIMIT, "the same rows", || {
            let rows = same_rows(&servers, &format!("SELECT * FROM {view};"))?;
            Ok(ensure!(!rows.is_empty(), "{view} has no rows"))
        })?;
    }
    let made =
        servers[1].ksql("CREATE TABLE per_agent AS SELECT agent, COUNT(*) AS n FROM clickstream GROUP BY agent;")?;
    ensure!(made[0]["commandStatus"]["status"] == "SUCCESS", "{}", made[0]);
    let mut push = servers[1].push("SELECT * FROM PER_AGENT EMIT CHANGES LIMIT 1;", true)?;
    http::put(&format!("{}/connectors/DATAGEN_CLICKSTREAM/resume", servers[0].url))?;
    push.next(LIMIT)?.context("no header")?;
    ensure!(push.next(LIMIT)?.is_some_and(|row| row.contains("\"row\"")), "no row over process 1");
    // Told to end, one process ends both.
    let [first, second] = servers;
    for (name, finished) in [("process 1", second.stop("TERM")?), ("process 0", first.finish()?)] {
        ensure!(finished.status == Some(0), "{name}: status {:?}\n{}", finished.status, finished.stderr);
    }
    Ok(())
}

/// Each process reads its own partitions; what they hold and what they count is seen in both.
fn two_processes_read_kafka() -> Result<()> {
    let kafka = service::shared(Kind::Kafka)?;
    let broker = Broker::connect(&kafka.address)?;
    broker.create_topic("both", 4)?;
    let folder = tempfile::tempdir()?;
    fs::write(
        folder.path().join("script.sql"),
        "CREATE STREAM both (k VARCHAR KEY, n INT) WITH (kafka_topic = 'both', value_format = 'json');
         CREATE TABLE both_counts AS SELECT k, COUNT(*) AS c, SUM(n) AS s FROM both GROUP BY k;",
    )?;
    let servers = two(&["run", "script.sql", "--kafka", &kafka.address, "--workers", "2"], folder.path())?;
    let mut expected: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for i in 0..2_000_i64 {
        let key = format!("k{}", i % 50);
        broker.send("both", Some(key.as_bytes()), Some(json!({"n": i}).to_string().as_bytes()), TIME)?;
        let (count, sum) = expected.entry(key).or_default();
        *count += 1;
        *sum += i;
    }
    for i in 0..40_u8 {
        broker.send("both", Some(&[b'a' + i % 26]), Some(b"{\"n\":"), TIME)?;
    }
    broker.flush()?;
    let mut expected: Vec<String> = expected.iter().map(|(k, (c, s))| json!([k, c, s]).to_string()).collect();
    expected.sort();
    wait_for(LIMIT, "all rows", || {
        let found = same_rows(&servers, "SELECT * FROM BOTH_COUNTS;")?;
        Ok(ensure!(found == expected, "expected {expected:?}, found {found:?}"))
    })?;
    for server in &servers {
        wait_for(LIMIT, "counts and log", || {
            let read = server.metric("weir_records_read_total", &["source=\"BOTH\""])?;
            let rejected = server.metric("weir_records_rejected_total", &["source=\"BOTH\""])?;
            ensure!(read == 2_040.0 && rejected == 40.0, "{read} were read, {rejected} rejected");
            let (_, entries) = server.pull("SELECT LOGGER FROM KSQL_PROCESSING_LOG;")?;
            Ok(ensure!(entries.len() == 40, "{} entries in the log", entries.len()))
        })?;
    }
    let [first, second] = servers;
    for (name, finished) in [("process 0", first.stop("INT")?), ("process 1", second.finish()?)] {
        ensure!(finished.status == Some(0), "{name}: status {:?}\n{}", finished.status, finished.stderr);
    }
    Ok(())
}

fn one_is_killed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [first, second] = two(&["demo", "--rate", "100"], folder.path())?;
    drop(second);
    let finished = first.finish()?;
    ensure!(finished.status == Some(1) && !finished.stderr.is_empty(), "{:?}: {}", finished.status, finished.stderr);
    Ok(())
}

fn one_never_comes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ports = free_ports(2)?;
    fs::write(folder.path().join("hosts"), format!("127.0.0.1:{}\n127.0.0.1:{}\n", ports[0], ports[1]))?;
    for process in ["0", "1"] {
        let args = ["demo", "--listen", "127.0.0.1:0", "--connect-listen", "127.0.0.1:0", "--processes", "2"];
        let run = Run::new(args)?.args(["--process", process, "--hosts", "hosts", "--meet-timeout", "1"]);
        let finished = run.folder(folder.path()).limit(Duration::from_secs(20)).finish()?;
        let other = 1 - process.parse::<usize>()?;
        let told = format!("process {other} (127.0.0.1:{}) did not come within 1 s", ports[other]);
        ensure!(finished.status == Some(1), "process {process} ended with {:?}", finished.status);
        ensure!(finished.stderr.contains(&told), "process {process} says {}", finished.stderr);
    }
    Ok(())
}

fn port_in_use() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    fs::write(folder.path().join("hosts"), format!("{address}\n127.0.0.1:{}\n", free_ports(1)?[0]))?;
    let args = ["demo", "--listen", "127.0.0.1:0", "--connect-listen", "127.0.0.1:0", "--processes", "2"];
    let finished = Run::new(args)?.args(["--hosts", "hosts"]).folder(folder.path()).finish()?;
    let told = format!("process 0 cannot listen on {address}");
    ensure!(
        finished.status == Some(1) && finished.stderr.contains(&told),
        "{:?}: {}",
        finished.status,
        finished.stderr
    );
    Ok(())
}

fn wrong_hosts_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let port = free_ports(1)?[0];
    let script = workspace().join("cluster/src/demo/clickstream.sql").display().to_string();
    let files = [
        ("short", format!("127.0.0.1:{port}\n")),
        ("long", format!("a:1\nb:2\nc:{port}\n")),
        ("twice", format!("127.0.0.1:{port}\n127.0.0.1:{port}\n")),
        ("wrong", format!("127.0.0.1:{port}\nnot a host\n")),
    ];
    for (name, text) in &files {
        fs::write(folder.path().join(name), text)?;
    }
    for name in files.iter().map(|f| f.0).chain(["absent"]) {
        for command in [&["demo"][..], &["run", &script]] {
            let run = Run::new(command)?.args(["--listen", "127.0.0.1:0", "--processes", "2", "--hosts", name]);
            let finished = run.folder(folder.path()).limit(Duration::from_secs(20)).finish()?;
            ensure!(matches!(finished.status, Some(1 | 2)), "'{name}' ended with {:?}", finished.status);
            ensure!(finished.stderr.contains(name), "the message does not name '{name}': {}", finished.stderr);
        }
    }
    Ok(())
}
