//! A request as it comes in, and its body within limits.

use crate::config::Limits;
use crate::intake::failure::{Code, Failure};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, StreamExt};
use serde::de::DeserializeOwned;
use warp::http::{HeaderMap, Method, header};

/// A request.
pub(super) struct Request {
    /// GET, POST, …
    pub(super) method: Method,
    /// The path, as written.
    pub(super) path: String,
    /// What stands behind `?`.
    pub(super) query: String,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body.
    pub(super) body: BoxStream<'static, Result<Bytes, warp::Error>>,
}

impl Request {
    /// The path's parts, percent-decoded; empty ones are left out, so that `/connectors/` is `/connectors`.
    pub(super) fn segments(&self) -> Vec<String> {
        let parts = self.path.split('/').filter(|s| !s.is_empty());
        parts.map(|s| percent_encoding::percent_decode_str(s).decode_utf8_lossy().into_owned()).collect()
    }

    /// True when the client prefers this media type to any other that it names.
    pub(super) fn accepts(&self, media_type: &str) -> bool {
        let accept = self.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("");
        accept.split(',').next().is_some_and(|first| first.split(';').next().unwrap_or("").trim() == media_type)
    }

    /// The value of `name=value` behind `?`; empty for a bare name.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")))
    }

    /// The whole body.
    ///
    /// # Errors
    /// It is too large, takes too long, or breaks off.
    pub(super) async fn bytes(&mut self, limits: Limits) -> Result<Bytes, Failure> {
        let read = async {
            let mut all = BytesMut::new();
            while let Some(piece) = self.body.next().await {
                let piece = piece
                    .map_err(|e| Failure::request(Code::BadRequest, format!("the request's body broke off: {e}")))?;
                if all.len() + piece.len() > limits.body {
                    let message = format!("the request's body is larger than {} bytes (--max-body)", limits.body);
                    return Err(Failure::request(Code::TooLarge, message));
                }
                all.extend_from_slice(&piece);
            }
            Ok(all.freeze())
        };
        match tokio::time::timeout(limits.read, read).await {
            Ok(result) => result,
            Err(_) => {
                let message = format!("the request's body took longer than {} s", limits.read.as_secs());
                Err(Failure::request(Code::Timeout, message))
            }
        }
    }

    /// The whole body as JSON.
    ///
    /// # Errors
    /// As [`Request::bytes`], or it is not the JSON that is expected here.
    pub(super) async fn json<T: DeserializeOwned>(&mut self, limits: Limits) -> Result<T, Failure> {
        let bytes = self.bytes(limits).await?;
        serde_json::from_slice(&bytes)
            .map_err(|e| Failure::request(Code::BadRequest, format!("the request's body is not as expected: {e}")))
    }
}
