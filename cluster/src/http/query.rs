//! Queries: `POST /query`, `POST /query-stream`, `POST /close-query`.
//!
//! An answer's rows are written as they come, a chunk at a time, into a body that the client reads at its pace;
//! when the client goes away the body is dropped, and with it the query.

use super::reply::{self, Response};
use super::request::Request;
use super::{Site, cell};
use crate::intake::answer::{Answer, AnswerKind, AnswerRow, Event, Finish, RowAnswer};
use crate::intake::failure::{Code, Failure};
use crate::intake::session::Session;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use tokio::sync::mpsc;
use weir_dataflow::row::{Column, SqlType};

/// The body of a request to `/query` and `/ksql`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KsqlRequest {
    /// One or more statements.
    #[serde(alias = "sql")]
    pub(super) ksql: String,
    /// Properties for these statements.
    #[serde(default, alias = "properties")]
    pub(super) streams_properties: Option<Map<String, Json>>,
    /// Variables for these statements.
    #[serde(default)]
    pub(super) session_variables: Option<Map<String, Json>>,
}

/// The forms of an answer with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Of `/query`: an array of `{"header"}`, `{"row"}`, `{"finalMessage"}`, a line each.
    Rows,
    /// Of `/query-stream` by default: a header, then an array a row, a line each.
    Delimited,
    /// Of `/query-stream` with `Accept: application/json`: the same as one array.
    Array,
}

/// `POST /query`.
pub(super) async fn query(site: &Arc<Site>, request: &mut Request) -> Result<Response, Failure> {
    // The Java client's formats can be asked for here, too.
    let form = if request.accepts(reply::DELIMITED) { Form::Delimited } else { Form::Rows };
    answer(site, request, form).await
}

/// `POST /query-stream`.
pub(super) async fn query_stream(site: &Arc<Site>, request: &mut Request) -> Result<Response, Failure> {
    let form = if request.accepts(reply::JSON) { Form::Array } else { Form::Delimited };
    answer(site, request, form).await
}

async fn answer(site: &Arc<Site>, request: &mut Request, form: Form) -> Result<Response, Failure> {
    let body: KsqlRequest = request.json(site.limits).await?;
    let session = Session::new(&site.intake, body.streams_properties.as_ref(), body.session_variables.as_ref())?;
    let ask = site.intake.query(&body.ksql, session);
    let answer = match tokio::time::timeout(site.limits.request, ask).await {
        Ok(answer) => answer?,
        Err(_) => {
            let message = format!("no answer within {} s (--request-timeout)", site.limits.request.as_secs());
            return Err(Failure::request(Code::Server, message));
        }
    };
    let (sender, receiver) = mpsc::channel(2);
    let media_type = match (&answer, form) {
        (Answer::Text(_), _) => "text/plain; charset=utf-8",
        (_, Form::Rows) if request.accepts(reply::KSQL) => reply::KSQL,
        (_, Form::Rows | Form::Array) => reply::JSON,
        (_, Form::Delimited) => reply::DELIMITED,
    };
    tokio::spawn(async move {
        match answer {
            Answer::Rows(answer) => write(answer, form, sender).await,
            Answer::Text(mut pieces) => {
                while let Some(piece) = pieces.recv().await {
                    if sender.send(piece.into()).await.is_err() {
                        break;
                    }
                }
            }
        }
    });
    Ok(reply::streaming(media_type, receiver))
}

/// Writes an answer until it ends or nobody reads it.
async fn write(mut answer: RowAnswer, form: Form, body: mpsc::Sender<Bytes>) {
    let writer = Writer::new(&answer, form);
    if body.send(writer.header(&answer).into()).await.is_err() {
        return;
    }
    loop {
        let event = tokio::select! {
            event = answer.events.recv() => event,
            () = body.closed() => return,
        };
        let mut out = Vec::new();
        let end = match event {
            Some(Event::Rows(rows)) => {
                rows.iter().for_each(|row| writer.row(&mut out, row));
                false
            }
            Some(Event::Failed(message)) => {
                writer.failed(&mut out, &message);
                true
            }
            Some(Event::End(finish)) => {
                writer.end(&mut out, finish);
                true
            }
            // Whoever answered has ended with the server.
            None => {
                writer.end(&mut out, Finish::Complete);
                true
            }
        };
        if (!out.is_empty() && body.send(out.into()).await.is_err()) || end {
            return;
        }
    }
}

/// Writes the pieces of an answer in a form.
///
/// A push query's items end with their separator, so that a client that reads lines has each row at once; there,
/// an item always follows. A pull query's items begin with it, for no item need follow.
struct Writer {
    form: Form,
    kind: AnswerKind,
    types: Vec<SqlType>,
}

impl Writer {
    fn new(answer: &RowAnswer, form: Form) -> Self {
        Writer { form, kind: answer.kind, types: answer.columns.iter().map(|(c, _)| c.ty.clone()).collect() }
    }

    fn header(&self, answer: &RowAnswer) -> String {
        let header = match self.form {
            Form::Rows => json!({"header": {"queryId": answer.id, "schema": schema_text(&answer.columns)}}),
            Form::Delimited | Form::Array => json!({
                "queryId": answer.id,
                "columnNames": answer.columns.iter().map(|(c, _)| &c.name).collect::<Vec<_>>(),
                "columnTypes": answer.columns.iter().map(|(c, _)| c.ty.to_string()).collect::<Vec<_>>(),
            }),
        };
        match (self.form, self.kind) {
            (Form::Delimited, _) => format!("{header}\n"),
            (Form::Rows, AnswerKind::Push) => format!("[{header},\n"),
            _ => format!("[{header}"),
        }
    }

    fn row(&self, out: &mut Vec<u8>, row: &AnswerRow) {
        // Only `/query` can tell a deleted row from one with nulls.
        if row.tombstone && self.form != Form::Rows {
            return;
        }
        self.item(out, |out| match self.form {
            Form::Rows => {
                out.extend_from_slice(b"{\"row\":{\"columns\":");
                cell::write_row(out, &row.values, self.types.iter());
                if row.tombstone {
                    out.extend_from_slice(b",\"tombstone\":true");
                }
                out.extend_from_slice(b"}}");
            }
            Form::Delimited | Form::Array => cell::write_row(out, &row.values, self.types.iter()),
        });
    }

    fn item(&self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        match (self.form, self.kind) {
            (Form::Delimited, _) => {
                write(out);
                out.push(b'\n');
            }
            (Form::Rows, AnswerKind::Push) => {
                write(out);
                out.extend_from_slice(b",\n");
            }
            _ => {
                out.extend_from_slice(b",\n");
                write(out);
            }
        }
    }

    fn failed(&self, out: &mut Vec<u8>, message: &str) {
        let error = Failure::request(Code::Server, message).body();
        match self.form {
            Form::Rows => self.last(out, &json!({"errorMessage": error})),
            Form::Delimited => out.extend_from_slice(format!("{error}\n").as_bytes()),
            Form::Array => out.extend_from_slice(format!(",\n{error}]\n").as_bytes()),
        }
    }

    fn end(&self, out: &mut Vec<u8>, finish: Finish) {
        match (self.form, self.kind) {
            (Form::Rows, AnswerKind::PullTable) | (Form::Array, _) => out.extend_from_slice(b"]\n"),
            (Form::Rows, _) => self.last(out, &json!({"finalMessage": finish.message()})),
            (Form::Delimited, _) => {}
        }
    }

    /// The array's last item of `/query`.
    fn last(&self, out: &mut Vec<u8>, item: &Json) {
        let before = if self.kind == AnswerKind::Push { "" } else { ",\n" };
        out.extend_from_slice(format!("{before}{item}]\n").as_bytes());
    }
}

/// ``​`ID` STRING KEY, `COUNT` BIGINT``.
fn schema_text(columns: &[(Column, bool)]) -> String {
    let column =
        |(column, key): &(Column, bool)| format!("`{}` {}{}", column.name, column.ty, if *key { " KEY" } else { "" });
    columns.iter().map(column).collect::<Vec<_>>().join(", ")
}

/// `POST /close-query`.
pub(super) async fn close(site: &Arc<Site>, request: &mut Request) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    struct Close {
        #[serde(rename = "queryId")]
        id: String,
    }
    let Close { id } = request.json(site.limits).await?;
    if site.intake.close_query(&id) {
        Ok(reply::empty(200))
    } else {
        Err(Failure::request(Code::BadRequest, format!("No query with id {id}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_dataflow::row::Value;

    fn text(kind: AnswerKind, form: Form, events: Vec<Event>) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (sender, receiver) = mpsc::channel(events.len().max(1));
            for event in events {
                sender.send(event).await.unwrap();
            }
            drop(sender);
            let column = |name: &str, ty| Column { name: name.into(), ty };
            let columns = vec![(column("K", SqlType::String), true), (column("N", SqlType::Double), false)];
            let answer = RowAnswer { id: "q".into(), columns, kind, events: receiver };
            let (body, mut pieces) = mpsc::channel(16);
            write(answer, form, body).await;
            let mut out = Vec::new();
            while let Some(piece) = pieces.recv().await {
                out.extend_from_slice(&piece);
            }
            String::from_utf8(out).unwrap()
        })
    }

    fn row(k: &str, n: Value, tombstone: bool) -> AnswerRow {
        AnswerRow { values: vec![Value::String(k.into()), n], tombstone }
    }

    #[test]
    fn pulls_push_and_streams_end_each_in_its_way() {
        let rows = || Event::Rows(vec![row("a", Value::Double(1.0), false), row("b", Value::Null, true)]);
        let complete = Event::End(Finish::Complete);
        expect_test::expect![[r#"
            [{"header":{"queryId":"q","schema":"`K` STRING KEY, `N` DOUBLE"}},
            {"row":{"columns":["a",1.0]}},
            {"row":{"columns":["b",null],"tombstone":true}}]
        "#]]
        .assert_eq(&text(AnswerKind::PullTable, Form::Rows, vec![rows(), complete.clone()]));
        expect_test::expect![[r#"
            [{"header":{"queryId":"q","schema":"`K` STRING KEY, `N` DOUBLE"}},
            {"finalMessage":"Query Completed"}]
        "#]]
        .assert_eq(&text(AnswerKind::PullStream, Form::Rows, vec![complete]));
        expect_test::expect![[r#"
            [{"header":{"queryId":"q","schema":"`K` STRING KEY, `N` DOUBLE"}},
            {"row":{"columns":["a",1.0]}},
            {"row":{"columns":["b",null],"tombstone":true}},
            {"finalMessage":"Limit Reached"}]
        "#]]
        .assert_eq(&text(AnswerKind::Push, Form::Rows, vec![rows(), Event::End(Finish::Limit)]));
        expect_test::expect![[r#"
            {"queryId":"q","columnNames":["K","N"],"columnTypes":["STRING","DOUBLE"]}
            ["a",1.0]
        "#]]
        .assert_eq(&text(AnswerKind::Push, Form::Delimited, vec![rows(), Event::End(Finish::Limit)]));
        expect_test::expect![[r#"
            [{"queryId":"q","columnNames":["K","N"],"columnTypes":["STRING","DOUBLE"]},
            ["a",1.0]]
        "#]]
        .assert_eq(&text(AnswerKind::PullTable, Form::Array, vec![rows()]));
        expect_test::expect![[r#"
            [{"header":{"queryId":"q","schema":"`K` STRING KEY, `N` DOUBLE"}},
            {"errorMessage":{"@type":"generic_error","error_code":50000,"message":"no"}}]
        "#]]
        .assert_eq(&text(AnswerKind::Push, Form::Rows, vec![Event::Failed("no".into())]));
    }
}
