//! The sink against a real server, at `WEIR_TEST_ELASTICSEARCH` (such as `http://127.0.0.1:9200`).
//!
//! `WEIR_TEST_SECONDS` makes the stream longer (2 s), so that the server can be killed and started again meanwhile.

use super::*;
use crate::conformance::Shows;
use crate::conformance::{batch, change, changes, expected, flush, target};
use crate::delivery::{Delivery, Options};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A server and an index of this test's own; `None`, with the reason printed, when there is no server.
struct Real {
    config: Config,
    index: String,
}

impl Real {
    fn new(test: &str, more: &[(&str, &str)]) -> Option<Real> {
        let Ok(url) = std::env::var("WEIR_TEST_ELASTICSEARCH") else {
            eprintln!("not run: WEIR_TEST_ELASTICSEARCH is not set");
            return None;
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let index = format!("weir-test-{test}-{now}");
        let map = format!("V:{index}");
        let base = [("topics", "V"), ("connection.url", &url), ("topic.index.map", &map)];
        let typed = base.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let config = Config::from_properties(&typed).unwrap().0;
        Some(Real { config, index })
    }

    fn sink(&self, target: Target) -> ElasticsearchSink {
        ElasticsearchSink::new(&self.config, target).unwrap()
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let body = body.map(|b| ("application/json", Bytes::from(b.to_string())));
        let server = Server::new(&self.config).unwrap();
        let answer = server.request(method, &format!("{}/{path}", self.index), body).await.unwrap();
        assert!(answer.status < 300, "{path}: {}", bulk::reason(answer.status, &answer.body));
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// All documents, read in the order of `N`.
    async fn documents(&self) -> BTreeMap<i64, Vec<Option<i64>>> {
        self.ask(Method::POST, "_refresh", None).await;
        let mut out: BTreeMap<i64, Vec<Option<i64>>> = BTreeMap::new();
        let mut after = None;
        loop {
            let mut query = serde_json::json!({"size": 5000, "sort": [{"N": "asc"}]});
            if let Some(after) = after {
                query["search_after"] = after;
            }
            let answer = self.ask(Method::POST, "_search", Some(query)).await;
            let hits = answer["hits"]["hits"].as_array().unwrap().clone();
            let Some(last) = hits.last() else { return out };
            after = Some(last["sort"].clone());
            for hit in &hits {
                let document = &hit["_source"];
                out.entry(document["K_COPY"].as_i64().unwrap()).or_default().push(document["N"].as_i64());
            }
        }
    }

    async fn end(self) {
        self.ask(Method::DELETE, "", None).await;
        let server = Server::new(&self.config).unwrap();
        let _ = server.request(Method::DELETE, &format!("_index_template/weir-{}", self.index), None).await;
    }
}

#[tokio::test]
async fn event_ts_is_a_date_and_text_a_keyword() {
    use weir_dataflow::row::{Column, SqlType, Value as Cell};
    let Some(real) = Real::new("mapping", &[("key.ignore", "true")]) else { return };
    let mut target = target();
    let column = |name: &str, ty| Column { name: name.into(), ty };
    target.schema.value = vec![
        column("EVENT_TS", SqlType::Bigint),
        column("USERNAME", SqlType::String),
        column("SHARE", SqlType::Double),
        column("SEEN", SqlType::Timestamp),
        column("EVENTS", SqlType::Bigint),
    ];
    let mut sink = real.sink(target);
    let mut row = change(1, Some(1));
    let long: String = "ü".repeat(40_000);
    let cells = |text: &str| {
        let (time, text) = (1_700_000_000_000, Cell::String(text.into()));
        vec![Cell::Bigint(time), text, Cell::Double(0.1), Cell::Timestamp(time), Cell::Bigint(2)]
    };
    row.value = Some(cells("ann"));
    let mut other = row.clone();
    other.key = vec![Cell::Bigint(2)];
    other.value = Some(cells(&long));
    sink.accept(batch(0, vec![row, other]).into());
    assert_eq!(flush(&mut sink).await, Progress { delivered: 2, skipped: 0, rejected: Vec::new() });
    let mapping = real.ask(Method::GET, "_mapping", None).await;
    let fields = &mapping[&real.index]["mappings"]["properties"];
    let kind = |name: &str| fields[name]["type"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        ["EVENT_TS", "USERNAME", "SHARE", "SEEN", "EVENTS"].map(kind),
        ["date", "keyword", "double", "date", "long"]
    );
    let settings = real.ask(Method::GET, "_settings", None).await;
    let settings = &settings[&real.index]["settings"]["index"];
    assert_eq!(
        (settings["number_of_shards"].as_str(), settings["number_of_replicas"].as_str()),
        (Some("1"), Some("0"))
    );

    // Deleted, the index comes back as it was, for the template stays.
    real.ask(Method::DELETE, "", None).await;
    let mut row = change(3, Some(1));
    row.value = Some(cells("bob"));
    sink.accept(batch(1, vec![row]).into());
    flush(&mut sink).await;
    let mapping = real.ask(Method::GET, "_mapping", None).await;
    assert_eq!(mapping[&real.index]["mappings"]["properties"]["EVENT_TS"]["type"], "date");
    real.end().await;
}

#[tokio::test]
async fn a_document_that_does_not_fit_is_refused_with_the_servers_reason() {
    use weir_dataflow::row::{SqlType, Value as Cell};
    let Some(real) = Real::new("malformed", &[("key.ignore", "true")]) else { return };
    let mut sink = real.sink(target());
    sink.accept(batch(0, vec![change(1, Some(1))]).into());
    flush(&mut sink).await;
    // The field was a number first.
    let mut target = target();
    target.schema.value[1].ty = SqlType::String;
    let mut sink = real.sink(target);
    let mut row = change(2, Some(2));
    row.value.as_mut().unwrap()[1] = Cell::String("many".into());
    sink.accept(batch(1, vec![row]).into());
    let progress = flush(&mut sink).await;
    assert_eq!(progress.delivered, 0);
    assert!(progress.rejected[0].reason.contains("failed to parse field [N]"), "{}", progress.rejected[0].reason);
    real.end().await;
}

#[tokio::test]
async fn an_old_request_changes_nothing_any_more() {
    let Some(real) = Real::new("stale", &[("key.ignore", "false")]) else { return };
    let send = async |epoch, n| {
        let mut sink = real.sink(target());
        sink.accept(batch(epoch, vec![change(1, n)]).into());
        flush(&mut sink).await;
    };
    send(5, Some(5)).await;
    send(4, Some(4)).await;
    send(4, None).await;
    assert_eq!(real.documents().await, BTreeMap::from([(1, vec![Some(5)])]));
    send(5, Some(5)).await;
    send(6, None).await;
    send(5, Some(5)).await;
    assert_eq!(real.documents().await, BTreeMap::new());
    real.end().await;
}

/// A stream of changes into two indices at once, at about 4,000 rows/s.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_there_and_nothing_else() {
    let Some(log) = Real::new("changes", &[("key.ignore", "true")]) else { return };
    let Some(rows) = Real::new("rows", &[("key.ignore", "false")]) else { return };
    let seconds: u64 = std::env::var("WEIR_TEST_SECONDS").map_or(2, |text| text.parse().unwrap());
    let start = |real: &Real| {
        let options = real.config.delivery_options(Options::new(std::env::temp_dir()));
        let unexpected = Box::new(|rejected| panic!("{rejected:?}"));
        Delivery::start(real.sink(target()), &target(), options, unexpected, &tokio::runtime::Handle::current())
    };
    let deliveries = [start(&log), start(&rows)];
    let batches = changes(0..seconds * 600);
    let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / 600));
    for (i, batch) in batches.iter().enumerate() {
        tick.tick().await;
        deliveries.iter().for_each(|delivery| delivery.send(batch.clone()));
        if i % 3000 == 2999 {
            eprintln!("{:?}", deliveries[0].status());
        }
    }
    for delivery in deliveries {
        let status = delivery.stop(Duration::from_secs(120)).await;
        eprintln!("{status:?}");
        assert_eq!((status.pending, status.lost, status.rejected), (0, 0, 0));
    }
    assert_eq!(log.documents().await, expected(Shows::Values, &batches));
    assert_eq!(rows.documents().await, expected(Shows::Present, &batches));
    log.end().await;
    rows.end().await;
}
