//! Push queries: what is there, then every change, until the client goes, LIMIT is reached or the query is ended.
//!
//! The query's task takes batches off its subscription at all times, so nothing piles up before it. Rows that the
//! client has not taken yet wait in a backlog: of a table only the last change of each row, of a stream every row.
//! When more wait than the limit (beyond what the snapshot had), the query ends with an error: a client that is too
//! slow costs itself, not the server.

use super::Intake;
use super::answer::{Answer, AnswerKind, CHUNK, Event, Finish, ROOM, RowAnswer};
use super::failure::Failure;
use super::project::Projection;
use super::session::Session;
use crate::command::{Command, Offset, Subscription};
use std::collections::{HashMap, HashSet, VecDeque};
use tokio::sync::{mpsc, watch};
use weir_dataflow::plan::query::PushQuery;
use weir_dataflow::row::Value;
use weir_dataflow::views::change::{Bounds, Row};

/// A row's key and window.
type Place = (Vec<Value>, Option<Bounds>);

/// Rows that wait for the client.
struct Backlog {
    /// A later change of a row takes the place of an earlier one.
    latest: bool,
    rows: VecDeque<Row>,
    /// Of a table: where a row's change stands, counted from the first row ever.
    places: HashMap<Place, u64>,
    /// How many rows have left.
    gone: u64,
}

impl Backlog {
    fn new(latest: bool) -> Self {
        Backlog { latest, rows: VecDeque::new(), places: HashMap::new(), gone: 0 }
    }

    fn push(&mut self, row: Row) {
        if self.latest {
            let place = (row.key.clone(), row.window);
            let end = self.gone + self.rows.len() as u64;
            let at = *self.places.entry(place).or_insert(end);
            if at < end {
                // It waits already: the client sees only what it is now.
                if let Some(waiting) = self.rows.get_mut((at - self.gone) as usize) {
                    *waiting = row;
                }
                return;
            }
        }
        self.rows.push_back(row);
    }

    fn take(&mut self, most: usize) -> Vec<Row> {
        let rows: Vec<Row> = self.rows.drain(..most.min(self.rows.len())).collect();
        self.gone += rows.len() as u64;
        if self.latest {
            for row in &rows {
                self.places.remove(&(row.key.clone(), row.window));
            }
        }
        rows
    }
}

/// What a push query shows of the changes that reach it.
struct Shown {
    projection: Projection,
    table: bool,
    filtered: bool,
    /// Of a table with WHERE: the rows that the client has. Only these are deleted again.
    there: HashSet<Place>,
}

impl Shown {
    /// The changes that the client shall see: rows that pass, and for a table that a row is gone or passes no more.
    fn select(&mut self, rows: Vec<Row>) -> Vec<Row> {
        let passed = self.projection.passes(&rows);
        let mut out = Vec::with_capacity(rows.len());
        for (mut row, passed) in rows.into_iter().zip(passed) {
            if !self.table {
                if passed {
                    out.push(row);
                }
                continue;
            }
            if self.filtered {
                let place = (row.key.clone(), row.window);
                let was_there = if passed { !self.there.insert(place) } else { self.there.remove(&place) };
                if !passed && !was_there {
                    continue;
                }
            }
            if !passed {
                row.value = None;
            }
            out.push(row);
        }
        out
    }
}

impl Intake {
    /// Begins a push query.
    pub(super) fn push(
        &self,
        push: PushQuery,
        projection: Projection,
        session: &Session,
        statement: &str,
    ) -> Result<Answer, Failure> {
        let PushQuery { view, query, table, columns } = push;
        let offset = session.offset();
        let source = query.input.clone();
        let id =
            view.as_ref().map_or_else(|| self.new_query_id(&format!("transient_{source}")), |v| v.query_id.clone());
        let own = view.as_ref().map(|v| v.name.clone());
        let kept = self.catalog().get(&source).is_some_and(|entry| entry.view().is_some());
        // ksqlDB attaches these to the query that keeps their input, in the middle of its changes.
        let scalable =
            kept && offset == Offset::Latest && session.bound.is_true("ksql.query.push.v2.enabled") == Some(true);
        let id = if scalable { self.new_query_id("SCALABLE_PUSH_QUERY") } else { id };
        // Other tables are read from their beginning; the rows of a view of its own begin with the query.
        let snapshot = !scalable && (table || own.is_some() || offset == Offset::Earliest);
        let (subscription, subscribe) = self.workers().subscription(&source, snapshot);
        let install = view.map(|view| Command::Install { view, offset });
        self.workers().send(Command::Group(install.into_iter().chain([subscribe]).collect()));
        let (sender, events) = mpsc::channel(ROOM);
        let stop = self.register(&id, statement);
        let limit = query.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let task = Task {
            filtered_limit: limit,
            shown: Shown { table, filtered: query.filter.is_some(), there: HashSet::new(), projection },
            backlog: Backlog::new(table && !self.settings().every_change),
            most: self.settings().backlog,
        };
        let intake = self.clone();
        let query_id = id.clone();
        tokio::spawn(async move {
            let finish = task.run(subscription, &sender, stop).await;
            if let Some(event) = finish {
                let _ = sender.send(event).await;
            }
            intake.unregister(&query_id);
            if let Some(view) = own {
                intake.workers().send(Command::Drop(view));
            }
        });
        let columns = columns.into_iter().map(|c| (c, false)).collect();
        Ok(Answer::Rows(RowAnswer { id, columns, kind: AnswerKind::Push, events }))
    }
}

struct Task {
    /// Rows that the client may still get.
    filtered_limit: usize,
    shown: Shown,
    backlog: Backlog,
    /// Most rows that may wait.
    most: usize,
}

impl Task {
    /// Runs until the end; the last event, unless nobody is there to get it.
    async fn run(
        mut self,
        mut subscription: Subscription,
        client: &mpsc::Sender<Event>,
        mut stop: watch::Receiver<bool>,
    ) -> Option<Event> {
        let mut room = self.most;
        let mut first = true;
        loop {
            if self.filtered_limit == 0 {
                return Some(Event::End(Finish::Limit));
            }
            let waiting = !self.backlog.rows.is_empty();
            tokio::select! {
                batch = subscription.next() => match batch {
                    Some(Ok(batch)) => {
                        let lower = batch.lower;
                        self.shown.select(batch.rows.into_vec()).into_iter().for_each(|row| self.backlog.push(row));
                        // The snapshot comes with the epoch where the subscription begins.
                        if first && (lower > 0 || !self.backlog.rows.is_empty()) {
                            first = false;
                            room += self.backlog.rows.len();
                        }
                        if self.backlog.rows.len() > room {
                            let message = format!(
                                "the query was ended: more than {} rows wait for its client (--push-backlog)", self.most
                            );
                            return Some(Event::Failed(message));
                        }
                    }
                    Some(Err(message)) => return Some(Event::Failed(message)),
                    None => return Some(Event::End(Finish::Complete)),
                },
                permit = client.reserve(), if waiting => match permit {
                    Ok(permit) => {
                        let rows = self.backlog.take(CHUNK.min(self.filtered_limit));
                        self.filtered_limit -= rows.len();
                        permit.send(Event::Rows(self.shown.projection.project(&rows)));
                    }
                    Err(_) => return None,
                },
                () = client.closed() => return None,
                _ = stop.wait_for(|stop| *stop) => return Some(Event::End(Finish::Complete)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: i32, value: Option<i32>) -> Row {
        Row { key: vec![Value::Int(key)], window: None, value: value.map(|v| vec![Value::Int(v)]), time: 0 }
    }

    #[test]
    fn a_tables_backlog_keeps_the_last_change_of_each_row_in_order_of_the_first() {
        let mut backlog = Backlog::new(true);
        for (key, value) in [(1, Some(1)), (2, Some(1)), (1, Some(2)), (3, Some(1)), (2, None)] {
            backlog.push(row(key, value));
        }
        assert_eq!(backlog.take(2), [row(1, Some(2)), row(2, None)]);
        backlog.push(row(1, Some(9)));
        backlog.push(row(3, Some(8)));
        assert_eq!(backlog.take(10), [row(3, Some(8)), row(1, Some(9))]);
        assert!(backlog.places.is_empty());
    }

    #[test]
    fn a_streams_backlog_keeps_every_row() {
        let mut backlog = Backlog::new(false);
        backlog.push(row(1, Some(1)));
        backlog.push(row(1, Some(2)));
        assert_eq!(backlog.take(10).len(), 2);
    }
}
