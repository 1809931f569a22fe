//! The sink against a server that misbehaves, and against a real one where there is one.

use super::fake::{Fake, Fault};
use super::*;
use crate::conformance::{self, Shows, World, batch, change, changes, expected, flush, target};
use serde_json::Value;
use std::collections::BTreeMap;

fn config(url: &str, more: &[(&str, &str)]) -> Config {
    let base = [("topics", "V"), ("connection.url", url), ("read.timeout.ms", "1000")];
    let typed = base.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Config::from_properties(&typed).unwrap().0
}

fn sink(fake: &Fake, more: &[(&str, &str)]) -> ElasticsearchSink {
    ElasticsearchSink::new(&config(&fake.url, more), target()).unwrap()
}

const CHANGES: (&str, &str) = ("key.ignore", "true");
const ROWS: (&str, &str) = ("key.ignore", "false");

/// The values of documents by their key, in the order of the values, which grow.
fn by_key(documents: impl IntoIterator<Item = Value>) -> BTreeMap<i64, Vec<Option<i64>>> {
    let mut out: BTreeMap<i64, Vec<Option<i64>>> = BTreeMap::new();
    for document in documents {
        out.entry(document["K_COPY"].as_i64().unwrap()).or_default().push(document["N"].as_i64());
    }
    out.values_mut().for_each(|values| values.sort());
    out
}

struct Changelog(Fake);
struct Present(Fake);

impl World for Changelog {
    type Sink = ElasticsearchSink;
    const SHOWS: Shows = Shows::Values;

    fn sink(&self) -> ElasticsearchSink {
        sink(&self.0, &[CHANGES, ("batch.size", "7")])
    }

    async fn arrived(&self) -> BTreeMap<i64, Vec<Option<i64>>> {
        by_key(self.0.world().documents("v").into_values())
    }

    async fn away(&self, away: bool) -> bool {
        self.0.world().away = away;
        true
    }
}

impl World for Present {
    type Sink = ElasticsearchSink;
    const SHOWS: Shows = Shows::Present;

    fn sink(&self) -> ElasticsearchSink {
        sink(&self.0, &[ROWS, ("batch.size", "3")])
    }

    async fn arrived(&self) -> BTreeMap<i64, Vec<Option<i64>>> {
        by_key(self.0.world().documents("v").into_values())
    }

    async fn away(&self, away: bool) -> bool {
        self.0.world().away = away;
        true
    }
}

#[tokio::test]
async fn the_changelog_conforms() {
    conformance::conforms(async || Changelog(Fake::start().await)).await;
}

#[tokio::test]
async fn present_rows_conform() {
    conformance::conforms(async || Present(Fake::start().await)).await;
}

/// Whatever goes wrong, in whatever order, the end is the same.
#[tokio::test]
async fn faults_lose_and_double_nothing() {
    for (mode, shows) in [(CHANGES, Shows::Values), (ROWS, Shows::Present)] {
        let fake = Fake::start().await;
        let faults = [
            Fault::Status(429),
            Fault::Items(429),
            Fault::DoneThenCut,
            Fault::Status(503),
            Fault::Items(503),
            Fault::Slow(0),
        ];
        fake.world().faults = faults.iter().cycle().take(60).cloned().collect();
        let mut sink = sink(&fake, &[mode, ("batch.size", "5"), ("max.in.flight.requests", "3")]);
        let batches = changes(0..60);
        for several in batches.chunks(4) {
            several.iter().cloned().for_each(|batch| sink.accept(batch.into()));
            let progress = flush(&mut sink).await;
            let rows: usize = several.iter().map(|batch| batch.rows.len()).sum();
            assert_eq!(progress.delivered + progress.skipped, rows as u64);
        }
        assert!(fake.world().faults.is_empty());
        assert_eq!(by_key(fake.world().documents("v").into_values()), expected(shows, &batches));
    }
}

#[tokio::test]
async fn only_the_items_that_were_refused_are_sent_again() {
    let fake = Fake::start().await;
    fake.world().faults = [Fault::Items(429), Fault::Items(429)].into();
    let mut sink = sink(&fake, &[CHANGES]);
    sink.accept(batch(0, (0..8).map(|k| change(k, Some(k))).collect()).into());
    let mut progress = Progress::default();
    for left in [4, 2] {
        assert!(matches!(sink.flush(&mut progress).await, Err(SinkError::Unavailable(_))));
        assert_eq!(progress.delivered, 8 - left);
    }
    sink.flush(&mut progress).await.unwrap();
    assert_eq!(progress.delivered, 8);
    assert_eq!(fake.world().bulks, [8, 4, 2]);
}

#[tokio::test]
async fn a_malformed_document_is_reported_and_the_rest_goes_on() {
    for mode in [CHANGES, ROWS] {
        let fake = Fake::start().await;
        let mut sink = sink(&fake, &[mode]);
        sink.accept(batch(0, vec![change(1, Some(1)), change(2, Some(-1)), change(3, Some(3))]).into());
        let progress = flush(&mut sink).await;
        assert_eq!((progress.delivered, progress.rejected.len()), (2, 1));
        let rejected = &progress.rejected[0];
        assert_eq!(rejected.reason, "mapper_parsing_exception: as told");
        assert_eq!(rejected.document, r#"{"K_COPY":2,"N":-1}"#);
        assert_eq!(rejected.time, 1_699_999_999_999);
        assert_eq!(fake.world().documents("v").len(), 2);
    }
}

#[tokio::test]
async fn a_malformed_document_fails_the_connector_when_told_so() {
    let fake = Fake::start().await;
    let rows = || batch(0, vec![change(1, Some(1)), change(2, Some(-1))]);
    let mut failing = sink(&fake, &[CHANGES, ("behavior.on.malformed.documents", "fail")]);
    failing.accept(rows().into());
    let mut progress = Progress::default();
    let error = failing.flush(&mut progress).await.unwrap_err();
    assert_eq!(
        error,
        SinkError::Failed("document \"V+2+1.1.1\" is malformed: mapper_parsing_exception: as told".into())
    );
    assert_eq!((progress.delivered, progress.rejected.len()), (1, 0));
    let mut silent = sink(&fake, &[CHANGES, ("behavior.on.malformed.documents", "ignore")]);
    silent.accept(rows().into());
    assert_eq!(flush(&mut silent).await, Progress { delivered: 1, skipped: 1, rejected: Vec::new() });
}

#[tokio::test]
async fn a_row_without_a_value_or_a_key() {
    let fake = Fake::start().await;
    let mut failing = sink(&fake, &[ROWS, ("behavior.on.null.values", "fail")]);
    failing.accept(batch(0, vec![change(1, Some(1)), change(2, None)]).into());
    let mut progress = Progress::default();
    let error = failing.flush(&mut progress).await.unwrap_err().to_string();
    assert_eq!(error, "the row of key \"2\" has no value, and behavior.on.null.values is \"fail\"");
    assert_eq!(progress.delivered, 1);

    let mut keyless = change(1, Some(5));
    keyless.key = vec![weir_dataflow::row::Value::Null];
    let mut rows = sink(&fake, &[ROWS]);
    rows.accept(batch(1, vec![keyless]).into());
    assert_eq!(flush(&mut rows).await.rejected[0].document, r#"{"K_COPY":1,"N":5}"#);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_cut_until_it_fits() {
    let fake = Fake::start().await;
    fake.world().max_body = 300;
    let mut sink = sink(&fake, &[CHANGES]);
    let mut target = target();
    target.schema.value[1].ty = weir_dataflow::row::SqlType::String;
    sink.target = target;
    let mut rows: Vec<_> = (0..20).map(|k| change(k, Some(k))).collect();
    rows[7].value.as_mut().unwrap()[1] = weir_dataflow::row::Value::String("x".repeat(2000).into());
    sink.accept(batch(0, rows).into());
    let progress = flush(&mut sink).await;
    assert_eq!((progress.delivered, progress.rejected.len()), (19, 1));
    assert!(progress.rejected[0].reason.starts_with("status 413"));
    assert!(progress.rejected[0].document.ends_with("x…"));
}

#[tokio::test]
async fn an_answer_that_comes_too_late_halves_the_requests() {
    let fake = Fake::start().await;
    fake.world().faults = [Fault::Slow(3000)].into();
    let mut sink = sink(&fake, &[CHANGES, ("batch.size", "16")]);
    sink.accept(batch(0, (0..16).map(|k| change(k, Some(k))).collect()).into());
    assert_eq!(flush(&mut sink).await.delivered, 16);
    assert_eq!(fake.world().bulks, [16, 8, 8]);
    sink.accept(batch(1, (0..16).map(|k| change(k, Some(k))).collect()).into());
    flush(&mut sink).await;
    assert_eq!(fake.world().bulks, [16, 8, 8, 16]);
}

#[tokio::test]
async fn an_index_that_was_deleted_is_made_again() {
    let fake = Fake::start().await;
    fake.world().no_auto_create = true;
    let mut sink = sink(&fake, &[CHANGES]);
    sink.accept(batch(0, vec![change(1, Some(1))]).into());
    flush(&mut sink).await;
    fake.world().indices.clear();
    fake.world().templates.clear();
    sink.accept(batch(1, vec![change(1, Some(2))]).into());
    flush(&mut sink).await;
    assert_eq!(fake.world().documents("v").len(), 1);
    assert!(fake.world().templates.contains_key("weir-v"));
}

#[tokio::test]
async fn a_users_template_stays_in_charge() {
    let fake = Fake::start().await;
    fake.world().templates.insert("mine".into(), serde_json::json!({"index_patterns": ["*"]}));
    let mut sink = sink(&fake, &[CHANGES]);
    flush(&mut sink).await;
    assert_eq!(fake.world().templates.keys().collect::<Vec<_>>(), ["mine"]);
}

#[tokio::test]
async fn a_session_that_grew_keeps_its_document() {
    use weir_dataflow::views::change::Bounds;
    let fake = Fake::start().await;
    let windowed = |end, n| {
        let mut row = change(1, n);
        row.window = Some(Bounds { start: 1000, end });
        row
    };
    let delivery = crate::delivery::Delivery::start(
        sink(&fake, &[ROWS]),
        &target(),
        crate::delivery::Options::new(std::env::temp_dir()),
        Box::new(|rejected| panic!("{rejected:?}")),
        &tokio::runtime::Handle::current(),
    );
    delivery.send(batch(0, vec![windowed(1500, Some(1))]));
    delivery.send(batch(1, vec![windowed(2000, Some(2)), windowed(1500, None)]));
    let status = delivery.stop(std::time::Duration::from_secs(10)).await;
    assert_eq!((status.delivered + status.skipped, status.pending), (3, 0));
    assert_eq!(fake.world().documents("v"), BTreeMap::from([("1@1000".into(), serde_json::json!({"K_COPY":1,"N":2}))]));
}

#[tokio::test]
async fn another_address_is_tried_when_nobody_answers() {
    let fake = Fake::start().await;
    let urls = format!("http://127.0.0.1:1,{}", fake.url);
    let mut sink = ElasticsearchSink::new(&config(&urls, &[CHANGES]), target()).unwrap();
    sink.accept(batch(0, vec![change(1, Some(1))]).into());
    let mut progress = Progress::default();
    sink.flush(&mut progress).await.unwrap();
    assert_eq!(progress.delivered, 1);
}

#[tokio::test]
async fn a_wrong_password_is_a_failure_and_the_right_one_is_sent() {
    let fake = Fake::start().await;
    // me:secret
    fake.world().authorization = Some("Basic bWU6c2VjcmV0".into());
    let flush = async |password| {
        let login = [CHANGES, ("connection.username", "me"), ("connection.password", password)];
        let mut sink = sink(&fake, &login);
        sink.accept(batch(0, vec![change(1, Some(1))]).into());
        sink.flush(&mut Progress::default()).await
    };
    let reason = "status 401: security_exception: who are you".to_owned();
    assert_eq!(flush("guess").await, Err(SinkError::Failed(reason)));
    assert_eq!(flush("secret").await, Ok(()));
}
