//! Records of a declared stream or table: nulls and fields that are not there, numbers as text, disorder and records
//! that come much too late, silences, updates and tombstones, and some that do not fit their declaration.

use super::expr::{Type, Value};
use super::generate::Generator;
use super::script::{Column, Meaning, Record};
use serde_json::{Map, Value as Json, json};

/// What texts are made of.
pub(super) const TEXTS: [&str; 8] = ["a", "b", "ab", "Ba", "abc", "", "12", "x1"];

/// Values that are no record of any declaration.
const WRONG: [&str; 4] = ["{\"C0\":", "[1,2]", "7", "{\"C0\":\"x\"}"];

/// The records of each partition.
pub(super) fn make(
    generator: &mut Generator,
    columns: &[Column],
    table: bool,
    timestamp: Option<usize>,
    partitions: usize,
) -> Vec<Vec<Record>> {
    let mut all = vec![Vec::new(); partitions];
    let count = if table { generator.number(5, 40) } else { generator.number(30, 120) };
    let mut now = 50_000;
    for i in 0..count {
        now += generator.number(0, 3000) + if generator.chance(4) { 60_000 } else { 0 };
        let back = if generator.chance(25) { generator.number(5000, 50_000) } else { generator.number(0, 3000) };
        let time = now - if generator.chance(40) { back } else { 0 };
        let several = columns.iter().filter(|c| c.key).count() > 1;
        let mut keys = Vec::new();
        for column in columns.iter().filter(|c| c.key) {
            let null = !several && generator.chance(if table { 3 } else { 8 });
            keys.push(if null { Value::Null } else { key(generator, column.ty) });
        }
        // A table's key has its partition, as Kafka's partitioner sees to it.
        let partition = match keys.first() {
            Some(key) if table => key.to_string().bytes().map(usize::from).sum::<usize>(),
            _ => usize::try_from(i).unwrap_or(0) * 7 / 3,
        };
        all[partition % partitions].push(record(generator, columns, keys, table, timestamp, time));
    }
    all
}

fn record(
    generator: &mut Generator,
    columns: &[Column],
    keys: Vec<Value>,
    table: bool,
    timestamp: Option<usize>,
    time: i64,
) -> Record {
    let mut line = json!({"timestamp": time});
    match keys.as_slice() {
        [] => {}
        [Value::Null] => line["key"] = Json::Null,
        // A string in a line stands for its bytes, so a JSON string is quoted once more.
        [Value::Text(text)] => line["key"] = json!(Json::from(text.as_str()).to_string()),
        [key] => line["key"] = plain(key),
        several => {
            line["key"] = (0..).zip(several).map(|(i, k)| (format!("K{i}"), plain(k))).collect::<Map<_, _>>().into()
        }
    }
    if generator.chance(3) {
        line["value"] = json!(generator.random.pick(&WRONG));
        return Record { line: line.to_string(), meaning: Meaning::Rejected };
    }
    if timestamp.is_none() && generator.chance(if table { 18 } else { 4 }) {
        if generator.chance(50) {
            line["value"] = Json::Null;
        }
        return Record { line: line.to_string(), meaning: Meaning::Row(keys, None, time) };
    }
    let mut value = Map::new();
    let mut cells = Vec::new();
    for (i, column) in columns.iter().enumerate().filter(|(_, c)| !c.key) {
        if timestamp == Some(i) {
            // The record's own time means nothing then.
            line["timestamp"] = json!(1);
            value.insert(column.name.clone(), json!(time));
            cells.push(Value::Whole(time));
            continue;
        }
        let cell = cell(generator, column.ty);
        let field = if generator.chance(30) { column.name.to_lowercase() } else { column.name.clone() };
        match &cell {
            Value::Null if generator.chance(50) => {}
            Value::Whole(_) | Value::Double(_) if generator.chance(25) => {
                value.insert(field, json!(cell.to_string()));
            }
            _ => {
                value.insert(field, plain(&cell));
            }
        }
        cells.push(cell);
    }
    if generator.chance(20) {
        value.insert("unknown".into(), json!({"x": [1, null]}));
    }
    line["value"] = value.into();
    Record { line: line.to_string(), meaning: Meaning::Row(keys, Some(cells), time) }
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(v) => json!(v),
        Value::Whole(v) => json!(v),
        Value::Double(v) => json!(v),
        Value::Text(v) => json!(v),
    }
}

fn key(generator: &mut Generator, ty: Type) -> Value {
    match ty {
        Type::Text => Value::Text(generator.random.pick(&TEXTS).into()),
        _ => Value::Whole(generator.number(-1, 7)),
    }
}

fn cell(generator: &mut Generator, ty: Type) -> Value {
    if generator.chance(10) {
        return Value::Null;
    }
    match ty {
        Type::Boolean => Value::Boolean(generator.chance(50)),
        Type::Int if generator.chance(3) => Value::Whole(i64::from(i32::MAX) - generator.number(0, 3)),
        Type::Int => Value::Whole(generator.number(-3, 9)),
        Type::Bigint if generator.chance(20) => Value::Whole(generator.number(-3, 3) * 5_000_000_000),
        Type::Bigint => Value::Whole(generator.number(-3, 9)),
        Type::Double if generator.chance(10) => Value::Double(generator.number(-1000, 1000) as f64 * 0.1),
        Type::Double => Value::Double(generator.number(-40, 40) as f64 / 4.0),
        Type::Text => Value::Text(generator.random.pick(&TEXTS).into()),
    }
}
