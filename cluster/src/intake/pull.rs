//! Pull queries: the rows that are there now.

use super::Intake;
use super::answer::{Answer, AnswerKind, CHUNK, Event, Finish, ROOM, RowAnswer};
use super::failure::{Code, Failure};
use super::project::Projection;
use tokio::sync::mpsc;
use weir_dataflow::plan::query::PullQuery;
use weir_dataflow::row::Schema;
use weir_dataflow::views::change::Row;

impl Intake {
    /// Answers a pull query on an input of this schema. It has read all its rows when this returns; they are
    /// projected as the client takes them.
    pub(super) async fn pull(&self, pull: PullQuery, schema: Schema, statement: &str) -> Result<Answer, Failure> {
        let PullQuery { query, stream, columns } = pull;
        let failed = |message: String| Failure { code: Code::Server, ..Failure::statement(statement, message) };
        let limit = query.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let projection = Projection::new(query.clone(), schema);
        let mut rows = if stream {
            let rows = self.snapshot(&query.input).await.map_err(failed)?;
            let passed = projection.passes(&rows);
            rows.into_iter().zip(passed).filter_map(|(row, passed)| passed.then_some(row)).collect()
        } else {
            self.workers().peek(query).await.map_err(failed)?
        };
        let limited = rows.len() >= limit;
        rows.truncate(limit);
        let (sender, events) = mpsc::channel(ROOM);
        tokio::spawn(async move {
            for chunk in rows.chunks(CHUNK) {
                if sender.send(Event::Rows(projection.project(chunk))).await.is_err() {
                    return;
                }
            }
            let finish = if limited && stream { Finish::Limit } else { Finish::Complete };
            let _ = sender.send(Event::End(finish)).await;
        });
        let kind = if stream { AnswerKind::PullStream } else { AnswerKind::PullTable };
        Ok(Answer::Rows(RowAnswer { id: self.new_query_id("query"), columns, kind, events }))
    }

    /// All rows that a stream holds, from its beginning to its present end.
    pub(super) async fn snapshot(&self, input: &str) -> Result<Vec<Row>, String> {
        let mut subscription = self.workers().subscribe(input, true);
        match subscription.next().await {
            Some(Ok(batch)) => Ok(batch.rows),
            Some(Err(message)) => Err(message),
            None => Err(format!("{input} was dropped")),
        }
    }
}
