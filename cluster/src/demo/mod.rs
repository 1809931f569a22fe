//! The clickstream demo's scripts, built in: the same objects as the ones its users know.

use crate::config::Script;

/// Generators, then views.
pub fn scripts() -> Vec<Script> {
    vec![
        Script::Text("connectors.sql", include_str!("connectors.sql")),
        Script::Text("clickstream.sql", include_str!("clickstream.sql")),
    ]
}

/// Where to look, for a server at this address.
pub fn tour(address: std::net::SocketAddr) -> String {
    format!(
        "the clickstream demo runs; try:\n  \
         curl -s -X POST {address}/query -H 'Content-Type: application/json' -d '{{\"ksql\":\"SELECT * FROM EVENTS_PER_MIN;\"}}'\n  \
         curl -sN -X POST {address}/query -H 'Content-Type: application/json' -d '{{\"ksql\":\"SELECT * FROM USER_CLICKSTREAM EMIT CHANGES;\"}}'\n  \
         curl -s -X POST {address}/ksql -H 'Content-Type: application/json' -d '{{\"ksql\":\"SHOW CONNECTORS;\"}}'\n  \
         curl -s {address}/metrics\n\
         Ctrl-C ends it"
    )
}
