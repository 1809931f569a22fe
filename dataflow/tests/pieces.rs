//! An epoch that changes more rows of a table than one piece of its changes holds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Shape, batch, bound};
use weir_dataflow::row::Value;

#[test]
fn values_are_gathered_in_the_order_of_their_changes() {
    let script = "CREATE TABLE A (K INT PRIMARY KEY, V BIGINT) WITH (kafka_topic='a', value_format='JSON');
        CREATE TABLE OUTPUT AS SELECT V - V AS G, COLLECT_LIST(V) AS VS FROM A GROUP BY V - V;";
    let records: Vec<common::Record> = (0..9000).map(|k| (Some(k), Some(i64::from(k)), 0)).collect();
    let shape = Shape { workers: 1, finite: true, listens: true };
    let (told, _) = common::run(bound(script), vec![vec![("A", batch(&records, 0))]], shape, |_| {});
    let Some(Value::Array(values)) = told.last().and_then(|row| row.value.clone()?.pop()) else { panic!("{told:?}") };
    let expected: Vec<Value> = (0..1000).map(Value::Bigint).collect();
    assert_eq!(values[..1000], expected);
}
