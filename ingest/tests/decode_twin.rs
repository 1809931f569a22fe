//! The decoder agrees with a naive twin, which reads one record at a time through `serde_json` and big integers, on
//! generated JSON texts: white space, escapes, keys in any order and case, missing, repeated and unknown keys, all
//! kinds of numbers, and texts that are cut or have a byte wrong. Records that are read together become what each of them
//! becomes alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use num_bigint::BigInt;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::Value as Json;
use weir_dataflow::plan::{Format, Source, TimestampColumn, TopicSpec};
use weir_dataflow::row::{Column, Decimal, Schema, SqlType, Value, packed};
use weir_ingest::decode::{DecodeOptions, Decoder};
use weir_ingest::record::{Record, RecordBatch, Slice};

fn columns() -> Vec<Column> {
    let column = |name: &str, ty| Column { name: name.into(), ty };
    vec![
        column("I", SqlType::Int),
        column("B", SqlType::Bigint),
        column("D", SqlType::Double),
        column("DEC", SqlType::Decimal(6, 2)),
        column("BO", SqlType::Boolean),
        column("S", SqlType::String),
        column("s", SqlType::String),
        column("É\"", SqlType::String),
        column("T", SqlType::Timestamp),
        column("DA", SqlType::Date),
        column("BY", SqlType::Bytes),
        column("AR", SqlType::Array(Box::new(SqlType::Int))),
        column("M", SqlType::Map(Box::new(SqlType::String), Box::new(SqlType::Bigint))),
        column("ST", SqlType::Struct(vec![("A".into(), SqlType::Int), ("b".into(), SqlType::String)])),
    ]
}

fn source() -> Source {
    Source {
        name: "X".into(),
        table: false,
        queryable: false,
        schema: Schema { key: vec![], value: columns() },
        topic: TopicSpec::new("x", Format::None, Format::Json),
    }
}

/// An object's fields as they stand in the text.
struct Fields(Vec<(String, Json)>);

impl<'de> serde::Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Fields;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// The row of a text: `None` when it is rejected, a row of nulls and `true` for a tombstone.
fn twin(text: &[u8]) -> Option<(Vec<Value>, bool)> {
    let columns = columns();
    if serde_json::from_slice::<Json>(text).ok()? == Json::Null {
        return Some((vec![Value::Null; columns.len()], true));
    }
    let Fields(fields) = serde_json::from_slice(text).ok()?;
    let row = columns.iter().map(|c| {
        let exact = fields.iter().rev().find(|(n, _)| *n == c.name);
        let field = exact.or_else(|| fields.iter().rev().find(|(n, _)| n.to_uppercase() == c.name));
        field.map_or(Some(Value::Null), |(_, json)| coerce(&c.ty, json))
    });
    Some((row.collect::<Option<_>>()?, false))
}

/// A number as digits and scale.
fn big(text: &str) -> Option<(BigInt, i64)> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((m, e)) => (m, i64::from(e.parse::<i32>().ok()?)),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if !digits.ends_with(|c: char| c.is_ascii_digit()) || fraction.starts_with(['+', '-']) || digits.contains('_') {
        return None;
    }
    Some((digits.parse().ok()?, fraction.len() as i64 - exponent))
}

/// A power of ten, or one that is beyond all numbers here.
fn ten(power: i64) -> BigInt {
    BigInt::from(10).pow(power.min(300) as u32)
}

fn whole(text: &str) -> Option<BigInt> {
    let (digits, scale) = big(text)?;
    Some(if scale > 0 { digits / ten(scale) } else { digits * ten(-scale) })
}

fn low_bits(n: &BigInt) -> i64 {
    let mut bytes = n.to_signed_bytes_le();
    bytes.resize(bytes.len().max(8), if *n < BigInt::ZERO { 255 } else { 0 });
    i64::from_le_bytes(bytes[..8].try_into().unwrap())
}

fn long(json: &Json) -> Option<i64> {
    match json {
        Json::Number(n) => Some(low_bits(&whole(&n.to_string())?)),
        Json::String(s) => s.parse().ok(),
        _ => None,
    }
}

fn text(json: &Json) -> String {
    match json {
        Json::Null => "null".into(),
        Json::Bool(b) => b.to_string(),
        Json::String(s) => s.clone(),
        Json::Number(n) => number_text(&n.to_string()),
        Json::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", ")),
        Json::Object(_) => compact(json),
    }
}

fn compact(json: &Json) -> String {
    match json {
        Json::Number(_) => text(json),
        Json::Array(items) => format!("[{}]", items.iter().map(compact).collect::<Vec<_>>().join(",")),
        Json::Object(fields) => {
            let field = |(k, v): (&String, &Json)| format!("{}:{}", compact(&Json::String(k.clone())), compact(v));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
        // Java writes the hexadecimal digits of escapes in upper case.
        _ => (0..0x20).fold(json.to_string(), |s, c| s.replace(&format!("\\u{c:04x}"), &format!("\\u{c:04X}"))),
    }
}

/// `BigDecimal.toString`, as its documentation says.
fn number_text(json: &str) -> String {
    if !json.contains(['.', 'e', 'E']) {
        return json.parse::<BigInt>().unwrap().to_string();
    }
    let (n, scale) = big(json).unwrap();
    let sign = if n < BigInt::ZERO { "-" } else { "" };
    let digits = n.magnitude().to_string();
    let adjusted = digits.len() as i64 - 1 - scale;
    if scale >= 0 && adjusted >= -6 {
        if scale == 0 {
            return format!("{sign}{digits}");
        }
        let padded = format!("{digits:0>width$}", width = scale as usize + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale as usize);
        return format!("{sign}{whole}.{fraction}");
    }
    let point = if digits.len() > 1 { "." } else { "" };
    format!("{sign}{}{point}{}E{adjusted:+}", &digits[..1], &digits[1..])
}

fn coerce(ty: &SqlType, json: &Json) -> Option<Value> {
    Some(match (ty, json) {
        (_, Json::Null) => Value::Null,
        (SqlType::Int, Json::String(s)) => Value::Int(s.parse().ok()?),
        (SqlType::Int, _) => Value::Int(long(json)? as i32),
        (SqlType::Bigint, _) => Value::Bigint(long(json)?),
        (SqlType::Timestamp, _) => Value::Timestamp(long(json)?),
        (SqlType::Date, _) => Value::Date(long(json)?.try_into().ok()?),
        (SqlType::Double, Json::Number(n)) => Value::Double(n.to_string().parse::<f64>().ok()? + 0.0),
        (SqlType::Double, Json::String(s)) => match s.trim() {
            "NaN" => Value::Double(f64::NAN),
            s if s.to_lowercase().contains(['i', 'n', '_']) => return None,
            s => Value::Double(s.trim_end_matches(['d', 'D', 'f', 'F']).parse().ok()?),
        },
        (SqlType::Decimal(precision, scale), Json::Number(_) | Json::String(_)) => {
            let text = if let Json::String(s) = json { s.clone() } else { json.to_string() };
            let (digits, has) = big(&text)?;
            let (precision, scale) = (i64::from(*precision), i64::from(*scale));
            let unscaled = if has <= scale {
                digits * ten(scale - has)
            } else if &digits % ten(has - scale) == BigInt::ZERO {
                digits / ten(has - scale)
            } else {
                return None;
            };
            if unscaled.magnitude() >= ten(precision).magnitude() {
                return None;
            }
            Value::Decimal(Decimal { unscaled: low_bits(&unscaled).into(), scale: scale as u8 })
        }
        (SqlType::Boolean, Json::Bool(b)) => Value::Boolean(*b),
        (SqlType::String, _) => Value::String(text(json).into()),
        (SqlType::Bytes, Json::String(s)) => {
            use base64::Engine as _;
            let s: String = s.chars().filter(|c| *c > ' ').collect();
            Value::Bytes(base64::engine::general_purpose::STANDARD.decode(s).ok()?.into())
        }
        (SqlType::Array(ty), Json::Array(items)) => {
            Value::Array(items.iter().map(|i| coerce(ty, i)).collect::<Option<_>>()?)
        }
        (SqlType::Map(_, ty), Json::Object(fields)) => Value::Map(
            fields
                .iter()
                .map(|(k, v)| Some((Value::String(k.as_str().into()), coerce(ty, v)?)))
                .collect::<Option<_>>()?,
        ),
        (SqlType::Struct(types), Json::Object(fields)) => Value::Struct(
            types
                .iter()
                .map(|(name, ty)| {
                    let folded = || fields.iter().rev().find(|(n, _)| n.to_uppercase() == *name).map(|f| f.1);
                    fields.get(name).or_else(folded).map_or(Some(Value::Null), |v| coerce(ty, v))
                })
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![8 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

fn string() -> impl Strategy<Value = String> {
    let plain = prop_oneof![
        "[0-9]{1,3}",
        "[-+]?[0-9]{1,20}",
        "-?[0-9]{1,4}\\.[0-9]{1,3}",
        "[ !#-\\[\\]-~é漢😀]{0,40}",
        Just("NaN".to_owned()),
        Just("1e3".to_owned()),
        Just("AQID".to_owned()),
        Just("A Q==".to_owned()),
        Just(r#"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u001fb"#.to_owned()),
        Just(r"\u0031\u0032".to_owned()),
    ];
    plain.prop_map(|s| format!("\"{s}\""))
}

fn number() -> BoxedStrategy<String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,4})",
        "-?(0|[1-9][0-9]{8,30})",
        "-?(0|[1-9][0-9]{0,5})\\.[0-9]{1,6}",
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,9})?[eE][-+]?[0-9]{1,2}",
    ]
    .boxed()
}

fn keys(keys: &'static [&'static str]) -> BoxedStrategy<&'static str> {
    prop::sample::select(keys).boxed()
}

fn json() -> BoxedStrategy<String> {
    let words = prop::sample::select(&["null", "true", "false"][..]).prop_map(str::to_owned);
    let scalar = prop_oneof![4 => string(), 4 => number(), 3 => words];
    scalar
        .prop_recursive(3, 12, 4, |inner| {
            let array = (prop::collection::vec(inner.clone(), 0..4), space())
                .prop_map(|(items, s)| format!("[{s}{}]", items.join(&format!("{s},"))));
            prop_oneof![array, object(keys(&["a", "A", "b", "k"]), inner)]
        })
        .boxed()
}

fn object(keys: BoxedStrategy<&'static str>, values: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    (prop::collection::vec((keys, values), 0..4), space()).prop_map(|(fields, s)| {
        let fields = fields.into_iter().map(|(k, v)| format!("{s}\"{k}\"{s}:{v}"));
        format!("{{{s}{}{s}}}", fields.collect::<Vec<_>>().join(&format!("{s},")))
    })
}

/// A key, often that of a column, and a value that mostly fits it.
fn field() -> impl Strategy<Value = (&'static str, String)> {
    let or_text = |text: &'static str| prop_oneof![number(), Just(format!("\"{text}\""))].boxed();
    let words = |words: &'static [&'static str]| prop::sample::select(words).prop_map(str::to_owned).boxed();
    let numbers = prop::collection::vec(number(), 0..4).prop_map(|v| format!("[{}]", v.join(","))).boxed();
    let decimals = words(&["1.5", "\"-.25\"", "9999.99", "10000", "1e2", "\"1.500\"", "0.001", "-0", "\"12.\""]);
    prop_oneof![
        (keys(&["i", "I", r"\u0049"]), or_text("404")),
        (keys(&["b", "B"]), or_text("-1289")),
        (keys(&["d", "D"]), or_text(" 1e3")),
        (keys(&["dec", "DEC", "Dec"]), decimals),
        (keys(&["bo", "BO"]), words(&["true", "false", "null"])),
        (keys(&["s", "S", "é\\\"", "É\\\"", r"\u00c9\u0022"]), json()),
        (keys(&["t", "T"]), or_text("5")),
        (keys(&["da", "DA"]), words(&["1", "\"19000\"", "-5.5", "9999999999"])),
        (keys(&["by", "BY"]), words(&["\"AQID\"", "\"\"", "\"AQI\""])),
        (keys(&["ar", "AR"]), numbers),
        (keys(&["m", "M"]), object(keys(&["x", "é\\n"]), number()).boxed()),
        (keys(&["st", "ST"]), object(keys(&["a", "A", "b", "B"]), number()).boxed()),
        (keys(&["x", "y", ""]), json()),
        (keys(&["i", "b", "d", "bo", "dec", "t", "da", "by", "ar", "m", "st"]), json()),
    ]
}

/// A text that is an object, mostly.
fn text_of_record() -> impl Strategy<Value = Vec<u8>> {
    let object = (prop::collection::vec(field(), 0..8), space()).prop_map(|(fields, s)| {
        let fields = fields.into_iter().map(|(k, v)| format!("\"{k}\":{s}{v}"));
        format!("{s}{{{}{s}}}", fields.collect::<Vec<_>>().join(",")).into_bytes()
    });
    prop_oneof![20 => object, 1 => json().prop_map(String::into_bytes)]
}

/// What happens to a text on its way.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Cut(usize),
    Replace(usize, u8),
    Insert(usize, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = prop::sample::select(&b"\0\n \"\\{}[],:0-+.eEtnu\x7f\x80\xc3\xff"[..]);
    prop_oneof![
        12 => Just(Damage::None),
        1 => any::<usize>().prop_map(Damage::Cut),
        1 => (any::<usize>(), byte.clone()).prop_map(|(at, b)| Damage::Replace(at, b)),
        1 => (any::<usize>(), byte).prop_map(|(at, b)| Damage::Insert(at, b)),
    ]
}

fn apply(mut text: Vec<u8>, damage: &Damage) -> Vec<u8> {
    match *damage {
        Damage::None => {}
        Damage::Cut(at) => text.truncate(at % (text.len() + 1)),
        Damage::Replace(at, byte) => {
            let at = at % text.len().max(1);
            if let Some(slot) = text.get_mut(at) {
                *slot = byte;
            }
        }
        Damage::Insert(at, byte) => text.insert(at % (text.len() + 1), byte),
    }
    text
}

/// Records of a few texts in turn, so that layouts are met again, some of them damaged.
fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let picks = prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..12);
    (prop::collection::vec(text_of_record(), 1..4), picks)
        .prop_map(|(texts, picks)| picks.iter().map(|(i, d)| apply(i.get(&texts).clone(), d)).collect())
}

/// Many records that look alike, at first all the same, with others among them.
fn crowd() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let quoted = || prop_oneof!["\"[ !#-\\[\\]-~]{0,70}\"", "\"[0-9]{1,18}\"", Just("\"é\"".to_owned())].boxed();
    let kinds = prop::collection::vec((keys(&["i", "b", "s", "t", "x", "d"]), any::<bool>()), 1..6);
    let values = move |kinds: Vec<(&'static str, bool)>| {
        let field = move |(key, text): (&'static str, bool)| {
            let fits = match (key, text) {
                ("s" | "x", true) => quoted(),
                (_, true) => "[0-9]{1,9}".prop_map(|n| format!("\"{n}\"")).boxed(),
                (_, false) => number(),
            };
            prop_oneof![100 => fits, 1 => json()].prop_map(move |v| format!("\"{key}\":{v}"))
        };
        let record = kinds.into_iter().map(field).collect::<Vec<_>>();
        let record = record.prop_map(|fields| format!("{{{}}}", fields.join(",")).into_bytes());
        let damage = prop_oneof![30 => Just(Damage::None), 1 => damage()];
        let others = prop::collection::vec((record.clone(), damage).prop_map(|(r, d)| apply(r, &d)), 0..150);
        (record, 30..70_usize, others)
    };
    kinds.prop_flat_map(values).prop_map(|(first, count, others)| [vec![first; count], others].concat())
}

fn batch(texts: &[Vec<u8>]) -> RecordBatch {
    let (mut bytes, mut records) = (Vec::new(), Vec::new());
    for (i, text) in texts.iter().enumerate() {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(text);
        let value = Some(Slice { start, end: bytes.len() as u32 });
        records.push(Record { key: None, value, time: 7, offset: i as i64 });
    }
    RecordBatch { partition: 0, sequence: 0, bytes: Bytes::from(bytes), records, headers: vec![] }
}

/// Java takes half of a surrogate pair, and so does the decoder; `serde_json` does not.
fn half_a_pair(text: &[u8]) -> bool {
    let error = serde_json::from_slice::<Json>(text).err().map(|e| e.to_string()).unwrap_or_default();
    error.contains("surrogate") || error.contains("unexpected end of hex escape")
}

/// Java takes no exponent of more than 32 bits, not even in a field that is not looked at.
fn huge_exponent(text: &[u8]) -> bool {
    let after = |i: usize| text[i + 1..].iter().skip_while(|b| matches!(b, b'+' | b'-'));
    (0..text.len())
        .any(|i| matches!(text[i], b'e' | b'E') && after(i).take_while(|b| b.is_ascii_digit()).nth(8).is_some())
}

/// Decodes, compares, and returns how many records were accepted.
fn compare(texts: &[Vec<u8>], demanded: &[usize]) -> usize {
    let mut decoder = Decoder::new(&source());
    decoder.demand(demanded);
    let mut rejects = Vec::new();
    let batch = decoder.decode(&batch(texts), &mut rejects);
    let mut row = 0;
    for (i, text) in texts.iter().enumerate() {
        let shown = String::from_utf8_lossy(&text[..text.len().min(500)]);
        let reject = rejects.iter().find(|r| r.offset == i as i64);
        if half_a_pair(text) || huge_exponent(text) {
            row += usize::from(reject.is_none());
            continue;
        }
        let Some((expected, tombstone)) = twin(text) else {
            assert!(reject.is_some(), "accepted: {shown}");
            continue;
        };
        assert!(reject.is_none(), "rejected: {shown}: {}", reject.unwrap().reason);
        assert_eq!(batch.offsets[row], i as i64);
        assert_eq!(batch.tombstones.as_ref().is_some_and(|t| t[row]), tombstone, "{shown}");
        for (c, column) in columns().iter().enumerate() {
            let array = batch.columns[c].as_ref();
            assert_eq!(array.is_some(), demanded.contains(&c));
            if let Some(array) = array {
                assert_eq!(packed::cell(array, &column.ty, row), expected[c], "{} of {shown}", column.name);
            }
        }
        row += 1;
    }
    assert_eq!(batch.len(), row);
    row
}

/// What records become, in one batch or each in its own: (offset, time, tombstone, values), and (offset, reason) of rejects.
#[derive(Debug, PartialEq)]
struct Outcome {
    rows: Vec<(i64, i64, bool, Vec<Value>)>,
    rejects: Vec<(i64, String)>,
}

fn outcome(source: &Source, options: &DecodeOptions, batches: impl Iterator<Item = RecordBatch>) -> Outcome {
    let mut decoder = Decoder::with_options(source, options);
    let types = source.schema.types();
    decoder.demand(&(0..types.len()).collect::<Vec<_>>());
    let (mut rows, mut rejects) = (Vec::new(), Vec::new());
    for batch in batches {
        let out = decoder.decode(&batch, &mut rejects);
        for row in 0..out.len() {
            let cells = out.columns.iter().zip(&types);
            let cells = cells.map(|(array, ty)| packed::cell(array.as_ref().unwrap(), ty, row)).collect();
            let tombstone = out.tombstones.as_ref().is_some_and(|t| t[row]);
            rows.push((out.offsets[row], out.times[row], tombstone, cells));
        }
    }
    Outcome { rows, rejects: rejects.into_iter().map(|r| (r.offset, r.reason)).collect() }
}

/// Keyed streams and tables with timestamps from everywhere.
fn timed_sources() -> Vec<(Source, DecodeOptions)> {
    let timestamp = |column| Some(TimestampColumn { column, format: None });
    let source = |table: bool, timestamp| {
        let key = Column { name: "K".into(), ty: SqlType::String };
        let mut topic = TopicSpec::new("x", Format::Kafka, Format::Json);
        topic.timestamp = timestamp;
        Source { name: "X".into(), table, queryable: false, schema: Schema { key: vec![key], value: columns() }, topic }
    };
    let field = |name: &str| DecodeOptions { timestamp_field: Some(name.into()), ..DecodeOptions::default() };
    let from_value = DecodeOptions { keys_from_value: true, ..field("B") };
    vec![
        (source(false, timestamp(2)), DecodeOptions::default()),
        (source(false, timestamp(0)), DecodeOptions::default()),
        (source(true, None), DecodeOptions::default()),
        (source(false, None), field("t")),
        (source(true, None), field("x")),
        (source(true, timestamp(9)), from_value),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoder_and_twin_agree(texts in texts(), demanded in prop::collection::btree_set(0..14_usize, 0..15)) {
        compare(&texts, &demanded.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_are_survived(texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..4)) {
        compare(&texts, &[0, 5, 11]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decoder_and_twin_agree_on_crowds(texts in crowd(), demanded in prop::collection::btree_set(0..14_usize, 0..15)) {
        compare(&texts, &demanded.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn records_become_the_same_together_and_alone(
        texts in crowd(),
        (absent, no_key) in prop::array::uniform2(prop::collection::btree_set(0..200_usize, 0..3)).prop_map(Into::into),
    ) {
        let mut whole = batch(&texts);
        let bytes = [&whole.bytes[..], b"key"].concat();
        let key = Slice { start: whole.bytes.len() as u32, end: bytes.len() as u32 };
        whole.bytes = Bytes::from(bytes);
        for (i, record) in whole.records.iter_mut().enumerate() {
            record.key = (!no_key.contains(&i)).then_some(key);
            record.value = record.value.filter(|_| !absent.contains(&i));
        }
        let alone = whole.records.iter().map(|r| RecordBatch { records: vec![r.clone()], ..whole.clone() });
        for (source, options) in timed_sources() {
            let together = outcome(&source, &options, std::iter::once(whole.clone()));
            prop_assert_eq!(together, outcome(&source, &options, alone.clone()));
        }
    }
}

#[test]
fn what_has_as_many_quotes_need_not_be_alike() {
    for (known, other) in
        [(r#"{"i":1  }"#, r#""""#), (r#"{"i" : 1 , "b" : 2}"#, r#""""""#), (r#"{"i":1}"#, r#"{}""{}"#)]
    {
        let padding = format!(r#"{{"x":"{}"}}"#, "x".repeat(90));
        let first = vec![known.as_bytes().to_vec(); 40];
        let second = [other, known, padding.as_str()].map(|text| text.as_bytes().to_vec());
        let batches = [batch(&first), batch(&second)].into_iter();
        let alone = [&first[..], &second[..]].concat().into_iter().map(|text| batch(&[text])).collect::<Vec<_>>();
        let (options, mut together) =
            (DecodeOptions::default(), outcome(&source(), &DecodeOptions::default(), batches));
        let mut alone = outcome(&source(), &options, alone.into_iter());
        // Offsets begin anew in each batch.
        alone.rows.iter_mut().chain(&mut together.rows).for_each(|row| row.0 = 0);
        alone.rejects.iter_mut().chain(&mut together.rejects).for_each(|reject| reject.0 = 0);
        assert_eq!((together.rows.len(), together.rejects.len()), (42, 1), "{other}");
        assert_eq!(together, alone, "{other}");
    }
}

#[test]
fn generated_records_are_often_good() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut all, mut good) = (0, 0);
    for _ in 0..500 {
        let texts = texts().new_tree(&mut runner).unwrap().current();
        all += texts.len();
        good += compare(&texts, &(0..14).collect::<Vec<_>>());
    }
    assert!(good * 4 > all && good < all, "{good} of {all}");
}

#[test]
fn a_megabyte_of_anything_works() {
    let long = "x".repeat(1 << 20);
    let good = [
        format!(r#"{{"s":"{long}","i":"7"}}"#),
        format!(r#"{{"unknown":"{long}","i":7}}"#),
        format!(r#"{{"s":{}1{}}}"#, "[".repeat(100), "]".repeat(100)),
        format!("{{{}\"i\":1}}", (0..50_000).map(|i| format!("\"k{i}\":{i},")).collect::<String>()),
    ];
    let good: Vec<Vec<u8>> = good.into_iter().map(String::into_bytes).collect();
    assert_eq!(compare(&good, &[0, 5]), good.len());
    let bad = ["[".repeat(1 << 20), format!(r#"{{"x":{}"#, "{\"a\":".repeat(200_000)), format!("\"{long}")];
    assert_eq!(compare(&bad.map(String::into_bytes), &[0, 5]), 0);
}
