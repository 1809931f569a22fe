//! Building answers.

use crate::intake::failure::{Code, Failure};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use std::convert::Infallible;
use tokio::sync::mpsc;
use warp::Reply;
use warp::http::{HeaderValue, StatusCode, header};

pub(super) use warp::reply::Response;

/// ksqlDB's media type.
pub(super) const KSQL: &str = "application/vnd.ksql.v1+json";
/// The media type of answers that are one JSON value a line.
pub(super) const DELIMITED: &str = "application/vnd.ksqlapi.delimited.v1";
/// Plain JSON.
pub(super) const JSON: &str = "application/json";

/// An answer with a body that is there.
pub(super) fn body(status: u16, media_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = body.into().to_vec().into_response();
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// An answer as JSON.
pub(super) fn json(status: u16, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(text) => body(status, JSON, text),
        Err(error) => failure(&Failure::request(Code::Server, error.to_string())),
    }
}

/// An answer without a body.
pub(super) fn empty(status: u16) -> Response {
    body(status, JSON, Bytes::new())
}

/// The answer to a request that was not carried out.
pub(super) fn failure(failure: &Failure) -> Response {
    body(failure.code.status(), JSON, failure.body().to_string())
}

/// An answer whose body comes piece by piece; it ends when the channel's other end is dropped.
pub(super) fn streaming(media_type: &'static str, mut pieces: mpsc::Receiver<Bytes>) -> Response {
    let stream = stream::poll_fn(move |cx| pieces.poll_recv(cx).map(|piece| piece.map(Ok::<_, Infallible>)));
    let mut response = warp::reply::stream(stream).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// Sends the client to another path.
pub(super) fn redirect(path: &'static str) -> Response {
    let mut response = empty(307);
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(path));
    response
}
