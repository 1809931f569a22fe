//! `weir demo`: everything in one process, as a newcomer meets it.

use crate::http;
use crate::program::{Run, wait_for};
use crate::server::{Server, free_ports};
use crate::turn;
use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

const VIEWS: [&str; 9] = [
    "USER_CLICKSTREAM",
    "ENRICHED_ERROR_CODES",
    "EVENTS_PER_MIN",
    "PAGES_PER_MIN",
    "CLICK_USER_SESSIONS",
    "ERRORS_PER_MIN_ALERT",
    "ERRORS_PER_MIN",
    "ENRICHED_ERROR_CODES_COUNT",
    "USER_IP_ACTIVITY",
];

/// The tests.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        turn::alone("demo/first-answer-and-all-views", first_answer_and_all_views),
        turn::shared("demo/connectors-pause-and-resume", connectors_pause_and_resume),
        turn::shared("demo/push-queries", push_queries),
        turn::shared("demo/statements-while-data-flows", statements_while_data_flows),
        turn::shared("demo/sigterm", sigterm),
        turn::shared("demo/port-of-the-systems-choice", port_of_the_systems_choice),
        turn::shared("demo/port-in-use", port_in_use),
        turn::shared("demo/port-for-connectors-in-use", port_for_connectors_in_use),
        turn::shared("demo/live-line-and-ctrl-c", live_line_and_ctrl_c),
    ]
}

fn demo(more: &[&str]) -> Result<Server> {
    let args: Vec<String> = ["demo"].iter().chain(more).map(|&a| a.to_owned()).collect();
    Server::start(&args, Path::new("."))
}

fn first_answer_and_all_views() -> Result<()> {
    let started = Instant::now();
    let mut server = Server::start_unready(&["demo".to_owned()], Path::new("."))?;
    server.wait_until_it_answers(Duration::from_secs(5))?;
    wait_for(Duration::from_secs(5).saturating_sub(started.elapsed()), "rows of EVENTS_PER_MIN", || {
        let rows = server.rows("SELECT * FROM EVENTS_PER_MIN;")?;
        ensure!(!rows.is_empty(), "no rows yet");
        Ok(())
    })?;
    wait_for(Duration::from_secs(70).saturating_sub(started.elapsed()), "rows of all nine views", || {
        for view in VIEWS {
            ensure!(!server.rows(&format!("SELECT * FROM {view} LIMIT 3;"))?.is_empty(), "{view} has no rows");
        }
        Ok(())
    })?;

    let (schema, rows) = server.pull("SELECT * FROM EVENTS_PER_MIN LIMIT 2;")?;
    let columns = "`K1` INTEGER KEY, `WINDOWSTART` BIGINT KEY, `WINDOWEND` BIGINT KEY, `USERID` INTEGER, `EVENT_TS` BIGINT, `EVENTS` BIGINT";
    ensure!(schema == columns, "the header says {schema}");
    ensure!(rows.len() == 2, "LIMIT 2 gives {} rows", rows.len());
    for row in &rows {
        ensure!(row[0] == row[3] && row[1] == row[4], "key copies differ from their keys: {row:?}");
        let size = row[2].as_i64().zip(row[1].as_i64()).map(|(end, start)| end - start);
        ensure!(size == Some(60_000), "the window is not a minute: {row:?}");
    }
    let one = format!("SELECT * FROM EVENTS_PER_MIN WHERE K1 = {} AND WINDOWSTART = {};", rows[0][0], rows[0][1]);
    ensure!(server.rows(&one)?.len() == 1, "one key and window, one row");

    let shown = server.ksql("SHOW CONNECTORS;")?;
    let listed = shown[0]["connectors"].as_array().context("SHOW CONNECTORS lists none")?;
    let mut names: Vec<&str> = listed.iter().filter_map(|c| c["name"].as_str()).collect();
    names.sort_unstable();
    ensure!(
        names == ["DATAGEN_CLICKSTREAM", "DATAGEN_CLICKSTREAM_CODES", "DATAGEN_CLICKSTREAM_USERS"],
        "SHOW CONNECTORS lists {names:?}"
    );

    let health = http::get(&format!("{}/healthcheck", server.url))?.ok()?;
    ensure!(health["isHealthy"] == true, "not healthy: {health}");
    ensure!(server.metric("weir_records_read_total", &["CLICKSTREAM"])? > 100.0, "few records read");
    let finished = server.stop("INT")?;
    ensure!(finished.status == Some(0), "SIGINT: status {:?}\n{}", finished.status, finished.stderr);
    Ok(())
}

fn connectors_pause_and_resume() -> Result<()> {
    let server = demo(&["--rate", "200"])?;
    for base in [&server.url, &server.connect] {
        let names = http::get(&format!("{base}/connectors"))?.ok()?;
        ensure!(names.as_array().is_some_and(|a| a.len() == 3), "three connectors, not {names}");
    }
    let connector = format!("{}/connectors/DATAGEN_CLICKSTREAM", server.connect);
    let state = || -> Result<Value> {
        let status = http::get(&format!("{connector}/status"))?.ok()?;
        Ok(status["connector"]["state"].clone())
    };
    let read = || server.metric("weir_records_read_total", &["source=\"CLICKSTREAM\""]);
    wait_for(Duration::from_secs(20), "clicks", || Ok(ensure!(read()? > 0.0, "none")))?;
    ensure!(state()? == "RUNNING", "it runs, and says {}", state()?);

    let paused = http::put(&format!("{connector}/pause"))?;
    ensure!(paused.status == 202, "pause: status {}", paused.status);
    wait_for(Duration::from_secs(5), "PAUSED", || Ok(ensure!(state()? == "PAUSED", "{}", state()?)))?;
    std::thread::sleep(Duration::from_millis(500));
    let before = read()?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(read()? == before, "clicks come while their connector is paused");

    let resumed = http::put(&format!("{connector}/resume"))?;
    ensure!(resumed.status == 202, "resume: status {}", resumed.status);
    wait_for(Duration::from_secs(10), "clicks after resume", || Ok(ensure!(read()? > before, "none")))?;

    let absent = http::get(&format!("{}/connectors/NO_SUCH/status", server.connect))?;
    ensure!(absent.status == 404, "an unknown connector: status {}", absent.status);
    let deleted = http::delete(&connector)?;
    ensure!(deleted.status == 204, "delete: status {}", deleted.status);
    let names = http::get(&format!("{}/connectors", server.connect))?.ok()?;
    ensure!(names.as_array().is_some_and(|a| a.len() == 2), "two are left, not {names}");
    Ok(())
}

fn push_queries() -> Result<()> {
    let server = demo(&["--rate", "200"])?;
    let limit = Duration::from_secs(20);
    let mut table = server.push("SELECT * FROM EVENTS_PER_MIN EMIT CHANGES LIMIT 20;", true)?;
    let header = table.next(limit)?.context("no header")?;
    ensure!(header.contains("\"schema\""), "the first line is no header: {header}");
    let mut rows = 0;
    let last = loop {
        let line = table.next(limit)?.context("it ended without a word")?;
        if !line.contains("\"row\"") {
            break line;
        }
        rows += 1;
    };
    ensure!(rows == 20 && last.contains("Limit Reached"), "{rows} rows, then {last}");

    let text = "SELECT USERID, STATUS FROM CLICKSTREAM WHERE STATUS > 400 EMIT CHANGES;";
    let mut stream = server.push(text, false)?;
    stream.next(limit)?;
    for _ in 0..10 {
        let line = stream.next(limit)?.context("the stream ended")?;
        let part: Value = serde_json::from_str(line.trim_end_matches(','))?;
        let columns = part["row"]["columns"].as_array().with_context(|| format!("no row: {line}"))?;
        ensure!(columns.len() == 2 && columns[1].as_i64() > Some(400), "the filter let through {line}");
    }
    drop(stream);
    let body = json!({"sql": "SELECT * FROM CLICKSTREAM EMIT CHANGES LIMIT 2;", "properties": {}});
    let mut lines = http::Lines::post(&format!("{}/query-stream", server.url), &body)?;
    let header: Value = serde_json::from_str(&lines.next(limit)?.context("no header")?)?;
    ensure!(header["columnNames"].as_array().is_some_and(|c| c.len() == 8), "eight columns, not {header}");
    for _ in 0..2 {
        let row: Value = serde_json::from_str(&lines.next(limit)?.context("no row")?)?;
        ensure!(row.as_array().is_some_and(|r| r.len() == 8), "not a row of eight: {row}");
    }
    Ok(())
}

fn statements_while_data_flows() -> Result<()> {
    let server = demo(&["--rate", "200"])?;
    let made = server.ksql(
        "CREATE TABLE per_status AS SELECT status, COUNT(*) AS n FROM clickstream GROUP BY status EMIT CHANGES;",
    )?;
    ensure!(made[0]["commandStatus"]["status"] == "SUCCESS", "{}", made[0]);
    wait_for(Duration::from_secs(20), "rows of the new table", || {
        Ok(ensure!(server.rows("SELECT * FROM PER_STATUS;")?.len() == 6, "not all six statuses"))
    })?;
    let url = format!("{}/ksql", server.url);
    let used = http::post(&url, &json!({"ksql": "DROP STREAM clickstream;"}))?;
    ensure!(used.status == 400 && used.body.contains("Cannot drop CLICKSTREAM"), "{}: {}", used.status, used.body);
    let wrong = http::post(&url, &json!({"ksql": "CREATE TABLE t AS SELECT nope FROM clickstream;"}))?;
    ensure!(wrong.status == 400 && wrong.json()?["error_code"] == 40_001, "{}: {}", wrong.status, wrong.body);
    server.ksql("DROP TABLE per_status;")?;
    let gone = http::post(&format!("{}/query", server.url), &json!({"ksql": "SELECT * FROM PER_STATUS;"}))?;
    ensure!(gone.status == 400, "a dropped table answers with {}", gone.status);
    let shown = server.ksql("SHOW TABLES; SHOW STREAMS; SHOW QUERIES; SHOW TOPICS; DESCRIBE EVENTS_PER_MIN;")?;
    ensure!(shown.len() == 5, "five statements, {} entities", shown.len());
    Ok(())
}

fn sigterm() -> Result<()> {
    let finished = demo(&[])?.stop("TERM")?;
    ensure!(finished.status == Some(0), "SIGTERM: status {:?}\n{}", finished.status, finished.stderr);
    Ok(())
}

fn port_of_the_systems_choice() -> Result<()> {
    let run = Run::new(["demo", "--listen", "127.0.0.1:0", "--connect-listen", "127.0.0.1:0"])?.start()?;
    let address = wait_for(Duration::from_secs(20), "the line 'listening on'", || {
        let stdout = run.stdout();
        let line = stdout.lines().find_map(|l| Some(l.split_once("listening on ")?.1.trim().to_owned()));
        line.with_context(|| format!("it printed '{stdout}'"))
    })?;
    let info = wait_for(Duration::from_secs(20), "an answer", || http::get(&format!("{address}/info"))?.ok())?;
    ensure!(info["KsqlServerInfo"]["serverStatus"] == "RUNNING", "{info}");
    Ok(())
}

fn port_in_use() -> Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let other = format!("127.0.0.1:{}", free_ports(1)?[0]);
    for (listen, connect) in [(&address, &other), (&other, &address)] {
        let finished = Run::new(["demo", "--listen", listen, "--connect-listen", connect])?.finish()?;
        ensure!(finished.status == Some(1), "ended with {:?}\n{}", finished.status, finished.stderr);
        ensure!(finished.stderr.contains(&address), "the message does not name {address}: {}", finished.stderr);
    }
    Ok(())
}

/// The port that scripts expect connectors at is a service, not a condition.
fn port_for_connectors_in_use() -> Result<()> {
    // When it cannot be taken here, somebody else has it, and that is as good.
    let _taken = TcpListener::bind("127.0.0.1:8083");
    let run = Run::new(["demo", "--listen", "127.0.0.1:0"])?.start()?;
    let stdout = wait_for(Duration::from_secs(20), "the tour", || {
        let stdout = run.stdout();
        ensure!(stdout.contains("Ctrl-C"), "it printed '{stdout}'");
        Ok(stdout)
    })?;
    ensure!(stdout.contains("127.0.0.1:8083 is taken"), "it does not say that the port is taken: {stdout}");
    run.signal("INT")?;
    let finished = run.finish()?;
    ensure!(finished.status == Some(0), "SIGINT: status {:?}\n{}", finished.status, finished.stderr);
    Ok(())
}

fn live_line_and_ctrl_c() -> Result<()> {
    let args = ["demo", "--rate", "200", "--listen", "127.0.0.1:0", "--connect-listen", "127.0.0.1:0"];
    let mut run = Run::on_terminal(&args)?.start()?;
    wait_for(Duration::from_secs(30), "a line that is written again and again", || {
        let stdout = run.stdout();
        // Each begins at the start of the terminal's line, which it clears.
        let lines: Vec<&str> = stdout.split("\r\x1b[K").skip(1).collect();
        let tables = VIEWS[2..].iter().map(|view| view.to_lowercase()).collect::<Vec<_>>();
        let all = |line: &str| line.contains(" records/s") && tables.iter().all(|t| line.contains(&format!("  {t} ")));
        let shown = lines.iter().filter(|line| all(line)).count();
        let moving =
            lines.iter().any(|line| line.split(' ').next().is_some_and(|n| n.parse().is_ok_and(|n: u64| n > 0)));
        ensure!(shown > 1 && moving, "it printed '{stdout}'");
        Ok(())
    })?;
    run.type_in(b"\x03")?;
    let finished = run.finish()?;
    ensure!(finished.status == Some(0), "Ctrl-C: status {:?}\n{}", finished.status, finished.stdout);
    Ok(())
}
