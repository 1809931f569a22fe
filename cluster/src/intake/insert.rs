//! INSERT INTO: single rows (VALUES, `/inserts-stream`), and queries that write into a declared stream.
//!
//! Both go the way that any program's records would: as records of the stream's topic.

use super::entity::Body;
use super::failure::{Code, Failure};
use super::session::Session;
use super::topics::{NewRow, Topics};
use super::{Intake, lock};
use crate::clock::now_ms;
use crate::command::{Command, Subscription};
use base64::Engine as _;
use bytes::Bytes;
use serde_json::{Map, Value as Json};
use std::sync::Arc;
use weir_dataflow::bind::{Entry, InsertValues};
use weir_dataflow::plan::View;
use weir_dataflow::plan::eval::cast;
use weir_dataflow::row::encode::Encoder;
use weir_dataflow::row::{Column, Schema, SqlType, Value, datetime};
use weir_dataflow::views::change::Row;

/// A stream or table that takes rows.
pub struct Target {
    topic: String,
    schema: Schema,
    table: bool,
    encoder: Encoder,
}

/// The task of a running INSERT INTO … SELECT.
pub(super) struct Inserting {
    task: tokio::task::JoinHandle<()>,
    /// The view that is kept for it.
    view: String,
    intake: Intake,
}

impl Inserting {
    /// Ends it.
    pub(super) fn stop(self) {
        self.task.abort();
        self.intake.send(vec![Command::Drop(self.view)]);
    }
}

impl Target {
    fn of(entry: &Entry) -> Result<Self, String> {
        if entry.view().is_some() {
            return Err(format!(
                "Cannot insert into {}: a query keeps it. weir takes rows only for declared streams and tables",
                entry.name()
            ));
        }
        Ok(Target {
            topic: entry.topic().topic.clone(),
            schema: entry.schema().clone(),
            table: entry.is_table(),
            encoder: Encoder::new(entry.schema(), entry.topic()).map_err(|e| e.to_string())?,
        })
    }

    /// `None` when the target's timestamp column says no time.
    fn record(&self, row: &Row) -> Option<NewRow> {
        let part = |write: &dyn Fn(&mut Vec<u8>) -> bool| {
            let mut bytes = Vec::new();
            write(&mut bytes).then(|| Bytes::from(bytes))
        };
        Some(NewRow {
            key: part(&|out| self.encoder.key(row, out)),
            value: part(&|out| self.encoder.value(row, out)),
            time: self.encoder.time(row)?,
        })
    }
}

impl Intake {
    /// INSERT INTO … VALUES.
    pub(super) async fn insert_values(&self, insert: &InsertValues) -> Result<(), String> {
        let catalog = self.catalog();
        let Some(entry) = catalog.get(&insert.target) else {
            return Err(format!("Cannot insert values into an unknown stream/table: {}", insert.target));
        };
        let InsertValues { key, value, time, .. } = insert.clone();
        let row = Row { key, window: None, value: Some(value), time: time.unwrap_or_else(now_ms) };
        self.insert(&Target::of(entry)?, &row).await
    }

    async fn insert(&self, target: &Target, row: &Row) -> Result<(), String> {
        self.topics().ensure_any(&target.topic).await?;
        let mut row = row.clone();
        if row.key.iter().all(Value::is_null) {
            row.key.clear();
        }
        let record = target.record(&row).ok_or("the column of its timestamp has no time from 1970 on")?;
        self.topics().append(&target.topic, vec![record]).await
    }

    /// The stream or table that a request to `/inserts-stream` means; its name is folded unless it is quoted.
    ///
    /// # Errors
    /// There is none, or it takes no rows.
    pub fn insert_target(&self, name: &str) -> Result<Target, Failure> {
        let name = folded(name);
        let catalog = self.catalog();
        let wrong = |message: String| Failure::request(Code::BadStatement, message);
        match catalog.get(&name) {
            Some(entry) => Target::of(entry).map_err(wrong),
            None => Err(wrong(format!("Cannot insert values into an unknown stream/table: {name}"))),
        }
    }

    /// Writes one row, a JSON object by column.
    ///
    /// # Errors
    /// It does not fit the target, or the topic does not take it.
    pub async fn insert_row(&self, target: &Target, row: Map<String, Json>) -> Result<(), Failure> {
        let mut row: Map<String, Json> = row.into_iter().map(|(name, value)| (folded(&name), value)).collect();
        let mut values = |columns: &[Column]| -> Result<Vec<Value>, Failure> {
            let value = |c: &Column| match row.remove(&c.name) {
                None => Ok(Value::Null),
                Some(json) => value(&json, &c.ty).map_err(|reason| {
                    Failure::request(Code::BadRequest, format!("Can't coerce a field of column `{}`: {reason}", c.name))
                }),
            };
            columns.iter().map(value).collect()
        };
        let (key, value) = (values(&target.schema.key)?, values(&target.schema.value)?);
        if let Some(name) = row.keys().next() {
            return Err(Failure::request(Code::BadRequest, format!("Column name `{name}` does not exist.")));
        }
        if target.table && key.iter().any(Value::is_null) {
            return Err(Failure::request(
                Code::BadRequest,
                "Failed to insert values. Value for primary key column(s) is required for tables",
            ));
        }
        let row = Row { key, window: None, value: Some(value), time: now_ms() };
        self.insert(target, &row).await.map_err(|message| Failure::request(Code::Server, message))
    }

    /// INSERT INTO … SELECT: a view of the query's own, whose rows become records of the target's topic.
    pub(super) async fn begin_insert(&self, number: &mut u64, view: &View, session: &Session) -> Result<Body, String> {
        let catalog = self.catalog();
        let Some(entry) = catalog.get(&view.name) else {
            return Err(format!("{} does not exist.", view.name));
        };
        let target = Target::of(entry)?;
        self.topics().ensure_any(&target.topic).await?;
        let own = View { name: view.query_id.clone(), ..view.clone() };
        let (subscription, subscribe) = self.workers().subscription(&own.name, true);
        self.send(vec![Command::Install { view: own, offset: session.offset() }, subscribe]);
        let task = tokio::spawn(write(subscription, target, self.topics().clone()));
        let inserting = Inserting { task, view: view.query_id.clone(), intake: self.clone() };
        lock(&self.0.inserting).insert(view.query_id.clone(), inserting);
        let message = format!("Created query with ID {}", view.query_id);
        Ok(self.done(number, format!("stream/`{}`/create", view.name), message, Some(view.query_id.clone())))
    }
}

/// Writes a query's rows to its target's topic, in order.
async fn write(mut subscription: Subscription, target: Target, topics: Topics) {
    while let Some(Ok(batch)) = subscription.next().await {
        let rows = batch.rows.into_vec();
        let records: Vec<NewRow> = rows.iter().filter_map(|row| target.record(row)).collect();
        if records.len() < rows.len() {
            let rows = rows.len() - records.len();
            tracing::warn!(topic = target.topic, rows, "not written: their timestamp column has no time from 1970 on");
        }
        if let Err(reason) = topics.append(&target.topic, records).await {
            tracing::error!(topic = target.topic, reason, "rows of INSERT INTO cannot be written");
        }
    }
}

/// A name as SQL reads it: upper case unless it is in backquotes or double quotes.
fn folded(name: &str) -> String {
    let quoted = |quote: char| name.strip_prefix(quote).and_then(|n| n.strip_suffix(quote));
    quoted('`').or_else(|| quoted('"')).map_or_else(|| name.to_ascii_uppercase(), str::to_owned)
}

/// A JSON value as one of this type.
fn value(json: &Json, ty: &SqlType) -> Result<Value, String> {
    let wrong = || format!("{json} is no {ty}");
    let text = || json.as_str().ok_or_else(wrong);
    Ok(match (json, ty) {
        (Json::Null, _) => Value::Null,
        (Json::Bool(b), SqlType::Boolean) => Value::Boolean(*b),
        (Json::Number(n), SqlType::Int) => {
            Value::Int(n.as_i64().and_then(|n| i32::try_from(n).ok()).ok_or_else(wrong)?)
        }
        (Json::Number(n), SqlType::Bigint) => Value::Bigint(n.as_i64().ok_or_else(wrong)?),
        (Json::Number(n), SqlType::Double) => Value::Double(n.as_f64().ok_or_else(wrong)?),
        (Json::Number(n), SqlType::Decimal(..)) => {
            cast(&Value::String(n.to_string().into()), &SqlType::String, ty).map_err(|_| wrong())?
        }
        (Json::String(s), SqlType::Decimal(..)) => {
            cast(&Value::String(s.as_str().into()), &SqlType::String, ty).map_err(|_| wrong())?
        }
        (Json::String(s), SqlType::String) => Value::String(s.as_str().into()),
        (_, SqlType::String) if !json.is_object() && !json.is_array() => Value::String(json.to_string().into()),
        (_, SqlType::Bytes) => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text()?).map_err(|_| wrong())?;
            Value::Bytes(bytes.into())
        }
        (_, SqlType::Date) => Value::Date(datetime::parse_date(text()?).ok_or_else(wrong)?),
        (_, SqlType::Time) => Value::Time(datetime::parse_time(text()?).ok_or_else(wrong)?),
        (_, SqlType::Timestamp) => Value::Timestamp(datetime::parse_timestamp(text()?).ok_or_else(wrong)?),
        (Json::Array(items), SqlType::Array(ty)) => {
            Value::Array(items.iter().map(|i| value(i, ty)).collect::<Result<Arc<[_]>, _>>()?)
        }
        (Json::Object(entries), SqlType::Map(key, item)) => {
            let entry = |(name, item_json): (&String, &Json)| {
                let key = value(&Json::from(name.as_str()), key)?;
                Ok::<_, String>((key, value(item_json, item)?))
            };
            Value::Map(entries.iter().map(entry).collect::<Result<Arc<[_]>, _>>()?)
        }
        (Json::Object(entries), SqlType::Struct(fields)) => {
            let field = |(name, ty): &(String, SqlType)| {
                let given = entries.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
                given.map_or(Ok(Value::Null), |(_, json)| value(json, ty))
            };
            Value::Struct(fields.iter().map(field).collect::<Result<Arc<[_]>, _>>()?)
        }
        _ => return Err(wrong()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_becomes_values_of_the_declared_type() {
        assert_eq!(value(&json!(5), &SqlType::Int), Ok(Value::Int(5)));
        assert!(value(&json!(5_000_000_000_i64), &SqlType::Int).is_err());
        assert_eq!(value(&json!(5), &SqlType::String), Ok(Value::String("5".into())));
        assert!(value(&json!("x"), &SqlType::Boolean).is_err());
        let ty = SqlType::Struct(vec![("A".into(), SqlType::Array(Box::new(SqlType::Double)))]);
        let expected = Value::Struct([Value::Array([Value::Double(1.5), Value::Null].into())].into());
        assert_eq!(value(&json!({"a": [1.5, null]}), &ty), Ok(expected));
        assert_eq!(folded("`x`"), "x");
        assert_eq!(folded("x"), "X");
    }
}
