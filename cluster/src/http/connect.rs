//! Connect's REST interface, as far as scripts and dashboards use it.

use super::Site;
use super::reply::{self, Response};
use super::request::Request;
use crate::connect::{ConnectError, ConnectorView, Properties};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use warp::http::Method;

/// The body of `POST /connectors`.
#[derive(Deserialize)]
struct Create {
    name: String,
    config: Map<String, Json>,
}

/// `GET /` of Connect's own port.
pub(super) fn root(site: &Site) -> Response {
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": "weir",
        "kafka_cluster_id": site.intake.cluster_id(),
    });
    reply::json(200, &body)
}

/// Any request below `/connectors` and `/connector-plugins`.
pub(super) async fn answer(site: &Arc<Site>, method: &Method, segments: &[&str], request: &mut Request) -> Response {
    let result = match (method.as_str(), segments) {
        ("GET", ["connectors"]) => Ok(list(site, request)),
        ("POST", ["connectors"]) => create(site, request).await,
        ("GET", ["connectors", name]) => find(site, name).map(|c| reply::json(200, &info(&c))),
        ("DELETE", ["connectors", name]) => site.connectors.drop(name).await.map(|()| reply::empty(204)),
        ("GET", ["connectors", name, "config"]) => find(site, name).map(|c| reply::json(200, &config(&c))),
        ("PUT", ["connectors", name, "config"]) => put_config(site, name, request).await,
        ("GET", ["connectors", name, "status"]) => status_of(site, name),
        ("GET", ["connectors", name, "topics"]) => {
            find(site, name).map(|c| reply::json(200, &json!({*name: {"topics": c.topics}})))
        }
        ("GET", ["connectors", name, "tasks"]) => find(site, name).map(|c| {
            let task = json!({"id": {"connector": c.name, "task": 0}, "config": config(&c)});
            reply::json(200, &json!([task]))
        }),
        ("GET", ["connectors", name, "tasks", "0", "status"]) => {
            find(site, name).map(|c| reply::json(200, &c.task_json(&site.name)))
        }
        ("PUT", ["connectors", name, "pause"]) => site.connectors.pause(name).map(|()| reply::empty(202)),
        ("PUT", ["connectors", name, "stop"]) => site.connectors.pause(name).map(|()| reply::empty(202)),
        ("PUT", ["connectors", name, "resume"]) => site.connectors.resume(name).map(|()| reply::empty(202)),
        ("POST", ["connectors", name, "restart"]) => site.connectors.restart(name).await.map(|()| reply::empty(204)),
        ("POST", ["connectors", name, "tasks", "0", "restart"]) => {
            site.connectors.restart(name).await.map(|()| reply::empty(204))
        }
        ("GET", ["connector-plugins"]) => Ok(reply::json(200, &crate::connect::plugins())),
        (method, _) => {
            let message = format!("{method} {} is not a request that weir answers", request.path);
            return error(404, &message);
        }
    };
    result.unwrap_or_else(|failure| {
        let status = match &failure {
            ConnectError::NotFound(_) => 404,
            ConnectError::Exists(_) => 409,
            ConnectError::Invalid(_) => 400,
        };
        error(status, &failure.to_string())
    })
}

fn error(status: u16, message: &str) -> Response {
    reply::json(status, &json!({"error_code": status, "message": message}))
}

fn find(site: &Site, name: &str) -> Result<ConnectorView, ConnectError> {
    site.connectors.get(name).ok_or_else(|| ConnectError::NotFound(format!("Connector {name} not found")))
}

fn status_of(site: &Site, name: &str) -> Result<Response, ConnectError> {
    let missing = || ConnectError::NotFound(format!("No status found for connector {name}"));
    site.connectors.get(name).map(|c| reply::json(200, &c.status_json(&site.name))).ok_or_else(missing)
}

/// The names; with `?expand=status` or `?expand=info` an object with either or both for each.
fn list(site: &Site, request: &Request) -> Response {
    let expand = |what| request.parameters().any(|(name, value)| name == "expand" && value == what);
    let (with_status, with_info) = (expand("status"), expand("info"));
    let all = site.connectors.list();
    if !with_status && !with_info {
        return reply::json(200, &all.iter().map(|c| &c.name).collect::<Vec<_>>());
    }
    let entry = |c: &ConnectorView| {
        let mut entry = Map::new();
        if with_status {
            entry.insert("status".into(), c.status_json(&site.name));
        }
        if with_info {
            entry.insert("info".into(), info(c));
        }
        (c.name.clone(), Json::from(entry))
    };
    reply::json(200, &all.iter().map(entry).collect::<Map<_, _>>())
}

async fn create(site: &Arc<Site>, request: &mut Request) -> Result<Response, ConnectError> {
    let body: Create = match request.json(site.limits).await {
        Ok(body) => body,
        Err(failure) => return Ok(error(failure.code.status(), &failure.message)),
    };
    let created = site.connectors.create(&body.name, properties(&body.config)).await?;
    Ok(reply::json(201, &info(&created)))
}

async fn put_config(site: &Arc<Site>, name: &str, request: &mut Request) -> Result<Response, ConnectError> {
    let config: Map<String, Json> = match request.json(site.limits).await {
        Ok(body) => body,
        Err(failure) => return Ok(error(failure.code.status(), &failure.message)),
    };
    let config = properties(&config);
    let exists = site.connectors.get(name).is_some();
    let connector = if exists {
        site.connectors.replace(name, config).await?
    } else {
        site.connectors.create(name, config).await?
    };
    Ok(reply::json(if exists { 200 } else { 201 }, &info(&connector)))
}

/// Properties as text, whatever their JSON type; nulls are left out.
fn properties(config: &Map<String, Json>) -> Properties {
    let text = |value: &Json| match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    config.iter().filter_map(|(key, value)| text(value).map(|v| (key.clone(), v))).collect()
}

fn config(connector: &ConnectorView) -> Json {
    let mut config: Map<String, Json> =
        connector.properties.iter().map(|(k, v)| (k.clone(), Json::from(v.as_str()))).collect();
    config.insert("name".into(), Json::from(connector.name.as_str()));
    Json::from(config)
}

fn info(connector: &ConnectorView) -> Json {
    connector.info_json()
}
