//! What the program counts, by the user's names, for Prometheus (`GET /metrics`) and for the demo's live line.
//!
//! Handles are cheap to clone and to count with (an atomic each): whoever counts often takes its handle once,
//! outside its loop.

mod sum;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Source {
    source: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct View {
    view: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Connector {
    connector: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    path: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Path {
    path: String,
}

/// All counters and gauges of a process.
pub struct Metrics {
    registry: Registry,
    records_read: Family<Source, Counter>,
    bytes_read: Family<Source, Counter>,
    records_rejected: Family<Source, Counter>,
    records_late: Family<View, Counter>,
    expression_errors: Family<View, Counter>,
    view_changes: Family<View, Counter>,
    connector_records: Family<Connector, Counter>,
    sink_delivered: Family<Connector, Counter>,
    sink_rejected: Family<Connector, Counter>,
    sink_retries: Family<Connector, Counter>,
    sink_queued: Family<Connector, Gauge>,
    http_requests: Family<Request, Counter>,
    http_seconds: Family<Path, Histogram, fn() -> Histogram>,
    /// Epochs that this process has closed.
    pub epochs_closed: Counter,
    /// Bytes that this process has sent to the other processes of its cluster.
    pub exchanged_bytes: Counter,
    /// Push queries that run.
    pub push_queries: Gauge,
    /// Entries that the processing log had no room for.
    pub processing_log_dropped: Counter,
    /// What the cluster's other processes counted last, by their numbers.
    others: Mutex<BTreeMap<usize, String>>,
}

/// Seconds from a tenth of a millisecond to about a minute and a half.
fn latency() -> Histogram {
    let mut bound = 0.0001;
    Histogram::new(
        std::iter::repeat_with(move || {
            let b = bound;
            bound *= 4.0;
            b
        })
        .take(11),
    )
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("weir"),
            records_read: Family::default(),
            bytes_read: Family::default(),
            records_rejected: Family::default(),
            records_late: Family::default(),
            expression_errors: Family::default(),
            view_changes: Family::default(),
            connector_records: Family::default(),
            sink_delivered: Family::default(),
            sink_rejected: Family::default(),
            sink_retries: Family::default(),
            sink_queued: Family::default(),
            http_requests: Family::default(),
            http_seconds: Family::new_with_constructor(latency),
            epochs_closed: Counter::default(),
            exchanged_bytes: Counter::default(),
            push_queries: Gauge::default(),
            processing_log_dropped: Counter::default(),
            others: Mutex::default(),
        };
        let r = &mut metrics.registry;
        r.register("records_read", "Records read of a declared stream or table", metrics.records_read.clone());
        r.register("bytes_read", "Bytes of keys and values read", metrics.bytes_read.clone());
        r.register("records_rejected", "Records that did not fit their declaration", metrics.records_rejected.clone());
        r.register("records_late", "Records that came after their window had closed", metrics.records_late.clone());
        r.register("expression_errors", "Expressions that failed for a row", metrics.expression_errors.clone());
        r.register(
            "view_changes",
            "Rows of a stream, or changes of a table that somebody follows",
            metrics.view_changes.clone(),
        );
        r.register("connector_records", "Records that a source connector wrote", metrics.connector_records.clone());
        r.register("sink_delivered", "Changes that a sink connector delivered", metrics.sink_delivered.clone());
        r.register("sink_rejected", "Changes that the other side refused for good", metrics.sink_rejected.clone());
        r.register(
            "sink_retries",
            "Times that a sink connector had to wait for its destination",
            metrics.sink_retries.clone(),
        );
        r.register("sink_queued", "Changes that wait for a sink connector", metrics.sink_queued.clone());
        r.register("http_requests", "Requests answered", metrics.http_requests.clone());
        r.register("http_request_seconds", "Until an answer began", metrics.http_seconds.clone());
        r.register("epochs_closed", "Epochs that this process closed", metrics.epochs_closed.clone());
        r.register("exchanged_bytes", "Bytes sent to the other processes", metrics.exchanged_bytes.clone());
        r.register("push_queries", "Push queries that run", metrics.push_queries.clone());
        r.register(
            "processing_log_dropped",
            "Entries that the processing log had no room for",
            metrics.processing_log_dropped.clone(),
        );
        r.register_collector(Box::new(Process));
        metrics
    }
}

/// One accessor a family: the handle of one label.
macro_rules! handles {
    ($($(#[$doc:meta])* $name:ident: $label:ident.$field:ident -> $metric:ty;)*) => {
        $($(#[$doc])*
        pub fn $name(&self, $field: &str) -> $metric {
            self.$name.get_or_create_owned(&$label { $field: $field.to_owned() })
        })*
    };
}

impl Metrics {
    handles! {
        /// Records read of a declared stream or table, the rejected ones included.
        records_read: Source.source -> Counter;
        /// Bytes of keys and values read.
        bytes_read: Source.source -> Counter;
        /// Records that did not fit their declaration.
        records_rejected: Source.source -> Counter;
        /// Records that came after their window had closed.
        records_late: View.view -> Counter;
        /// Expressions that failed for a row.
        expression_errors: View.view -> Counter;
        /// Rows of a stream, or changes of a table that somebody follows.
        view_changes: View.view -> Counter;
        /// Records that a source connector wrote.
        connector_records: Connector.connector -> Counter;
        /// Changes that a sink connector delivered.
        sink_delivered: Connector.connector -> Counter;
        /// Changes that the other side refused for good.
        sink_rejected: Connector.connector -> Counter;
        /// Times that a sink connector had to wait for its destination.
        sink_retries: Connector.connector -> Counter;
        /// Changes that wait for a sink connector.
        sink_queued: Connector.connector -> Gauge;
    }

    /// Counts one answered request.
    pub fn http_answered(&self, path: &'static str, status: u16, took: Duration) {
        self.http_requests.get_or_create_owned(&Request { path: path.into(), status }).inc();
        self.http_seconds.get_or_create(&Path { path: path.into() }).observe(took.as_secs_f64());
    }

    /// Forgets a view that was dropped, so that its name does not stay in the answers for ever.
    pub fn forget_view(&self, view: &str) {
        let label = View { view: view.into() };
        self.records_late.remove(&label);
        self.expression_errors.remove(&label);
        self.view_changes.remove(&label);
    }

    /// Forgets a declared source that was dropped.
    pub fn forget_source(&self, source: &str) {
        let label = Source { source: source.into() };
        self.records_read.remove(&label);
        self.bytes_read.remove(&label);
        self.records_rejected.remove(&label);
    }

    /// Forgets a connector that was dropped.
    pub fn forget_connector(&self, connector: &str) {
        let label = Connector { connector: connector.into() };
        self.connector_records.remove(&label);
        self.sink_delivered.remove(&label);
        self.sink_rejected.remove(&label);
        self.sink_retries.remove(&label);
        self.sink_queued.remove(&label);
    }

    /// Takes what another process of the cluster has counted: its [`Metrics::render`].
    pub fn hear(&self, process: usize, text: String) {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).insert(process, text);
    }

    /// Everything in the OpenMetrics text format, version 1.0.0; what was heard of other processes is added to this
    /// one's.
    pub fn render(&self) -> String {
        let mut own = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut own, &self.registry);
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if others.is_empty() { own } else { sum::sum(&own, others.values().map(String::as_str)) }
    }
}

/// The process as the system sees it: memory and processor time.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if let Some(bytes) = resident_bytes() {
            let gauge = ConstGauge::new(bytes);
            let help = "Memory that the process occupies";
            let metric = encoder.encode_descriptor("process_resident_memory_bytes", help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        if let Some(seconds) = cpu_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "Processor time that the process has used";
            let metric = encoder.encode_descriptor("process_cpu_seconds", help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}

/// Memory that the process occupies now, in bytes; `None` where the system does not tell.
pub fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<i64>().ok().map(|kb| kb * 1024)
}

/// Processor time that the process has used, in seconds; `None` where the system does not tell.
pub fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the program's name, which may hold anything, user and system time are the 12th and 13th fields, in
    // ticks of a hundredth of a second.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_rendered_under_the_users_names() {
        let metrics = Metrics::default();
        metrics.records_read("CLICKSTREAM").inc_by(3);
        metrics.view_changes("EVENTS_PER_MIN").inc_by(7);
        metrics.http_answered("/query", 200, Duration::from_millis(2));
        let text = metrics.render();
        for line in [
            r#"weir_records_read_total{source="CLICKSTREAM"} 3"#,
            r#"weir_view_changes_total{view="EVENTS_PER_MIN"} 7"#,
            r#"weir_http_requests_total{path="/query",status="200"} 1"#,
            "weir_process_resident_memory_bytes ",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        metrics.forget_view("EVENTS_PER_MIN");
        assert!(!metrics.render().contains("EVENTS_PER_MIN"));
    }
}
