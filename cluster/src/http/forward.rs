//! The interface of a process that is not the first: every request goes on to process 0, and its answer comes back,
//! both as they flow.

use super::reply::{self, Response};
use super::request::Request;
use crate::intake::failure::{Code, Failure};
use bytes::Bytes;
use futures_util::StreamExt;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use warp::Filter;
use warp::http::{HeaderMap, HeaderName, header};

/// How long a request waits for process 0 to become known.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers on a port, by asking process 0, until `stop` is true.
///
/// # Errors
/// The client cannot be made.
pub async fn serve(
    listener: TcpListener,
    first: watch::Receiver<Option<SocketAddr>>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .build()?;
    let ended = stop.clone();
    let respond = super::requests().then(move |request| {
        let (client, first, ended) = (client.clone(), first.clone(), ended.clone());
        async move {
            let answer = forward(&client, first, ended, request).await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|failure| reply::failure(&failure)))
        }
    });
    let respond = respond.map(|answer: Result<Response, Infallible>| match answer {
        Ok(response) => response,
        Err(never) => match never {},
    });
    let stopped = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    warp::serve(respond).incoming(listener).graceful(stopped).run().await;
    Ok(())
}

async fn forward(
    client: &reqwest::Client,
    mut first: watch::Receiver<Option<SocketAddr>>,
    mut stop: watch::Receiver<bool>,
    request: Request,
) -> Result<Response, Failure> {
    let not_ready = |message: &str| Failure::request(Code::NotReady, message);
    let address = match tokio::time::timeout(PATIENCE, first.wait_for(Option::is_some)).await {
        Ok(Ok(address)) => *address,
        Ok(Err(_)) | Err(_) => None,
    };
    let Some(address) = address else { return Err(not_ready("process 0 has not yet told its address")) };
    let question = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let url = format!("http://{address}{}{question}", request.path);
    let answer = client
        .request(request.method, url)
        .headers(passed_on(&request.headers))
        .body(reqwest::Body::wrap_stream(request.body))
        .send()
        .await
        .map_err(|e| not_ready(&format!("process 0 does not answer: {e}")))?;
    let (sender, receiver) = mpsc::channel::<Bytes>(4);
    let status = answer.status();
    let headers = passed_on(answer.headers());
    let mut pieces = answer.bytes_stream();
    tokio::spawn(async move {
        loop {
            let piece = tokio::select! {
                piece = pieces.next() => piece,
                () = sender.closed() => None,
                _ = stop.wait_for(|stop| *stop) => None,
            };
            let Some(Ok(piece)) = piece else { break };
            if sender.send(piece).await.is_err() {
                break;
            }
        }
    });
    let mut response = reply::streaming(reply::JSON, receiver);
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    Ok(response)
}

/// The headers but those that belong to one connection.
fn passed_on(headers: &HeaderMap) -> HeaderMap {
    const OWN: [HeaderName; 7] = [
        header::HOST,
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::TE,
        header::UPGRADE,
        header::CONTENT_LENGTH,
        header::EXPECT,
    ];
    headers.iter().filter(|(name, _)| !OWN.contains(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
}
