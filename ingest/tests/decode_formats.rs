//! Keys and values in every format, times, headers, tombstones; and what the encoder writes is read back.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;
use weir_dataflow::plan::{Format, KeyWindow, Source, TimestampColumn, TopicSpec};
use weir_dataflow::row::encode::Encoder;
use weir_dataflow::row::{Column, Decimal, Schema, SqlType, Value, packed};
use weir_dataflow::views::change::{Bounds, Row};
use weir_ingest::decode::{DecodeOptions, Decoder, Part};
use weir_ingest::record::{Record, RecordBatch, Slice};

/// A record's key and value.
type Pair<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

const CSV: Format = Format::Delimited { delimiter: ',' };

fn source(key: &[(&str, SqlType)], value: &[(&str, SqlType)], key_format: Format, value_format: Format) -> Source {
    let columns = |c: &[(&str, SqlType)]| c.iter().map(|(n, t)| Column { name: (*n).into(), ty: t.clone() }).collect();
    Source {
        name: "S".into(),
        table: false,
        queryable: false,
        schema: Schema { key: columns(key), value: columns(value) },
        topic: TopicSpec::new("t", key_format, value_format),
    }
}

/// A batch of records without headers, at times 100, 101, ….
fn batch(records: &[Pair<'_>]) -> RecordBatch {
    let mut bytes = Vec::new();
    let mut add = |part: &[u8]| {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(part);
        Slice { start, end: bytes.len() as u32 }
    };
    let records = (records.iter().enumerate())
        .map(|(i, (k, v))| Record {
            key: k.map(&mut add),
            value: v.map(&mut add),
            time: 100 + i as i64,
            offset: i as i64,
        })
        .collect();
    RecordBatch { partition: 2, sequence: 9, bytes: Bytes::from(bytes), records, headers: vec![] }
}

/// All columns of what was accepted, as `time: values` with `†` for a tombstone, then the rejects' reasons.
fn decode(decoder: &mut Decoder, source: &Source, records: &[Pair<'_>]) -> Vec<String> {
    decode_batch(decoder, source, &batch(records))
}

fn decode_batch(decoder: &mut Decoder, source: &Source, batch: &RecordBatch) -> Vec<String> {
    decoder.demand(&(0..source.schema.len()).collect::<Vec<_>>());
    let mut rejects = Vec::new();
    let out = decoder.decode(batch, &mut rejects);
    assert_eq!((out.origin.partition, out.origin.sequence), (batch.partition, batch.sequence));
    let types = source.schema.types();
    let mut shown: Vec<String> = (0..out.len())
        .map(|row| {
            let cell = |(c, ty): (usize, &SqlType)| packed::cell(out.columns[c].as_ref().unwrap(), ty, row);
            let values: Vec<String> = types.iter().enumerate().map(cell).map(|v| show(&v)).collect();
            let mark = if out.tombstones.as_ref().is_some_and(|t| t[row]) { "†" } else { "" };
            format!("{}: {}{mark}", out.times[row], values.join(" "))
        })
        .collect();
    shown.extend(rejects.into_iter().map(|r| {
        let part = match r.part {
            Part::Key => "key",
            Part::Value => "value",
            Part::Record => "record",
        };
        format!("{} {part}: {}", r.offset, r.reason)
    }));
    shown
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::String(s) => format!("{s:?}"),
        other => format!("{other:?}"),
    }
}

fn int() -> SqlType {
    SqlType::Int
}

#[test]
fn a_table_has_a_key_and_tombstones() {
    let mut source = source(&[("CODE", int())], &[("D", SqlType::String)], Format::Kafka, Format::Json);
    source.table = true;
    let shown = decode(
        &mut Decoder::new(&source),
        &source,
        &[
            (Some(&[0, 0, 1, 148]), Some(br#"{"d":"x","code":1}"#)),
            (Some(&[0, 0, 1, 148]), None),
            (Some(&[0, 0, 1, 148]), Some(b" null ")),
            (None, Some(b"{}")),
            (Some(&[1]), Some(b"{}")),
            (Some(&[0, 0, 0, 1]), Some(b"")),
            (Some(&[0, 0, 0, 1]), Some(b"[1]")),
            (Some(&[0, 0, 0, 1]), Some(br#"{"d":"a"} x"#)),
        ],
    );
    expect_test::expect![[r#"
        [
            "100: Int(404) \"x\"",
            "101: Int(404) null†",
            "102: Int(404) null†",
            "3 record: it has no key, which a table's record must have",
            "4 key: column `CODE`: 1 bytes are no INTEGER in the KAFKA format",
            "5 value: it is not well-formed JSON: the text ends too early (byte 0)",
            "6 value: it is not a JSON object",
            "7 value: it is not well-formed JSON: something follows the JSON value (byte 10)",
        ]
    "#]]
    .assert_debug_eq(&shown);
}

#[test]
fn json_keys_are_bare_or_objects() {
    let one = source(&[("K", SqlType::String)], &[], Format::Json, Format::Json);
    let keys: [Pair<'_>; 5] = [
        (Some(br#""a\u0062""#), Some(b"{}")),
        (Some(b"12"), Some(b"{}")),
        (Some(b"null"), Some(b"{}")),
        (None, None),
        (Some(b"a"), Some(b"{}")),
    ];
    assert_eq!(
        decode(&mut Decoder::new(&one), &one, &keys),
        [
            "100: \"ab\"",
            "101: \"12\"",
            "102: null",
            "103: null†",
            "4 key: it is not well-formed JSON: a value was expected (byte 0)"
        ]
    );
    let two = source(&[("K1", int()), ("K2", int())], &[("V", int())], Format::Json, Format::Json);
    let keys: [Pair<'_>; 2] = [(Some(br#"{"k2":2,"K1":1}"#), Some(br#"{"V":3}"#)), (Some(b"1"), Some(br#"{"V":3}"#))];
    assert_eq!(
        decode(&mut Decoder::new(&two), &two, &keys),
        ["100: Int(1) Int(2) Int(3)", "1 key: it is not a JSON object"]
    );
}

#[test]
fn single_values_may_stand_alone() {
    let mut source = source(&[], &[("V", SqlType::Array(Box::new(int())))], Format::None, Format::Json);
    source.topic.wrap_single_value = false;
    let records: [Pair<'_>; 3] = [(None, Some(b"[1, \"2\", null]")), (None, Some(b"null")), (Some(b"?"), Some(b"{}"))];
    assert_eq!(
        decode(&mut Decoder::new(&source), &source, &records),
        ["100: Array([Int(1), Int(2), Null])", "101: null†", "2 value: column `V`: an object is no ARRAY<INTEGER>"]
    );
}

#[test]
fn delimited_records_have_as_many_fields_as_columns() {
    let source = source(&[("K", int())], &[("A", SqlType::String), ("B", SqlType::Double)], CSV, CSV);
    let records: [Pair<'_>; 5] = [
        (Some(b"1"), Some(b"\"x, y\",1e3")),
        (None, Some(b",")),
        (Some(b"1"), Some(b"a")),
        (Some(b"1,2"), Some(b"a,1")),
        (Some(b"1"), Some(b"a,b")),
    ];
    assert_eq!(
        decode(&mut Decoder::new(&source), &source, &records),
        [
            "100: Int(1) \"x, y\" Double(1000.0)",
            "101: null null null",
            "2 value: it has 1 fields where 2 are declared",
            "3 key: it has 2 fields where 1 are declared",
            "4 value: column `B`: the field \"b\" is no DOUBLE",
        ]
    );
}

#[test]
fn the_window_behind_a_key_stands_behind_the_columns() {
    let mut source = source(&[("K", SqlType::String)], &[("V", int())], Format::Kafka, Format::Json);
    source.topic.window = Some(KeyWindow::Session);
    let mut key = b"abc".to_vec();
    key.extend_from_slice(&9_i64.to_be_bytes());
    key.extend_from_slice(&5_i64.to_be_bytes());
    let value: Option<&[u8]> = Some(b"{}");
    assert_eq!(
        decode(&mut Decoder::new(&source), &source, &[(Some(&key), value), (Some(b"abc"), value)]),
        ["100: \"abc\" null", "1 key: it is too short to end in a window's bounds"]
    );
    // Whoever reads what: the bounds are there, and of a record without a key they are null.
    let out = Decoder::new(&source).decode(&batch(&[(Some(&key), value), (None, value)]), &mut Vec::new());
    let bound = |column: usize, row| packed::cell(out.columns[column].as_ref().unwrap(), &SqlType::Bigint, row);
    assert_eq!([bound(2, 0), bound(3, 0)], [Value::Bigint(5), Value::Bigint(9)]);
    assert_eq!([bound(2, 1), bound(3, 1)], [Value::Null, Value::Null]);
}

#[test]
fn rowtime_is_taken_from_a_column() {
    let mut source = source(&[], &[("T", SqlType::Bigint), ("S", SqlType::String)], Format::None, Format::Json);
    source.topic.timestamp = Some(TimestampColumn { column: 0, format: None });
    let records: [Pair<'_>; 4] =
        [(None, Some(br#"{"T":"7"}"#)), (None, Some(br#"{"T":-7}"#)), (None, Some(br#"{"S":"x"}"#)), (None, None)];
    assert_eq!(
        decode(&mut Decoder::new(&source), &source, &records),
        [
            "7: Bigint(7) null",
            "103: null null†",
            "1 record: its timestamp is negative: -7",
            "2 record: its timestamp column `T` is null",
        ]
    );
    source.topic.timestamp = Some(TimestampColumn { column: 1, format: Some("yyyy-MM-dd'T'HH:mm:ssX".into()) });
    let records: [Pair<'_>; 2] =
        [(None, Some(br#"{"S":"1970-01-01T00:01:00Z"}"#)), (None, Some(br#"{"S":"1970-01-01"}"#))];
    let shown = decode(&mut Decoder::new(&source), &source, &records);
    assert_eq!(shown[0], "60000: null \"1970-01-01T00:01:00Z\"");
    assert!(shown[1].starts_with("1 record: its timestamp column `S`: "), "{}", shown[1]);
    // It is found although nobody demands the column.
    let mut decoder = Decoder::new(&source);
    let out = decoder.decode(&batch(&records), &mut Vec::new());
    assert_eq!((&out.times[..], out.columns.iter().flatten().count()), (&[60_000][..], 0));
}

#[test]
fn lines_of_a_file_carry_their_key_and_time() {
    let mut source = source(&[("K", int())], &[("V", int())], Format::Kafka, Format::Json);
    let options = DecodeOptions { keys_from_value: true, timestamp_field: Some("ts".into()) };
    let records: [Pair<'_>; 4] = [
        (None, Some(br#"{"k":1,"v":2,"ts":5}"#)),
        (None, Some(br#"{"ts":6,"v":2,"k":"3"}"#)),
        (None, Some(br#"{"k":1,"v":2}"#)),
        (None, Some(br#"{"k":1,"v":2,"ts":"x"}"#)),
    ];
    assert_eq!(
        decode(&mut Decoder::with_options(&source, &options), &source, &records),
        [
            "5: Int(1) Int(2)",
            "6: Int(3) Int(2)",
            "2 value: its field \"ts\" holds no timestamp",
            "3 value: its field \"ts\" holds no timestamp"
        ]
    );
    source.table = true;
    assert_eq!(
        decode(&mut Decoder::with_options(&source, &options), &source, &records[1..3]),
        ["6: Int(3) Int(2)", "101: Int(1) Int(2)"]
    );
}

#[test]
fn headers_are_columns() {
    let header = SqlType::Struct(vec![("KEY".into(), SqlType::String), ("VALUE".into(), SqlType::Bytes)]);
    let columns = [("ALL", SqlType::Array(Box::new(header))), ("ONE", SqlType::Bytes), ("V", int())];
    let mut source = source(&[], &columns, Format::None, Format::Json);
    source.topic.headers = vec![(0, None), (1, Some("b".into()))];
    let value: Option<&[u8]> = Some(br#"{"V":1,"ONE":"AAAA"}"#);
    let mut batch = batch(&[(None, value), (None, Some(b"bad")), (None, value), (None, None)]);
    let header = |i, name: &str, value: Option<&'static [u8]>| (i, name.to_owned(), value.map(Bytes::from_static));
    batch.headers = vec![
        header(0, "b", Some(b"x")),
        header(0, "a", None),
        header(0, "b", Some(b"y")),
        header(1, "b", Some(b"z")),
        header(3, "b", Some(b"z")),
    ];
    let shown = decode_batch(&mut Decoder::new(&source), &source, &batch);
    let all = r#"Array([Struct([String("b"), Bytes([120])]), Struct([String("a"), Null]), Struct([String("b"), Bytes([121])])])"#;
    assert_eq!(shown[0], format!("100: {all} Bytes([121]) Int(1)"));
    assert_eq!(shown[1..3], ["102: Array([]) null Int(1)", "103: null null null†"]);
    assert_eq!(shown.len(), 4);
}

#[test]
fn demand_grows_and_what_is_not_demanded_is_checked() {
    let source = source(&[], &[("A", int()), ("B", int())], Format::None, Format::Json);
    let mut decoder = Decoder::new(&source);
    let records = batch(&[(None, Some(br#"{"A":1,"B":2}"#)), (None, Some(br#"{"A":1,"B":"x"}"#))]);
    for demand in [&[][..], &[0], &[1]] {
        decoder.demand(demand);
        let mut rejects = Vec::new();
        let out = decoder.decode(&records, &mut rejects);
        let there: Vec<bool> = out.columns.iter().map(Option::is_some).collect();
        assert_eq!((out.len(), rejects.len()), (1, 1));
        assert_eq!(rejects[0].reason, "column `B`: the string \"x\" is no INTEGER");
        assert_eq!((rejects[0].partition, rejects[0].offset, &rejects[0].topic[..]), (2, 1, "t"));
        assert_eq!(rejects[0].value.as_deref(), Some(&br#"{"A":1,"B":"x"}"#[..]));
        assert_eq!(there, [!demand.is_empty(), demand == [1]]);
    }
}

fn value(ty: &SqlType) -> BoxedStrategy<Value> {
    let text = "[ -~\n\té漢]{0,6}";
    let some = match ty {
        SqlType::Int => any::<i32>().prop_map(Value::Int).boxed(),
        SqlType::Bigint => any::<i64>().prop_map(Value::Bigint).boxed(),
        SqlType::Double => any::<f64>().prop_map(|v| Value::Double(v + 0.0)).boxed(),
        SqlType::Decimal(..) => {
            (-99_999..=99_999_i128).prop_map(|unscaled| Value::Decimal(Decimal { unscaled, scale: 2 })).boxed()
        }
        SqlType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        SqlType::Bytes => prop::collection::vec(any::<u8>(), 0..5).prop_map(|v| Value::Bytes(v.into())).boxed(),
        SqlType::Timestamp => any::<i64>().prop_map(Value::Timestamp).boxed(),
        SqlType::Date => any::<i32>().prop_map(Value::Date).boxed(),
        SqlType::Time => any::<i32>().prop_map(Value::Time).boxed(),
        _ => text.prop_map(|v| Value::String(v.into())).boxed(),
    };
    prop_oneof![1 => Just(Value::Null), 9 => some].boxed()
}

fn flat() -> Vec<(&'static str, SqlType)> {
    vec![
        ("I", int()),
        ("B", SqlType::Bigint),
        ("D", SqlType::Double),
        ("DEC", SqlType::Decimal(5, 2)),
        ("BO", SqlType::Boolean),
        ("S", SqlType::String),
        ("BY", SqlType::Bytes),
        ("T", SqlType::Timestamp),
        ("DA", SqlType::Date),
        ("TI", SqlType::Time),
    ]
}

fn values(types: &[(&str, SqlType)]) -> impl Strategy<Value = Vec<Value>> + use<> {
    types.iter().map(|(_, t)| value(t)).collect::<Vec<_>>()
}

/// Writes a row and reads it again.
fn there_and_back(source: &Source, row: &Row) -> (Vec<Value>, bool) {
    let encoder = Encoder::new(&source.schema, &source.topic).unwrap();
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let (has_key, has_value) = (encoder.key(row, &mut key), encoder.value(row, &mut value));
    let mut decoder = Decoder::new(source);
    decoder.demand(&(0..source.schema.len()).collect::<Vec<_>>());
    let mut rejects = Vec::new();
    let out = decoder.decode(&batch(&[(has_key.then_some(&key[..]), has_value.then_some(&value[..]))]), &mut rejects);
    assert!(rejects.is_empty(), "{} {}", rejects[0].reason, String::from_utf8_lossy(&value));
    let types = source.schema.types();
    let cell = |(c, ty): (usize, &SqlType)| packed::cell(out.columns[c].as_ref().unwrap(), ty, 0);
    (types.iter().enumerate().map(cell).collect(), out.tombstones.is_some())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(key in values(&flat()), row in values(&flat()), csv in any::<bool>(), gone in any::<bool>()) {
        let format = if csv { CSV } else { Format::Json };
        let source = source(&flat(), &flat().iter().map(|(n, t)| (*n, t.clone())).collect::<Vec<_>>(), format, format);
        // The columns of key and value have the same names, which only the position tells apart.
        let value = (!gone).then(|| row.clone());
        let (got, tombstone) = there_and_back(&source, &Row { key: key.clone(), window: None, value, time: 0 });
        let expected = key.into_iter().chain(row.into_iter().map(|v| if gone { Value::Null } else { v }));
        // An empty field is null.
        let empty = |v: &Value| csv && (*v == Value::String("".into()) || *v == Value::Bytes([].into()));
        let expected: Vec<Value> = expected.map(|v| if empty(&v) { Value::Null } else { v }).collect();
        prop_assert_eq!(got, expected);
        prop_assert_eq!(tombstone, gone);
    }

    #[test]
    fn primitives_and_windows_are_read(key in value(&int()), row in value(&SqlType::Double), bounds in any::<Option<(i64, i64)>>()) {
        let mut source = source(&[("K", int())], &[("V", SqlType::Double)], Format::Kafka, Format::Kafka);
        source.topic.window = bounds.map(|(start, _)| if start % 2 == 0 { KeyWindow::Session } else { KeyWindow::Time(5) });
        let window = bounds.map(|(start, end)| Bounds { start, end });
        let (got, tombstone) =
            there_and_back(&source, &Row { key: vec![key.clone()], window, value: Some(vec![row.clone()]), time: 0 });
        prop_assert_eq!(tombstone, row.is_null());
        prop_assert_eq!(got, vec![key, row]);
    }
}

#[test]
fn nested_values_are_read_back() {
    let ty = SqlType::Struct(vec![
        ("a".into(), SqlType::Array(Box::new(SqlType::Map(Box::new(SqlType::String), Box::new(int()))))),
        ("B".into(), SqlType::Decimal(4, 1)),
    ]);
    let entry = |k: &str, v| (Value::String(k.into()), v);
    let map: Arc<[(Value, Value)]> = [entry("x\"", Value::Int(1)), entry("", Value::Null)].into();
    let value = Value::Struct(
        [Value::Array([Value::Map(map), Value::Null].into()), Value::Decimal(Decimal { unscaled: -15, scale: 1 })]
            .into(),
    );
    let source = source(&[], &[("V", ty)], Format::None, Format::Json);
    let row = Row { key: vec![], window: None, value: Some(vec![value.clone()]), time: 0 };
    assert_eq!(there_and_back(&source, &row), (vec![value], false));
}
