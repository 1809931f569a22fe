//! Statements and queries over HTTP, as ksqlDB's clients send them.

use crate::http;
use crate::program::wait_for;
use crate::server::Server;
use crate::turn;
use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// The tests.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        turn::shared("rest/pause-resume-terminate", pause_resume_terminate),
        turn::shared("rest/made-again", made_again),
        turn::shared("rest/refusals", refusals),
        turn::shared("rest/windows-by-text", windows_by_text),
        turn::shared("rest/every-change", every_change),
        turn::shared("rest/source-tables", source_tables),
        turn::shared("rest/windowed-keys", windowed_keys),
        turn::shared("rest/small-resources", small_resources),
        turn::shared("rest/inserts-stream", inserts_stream),
    ]
}

fn start(more: &[&str]) -> Result<Server> {
    let args = ["run", "--offset-reset", "earliest", "--epoch-ms", "5"];
    let args: Vec<String> = args.iter().chain(more).map(|&a| a.to_owned()).collect();
    Server::start(&args, Path::new("."))
}

/// Waits until a pull query has these rows.
fn rows_are(server: &Server, query: &str, expected: &[&str]) -> Result<()> {
    wait_for(PATIENCE, query, || {
        let rows = server.rows(query)?;
        Ok(ensure!(rows == expected, "{rows:?}"))
    })
}

/// `POST /ksql` that is refused: the status and the body.
fn refused(server: &Server, text: &str) -> Result<(u16, Value)> {
    let answer = http::post(&format!("{}/ksql", server.url), &json!({"ksql": text}))?;
    Ok((answer.status, answer.json()?))
}

fn pause_resume_terminate() -> Result<()> {
    let server = start(&[])?;
    let made = server.ksql(
        "CREATE STREAM parcels (depot STRING, weight INT) WITH (KAFKA_TOPIC='parcels', VALUE_FORMAT='JSON', PARTITIONS=1);
         CREATE TABLE heavy AS SELECT depot, SUM(weight) AS w FROM parcels GROUP BY depot;
         CREATE TABLE many AS SELECT depot, COUNT(*) AS n FROM parcels GROUP BY depot;",
    )?;
    let id = made[1]["commandStatus"]["queryId"].as_str().context("no query id")?.to_owned();
    let insert = |weight: i32| server.ksql(&format!("INSERT INTO parcels (depot, weight) VALUES ('north', {weight});"));
    insert(3)?;
    rows_are(&server, "SELECT * FROM heavy;", &[r#"["north",3]"#])?;

    let paused = server.ksql(&format!("PAUSE {id};"))?;
    ensure!(paused[0]["commandStatus"]["message"] == "Query paused.", "{}", paused[0]);
    let states = || -> Result<Value> {
        let shown = server.ksql("SHOW QUERIES;")?;
        let queries = shown[0]["queries"].as_array().cloned().unwrap_or_default();
        Ok(queries.iter().map(|q| json!([q["sinks"][0], q["state"]])).collect())
    };
    ensure!(states()? == json!([["HEAVY", "PAUSED"], ["MANY", "RUNNING"]]), "{}", states()?);
    insert(4)?;
    insert(5)?;
    rows_are(&server, "SELECT * FROM many;", &[r#"["north",3]"#])?;
    ensure!(server.rows("SELECT * FROM heavy;")? == [r#"["north",3]"#], "a paused query goes on");

    let status = http::get(&format!("{}/status/pause/{id}/execute", server.url))?.ok()?;
    ensure!(status["status"] == "SUCCESS" && status["message"] == "Query paused.", "{status}");
    server.ksql("RESUME ALL;")?;
    rows_are(&server, "SELECT * FROM heavy;", &[r#"["north",12]"#])?;
    ensure!(states()? == json!([["HEAVY", "RUNNING"], ["MANY", "RUNNING"]]), "{}", states()?);

    let ended = server.ksql(&format!("TERMINATE {id};"))?;
    ensure!(ended[0]["commandId"] == format!("terminate/{id}/execute"), "{}", ended[0]);
    ensure!(states()? == json!([["MANY", "RUNNING"]]), "{}", states()?);
    for verb in ["PAUSE", "RESUME", "TERMINATE"] {
        let (status, body) = refused(&server, &format!("{verb} {id};"))?;
        ensure!(status == 400 && body["message"] == format!("Unknown queryId: {id}"), "{status} {body}");
    }
    Ok(())
}

/// A table that ends and is made again while it is asked for, on two workers: it is there or not, and its counts never go back.
fn made_again() -> Result<()> {
    let server = start(&["--workers", "2"])?;
    let table = "CREATE TABLE passed AS SELECT gate, COUNT(*) AS n FROM cars GROUP BY gate;";
    server.ksql("CREATE STREAM cars (gate STRING) WITH (KAFKA_TOPIC='cars', VALUE_FORMAT='JSON', PARTITIONS=2);")?;
    let gates = ["a", "b", "c", "d"];
    let counts = || -> Result<Vec<i64>> {
        let (_, rows) = server.pull("SELECT * FROM passed;")?;
        Ok(gates
            .iter()
            .map(|gate| rows.iter().find(|r| r[0] == *gate).and_then(|r| r[1].as_i64()).unwrap_or(0))
            .collect())
    };
    let mut all = 0;
    for _ in 0..3 {
        let made = server.ksql(table)?;
        let id = made[0]["commandStatus"]["queryId"].as_str().context("no query id")?.to_owned();
        let mut seen = vec![0; gates.len()];
        for number in 0..20 {
            server.ksql(&format!("INSERT INTO cars (gate) VALUES ('{}');", gates[number % gates.len()]))?;
            all += 1;
            let now = counts()?;
            ensure!(now.iter().zip(&seen).all(|(now, seen)| now >= seen), "{now:?} after {seen:?}");
            ensure!(now.iter().sum::<i64>() <= all, "{now:?} of {all}");
            seen = now;
        }
        wait_for(PATIENCE, "all cars", || Ok(ensure!(counts()?.iter().sum::<i64>() == all)))?;
        server.ksql(&format!("TERMINATE {id};"))?;
        ensure!(server.pull("SELECT * FROM passed;").is_err(), "a table that has ended is kept");
        server.ksql("DROP TABLE passed;")?;
    }
    Ok(())
}

fn refusals() -> Result<()> {
    let server = start(&[])?;
    // The first statement is done before the second turns out to be impossible at that moment.
    server.ksql("CREATE STREAM a (x INT) WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON', PARTITIONS=2);")?;
    let (status, body) = refused(
        &server,
        "CREATE STREAM b (x INT) WITH (KAFKA_TOPIC='b', VALUE_FORMAT='JSON', PARTITIONS=1);
         CREATE STREAM c (x INT) WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON', PARTITIONS=3);",
    )?;
    ensure!(status == 400 && body["@type"] == "statement_error" && body["error_code"] == 40001, "{status} {body}");
    ensure!(body["entities"][0]["commandStatus"]["message"] == "Stream created", "{body}");
    ensure!(body["statementText"].as_str().is_some_and(|s| s.starts_with("CREATE STREAM c")), "{body}");

    let (status, body) = refused(&server, "SELECT * FROM a EMIT CHANGES;")?;
    ensure!(status == 400 && body["error_code"] == 40002, "{status} {body}");
    // Nothing of a request is done that asks a query there.
    let (status, body) = refused(&server, "DROP STREAM a; SELECT * FROM nowhere;")?;
    ensure!(status == 400 && body["error_code"] == 40002 && body["entities"] == json!([]), "{status} {body}");
    ensure!(server.rows("SELECT * FROM a;")?.is_empty(), "a is still there");
    // SET holds for its own request only.
    server.ksql("SET 'auto.offset.reset' = 'latest'; SHOW STREAMS;")?;
    let shown = server.ksql("SHOW PROPERTIES;")?;
    let properties = shown[0]["properties"].as_array().cloned().unwrap_or_default();
    let reset = properties.iter().find(|p| p["name"].as_str().is_some_and(|n| n.ends_with("auto.offset.reset")));
    ensure!(reset.is_some_and(|p| p["value"] != "latest"), "{reset:?}");
    let answer = http::post(
        &format!("{}/ksql", server.url),
        &json!({"ksql": "SHOW STREAMS;", "streamsProperties": {"no.such": 1}}),
    )?;
    ensure!(answer.status == 400 && answer.json()?["@type"] == "generic_error", "{}", answer.body);
    let answer = http::post(&format!("{}/query", server.url), &json!({"ksql": "SELECT * FROM nowhere;"}))?;
    ensure!(answer.status == 400 && answer.json()?["@type"] == "statement_error", "{}", answer.body);
    let off = json!({"ksql": "SELECT * FROM a;", "streamsProperties": {"ksql.query.pull.stream.enabled": false}});
    let answer = http::post(&format!("{}/query", server.url), &off)?;
    ensure!(answer.body.contains("Pull queries on streams are disabled."), "{}", answer.body);
    let answer = http::post(&format!("{}/query", server.url), &json!({"ksql": "SELECT * FROM nowhere EMIT CHANGES;"}))?;
    ensure!(answer.status == 400 && answer.json()?["@type"] == "generic_error", "{}", answer.body);
    Ok(())
}

fn windows_by_text() -> Result<()> {
    let server = start(&[])?;
    server.ksql(
        "CREATE STREAM visits (door STRING KEY, n INT) WITH (KAFKA_TOPIC='visits', VALUE_FORMAT='JSON', PARTITIONS=1);
         CREATE TABLE hourly AS SELECT door, COUNT(*) AS c FROM visits WINDOW TUMBLING (SIZE 1 HOUR) GROUP BY door;",
    )?;
    // 10:30, 08:10 and 09:59 of 2021-03-04, out of order.
    for time in [1_614_853_800_000_i64, 1_614_845_400_000, 1_614_851_940_000] {
        server.ksql(&format!("INSERT INTO visits (ROWTIME, door, n) VALUES ({time}, 'east', 1);"))?;
    }
    let (ten, eight) = (1_614_852_000_000_i64, 1_614_844_800_000_i64);
    let hour = 3_600_000;
    wait_for(PATIENCE, "three windows", || {
        let (schema, rows) = server.pull("SELECT * FROM hourly WHERE door = 'east';")?;
        ensure!(
            schema == "`DOOR` STRING KEY, `WINDOWSTART` BIGINT KEY, `WINDOWEND` BIGINT KEY, `C` BIGINT",
            "{schema}"
        );
        let starts: Vec<i64> = rows.iter().filter_map(|r| r[1].as_i64()).collect();
        Ok(ensure!(starts == [eight, eight + hour, ten], "windows of a key ascend: {starts:?}"))
    })?;
    let count = |condition: &str| -> Result<usize> {
        Ok(server.rows(&format!("SELECT c FROM hourly WHERE door = 'east' AND {condition};"))?.len())
    };
    ensure!(count("WINDOWSTART >= '2021-03-04T09:00'")? == 2, "from nine on");
    ensure!(count("WINDOWSTART < '2021-03-04T09:00:00+0100'")? == 0, "before eight, said in another zone");
    ensure!(count("WINDOWEND <= '2021-03-04T10'")? == 2, "until ten");
    ensure!(count("WINDOWSTART > '2021-03-05'")? == 0, "the next day");
    let (_, rows) = server.pull(&format!("SELECT ROWTIME FROM hourly WHERE WINDOWSTART = {ten};"))?;
    ensure!(rows == [[json!(1_614_853_800_000_i64)]], "ROWTIME is the last record's: {rows:?}");
    Ok(())
}

fn every_change() -> Result<()> {
    let server = start(&["--every-change"])?;
    server.ksql(
        "CREATE STREAM moves (account STRING KEY, amount INT) WITH (KAFKA_TOPIC='moves', VALUE_FORMAT='JSON', PARTITIONS=1);
         CREATE TABLE rich AS SELECT account, SUM(amount) AS total FROM moves GROUP BY account HAVING SUM(amount) > 10;
         INSERT INTO moves VALUES ('ann', 11);
         INSERT INTO moves VALUES ('ann', -5);
         INSERT INTO moves VALUES ('ann', 1);
         INSERT INTO moves VALUES ('ann', 20);",
    )?;
    rows_are(&server, "SELECT * FROM rich;", &[r#"["ann",27]"#])?;
    // Who asks afterwards sees how it came to be, and a row that went as a tombstone.
    let mut lines = server.push("SELECT account, total FROM rich EMIT CHANGES LIMIT 3;", true)?;
    let mut items = Vec::new();
    while let Some(line) = lines.next(PATIENCE)? {
        items.push(line);
    }
    let expected = [
        r#"{"row":{"columns":["ann",11]}},"#,
        r#"{"row":{"columns":["ann",null],"tombstone":true}},"#,
        r#"{"row":{"columns":["ann",27]}},"#,
        r#"{"finalMessage":"Limit Reached"}]"#,
    ];
    ensure!(items[1..] == expected, "{items:#?}");

    let mut lines = server.push("SELECT * FROM moves EMIT CHANGES;", true)?;
    let header = lines.next(PATIENCE)?.context("no header")?;
    let header: Value = serde_json::from_str(header.trim_start_matches('[').trim_end_matches(','))?;
    let close = json!({"queryId": header["header"]["queryId"]});
    for _ in 0..4 {
        lines.next(PATIENCE)?.context("a row is missing")?;
    }
    let closed = http::post(&format!("{}/close-query", server.url), &close)?;
    ensure!(closed.status == 200, "close-query: {} {}", closed.status, closed.body);
    let last = lines.next(PATIENCE)?;
    ensure!(last.as_deref() == Some(r#"{"finalMessage":"Query Completed"}]"#), "{last:?}");
    let again = wait_for(PATIENCE, "the query's end", || {
        let answer = http::post(&format!("{}/close-query", server.url), &close)?;
        ensure!(answer.status == 400, "{}", answer.status);
        answer.json()
    })?;
    ensure!(again["message"].as_str().is_some_and(|m| m.starts_with("No query with id")), "{again}");
    Ok(())
}

fn source_tables() -> Result<()> {
    let server = start(&[])?;
    server.ksql(
        "CREATE TABLE filler (id INT PRIMARY KEY, name STRING) WITH (KAFKA_TOPIC='people', VALUE_FORMAT='JSON', PARTITIONS=1);
         CREATE SOURCE TABLE people (id INT PRIMARY KEY, name STRING) WITH (KAFKA_TOPIC='people', VALUE_FORMAT='JSON');
         INSERT INTO filler VALUES (1, 'ada');
         INSERT INTO filler VALUES (2, 'bob');
         INSERT INTO filler VALUES (1, 'eve');",
    )?;
    rows_are(&server, "SELECT * FROM people;", &[r#"[1,"eve"]"#, r#"[2,"bob"]"#])?;
    rows_are(&server, "SELECT name FROM people WHERE id = 2;", &[r#"["bob"]"#])?;
    // Where a stream's record lies can be asked for while it is pushed, not when it is pulled.
    server.ksql("CREATE STREAM log (id INT KEY, name STRING) WITH (KAFKA_TOPIC='people', VALUE_FORMAT='JSON');")?;
    let mut lines = server.push("SELECT ROWPARTITION AS p, ROWOFFSET AS o, id FROM log EMIT CHANGES LIMIT 3;", true)?;
    lines.next(PATIENCE)?.context("no header")?;
    for expected in ["[0,0,1]", "[0,1,2]", "[0,2,1]"] {
        let line = lines.next(PATIENCE)?.unwrap_or_default();
        ensure!(line.contains(expected), "{expected}: {line}");
    }
    let answer = http::post(&format!("{}/query", server.url), &json!({"ksql": "SELECT ROWOFFSET FROM log;"}))?;
    ensure!(answer.status == 400 && answer.body.contains("ROWOFFSET"), "{}", answer.body);
    Ok(())
}

/// Keys that end in the bounds of a window, as Kafka Streams writes them.
fn windowed_keys() -> Result<()> {
    let server = start(&[])?;
    let with = "KAFKA_TOPIC='counts', VALUE_FORMAT='JSON'";
    server.ksql(&format!(
        "CREATE STREAM raw (k BYTES KEY, n INT) WITH ({with}, PARTITIONS=1);
         CREATE STREAM counts (k STRING KEY, n INT) WITH ({with}, WINDOW_TYPE='TUMBLING', WINDOW_SIZE='1 MINUTE');
         CREATE SOURCE TABLE latest (k STRING PRIMARY KEY, n INT)
             WITH ({with}, WINDOW_TYPE='TUMBLING', WINDOW_SIZE='1 MINUTE');"
    ))?;
    // 'a' and a start: 60,000 twice, then 120,000.
    for (start, n) in [("000000000000EA60", 1), ("000000000000EA60", 2), ("000000000001D4C0", 3)] {
        server.ksql(&format!("INSERT INTO raw VALUES (TO_BYTES('61{start}', 'hex'), {n});"))?;
    }
    let first = r#"["a",60000,120000,1]"#;
    let rest = [r#"["a",60000,120000,2]"#, r#"["a",120000,180000,3]"#];
    rows_are(&server, "SELECT * FROM counts;", &[rest[1], first, rest[0]])?;
    rows_are(&server, "SELECT * FROM latest;", &[rest[1], rest[0]])?;
    rows_are(&server, "SELECT n FROM latest WHERE k = 'a' AND WINDOWEND = 120000;", &["[2]"])?;
    let mut lines = server.push("SELECT * FROM latest WHERE WINDOWSTART >= 120000 EMIT CHANGES LIMIT 1;", true)?;
    let header = lines.next(PATIENCE)?.unwrap_or_default();
    ensure!(header.contains("`K` STRING, `WINDOWSTART` BIGINT, `WINDOWEND` BIGINT, `N` INTEGER"), "{header}");
    let row = lines.next(PATIENCE)?.unwrap_or_default();
    ensure!(row.contains(rest[1]), "{row}");
    Ok(())
}

fn small_resources() -> Result<()> {
    let server = start(&[])?;
    let get = |path: &str| http::get(&format!("{}{path}", server.url));
    ensure!(get("/")?.ok()?["KsqlServerInfo"]["serverStatus"] == "RUNNING", "GET / leads to /info");
    ensure!(get("/is_valid_property/auto.offset.reset")?.ok()? == true, "a property that may be set");
    for name in ["no.such.property", "bootstrap.servers"] {
        let answer = get(&format!("/is_valid_property/{name}"))?;
        ensure!(answer.status == 400 && answer.json()?["error_code"] == 40000, "{name}: {}", answer.body);
    }
    let cluster = get("/clusterStatus")?.ok()?;
    let hosts = cluster["clusterStatus"].as_object().context("no hosts")?;
    ensure!(hosts.values().all(|h| h["hostAlive"] == true) && hosts.len() == 1, "{cluster}");
    server.ksql("CREATE STREAM s (x INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);")?;
    let status = get("/status/stream/S/create")?.ok()?;
    ensure!(status["status"] == "SUCCESS" && status["message"] == "Stream created", "{status}");
    ensure!(get("/status/stream/T/create")?.status == 404, "a statement that never was");
    server.ksql("DROP STREAM s;")?;
    ensure!(get("/status/stream/S/drop")?.ok()?["status"] == "SUCCESS", "DROP has a status");
    ensure!(get("/ksql")?.status == 405 && get("/nothing")?.status == 404, "wrong method, wrong path");
    Ok(())
}

fn inserts_stream() -> Result<()> {
    let server = start(&[])?;
    server.ksql("CREATE STREAM readings (probe STRING KEY, v DOUBLE) WITH (KAFKA_TOPIC='readings', VALUE_FORMAT='JSON', PARTITIONS=1);")?;
    let send = |body: &str| http::post_text(&format!("{}/inserts-stream", server.url), body);
    let sent = send("{\"target\":\"READINGS\"}\n{\"probe\":\"p\",\"v\":1.5}\n{\"PROBE\":\"q\"}\n")?;
    let acks: Vec<Value> = sent.body.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(acks == [json!({"status": "ok", "seq": 0}), json!({"status": "ok", "seq": 1})], "{}", sent.body);
    rows_are(&server, "SELECT * FROM readings;", &[r#"["p",1.5]"#, r#"["q",null]"#])?;
    let wrong = send("{\"target\":\"readings\"}\n{\"v\":true}\n{\"v\":2}\n")?;
    let acks: Vec<Value> = wrong.body.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(acks.len() == 1 && acks[0]["status"] == "error" && acks[0]["error_code"] == 40000, "{}", wrong.body);
    let unknown = send("{\"target\":\"nothing\"}\n")?;
    ensure!(unknown.status == 400, "an unknown target: {} {}", unknown.status, unknown.body);
    Ok(())
}
