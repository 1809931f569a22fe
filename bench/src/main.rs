//! `weir-bench`: the load test. It drives weir from outside, measures it, and checks its answers in the same run.
//!
//! In the order of a test: what was asked for, the load, the views and what they must hold, the processes that run,
//! what they use, and what is told of it.
//!
//! Exit status: 0 done, 1 a run failed or an answer was wrong, 2 the command line is wrong.

mod args;
mod clicks;
mod kafka;
mod latency;
mod part;
mod pictures;
mod report;
mod run;
mod sample;
mod tables;
mod twin;

use args::Args;
use clap::Parser;
use report::Report;
use run::Ground;
use std::io::Write;
use std::process::ExitCode;

/// As in weir itself: what is measured is the same program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WEIR_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    weir_cluster::pages::prepare();
    let args = Args::parse();
    let runs = match args.runs() {
        Ok(runs) => runs,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "{message}");
            return ExitCode::from(2);
        }
    };
    match work(args, &runs) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True when all answers were right.
fn work(args: Args, runs: &[args::Run]) -> anyhow::Result<bool> {
    if let Some(file) = &args.part {
        return part::work(file).map(|()| true);
    }
    let mut ground = Ground::new(args.data, args.kafka)?;
    if args.only_data {
        return run::write_data(&runs[0].load, &ground.data).map(|()| true);
    }
    let mut reports = Vec::new();
    let mut out = std::io::stdout();
    for (number, run) in runs.iter().enumerate() {
        let (measured, wrong) = run::run(&mut ground, run, number)?;
        let report = Report::new(run, measured, wrong);
        report.print(&mut out)?;
        reports.push(report);
    }
    if let Some(folder) = &args.report {
        pictures::write(&reports, folder)?;
    }
    writeln!(out, "{}", report::json(&reports)?)?;
    Ok(reports.iter().all(|r| r.wrong.is_empty()))
}
