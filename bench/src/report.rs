//! What a run measured, for people and for machines.

use crate::args::{Run, Through};
use crate::latency::Quantiles;
use crate::part::Measured;
use crate::sample::{Sample, slope};
use serde::Serialize;
use std::io::Write;

/// One run's result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) run: Run,
    pub(crate) seconds: f64,
    pub(crate) clicks_per_s: u64,
    pub(crate) cpu_s: f64,
    pub(crate) clicks_per_cpu_s: u64,
    pub(crate) cpu_s_per_million: f64,
    /// By kind of thread, where they are told apart.
    pub(crate) cpu_by_thread: crate::sample::Cpu,
    /// Of all processes together.
    pub(crate) rss_mb: f64,
    /// MB a million clicks, in the second half.
    pub(crate) rss_slope: Option<f64>,
    pub(crate) changes: u64,
    pub(crate) exchanged_bytes_per_click: f64,
    pub(crate) freshness_ms: Option<Quantiles>,
    pub(crate) peek_ms: Option<Quantiles>,
    /// The answers were compared with a plain recomputation and are the same; `None`: not compared.
    pub(crate) checked: Option<bool>,
    pub(crate) wrong: Vec<String>,
    #[serde(skip)]
    pub(crate) samples: Vec<Sample>,
}

/// All that is printed as JSON.
#[derive(Serialize)]
struct Last<'a> {
    bench: &'static str,
    version: &'static str,
    machine: Machine,
    ok: bool,
    runs: &'a [Report],
}

/// What the test ran on.
#[derive(Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    memory_gb: f64,
    kernel: String,
}

impl Report {
    pub(crate) fn new(run: &Run, measured: Measured, wrong: Vec<String>) -> Self {
        let clicks = run.load.clicks as f64;
        let round = |n: f64| (n * 1000.0).round() / 1000.0;
        Report {
            run: run.clone(),
            seconds: round(measured.seconds),
            clicks_per_s: (clicks / measured.seconds.max(1e-9)) as u64,
            cpu_s: round(measured.cpu_s),
            clicks_per_cpu_s: (clicks / measured.cpu_s.max(1e-9)) as u64,
            cpu_s_per_million: round(measured.cpu_s * 1e6 / clicks),
            cpu_by_thread: measured.cpu,
            rss_mb: measured.rss_mb.round(),
            rss_slope: slope(&measured.samples).map(round),
            changes: measured.changes,
            exchanged_bytes_per_click: round(measured.exchanged_bytes as f64 / clicks),
            freshness_ms: measured.freshness,
            peek_ms: measured.peek,
            checked: (run.check || !wrong.is_empty()).then_some(wrong.is_empty()),
            wrong,
            samples: measured.samples,
        }
    }

    /// What distinguishes the run.
    pub(crate) fn name(&self) -> String {
        let run = &self.run;
        let rate = run.rate.map_or("as fast as possible".into(), |r| format!("{r}/s, epochs of {} ms", run.epoch_ms));
        let through = match run.through {
            Through::Files => "files",
            Through::Memory => "memory",
            Through::Kafka => "Kafka",
        };
        let mut name = format!(
            "{} clicks, {} users, {} addresses, {} views, from {through}, {rate}; {} × {} workers",
            run.load.clicks, run.load.users, run.load.ips, run.views, run.processes, run.workers
        );
        for (there, text) in [
            (run.changes, ", every change followed".to_owned()),
            (run.load.skew > 0.0, format!(", skew {}", run.load.skew)),
            (run.retention.is_some(), format!(", retention {} s", run.retention.unwrap_or(0))),
        ] {
            name.push_str(if there { &text } else { "" });
        }
        name
    }

    /// A table for people.
    pub(crate) fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "{}", self.name())?;
        let mut line = |name: &str, value: String| writeln!(out, "  {name:<22} {value}");
        line("throughput", format!("{} clicks/s in {:.2} s", thousands(self.clicks_per_s), self.seconds))?;
        let cpu = format!("{:.2} s, {} clicks a CPU second", self.cpu_s, thousands(self.clicks_per_cpu_s));
        line("CPU", cpu)?;
        if !self.cpu_by_thread.0.is_empty() {
            let kinds: Vec<String> = self.cpu_by_thread.0.iter().map(|(k, s)| format!("{k} {s:.2}")).collect();
            line("  by thread, s", kinds.join(", "))?;
        }
        let slope = self.rss_slope.map_or(String::new(), |s| format!(", {s:+.1} MB a million clicks at the end"));
        line("peak memory", format!("{:.0} MB{slope}", self.rss_mb))?;
        if self.run.changes {
            line("changes followed", thousands(self.changes))?;
        }
        if self.run.processes > 1 {
            line("exchanged", format!("{:.2} bytes a click", self.exchanged_bytes_per_click))?;
        }
        for (name, quantiles) in [("freshness, ms", &self.freshness_ms), ("point query, ms", &self.peek_ms)] {
            if let Some(q) = quantiles {
                let text =
                    format!("p50 {:.1}  p90 {:.1}  p99 {:.1}  max {:.1}  of {}", q.p50, q.p90, q.p99, q.max, q.count);
                line(name, text)?;
            }
        }
        line(
            "answers",
            match self.checked {
                Some(true) => "equal to a plain recomputation".into(),
                Some(false) => format!("WRONG: {}", self.wrong.join("; ")),
                None => "not compared".into(),
            },
        )
    }
}

/// The last line.
pub(crate) fn json(runs: &[Report]) -> serde_json::Result<String> {
    let proc = |file: &str| std::fs::read_to_string(format!("/proc/{file}")).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|l| l.starts_with(name));
        line.and_then(|l| l.split_once(':')).map_or(String::new(), |(_, v)| v.trim().to_owned())
    };
    let memory = field(&proc("meminfo"), "MemTotal").trim_end_matches("kB").trim().parse().unwrap_or(0.0);
    let machine = Machine {
        cpu: field(&proc("cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(0, Into::into),
        memory_gb: (memory / 1e5_f64).round() / 10.0,
        kernel: proc("sys/kernel/osrelease").trim().to_owned(),
    };
    let ok = runs.iter().all(|r| r.wrong.is_empty());
    serde_json::to_string(&Last { bench: "weir-bench", version: env!("CARGO_PKG_VERSION"), machine, ok, runs })
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
