//! A blocking HTTP client: a request and its whole answer, or a stream of lines.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::runtime::Runtime;

static CLIENT: LazyLock<(Runtime, reqwest::Client)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    (runtime.expect("a runtime starts"), reqwest::Client::new())
});

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("status {}, no JSON: {}", self.status, self.body))
    }

    /// The body as JSON of an answer whose status says that all went well.
    pub(crate) fn ok(&self) -> Result<Value> {
        ensure!((200..300).contains(&self.status), "status {}: {}", self.status, self.body);
        self.json()
    }
}

/// `GET url`.
pub(crate) fn get(url: &str) -> Result<Answer> {
    request(reqwest::Method::GET, url, String::new())
}

/// `POST url` with a JSON body.
pub(crate) fn post(url: &str, body: &Value) -> Result<Answer> {
    request(reqwest::Method::POST, url, body.to_string())
}

/// `POST url` with any body.
pub(crate) fn post_text(url: &str, body: &str) -> Result<Answer> {
    request(reqwest::Method::POST, url, body.to_owned())
}

/// `PUT url` without a body.
pub(crate) fn put(url: &str) -> Result<Answer> {
    request(reqwest::Method::PUT, url, String::new())
}

/// `PUT url` with a JSON body.
pub(crate) fn put_json(url: &str, body: &Value) -> Result<Answer> {
    request(reqwest::Method::PUT, url, body.to_string())
}

/// `DELETE url`.
pub(crate) fn delete(url: &str) -> Result<Answer> {
    request(reqwest::Method::DELETE, url, String::new())
}

fn request(method: reqwest::Method, url: &str, body: String) -> Result<Answer> {
    let (runtime, client) = &*CLIENT;
    runtime.block_on(async {
        let mut request = client.request(method, url).timeout(Duration::from_secs(30));
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.with_context(|| format!("no answer from {url}"))?;
        let status = response.status().as_u16();
        let content_type = content_type(&response);
        Ok(Answer { status, content_type, body: response.text().await? })
    })
}

fn content_type(response: &reqwest::Response) -> String {
    let header = response.headers().get("content-type");
    header.and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
}

/// An answer that is read line by line while it is being sent.
pub(crate) struct Lines {
    response: reqwest::Response,
    rest: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// `POST url` with a JSON body; the answer's status must be 200.
    pub(crate) fn post(url: &str, body: &Value) -> Result<Lines> {
        let (runtime, client) = &*CLIENT;
        let request = client.post(url).header("content-type", "application/json").body(body.to_string());
        let response = runtime.block_on(request.send())?;
        ensure!(response.status().as_u16() == 200, "status {} from {url}", response.status());
        Ok(Lines { response, rest: Vec::new(), ended: false })
    }

    /// The next line that is not blank; `None` at the end.
    pub(crate) fn next(&mut self, limit: Duration) -> Result<Option<String>> {
        let (runtime, _) = &*CLIENT;
        loop {
            if let Some(end) = self.rest.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).trim().to_owned();
                if !line.is_empty() {
                    return Ok(Some(line));
                }
            } else if self.ended {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.rest)).trim().to_owned();
                return Ok((!line.is_empty()).then_some(line));
            } else {
                let chunk = runtime.block_on(async { tokio::time::timeout(limit, self.response.chunk()).await });
                match chunk.with_context(|| format!("no line came within {limit:?}"))?? {
                    Some(bytes) => self.rest.extend_from_slice(&bytes),
                    None => self.ended = true,
                }
            }
        }
    }
}
