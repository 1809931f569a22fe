//! Rows as operations on documents.
//!
//! A document holds the value columns and nothing else, as ksqlDB writes them to a topic. Its id is made of what makes
//! the row what it is, so that the same row sent twice is the same document:
//!
//! - changelog (`key.ignore=true`): `VIEW+key@window+generation.epoch.number`, with the row's number in its batch; the
//!   operation is `create`, and "already there" means done.
//! - present rows (`key.ignore=false`): `key@window`; `index` or `delete`, with the epoch as the document's version, so
//!   that a request which was given up on and is carried out late changes nothing any more.

use super::bulk::{Action, Operation};
use super::config::{Documents, Nulls, WriteMethod};
use crate::Target;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use weir_dataflow::row::Value;
use weir_dataflow::row::encode::write_object;
use weir_dataflow::row::json::write_json;
use weir_dataflow::views::change::Row;

/// Longest id that Elasticsearch takes, in bytes.
const LONGEST_ID: usize = 512;

/// How rows become operations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) documents: Documents,
    pub(super) nulls: Nulls,
    pub(super) write: WriteMethod,
}

/// What a row asks of the index.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// This operation.
    Send(Operation),
    /// Nothing.
    Skip,
    /// It has no key that this document could be named by.
    NoKey(Vec<u8>),
    /// It has no value, which was declared a failure; this is its key.
    Null(String),
}

/// The operation for the row at position `number` of the batch that ends at epoch `upper`.
pub(super) fn operation(target: &Target, style: Style, row: &Row, upper: u64, number: u64) -> Outcome {
    let body = row.value.as_ref().map(|values| document(target, values));
    if body.is_none() {
        match style.nulls {
            Nulls::Ignore => return Outcome::Skip,
            Nulls::Fail => {
                let mut key = String::new();
                push_key(&mut key, target, row);
                return Outcome::Null(key);
            }
            Nulls::Delete => {}
        }
    }
    let mut id = String::new();
    match style.documents {
        Documents::Changes => {
            id.push_str(&target.view);
            id.push('+');
            push_key(&mut id, target, row);
            let _ = write!(id, "+{}.{upper}.{number}", target.generation);
        }
        Documents::Rows if row.key.iter().all(Value::is_null) => return Outcome::NoKey(body.unwrap_or_default()),
        Documents::Rows => push_key(&mut id, target, row),
    }
    let (action, version) = match (style.documents, style.write) {
        (Documents::Rows, _) if body.is_none() => (Action::Delete, Some(version(target, upper))),
        (_, WriteMethod::Upsert) => (Action::Upsert, None),
        (Documents::Rows, WriteMethod::Insert) => (Action::Index, Some(version(target, upper))),
        (Documents::Changes, WriteMethod::Insert) => (Action::Create, None),
    };
    // Updates keep versions of their own, which those of deletes would not go with.
    let version = version.filter(|_| style.write == WriteMethod::Insert);
    Outcome::Send(Operation { id: fit(id), action, version, document: body.unwrap_or_default(), time: row.time })
}

/// A number that grows with the generation, and within it with the epoch: a history that began a second later is
/// newer, for no view closes four thousand million epochs a second.
fn version(target: &Target, upper: u64) -> u64 {
    ((u64::from(target.generation) << 32) + upper).min(i64::MAX as u64)
}

fn document(target: &Target, values: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(32 * values.len() + 2);
    write_object(&mut out, &target.schema.value, values);
    out
}

/// The key as text, and `@` with the window's start. A key of one column is its bare value, several are a JSON array.
fn push_key(id: &mut String, target: &Target, row: &Row) {
    match (&row.key[..], &target.schema.key[..]) {
        ([Value::String(text)], _) => id.push_str(text),
        (values, columns) => {
            let mut json = Vec::new();
            let many = values.len() != 1;
            if many {
                json.push(b'[');
            }
            for (i, (value, column)) in values.iter().zip(columns).enumerate() {
                if i > 0 {
                    json.push(b',');
                }
                write_json(&mut json, value, &column.ty);
            }
            if many {
                json.push(b']');
            }
            id.push_str(&String::from_utf8_lossy(&json));
        }
    }
    if let Some(window) = row.window {
        let _ = write!(id, "@{}", window.start);
    }
}

/// An id that Elasticsearch takes: a longer one keeps its beginning and ends in its digest; an empty one gets a name.
fn fit(id: String) -> String {
    if id.is_empty() {
        return "\"\"".into();
    }
    if id.len() <= LONGEST_ID {
        return id;
    }
    let digest = Sha256::digest(id.as_bytes());
    let mut end = LONGEST_ID - 1 - 2 * digest.len();
    while !id.is_char_boundary(end) {
        end -= 1;
    }
    let mut short = id[..end].to_owned();
    short.push('~');
    for byte in digest {
        let _ = write!(short, "{byte:02x}");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use weir_dataflow::plan::KeyWindow;
    use weir_dataflow::row::{Column, Schema, SqlType};
    use weir_dataflow::views::change::Bounds;

    fn column(name: &str, ty: SqlType) -> Column {
        Column { name: name.into(), ty }
    }

    fn target(key: Vec<Column>, table: bool) -> Target {
        let value = vec![column("EVENT_TS", SqlType::Bigint), column("quoted \"é\"", SqlType::String)];
        Target {
            view: "V".into(),
            topic: "V".into(),
            schema: Schema { key, value },
            table,
            window: Some(KeyWindow::Time(60_000)),
            generation: 7,
        }
    }

    fn check(target: &Target, style: Style, row: &Row, expected: Expect) {
        let text = match operation(target, style, row, 42, 3) {
            Outcome::Send(operation) => {
                let mut body = Vec::new();
                operation.write(&mut body);
                String::from_utf8(body).unwrap()
            }
            other @ (Outcome::Skip | Outcome::NoKey(_) | Outcome::Null(_)) => format!("{other:?}\n"),
        };
        expected.assert_eq(&text);
    }

    const CHANGES: Style = Style { documents: Documents::Changes, nulls: Nulls::Ignore, write: WriteMethod::Insert };
    const ROWS: Style = Style { documents: Documents::Rows, nulls: Nulls::Delete, write: WriteMethod::Insert };

    fn row(key: Vec<Value>, value: bool, windowed: bool) -> Row {
        Row {
            key,
            window: windowed.then_some(Bounds { start: 60_000, end: 120_000 }),
            value: value.then(|| vec![Value::Bigint(1), Value::Null]),
            time: 5,
        }
    }

    #[test]
    fn a_change_is_a_document_of_its_own() {
        let windowed = target(vec![column("K", SqlType::Int)], true);
        check(
            &windowed,
            CHANGES,
            &row(vec![Value::Int(404)], true, true),
            expect![[r#"
            {"create":{"_id":"V+404@60000+7.42.3"}}
            {"EVENT_TS":1,"quoted \"é\"":null}
        "#]],
        );
        check(
            &windowed,
            CHANGES,
            &row(vec![Value::Int(404)], false, true),
            expect![[r#"
            Skip
        "#]],
        );
        let stream = target(vec![column("K", SqlType::String)], false);
        check(
            &stream,
            CHANGES,
            &row(vec![Value::Null], true, false),
            expect![[r#"
            {"create":{"_id":"V+null+7.42.3"}}
            {"EVENT_TS":1,"quoted \"é\"":null}
        "#]],
        );
        let upsert = Style { write: WriteMethod::Upsert, ..CHANGES };
        check(
            &windowed,
            upsert,
            &row(vec![Value::Int(404)], true, true),
            expect![[r#"
            {"update":{"_id":"V+404@60000+7.42.3"}}
            {"doc":{"EVENT_TS":1,"quoted \"é\"":null},"doc_as_upsert":true}
        "#]],
        );
    }

    #[test]
    fn a_row_is_one_document_with_a_version() {
        let two = target(vec![column("A", SqlType::String), column("B", SqlType::Bigint)], true);
        let key = vec![Value::String("x\"y".into()), Value::Bigint(-1)];
        check(
            &two,
            ROWS,
            &row(key.clone(), true, true),
            expect![[r#"
            {"index":{"_id":"[\"x\\\"y\",-1]@60000","version":30064771114,"version_type":"external_gte"}}
            {"EVENT_TS":1,"quoted \"é\"":null}
        "#]],
        );
        check(
            &two,
            ROWS,
            &row(key.clone(), false, true),
            expect![[r#"
            {"delete":{"_id":"[\"x\\\"y\",-1]@60000","version":30064771114,"version_type":"external_gte"}}
        "#]],
        );
        check(
            &two,
            Style { write: WriteMethod::Upsert, ..ROWS },
            &row(key.clone(), false, true),
            expect![[r#"
            {"delete":{"_id":"[\"x\\\"y\",-1]@60000"}}
        "#]],
        );
        check(
            &two,
            Style { nulls: Nulls::Fail, ..ROWS },
            &row(key, false, true),
            expect![[r#"
            Null("[\"x\\\"y\",-1]@60000")
        "#]],
        );
        let one = target(vec![column("A", SqlType::String)], true);
        check(
            &one,
            ROWS,
            &row(vec![Value::String("plain".into())], true, false),
            expect![[r#"
            {"index":{"_id":"plain","version":30064771114,"version_type":"external_gte"}}
            {"EVENT_TS":1,"quoted \"é\"":null}
        "#]],
        );
        check(
            &one,
            ROWS,
            &row(vec![Value::Null], true, false),
            expect![[r#"
            NoKey([123, 34, 69, 86, 69, 78, 84, 95, 84, 83, 34, 58, 49, 44, 34, 113, 117, 111, 116, 101, 100, 32, 92, 34, 195, 169, 92, 34, 34, 58, 110, 117, 108, 108, 125])
        "#]],
        );
    }

    #[test]
    fn long_ids_are_cut_to_what_fits_and_stay_apart() {
        let (a, b) = ("é".repeat(300), "é".repeat(301));
        let (short_a, short_b) = (fit(a.clone()), fit(b));
        assert!(short_a.len() <= LONGEST_ID && short_a.starts_with("éé"));
        assert_ne!(short_a, short_b);
        assert_eq!(fit(a.clone()), short_a);
        assert_eq!(fit("k".repeat(512)).len(), 512);
        assert_eq!(fit(String::new()), "\"\"");
    }

    #[test]
    fn later_is_a_greater_version() {
        let mut target = target(Vec::new(), true);
        let old = version(&target, 1_000_000);
        assert!(version(&target, 1_000_001) > old);
        target.generation += 1;
        assert!(version(&target, 0) > old);
        target.generation = u32::MAX;
        assert!(i64::try_from(version(&target, u64::MAX >> 1)).is_ok());
    }
}
