//! HTTP: ksqlDB's REST interface and Connect's, on one port or two.
//!
//! [`route`] is the table of contents: a method and a path, and the function that answers. What comes in is a
//! [`Request`] whose body has limits of size and time; what goes out is in ksqlDB's shapes, errors included.

mod cell;
mod connect;
pub mod forward;
mod inserts;
mod ksql;
mod query;
mod reply;
mod request;
mod status;

use crate::config::Limits;
use crate::connect::Connectors;
use crate::intake::Intake;
use crate::intake::failure::{Code, Failure};
use crate::metrics::Metrics;
use bytes::{Buf, Bytes};
use futures_util::stream::{BoxStream, Stream, StreamExt};
use reply::Response;
use request::Request;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::watch;
use warp::Filter;
use warp::filters::path::FullPath;
use warp::http::{HeaderMap, Method};

/// What the interface answers from.
pub struct Site {
    /// Statements and queries.
    pub intake: Intake,
    /// The connectors.
    pub connectors: Connectors,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What a client may do.
    pub limits: Limits,
    /// HOST:PORT of the interface.
    pub name: String,
}

/// Which interface a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Ksql,
    /// Only Connect's, with its own `/`.
    Connect,
}

/// Answers on a port until `stop` is true, then closes the port and ends when the answers under way have ended.
pub async fn serve(site: Arc<Site>, role: Role, listener: TcpListener, mut stop: watch::Receiver<bool>) {
    let respond = requests().then(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(respond(&site, role, request).await) }
    });
    let respond = respond.map(|answer: Result<Response, Infallible>| match answer {
        Ok(response) => response,
        Err(never) => match never {},
    });
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    warp::serve(respond).incoming(listener).graceful(stopped).run().await;
}

/// Every request, whatever its path.
fn requests() -> impl Filter<Extract = (Request,), Error = warp::Rejection> + Clone {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method().and(warp::path::full()).and(query).and(warp::header::headers_cloned()).and(warp::body::stream()).map(
        |method, path: FullPath, query, headers: HeaderMap, body| Request {
            method,
            path: path.as_str().into(),
            query,
            headers,
            body: pieces(body),
        },
    )
}

fn pieces<B: Buf + 'static>(
    body: impl Stream<Item = Result<B, warp::Error>> + Send + 'static,
) -> BoxStream<'static, Result<Bytes, warp::Error>> {
    body.map(|piece| piece.map(|mut piece| piece.copy_to_bytes(piece.remaining()))).boxed()
}

async fn respond(site: &Arc<Site>, role: Role, mut request: Request) -> Response {
    let started = Instant::now();
    let segments = request.segments();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (label, answer) = route(site, role, &mut request, &segments).await;
    let response = answer.unwrap_or_else(|failure| reply::failure(&failure));
    site.metrics.http_answered(label, response.status().as_u16(), started.elapsed());
    response
}

/// The label under which a request is counted, and its answer.
async fn route(
    site: &Arc<Site>,
    role: Role,
    request: &mut Request,
    segments: &[&str],
) -> (&'static str, Result<Response, Failure>) {
    let method = request.method.clone();
    if let ["connectors" | "connector-plugins", ..] = segments {
        return ("/connectors", Ok(connect::answer(site, &method, segments, request).await));
    }
    if role == Role::Connect {
        return match (&method, segments) {
            (&Method::GET, []) => ("/", Ok(connect::root(site))),
            _ => ("other", Err(not_found(&request.path))),
        };
    }
    let get = method == Method::GET;
    let post = method == Method::POST;
    match segments {
        [] if get => ("/", Ok(reply::redirect("/info"))),
        ["ksql"] if post => ("/ksql", ksql::ksql(site, request).await),
        ["query"] if post => ("/query", query::query(site, request).await),
        ["query-stream"] if post => ("/query-stream", query::query_stream(site, request).await),
        ["close-query"] if post => ("/close-query", query::close(site, request).await),
        ["inserts-stream"] if post => ("/inserts-stream", inserts::inserts(site, request).await),
        ["info"] if get => ("/info", Ok(status::info(site))),
        ["healthcheck"] if get => ("/healthcheck", Ok(status::healthcheck(site).await)),
        ["clusterStatus"] if get => ("/clusterStatus", Ok(status::cluster_status(site))),
        ["status"] if get => ("/status", Ok(status::statuses(site))),
        ["status", kind, name, action] if get => ("/status", status::status(site, kind, name, action)),
        ["is_valid_property", name] if get => ("/is_valid_property", valid_property(name)),
        ["v1", "metadata"] if get => ("/v1/metadata", Ok(status::metadata(site))),
        ["v1", "metadata", "id"] if get => ("/v1/metadata", Ok(reply::json(200, &serde_json::json!({"id": ""})))),
        ["metrics"] if get => ("/metrics", Ok(status::metrics(site))),
        ["ksql" | "query" | "query-stream" | "close-query" | "inserts-stream"]
        | ["info" | "healthcheck" | "clusterStatus" | "metrics"] => {
            let message = format!("{method} is not a method of {}", request.path);
            ("other", Err(Failure::request(Code::Method, message)))
        }
        _ => ("other", Err(not_found(&request.path))),
    }
}

fn not_found(path: &str) -> Failure {
    Failure::request(Code::NotFound, format!("there is nothing at {path}"))
}

/// `GET /is_valid_property/NAME`.
fn valid_property(name: &str) -> Result<Response, Failure> {
    match crate::intake::properties::check(name) {
        Ok(()) => Ok(reply::json(200, &true)),
        Err(message) => Err(Failure::request(Code::BadRequest, message)),
    }
}
