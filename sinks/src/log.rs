//! Changes as log lines.

use crate::{Chunk, Progress, Sink, SinkError, Target};
use weir_dataflow::row::encode::write_object;
use weir_dataflow::row::{Column, Value};

/// Logs each row at level info, with the view's name as field `view`.
#[derive(Debug)]
pub struct LogSink {
    target: Target,
    accepted: Vec<Chunk>,
}

impl LogSink {
    /// Logs the rows of `target`.
    pub fn new(target: Target) -> Self {
        LogSink { target, accepted: Vec::new() }
    }
}

impl Sink for LogSink {
    fn accept(&mut self, chunk: Chunk) {
        self.accepted.push(chunk);
    }

    async fn flush(&mut self, progress: &mut Progress) -> Result<(), SinkError> {
        for chunk in self.accepted.drain(..) {
            for row in &chunk.rows {
                let schema = &self.target.schema;
                let key = object(&schema.key, &row.key);
                let value = row.value.as_ref().map_or_else(|| "null".to_owned(), |v| object(&schema.value, v));
                let (view, epoch, window) = (&self.target.view, chunk.upper, row.window.map(|w| (w.start, w.end)));
                tracing::info!(%view, epoch, %key, ?window, time = row.time, "{value}");
                progress.delivered += 1;
            }
        }
        Ok(())
    }
}

fn object(columns: &[Column], values: &[Value]) -> String {
    let mut out = Vec::new();
    write_object(&mut out, columns, values);
    String::from_utf8_lossy(&out).into_owned()
}
