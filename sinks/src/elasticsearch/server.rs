//! Requests to the servers, and what kind they are.

use super::bulk::reason;
use super::config::{Config, Login};
use crate::SinkError;
use reqwest::{Client, Method, Url, header};
use serde::Deserialize;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The servers of one cluster, by any of their addresses.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    urls: Vec<Url>,
    /// The address in use; the next one after each failure.
    current: AtomicUsize,
    login: Option<Login>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: bytes::Bytes,
}

/// No answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It did not come in time; the request may have been carried out.
    Late(String),
    /// There is nobody there, or the connection broke.
    Gone(String),
}

/// What a server says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// OpenSearch; else Elasticsearch.
    pub(super) opensearch: bool,
    /// Major and minor version.
    pub(super) version: (u32, u32),
}

impl Kind {
    /// Documents have a type.
    pub(super) fn has_types(&self) -> bool {
        !self.opensearch && self.version < (7, 0)
    }

    /// There are `_index_template`s.
    pub(super) fn has_index_templates(&self) -> bool {
        self.opensearch || self.version >= (7, 8)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.opensearch { "OpenSearch" } else { "Elasticsearch" };
        write!(f, "{name} {}.{}", self.version.0, self.version.1)
    }
}

impl Server {
    /// # Errors
    /// When the file of authorities cannot be read, or TLS cannot be set up.
    pub(super) fn new(config: &Config) -> Result<Self, SinkError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| SinkError::Failed(format!("{what}: {error}"));
        let mut client = Client::builder()
            .connect_timeout(config.connect_timeout)
            .timeout(config.read_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &config.authorities {
            let pem = std::fs::read(path).map_err(|e| failed(&format!("\"{path}\" cannot be read"), &e))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|e| failed(&format!("\"{path}\" holds no certificates in PEM form"), &e))?;
            client = client.tls_certs_only(certificates);
        }
        Ok(Server {
            client: client.build().map_err(|e| failed("the HTTP client cannot be set up", &e))?,
            urls: config.urls.clone(),
            current: AtomicUsize::new(0),
            login: config.login.clone(),
        })
    }

    /// Sends a request to the address in use, and to the others if nobody is there.
    pub(super) async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, bytes::Bytes)>,
    ) -> Result<Answer, NoAnswer> {
        let mut last = NoAnswer::Gone("there is no address".into());
        for _ in 0..self.urls.len() {
            let index = self.current.load(Ordering::Relaxed);
            let base = &self.urls[index % self.urls.len()];
            match self.request_to(base, method.clone(), path, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(no_answer) => {
                    // Only one of the requests in flight moves on to the next address.
                    let next = (index + 1) % self.urls.len();
                    let _ = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
                    last = no_answer;
                    if matches!(last, NoAnswer::Late(_)) {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    async fn request_to(
        &self,
        base: &Url,
        method: Method,
        path: &str,
        body: Option<(&'static str, bytes::Bytes)>,
    ) -> Result<Answer, NoAnswer> {
        let no_answer = |error: reqwest::Error| {
            let late = error.is_timeout() && !error.is_connect();
            let text = format!("{base}: {}", chain(&error.without_url()));
            if late { NoAnswer::Late(text) } else { NoAnswer::Gone(text) }
        };
        let url = base.join(path).map_err(|e| NoAnswer::Gone(format!("{base}{path}: {e}")))?;
        let mut request = self.client.request(method, url);
        if let Some(login) = &self.login {
            request = request.basic_auth(&login.user, Some(&login.password));
        }
        if let Some((content_type, bytes)) = body {
            request = request.header(header::CONTENT_TYPE, content_type).body(bytes);
        }
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(no_answer)?;
        Ok(Answer { status, body })
    }

    /// Asks what kind of server it is.
    pub(super) async fn kind(&self) -> Result<Kind, SinkError> {
        let answer = self.request(Method::GET, "", None).await?;
        match answer.status {
            200..=299 => read_kind(&answer.body).map_err(SinkError::Unavailable),
            // A user that may write to an index need not be one that may look at the cluster.
            403 => Ok(Kind { opensearch: false, version: (8, 0) }),
            401 => Err(SinkError::Failed(reason(401, &answer.body))),
            status => Err(SinkError::Unavailable(reason(status, &answer.body))),
        }
    }
}

impl From<NoAnswer> for SinkError {
    fn from(no_answer: NoAnswer) -> Self {
        let (NoAnswer::Late(text) | NoAnswer::Gone(text)) = no_answer;
        SinkError::Unavailable(text)
    }
}

fn read_kind(body: &[u8]) -> Result<Kind, String> {
    #[derive(Deserialize)]
    struct Root {
        version: Version,
    }
    #[derive(Deserialize)]
    struct Version {
        number: String,
        distribution: Option<String>,
    }
    let root: Root = serde_json::from_slice(body).map_err(|e| {
        format!("what answers is neither Elasticsearch nor OpenSearch: {e} (hint: check connection.url)")
    })?;
    let mut numbers = root.version.number.split('.').map_while(|part| part.parse().ok());
    let version = (numbers.next().unwrap_or(8), numbers.next().unwrap_or(0));
    Ok(Kind { opensearch: root.version.distribution.as_deref() == Some("opensearch"), version })
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_read_from_the_greeting() {
        let kind = |text: &str| read_kind(text.as_bytes());
        let es6 = kind(r#"{"version":{"number":"6.8.23"}}"#).unwrap();
        assert!(es6.has_types() && !es6.has_index_templates());
        let es7 = kind(r#"{"version":{"number":"7.7.1","build_flavor":"default"}}"#).unwrap();
        assert!(!es7.has_types() && !es7.has_index_templates());
        let es8 = kind(r#"{"version":{"number":"8.19.21"},"tagline":"You Know, for Search"}"#).unwrap();
        assert!(!es8.has_types() && es8.has_index_templates());
        assert_eq!(es8.to_string(), "Elasticsearch 8.19");
        let opensearch = kind(r#"{"version":{"distribution":"opensearch","number":"2.19.6"}}"#).unwrap();
        assert!(!opensearch.has_types() && opensearch.has_index_templates());
        assert!(kind("<html>").is_err());
    }
}
