//! A weir that serves (`demo`, `run`), and the questions that the tests ask it.

use crate::http::{self, Lines};
use crate::program::{Finished, Run, Running, wait_for};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Ports on 127.0.0.1 that nothing listens on. They lie below those that the system gives to clients, and no two
/// calls give the same one.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    static BASE: Mutex<Option<u16>> = Mutex::new(None);
    let base = {
        let mut base = BASE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *base.get_or_insert_with(|| 10_000 + u16::try_from(std::process::id() % 180).unwrap_or(0) * 100)
    };
    let mut ports = Vec::new();
    for _ in 0..2000 {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 2000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        } else {
            ports.clear();
        }
        if ports.len() == count {
            return Ok(ports);
        }
    }
    anyhow::bail!("no {count} free ports from {base} on")
}

/// A weir that serves. Killed when dropped.
pub(crate) struct Server {
    running: Running,
    /// `http://127.0.0.1:PORT` of ksqlDB's REST.
    pub(crate) url: String,
    /// The same of Connect's REST.
    pub(crate) connect: String,
}

impl Server {
    /// Starts `weir ARGS --listen … --connect-listen …` on ports of its own and waits until it answers.
    pub(crate) fn start(args: &[String], folder: &Path) -> Result<Server> {
        let mut server = Server::start_unready(args, folder)?;
        server.wait_until_it_answers(Duration::from_secs(60))?;
        Ok(server)
    }

    /// The same, without the wait.
    pub(crate) fn start_unready(args: &[String], folder: &Path) -> Result<Server> {
        let ports = free_ports(2)?;
        let listen = |i: usize| format!("127.0.0.1:{}", ports[i]);
        let run = Run::new(args)?.args(["--listen", &listen(0), "--connect-listen", &listen(1)]).folder(folder);
        let running = run.start()?;
        Ok(Server { running, url: format!("http://{}", listen(0)), connect: format!("http://{}", listen(1)) })
    }

    /// Waits for `GET /info`; an early end of the program is an error with what it said.
    pub(crate) fn wait_until_it_answers(&mut self, limit: Duration) -> Result<()> {
        let url = format!("{}/info", self.url);
        let running = &mut self.running;
        let answer = wait_for(limit, "an answer to GET /info", || {
            if running.ended()?.is_some() {
                return Ok(None);
            }
            http::get(&url)?.ok().map(Some)
        });
        let stderr = || format!("stderr: {}", self.running.stderr());
        ensure!(answer.with_context(stderr)?.is_some(), "it ended before it answered; {}", stderr());
        Ok(())
    }

    /// Asks it to end, and waits.
    pub(crate) fn stop(self, signal: &str) -> Result<Finished> {
        self.running.signal(signal)?;
        self.running.finish()
    }

    /// Waits for its end.
    pub(crate) fn finish(self) -> Result<Finished> {
        self.running.finish()
    }

    /// `POST /ksql`: the entities of the answer.
    pub(crate) fn ksql(&self, text: &str) -> Result<Vec<Value>> {
        let answer = http::post(&format!("{}/ksql", self.url), &json!({"ksql": text, "streamsProperties": {}}))?;
        let entities = answer.ok().with_context(|| text.to_owned())?;
        entities.as_array().cloned().with_context(|| format!("no array: {entities}"))
    }

    /// `POST /query` of a pull query: the header's schema, and the rows' columns.
    pub(crate) fn pull(&self, text: &str) -> Result<(String, Vec<Vec<Value>>)> {
        let answer = http::post(&format!("{}/query", self.url), &json!({"ksql": text, "streamsProperties": {}}))?;
        let parts = answer.ok().with_context(|| text.to_owned())?;
        let parts = parts.as_array().with_context(|| format!("no array: {parts}"))?;
        let header = parts.first().with_context(|| format!("no header in the answer to {text}"))?;
        let schema = header["header"]["schema"].as_str().with_context(|| format!("no schema: {header}"))?;
        let mut rows = Vec::new();
        for part in &parts[1..] {
            if let Some(columns) = part["row"]["columns"].as_array() {
                rows.push(columns.clone());
            } else {
                ensure!(part.get("errorMessage").is_none(), "{text}: {part}");
            }
        }
        Ok((schema.to_owned(), rows))
    }

    /// The rows of a pull query as sorted text.
    pub(crate) fn rows(&self, text: &str) -> Result<Vec<String>> {
        let (_, rows) = self.pull(text)?;
        let mut rows: Vec<String> = rows.into_iter().map(|r| Value::Array(r).to_string()).collect();
        rows.sort();
        Ok(rows)
    }

    /// `POST /query` of a push query: its lines as they come, the first is the header.
    pub(crate) fn push(&self, text: &str, earliest: bool) -> Result<Lines> {
        let from = if earliest { "earliest" } else { "latest" };
        let body = json!({"ksql": text, "streamsProperties": {"ksql.streams.auto.offset.reset": from}});
        Lines::post(&format!("{}/query", self.url), &body)
    }

    /// A value of `GET /metrics`: the sum over all label sets of the samples whose name starts with `name` and whose
    /// labels contain all of `labels`.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> Result<f64> {
        let answer = http::get(&format!("{}/metrics", self.url))?;
        ensure!(answer.status == 200, "GET /metrics: status {}", answer.status);
        let mut sum = None;
        for line in answer.body.lines().filter(|l| l.starts_with(name) && labels.iter().all(|w| l.contains(w))) {
            let value: f64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
            sum = Some(sum.unwrap_or(0.0) + value);
        }
        sum.with_context(|| format!("no sample '{name}' with {labels:?} in\n{}", answer.body))
    }
}
