//! Pull queries: the rows that are there now.
//!
//! Of a table the workers are asked (a peek). Of a stream that a query keeps, the recent part of its rows that the
//! engine has. Of a declared stream the records of its topic, from its beginning to where it ended when the query
//! came; these are read here, beside the workers, who need not read the topic at all.

use super::Intake;
use super::answer::{Answer, AnswerKind, AnswerRow, CHUNK, Event, Finish, ROOM, RowAnswer};
use super::failure::{Code, Failure};
use super::project::Projection;
use super::topics::End;
use std::time::Duration;
use tokio::sync::mpsc;
use weir_dataflow::bind::{Entry, Relation};
use weir_dataflow::plan;
use weir_dataflow::plan::query::{PullQuery, RowQuery};
use weir_dataflow::views::change::Row;
use weir_ingest::decode::Decoder;
use weir_ingest::source::{Limit, Source};

/// How long to wait for a broker that has no records yet.
const PAUSE: Duration = Duration::from_millis(10);

impl Intake {
    /// Begins to answer a pull query on `entry`.
    pub(super) async fn pull(&self, pull: PullQuery, entry: &Entry, statement: &str) -> Result<Answer, Failure> {
        let PullQuery { query, stream, columns } = pull;
        let failed = |message: String| Failure { code: Code::Server, ..Failure::statement(statement, message) };
        let limit = query.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let projection = Projection::new(query.clone(), entry.schema().clone(), entry.is_windowed());
        let (sender, events) = mpsc::channel(ROOM);
        let id = self.new_query_id("query");
        let kind = if stream { AnswerKind::PullStream } else { AnswerKind::PullTable };
        match &entry.relation {
            Relation::Source(source) if stream => {
                let topic = &source.topic.topic;
                let reader = self.topics().read(topic, true).await.map_err(failed)?;
                let ends = self.topics().ends(topic).await.map_err(failed)?;
                if let Some(reader) = reader {
                    let scan = Scan { reader, ends, decoder: decoder(source), projection, left: limit };
                    tokio::task::spawn_blocking(move || scan.run(&sender));
                } else {
                    // The topic is not there yet: it has no records.
                    let _ = sender.send(Event::End(Finish::Complete)).await;
                }
            }
            _ => {
                let rows = if stream {
                    let rows = self.recent(&query.input).await.map_err(failed)?;
                    let passed = projection.passes(&rows);
                    rows.into_iter().zip(passed).filter_map(|(row, passed)| passed.then_some(row)).collect()
                } else {
                    self.workers().peek(query).await.map_err(failed)?
                };
                tokio::spawn(send(rows, limit, stream, projection, sender));
            }
        }
        Ok(Answer::Rows(RowAnswer { id, columns, kind, events }))
    }

    /// How many rows each table that a query keeps has, by name.
    pub async fn table_rows(&self) -> Vec<(String, usize)> {
        let mut all = Vec::new();
        for entry in self.catalog().entries().filter(|e| e.is_table() && e.view().is_some()) {
            if let Ok(rows) = self.workers().peek(RowQuery::all(entry.name())).await {
                all.push((entry.name().to_owned(), rows.len()));
            }
        }
        all
    }

    /// The rows of a stream that the engine still has; of a table what is there, or its changes where they are kept.
    ///
    /// # Errors
    /// There is no such stream or table.
    pub(crate) async fn recent(&self, input: &str) -> Result<Vec<Row>, String> {
        let mut subscription = self.workers().subscribe(input, true);
        loop {
            match subscription.next().await {
                // What was before the subscription holds nothing; the rows come with the epoch where it begins.
                Some(Ok(batch)) if batch.lower == 0 && batch.rows.is_empty() => {}
                Some(Ok(batch)) => return Ok(batch.rows.into_vec()),
                Some(Err(message)) => return Err(message),
                None => return Err(format!("{input} was dropped")),
            }
        }
    }
}

fn decoder(source: &plan::Source) -> Decoder {
    let mut decoder = Decoder::new(source);
    decoder.demand(&(0..source.schema.len()).collect::<Vec<_>>());
    decoder
}

/// Sends rows that are there, as the client takes them.
async fn send(mut rows: Vec<Row>, limit: usize, stream: bool, projection: Projection, client: mpsc::Sender<Event>) {
    let limited = rows.len() >= limit;
    rows.truncate(limit);
    for chunk in rows.chunks(CHUNK) {
        if client.send(Event::Rows(projection.project(chunk))).await.is_err() {
            return;
        }
    }
    let finish = if limited && stream { Finish::Limit } else { Finish::Complete };
    let _ = client.send(Event::End(finish)).await;
}

/// A topic being read from its beginning to where it ended.
struct Scan {
    reader: Box<dyn Source>,
    ends: Vec<End>,
    decoder: Decoder,
    projection: Projection,
    /// Rows that the client may still get.
    left: usize,
}

impl Scan {
    /// Reads and sends until the end, or until nobody takes the rows.
    fn run(mut self, client: &mpsc::Sender<Event>) {
        while self.left > 0 && !self.is_done() && !client.is_closed() {
            let batch = match self.reader.poll(Limit::default()) {
                Ok(Some(batch)) => batch,
                Ok(None) => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Err(error) => {
                    let _ = client.blocking_send(Event::Failed(error.to_string()));
                    return;
                }
            };
            let mut rejects = Vec::new();
            let mut rows = self.projection.select(&self.decoder.decode(&batch, &mut rejects));
            rows.truncate(self.left);
            self.left -= rows.len();
            let mut rows = rows.into_iter();
            loop {
                let chunk: Vec<AnswerRow> = rows.by_ref().take(CHUNK).collect();
                if chunk.is_empty() {
                    break;
                }
                if client.blocking_send(Event::Rows(chunk)).is_err() {
                    return;
                }
            }
        }
        let finish = if self.left == 0 { Finish::Limit } else { Finish::Complete };
        let _ = client.blocking_send(Event::End(finish));
    }

    /// True when every partition has been read to where it ended.
    fn is_done(&self) -> bool {
        let positions = self.reader.positions();
        self.ends.iter().all(|end| {
            let at = positions.iter().find(|p| p.partition == end.partition);
            end.first >= end.next || at.is_some_and(|at| at.offset >= end.next)
        })
    }
}
