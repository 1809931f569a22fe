//! The clickstream demo's scripts, built in: the same objects as the ones its users know.

use crate::config::Script;
use crate::intake::Intake;
use crate::metrics::Metrics;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// Counting rows may take this part of the time: a table is read as a whole for it.
const SHARE: u32 = 50;

/// On a terminal: records a second, and the rows of each table, in one line that is written again every second.
pub async fn live_line(intake: Intake, metrics: Arc<Metrics>, demo: bool) {
    if !demo || !std::io::stderr().is_terminal() {
        return;
    }
    let mut read_before = 0;
    let mut tables = String::new();
    let mut count_again = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let catalog = intake.catalog();
        let sources = catalog.entries().filter(|e| e.view().is_none());
        let read: u64 = sources.map(|e| metrics.records_read(e.name()).get()).sum();
        if Instant::now() >= count_again {
            let began = Instant::now();
            let rows = intake.table_rows().await;
            tables = rows.iter().map(|(name, rows)| format!("  {} {rows}", name.to_lowercase())).collect();
            count_again = Instant::now() + began.elapsed() * SHARE;
        }
        let line = format!("{} records/s{tables}", read.saturating_sub(read_before));
        let width = terminal_size::terminal_size_of(std::io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
        let line: String = line.chars().take(width.saturating_sub(1)).collect();
        let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
        read_before = read;
    }
}
