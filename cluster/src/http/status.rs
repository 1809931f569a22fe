//! What a server says of itself: `/info`, `/healthcheck`, `/clusterStatus`, `/status`, `/v1/metadata`, `/metrics`.

use super::Site;
use super::reply::{self, Response};
use crate::intake::failure::{Code, Failure};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// The service's id, as in ksqlDB's default configuration.
pub(super) const SERVICE: &str = "default_";

/// `GET /info`.
pub(super) fn info(site: &Site) -> Response {
    let info = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "kafkaClusterId": site.intake.cluster_id(),
        "ksqlServiceId": SERVICE,
        "serverStatus": "RUNNING",
    });
    reply::json(200, &json!({"KsqlServerInfo": info}))
}

/// `GET /healthcheck`: 200 when all is well, 503 when something is not.
pub(super) async fn healthcheck(site: &Site) -> Response {
    let health = site.intake.health().await;
    let part = |ok: bool| json!({"isHealthy": ok});
    let healthy = health.catalog && health.topics && health.workers;
    let body = json!({
        "isHealthy": healthy,
        "details": {
            "metastore": part(health.catalog),
            "kafka": part(health.topics),
            "commandRunner": part(health.workers),
        },
        "serverState": "READY",
    });
    reply::json(if healthy { 200 } else { 503 }, &body)
}

/// `GET /clusterStatus`.
pub(super) fn cluster_status(site: &Site) -> Response {
    let now = crate::clock::now_ms();
    let host = json!({
        "hostAlive": true,
        "lastStatusUpdateMs": now,
        "activeStandbyPerQuery": {},
        "hostStoreLags": {"stateStoreLags": {}, "updateTimeMs": now},
    });
    reply::json(200, &json!({"clusterStatus": {site.name.clone(): host}}))
}

/// `GET /status`: the statements that changed something, and how they went.
pub(super) fn statuses(site: &Site) -> Response {
    let all: BTreeMap<String, Json> =
        site.intake.statuses().into_iter().map(|(id, status)| (id, Json::from(status.status))).collect();
    reply::json(200, &json!({"commandStatuses": all}))
}

/// `GET /status/TYPE/NAME/ACTION`.
pub(super) fn status(site: &Site, kind: &str, name: &str, action: &str) -> Result<Response, Failure> {
    let bare = name.trim_matches('`');
    let statuses = site.intake.statuses();
    // ksqlDB quotes what is created, and nothing else.
    let ids = [format!("{kind}/`{bare}`/{action}"), format!("{kind}/{bare}/{action}")];
    match ids.iter().find_map(|id| statuses.get(id)) {
        Some(status) => Ok(reply::json(200, status)),
        None => Err(Failure::request(Code::NotFound, format!("Command not found: {kind}/{name}/{action}"))),
    }
}

/// `GET /v1/metadata`.
pub(super) fn metadata(site: &Site) -> Response {
    let scope = json!({"kafka-cluster": site.intake.cluster_id(), "ksql-cluster": SERVICE});
    reply::json(200, &json!({"scope": scope, "id": ""}))
}

/// `GET /metrics`, in the OpenMetrics text format.
pub(super) fn metrics(site: &Site) -> Response {
    reply::body(200, "application/openmetrics-text; version=1.0.0; charset=utf-8", site.metrics.render())
}
