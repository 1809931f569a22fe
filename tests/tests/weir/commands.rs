//! The command line: 0 done, 1 the work failed, 2 the command line is wrong.

use crate::clicks::{Clickstream, Scale};
use crate::program::{Run, workspace};
use crate::server::free_ports;
use crate::turn;
use anyhow::{Context as _, Result, ensure};
use libtest_mimic::Trial;
use std::fs;

/// The tests.
pub(crate) fn trials() -> Vec<Trial> {
    vec![
        turn::shared("commands/help", help),
        turn::shared("commands/wrong-usage", wrong_usage),
        turn::shared("commands/missing-files", missing_files),
        turn::shared("commands/hosts-file", hosts_file),
        turn::shared("commands/check-shows-plans", check_shows_plans),
        turn::shared("commands/replay-starts-nothing-on-errors", replay_refuses_a_wrong_script),
        turn::shared("commands/generate-is-repeatable", generate_is_repeatable),
    ]
}

fn help() -> Result<()> {
    let finished = Run::new(["--help"])?.succeed()?;
    for command in ["demo", "run", "replay", "check", "test", "generate"] {
        ensure!(finished.stdout.contains(command), "the help does not name '{command}':\n{}", finished.stdout);
        let finished = Run::new([command, "--help"])?.succeed()?;
        ensure!(finished.stdout.lines().count() > 3, "'{command} --help' says too little:\n{}", finished.stdout);
    }
    let version = Run::new(["--version"])?.succeed()?.stdout;
    ensure!(version.trim() == format!("weir {}", env!("CARGO_PKG_VERSION")), "--version says '{version}'");
    Ok(())
}

fn wrong_usage() -> Result<()> {
    let script = clickstream();
    let wrong: [&[&str]; 9] = [
        &[],
        &["frobnicate"],
        &["replay"],
        &["check"],
        &["demo", "--no-such-flag"],
        &["replay", &script, "--topic", "no-equals-sign"],
        &["replay", &script, "--topic", "clickstream=x", "--workers", "0"],
        &["replay", &script, "--topic", "clickstream=x", "--workers", "many"],
        &["replay", &script, "--topic", "clickstream=x", "--processes", "2", "--process", "2"],
    ];
    for args in wrong {
        let finished = Run::new(args)?.finish()?;
        ensure!(finished.status == Some(2), "{args:?} ended with {:?}: {}", finished.status, finished.stderr);
        ensure!(!finished.stderr.trim().is_empty(), "{args:?} says nothing");
    }
    Ok(())
}

fn missing_files() -> Result<()> {
    let script = clickstream();
    let missing: [(&[&str], &str); 4] = [
        (&["check", "no-such-script.sql"], "no-such-script.sql"),
        (&["run", "no-such-script.sql", "--listen", "127.0.0.1:0"], "no-such-script.sql"),
        (&["replay", &script, "--topic", "clickstream=no-such-file.jsonl"], "no-such-file.jsonl"),
        (&["replay", &script, "--records", "clickstreams=no-such-file.jsonl"], "'clickstreams'"),
    ];
    for (args, name) in missing {
        let finished = Run::new(args)?.finish()?;
        ensure!(finished.status == Some(1), "{args:?} ended with {:?}: {}", finished.status, finished.stderr);
        ensure!(finished.stderr.contains(name), "{args:?} does not name '{name}': {}", finished.stderr);
    }
    Ok(())
}

fn hosts_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let port = free_ports(1)?[0];
    fs::write(folder.path().join("short"), format!("127.0.0.1:{port}\n"))?;
    fs::write(folder.path().join("wrong"), format!("127.0.0.1:{port}\nnot a host\n"))?;
    fs::write(folder.path().join("clicks"), "")?;
    for hosts in ["absent", "short", "wrong"] {
        let run = Run::new(["replay", &clickstream(), "--topic", "clickstream=clicks", "--hosts", hosts])?;
        let finished = run.args(["--processes", "2", "--process", "0"]).folder(folder.path()).finish()?;
        ensure!(matches!(finished.status, Some(1 | 2)), "'{hosts}' ended with {:?}", finished.status);
        ensure!(finished.stderr.contains(hosts), "the message does not name '{hosts}': {}", finished.stderr);
    }
    Ok(())
}

fn check_shows_plans() -> Result<()> {
    let finished = Run::new(["check", &clickstream()])?.succeed()?;
    for view in [
        "USER_CLICKSTREAM",
        "ENRICHED_ERROR_CODES",
        "EVENTS_PER_MIN",
        "PAGES_PER_MIN",
        "CLICK_USER_SESSIONS",
        "ERRORS_PER_MIN_ALERT",
        "ERRORS_PER_MIN",
        "ENRICHED_ERROR_CODES_COUNT",
        "USER_IP_ACTIVITY",
    ] {
        let named = finished.stdout.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == view);
        ensure!(named, "no plan of {view} in\n{}", finished.stdout);
    }
    Ok(())
}

fn replay_refuses_a_wrong_script() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = Clickstream::generate(Scale { clicks: 10, users: 4, addresses: 4, span: 1000 }, 1);
    let script = folder.path().join("wrong.sql");
    fs::write(&script, "CREATE STREAM s (a INT) WITH (kafka_topic='clickstream', value_format='json');\nSELEC 1;\n")?;
    let out = folder.path().join("out");
    let run = Run::new(["replay", &script.display().to_string(), "--out", &out.display().to_string()])?;
    let finished = run.args(data.write(folder.path())?).finish()?;
    ensure!(finished.status == Some(1), "ended with {:?}", finished.status);
    ensure!(finished.stderr.contains("wrong.sql:2:1"), "no place: {}", finished.stderr);
    ensure!(!out.exists() || fs::read_dir(&out)?.next().is_none(), "it wrote results all the same");
    Ok(())
}

fn generate_is_repeatable() -> Result<()> {
    let records = |seed: &str| -> Result<String> {
        Ok(Run::new(["generate", "clickstream", "--iterations", "50", "--seed", seed])?.succeed()?.stdout)
    };
    let first = records("1")?;
    ensure!(first.lines().count() == 50, "50 records, not {}", first.lines().count());
    for line in first.lines() {
        let value: serde_json::Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
        ensure!(value["status"].is_string() && value["userid"].is_i64(), "not as the demo's generator writes: {line}");
    }
    ensure!(first == records("1")?, "one seed gives two outputs");
    ensure!(first != records("2")?, "two seeds give one output");
    Ok(())
}

fn clickstream() -> String {
    workspace().join("cluster/src/demo/clickstream.sql").display().to_string()
}
