//! Elasticsearch and OpenSearch: a view's changes as documents of an index.
//!
//! ```text
//! properties ──config──▶ Config
//! Chunk ──document──▶ operations ──bulk::cut──▶ requests ──server──▶ answers ──bulk::read_answer──▶ verdicts
//!                          ▲                                                                          │
//!                          └──────────────────────── what has to be sent again ◀──────────────────────┘
//! ```
//!
//! Within one write each document is named once (of several changes of a row the last is sent), and the next write
//! begins when all of this one is done. So requests may be in flight side by side, and single operations may be sent
//! again, and yet no change of a document can overtake another.
//!
//! A server that was away may have come back empty: after a broken connection the index and its template are made
//! ready again before anything is sent.

mod bulk;
pub mod config;
mod document;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod real;
mod server;
mod template;
#[cfg(test)]
mod tests;

pub use config::{Config, ConfigError};

use crate::{Chunk, Progress, Rejected, Sink, SinkError, Target};
use bulk::{Answer, Limits, Operation, Verdict};
use bytes::Bytes;
use config::{Documents, Malformed};
use document::{Outcome, Style};
use reqwest::Method;
use server::{Kind, NoAnswer, Server};
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Writes one view's changes to one index.
#[derive(Debug)]
pub struct ElasticsearchSink {
    server: Arc<Server>,
    target: Target,
    index: String,
    type_name: String,
    style: Style,
    malformed: Malformed,
    in_flight: usize,
    /// What a request may have when all goes well.
    most: Limits,
    /// What it may have now: less after an answer that came too late.
    limits: Limits,
    /// The server's kind, once the index is ready.
    ready: Option<Kind>,
    /// What is to be sent, each document once.
    pending: Vec<Operation>,
    /// Where a document's operation stands in `pending`, for present rows.
    by_id: HashMap<String, usize>,
    /// Rows that were done with when they were accepted.
    accepted: Progress,
    /// A row without a value came, and is to fail the connector.
    null: Option<String>,
}

impl ElasticsearchSink {
    /// A sink for the index of `target`'s topic. Connects with the first flush.
    ///
    /// # Errors
    /// When TLS cannot be set up as configured.
    pub fn new(config: &Config, target: Target) -> Result<Self, SinkError> {
        let most = Limits { count: config.batch_size, bytes: config.bulk_bytes };
        Ok(ElasticsearchSink {
            server: Arc::new(Server::new(config)?),
            index: config.index(&target.topic),
            type_name: config.type_name.clone(),
            style: Style { documents: config.documents, nulls: config.nulls, write: config.write },
            malformed: config.malformed,
            in_flight: config.in_flight,
            most,
            limits: most,
            ready: None,
            pending: Vec::new(),
            by_id: HashMap::new(),
            accepted: Progress::default(),
            null: None,
            target,
        })
    }

    fn put(&mut self, operation: Operation) {
        if self.style.documents == Documents::Rows {
            if let Some(&at) = self.by_id.get(&operation.id) {
                self.pending[at] = operation;
                self.accepted.skipped += 1;
                return;
            }
            self.by_id.insert(operation.id.clone(), self.pending.len());
        }
        self.pending.push(operation);
    }

    async fn make_ready(&mut self) -> Result<Kind, SinkError> {
        if let Some(kind) = &self.ready {
            return Ok(kind.clone());
        }
        let kind = self.server.kind().await?;
        template::make_ready(&self.server, &kind, &self.index, &self.type_name, &self.target).await?;
        tracing::info!(view = %self.target.view, index = %self.index, server = %kind, "index is ready");
        self.ready = Some(kind.clone());
        Ok(kind)
    }

    /// Sends everything that is pending once, and keeps what has to be sent again.
    async fn send(&mut self, kind: &Kind, progress: &mut Progress) -> Result<(), SinkError> {
        let index = template::escape(&self.index);
        let type_name = template::escape(&self.type_name);
        let path = if kind.has_types() { format!("{index}/{type_name}") } else { index };
        let path: Arc<str> = format!("{path}/_bulk?filter_path=items.*.status,items.*.error").into();

        let mut waiting: VecDeque<Range<usize>> = bulk::cut(&self.pending, self.limits).into();
        let mut flying = JoinSet::new();
        let mut done = vec![false; self.pending.len()];
        let mut trouble: Option<SinkError> = None;
        loop {
            while flying.len() < self.in_flight
                && trouble.is_none()
                && let Some(range) = waiting.pop_front()
            {
                let mut body = Vec::new();
                self.pending[range.clone()].iter().for_each(|operation| operation.write(&mut body));
                let (server, path) = (self.server.clone(), path.clone());
                flying.spawn(async move {
                    let body = Some(("application/x-ndjson", Bytes::from(body)));
                    (range, server.request(Method::POST, &path, body).await)
                });
            }
            let Some(landed) = flying.join_next().await else { break };
            let (range, answer) = landed.map_err(|ended| SinkError::Unavailable(ended.to_string()))?;
            let error = match answer {
                Ok(answer) => self.settle(range, answer, &mut waiting, &mut done, progress),
                Err(no_answer) => {
                    match &no_answer {
                        NoAnswer::Late(_) => self.limits = half(self.limits),
                        NoAnswer::Gone(_) => self.ready = None,
                    }
                    Some(no_answer.into())
                }
            };
            // A failure outweighs what can pass; otherwise the first trouble is told.
            if let Some(error) = error
                && (trouble.is_none() || matches!(error, SinkError::Failed(_)))
            {
                trouble = Some(error);
            }
        }
        let mut done = done.into_iter();
        self.pending.retain(|_| !done.next().unwrap_or(false));
        match trouble {
            Some(error) => Err(error),
            None => {
                self.limits = twice(self.limits, self.most);
                Ok(())
            }
        }
    }

    /// Does what an answer says to the operations of its request.
    fn settle(
        &mut self,
        range: Range<usize>,
        answer: server::Answer,
        waiting: &mut VecDeque<Range<usize>>,
        done: &mut [bool],
        progress: &mut Progress,
    ) -> Option<SinkError> {
        let actions = self.pending[range.clone()].iter().map(|operation| operation.action);
        let verdicts = match bulk::read_answer(answer.status, &answer.body, actions) {
            Answer::Items(verdicts) => verdicts,
            Answer::Halve(reason) if range.len() == 1 => vec![Verdict::Refused(reason)],
            Answer::Halve(_) => {
                let middle = range.start + range.len() / 2;
                waiting.push_front(middle..range.end);
                waiting.push_front(range.start..middle);
                return None;
            }
            Answer::Later(reason) => return Some(SinkError::Unavailable(reason)),
            Answer::Failed(reason) => return Some(SinkError::Failed(reason)),
        };
        let mut trouble = None;
        for (at, verdict) in range.zip(verdicts) {
            match verdict {
                Verdict::Done => {
                    done[at] = true;
                    progress.delivered += 1;
                }
                Verdict::Later(reason) => {
                    trouble.get_or_insert(SinkError::Unavailable(reason));
                }
                Verdict::NoIndex(reason) => {
                    self.ready = None;
                    trouble.get_or_insert(SinkError::Unavailable(reason));
                }
                Verdict::Failed(reason) => trouble = Some(SinkError::Failed(reason)),
                Verdict::Refused(reason) => match self.malformed {
                    Malformed::Fail => {
                        let id = &self.pending[at].id;
                        trouble = Some(SinkError::Failed(format!("document \"{id}\" is malformed: {reason}")));
                    }
                    Malformed::Warn => {
                        done[at] = true;
                        let Operation { document, time, .. } = &self.pending[at];
                        progress.rejected.push(Rejected::new(&self.target, reason, document, *time));
                    }
                    Malformed::Ignore => {
                        done[at] = true;
                        progress.skipped += 1;
                    }
                },
            }
        }
        trouble
    }
}

fn half(limits: Limits) -> Limits {
    Limits { count: (limits.count / 2).max(1), bytes: (limits.bytes / 2).max(1) }
}

fn twice(limits: Limits, most: Limits) -> Limits {
    Limits {
        count: limits.count.saturating_mul(2).min(most.count),
        bytes: limits.bytes.saturating_mul(2).min(most.bytes),
    }
}

impl Sink for ElasticsearchSink {
    fn accept(&mut self, chunk: Chunk) {
        for (row, number) in chunk.rows.iter().zip(chunk.first_row..) {
            match document::operation(&self.target, self.style, row, chunk.upper, number) {
                Outcome::Send(operation) => self.put(operation),
                Outcome::Skip => self.accepted.skipped += 1,
                Outcome::NoKey(document) => {
                    let reason = "the key is null, and with key.ignore=false a document is named by it";
                    self.accepted.rejected.push(Rejected::new(&self.target, reason, &document, row.time));
                }
                Outcome::Null(key) => {
                    let reason =
                        format!("the row of key \"{key}\" has no value, and behavior.on.null.values is \"fail\"");
                    self.null.get_or_insert(reason);
                }
            }
        }
    }

    async fn flush(&mut self, progress: &mut Progress) -> Result<(), SinkError> {
        let Progress { delivered, skipped, rejected } = std::mem::take(&mut self.accepted);
        progress.delivered += delivered;
        progress.skipped += skipped;
        progress.rejected.extend(rejected);

        let kind = self.make_ready().await?;
        self.send(&kind, progress).await?;
        self.by_id.clear();
        match &self.null {
            Some(reason) => Err(SinkError::Failed(reason.clone())),
            None => Ok(()),
        }
    }
}
