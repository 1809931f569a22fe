//! The load test tests itself: small loads in each way, with answers that are checked.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::Command;

/// The JSON of the last line of a run that must be right.
fn bench(args: &str) -> Result<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_weir-bench")).args(args.split_whitespace()).output()?;
    let (out, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "weir-bench {args}:\n{out}{told}");
    Ok(serde_json::from_str(out.lines().last().context("it prints nothing")?)?)
}

#[test]
fn files_are_read_by_workers_and_processes_to_the_same_answers() -> Result<()> {
    let data = tempfile::tempdir()?;
    let pictures = data.path().join("pictures");
    let last = bench(&format!(
        "--clicks 20000 --users 500 --ips 90 --skew 0.9 --views 15 --retention 300 --changes --workers 1,2 --processes 1,2 \
         --event-rate 20 --data {} --report {}",
        data.path().display(),
        pictures.display(),
    ))?;
    let runs = last["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4);
    for run in runs {
        assert_eq!(run["checked"], true);
        assert!(run["changes"].as_u64().unwrap() > 0 && run["clicks_per_cpu_s"].as_u64().unwrap() > 0, "{run}");
        let between = run["exchanged_bytes_per_click"].as_f64().unwrap();
        assert_eq!(between > 0.0, run["run"]["processes"] == 2, "{run}");
    }
    for picture in ["throughput.svg", "scaling.svg"] {
        assert!(std::fs::read_to_string(pictures.join(picture)).unwrap().starts_with("<svg"));
    }
    Ok(())
}

#[test]
fn clicks_at_a_rate_tell_freshness_and_queries() -> Result<()> {
    for shape in ["--workers 1", "--workers 1 --processes 2 --changes"] {
        let last = bench(&format!("--rate 5000 --clicks 10000 --warm-up 0.5 --epoch-ms 20 --peeks 50 {shape}"))?;
        let run = &last["runs"][0];
        assert_eq!(run["checked"], true);
        for latency in ["freshness_ms", "peek_ms"] {
            let (p50, max) = (run[latency]["p50"].as_f64().unwrap(), run[latency]["max"].as_f64().unwrap());
            assert!(0.0 < p50 && p50 <= max, "{run}");
        }
    }
    Ok(())
}

#[test]
fn a_wrong_command_line_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_weir-bench")).args(["--workers", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "--workers must be at least 1\n");
}
