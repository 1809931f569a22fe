//! `POST /ksql`: statements.

use super::Site;
use super::query::KsqlRequest;
use super::reply::{self, Response};
use super::request::Request;
use crate::intake::failure::{Code, Failure};
use crate::intake::session::Session;
use std::sync::Arc;

/// `POST /ksql`: an array with one entity a statement.
pub(super) async fn ksql(site: &Arc<Site>, request: &mut Request) -> Result<Response, Failure> {
    let body: KsqlRequest = request.json(site.limits).await?;
    let mut session = Session::new(&site.intake, body.streams_properties.as_ref(), body.session_variables.as_ref())?;
    let intake = site.intake.clone();
    // A task of its own: a statement is carried out as a whole, also when nobody waits for its answer any more.
    let task = tokio::spawn(async move { intake.execute(&body.ksql, &mut session).await });
    let entities = match tokio::time::timeout(site.limits.request, task).await {
        Ok(Ok(result)) => result?,
        Ok(Err(ended)) => {
            return Err(Failure::request(Code::Server, format!("the statement was not finished: {ended}")));
        }
        Err(_) => {
            let seconds = site.limits.request.as_secs();
            let message = format!("the statement was not finished within {seconds} s (--request-timeout); it goes on");
            return Err(Failure::request(Code::Server, message));
        }
    };
    let mut response = reply::json(200, &entities);
    if request.accepts(reply::KSQL) {
        let media_type = warp::http::HeaderValue::from_static(reply::KSQL);
        response.headers_mut().insert(warp::http::header::CONTENT_TYPE, media_type);
    }
    Ok(response)
}
