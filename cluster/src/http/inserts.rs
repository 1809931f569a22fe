//! `POST /inserts-stream`: rows into a stream, acknowledged one by one, while both sides still send.

use super::Site;
use super::reply::{self, Response};
use super::request::Request;
use crate::intake::failure::{Code, Failure};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The body's first line.
#[derive(Deserialize)]
struct Head {
    target: String,
}

/// `POST /inserts-stream`: the first line names the target, each further line is a row as a JSON object.
pub(super) async fn inserts(site: &Arc<Site>, request: &mut Request) -> Result<Response, Failure> {
    let array = request.accepts(reply::JSON);
    let body = std::mem::replace(&mut request.body, futures_util::stream::empty().boxed());
    let mut lines = Lines { body, buffer: BytesMut::new(), most: site.limits.body, ended: false };
    let head = match tokio::time::timeout(site.limits.read, lines.next()).await {
        Ok(line) => line?.ok_or_else(|| Failure::request(Code::BadRequest, "the request has no body"))?,
        Err(_) => return Err(Failure::request(Code::Timeout, "the request's first line did not come in time")),
    };
    let head: Head = serde_json::from_slice(&head)
        .map_err(|e| Failure::request(Code::BadRequest, format!("the first line is not {{\"target\": NAME}}: {e}")))?;
    let target = site.intake.insert_target(&head.target)?;
    let (sender, receiver) = mpsc::channel(16);
    let site = Arc::clone(site);
    tokio::spawn(async move {
        let mut seq = 0_u64;
        let mut first = true;
        loop {
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(failure) => {
                    let _ = sender.send(ack(array, &mut first, &error(seq, &failure))).await;
                    break;
                }
            };
            let result = match serde_json::from_slice::<Map<String, Json>>(&line) {
                Ok(row) => site.intake.insert_row(&target, row).await,
                Err(e) => Err(Failure::request(Code::BadRequest, format!("row {seq} is no JSON object: {e}"))),
            };
            let (answer, failed) = match result {
                Ok(()) => (json!({"status": "ok", "seq": seq}), false),
                Err(failure) => (error(seq, &failure), true),
            };
            if sender.send(ack(array, &mut first, &answer)).await.is_err() || failed {
                break;
            }
            seq += 1;
        }
        if array {
            let _ = sender.send(Bytes::from_static(if first { b"[]" } else { b"]" })).await;
        }
    });
    Ok(reply::streaming(if array { reply::JSON } else { reply::DELIMITED }, receiver))
}

fn error(seq: u64, failure: &Failure) -> Json {
    json!({"status": "error", "seq": seq, "error_code": failure.code as u32, "message": failure.message})
}

fn ack(array: bool, first: &mut bool, answer: &Json) -> Bytes {
    let before = if std::mem::replace(first, false) { "[" } else { ",\n" };
    if array { format!("{before}{answer}").into() } else { format!("{answer}\n").into() }
}

/// A body's lines.
struct Lines {
    body: BoxStream<'static, Result<Bytes, warp::Error>>,
    buffer: BytesMut,
    /// Longest line in bytes.
    most: usize,
    ended: bool,
}

impl Lines {
    /// The next line that is not blank; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(at) = self.buffer.iter().position(|&b| b == b'\n') {
                let line = self.buffer.split_to(at).freeze();
                self.buffer.advance(1);
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
                continue;
            }
            if self.ended {
                let line = self.buffer.split().freeze();
                return Ok((!line.trim_ascii().is_empty()).then_some(line));
            }
            if self.buffer.len() > self.most {
                let message = format!("a line is longer than {} bytes (--max-body)", self.most);
                return Err(Failure::request(Code::TooLarge, message));
            }
            match self.body.next().await {
                Some(Ok(piece)) => self.buffer.extend_from_slice(&piece),
                Some(Err(e)) => {
                    return Err(Failure::request(Code::BadRequest, format!("the request's body broke off: {e}")));
                }
                None => self.ended = true,
            }
        }
    }
}
