//! `weir test`: ksqlDB's query-validation cases, or a user's own in the same form.
//!
//! ```text
//! file ─case, public─▶ cases ─selection─▶ jobs ─┬─ qtt   records through the engine ─┬─▶ report
//!                                               └─ rest  statements over HTTP ───────┘
//! ```
//!
//! Every case has a worker or server of its own, so cases run side by side and none sees another.

mod answers;
pub mod case;
pub mod compare;
mod feed;
pub mod qtt;
pub mod public;
mod records;
pub mod report;
mod rest;

use crate::args::TestArgs;
use crate::config::ConfigError;
use anyhow::{Context, bail};
use case::{Case, Suite};
use regex::Regex;
use report::{Failure, Outcome};
use serde_json::Value as Json;
use std::io::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What to run.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Files of cases.
    pub files: Vec<PathBuf>,
    /// Part of `file name`.
    pub pattern: Option<Regex>,
    /// Only this family.
    pub family: Option<String>,
    /// Only this tier.
    pub tier: Option<u32>,
    /// Only what the clickstream script uses.
    pub demo_core: bool,
    /// Cases that run at a time.
    pub jobs: usize,
}

impl Selection {
    /// What a command line asks for.
    ///
    /// # Errors
    /// The command line is wrong.
    pub fn new(args: &TestArgs) -> Result<Self, ConfigError> {
        let pattern = match &args.pattern {
            None => None,
            Some(text) => Some(Regex::new(text).map_err(|e| ConfigError::Pattern(text.clone(), e.to_string()))?),
        };
        if args.jobs == Some(0) {
            return Err(ConfigError::Zero("--jobs"));
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Ok(Selection {
            files: args.files.clone(),
            pattern,
            family: args.family.clone(),
            tier: args.tier,
            demo_core: args.demo_core,
            jobs: args.jobs.unwrap_or(cores),
        })
    }

    fn takes(&self, case: &Case) -> bool {
        self.pattern.as_ref().is_none_or(|p| p.is_match(&case.title()))
            && self.family.as_ref().is_none_or(|f| f == case.family())
            && self.tier.is_none_or(|t| t == case.tier)
            && (case.demo_core || !self.demo_core)
    }
}

/// Runs the selected cases and reports on them; true when all passed.
///
/// # Errors
/// A file cannot be read or is no file of cases, or the report cannot be written.
pub fn run(selection: &Selection, out: &mut (dyn Write + Send)) -> anyhow::Result<bool> {
    let (mut cases, mut left_out) = (Vec::new(), 0);
    for path in &selection.files {
        left_out += read(path, &mut cases).with_context(|| format!("'{}'", path.display()))?;
    }
    let known = cases.len();
    cases.retain(|case| selection.takes(case));
    if left_out > 0 {
        writeln!(out, "{left_out} cases are left out: they need a format that weir does not have")?;
    }
    if cases.is_empty() && known > 0 {
        return Err(ConfigError::NoCase(known).into());
    }
    let outcomes = run_all(&cases, selection.jobs, out)?;
    report::summary(out, &outcomes)?;
    Ok(outcomes.iter().all(|o| o.result.is_ok()))
}

/// Appends a file's cases: JSON lines, or a file of the public suite. How many were left out.
fn read(path: &Path, cases: &mut Vec<Case>) -> anyhow::Result<usize> {
    let text = std::fs::read_to_string(path)?;
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    if let Ok(content) = serde_json::from_str::<Json>(&text)
        && content.get("tests").is_some()
    {
        return public::cases(&name, &content, cases).map_err(anyhow::Error::msg);
    }
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut case: Case = serde_json::from_str(line)
            .with_context(|| format!("line {} is no case, and the file is none of the public suite", i + 1))?;
        if case.file.is_empty() {
            case.file.clone_from(&name);
        }
        cases.push(case);
    }
    Ok(0)
}

/// Runs cases, some at a time; failures are written as they come, outcomes are in the cases' order.
fn run_all<'a>(cases: &'a [Case], jobs: usize, out: &mut (dyn Write + Send)) -> anyhow::Result<Vec<Outcome<'a>>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new((out, Vec::new()));
    let written = std::thread::scope(|scope| {
        let work = || -> std::io::Result<()> {
            while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                let result = run_case(case);
                let Ok(mut done) = done.lock() else { break };
                if let Err(failure) = &result {
                    report::failure(&mut *done.0, case, failure)?;
                }
                done.1.push(Outcome { case, result });
            }
            Ok(())
        };
        let threads: Vec<_> = (0..jobs.min(cases.len())).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or(Ok(()))).collect::<std::io::Result<Vec<()>>>()
    });
    written?;
    let outcomes = done.into_inner().map(|(_, outcomes)| outcomes).unwrap_or_default();
    if outcomes.len() < cases.len() {
        bail!("a thread ended before its cases");
    }
    Ok(outcomes)
}

fn run_case(case: &Case) -> Result<(), Failure> {
    let run = || match case.suite {
        Suite::Qtt => qtt::run(case),
        Suite::Rqtt => rest::run(case),
    };
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        Err(Failure::new(format!("weir panicked: {}", text.unwrap_or("without a message"))))
    })
}
