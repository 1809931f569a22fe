//! The decoder, for clicks of about 280 bytes: `cargo bench -p weir-ingest`.

use bytes::Bytes;
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use weir_dataflow::plan::{Format, Source, TopicSpec};
use weir_dataflow::row::{Column, Schema, SqlType};
use weir_ingest::decode::Decoder;
use weir_ingest::record::{Record, RecordBatch, Slice};

fn main() {
    divan::main();
}

/// As the clickstream script reads them.
#[divan::bench]
fn five_columns(bencher: Bencher<'_, '_>) {
    decode(bencher, &[2, 3, 4, 5, 6], |i| click(i, false));
}

#[divan::bench]
fn eight_columns(bencher: Bencher<'_, '_>) {
    decode(bencher, &[0, 1, 2, 3, 4, 5, 6, 7], |i| click(i, false));
}

/// Each click has its keys in another order than the one before.
#[divan::bench]
fn five_columns_two_orders_of_keys(bencher: Bencher<'_, '_>) {
    decode(bencher, &[2, 3, 4, 5, 6], |i| click(i, i % 2 == 1));
}

fn decode(bencher: Bencher<'_, '_>, columns: &[usize], click: impl Fn(u32) -> String) {
    let batch = batch(click);
    let mut decoder = Decoder::new(&source());
    decoder.demand(columns);
    let bencher = bencher.counter(ItemsCount::new(batch.records.len())).counter(BytesCount::new(batch.bytes.len()));
    bencher.bench_local(|| {
        let mut rejects = Vec::new();
        let decoded = decoder.decode(&batch, &mut rejects);
        assert_eq!((decoded.len(), rejects.len()), (batch.records.len(), 0));
        decoded
    });
}

fn click(i: u32, turned: bool) -> String {
    let (user, status, size) = (i % 41, [200, 302, 404, 405][i as usize % 4], [278, 1289, 14096][i as usize % 3]);
    let first = format!(r#""ip":"111.{}.45.{}","userid":{user},"remote_user":"-""#, i % 250, i % 199);
    let second = format!(r#""time":"{i}","_time":{i},"request":"GET /site/user_status.html HTTP/1.1""#);
    let third = format!(
        r#""status":"{status}","bytes":"{size}","referrer":"-","agent":"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)""#
    );
    if turned { format!("{{{second},{first},{third}}}") } else { format!("{{{first},{second},{third}}}") }
}

fn batch(click: impl Fn(u32) -> String) -> RecordBatch {
    let (mut bytes, mut records) = (Vec::new(), Vec::new());
    for i in 0..4000 {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(click(i).as_bytes());
        let value = Some(Slice { start, end: bytes.len() as u32 });
        records.push(Record { key: None, value, time: 1, offset: i64::from(i) });
    }
    RecordBatch { partition: 0, sequence: 0, bytes: Bytes::from(bytes), records, headers: Vec::new() }
}

fn source() -> Source {
    let column = |name: &str, ty| Column { name: name.into(), ty };
    let value = vec![
        column("_TIME", SqlType::Bigint),
        column("TIME", SqlType::String),
        column("IP", SqlType::String),
        column("REQUEST", SqlType::String),
        column("STATUS", SqlType::Int),
        column("USERID", SqlType::Int),
        column("BYTES", SqlType::Bigint),
        column("AGENT", SqlType::String),
    ];
    Source {
        name: "CLICKSTREAM".into(),
        table: false,
        queryable: false,
        schema: Schema { key: vec![], value },
        topic: TopicSpec::new("clickstream", Format::Kafka, Format::Json),
    }
}
