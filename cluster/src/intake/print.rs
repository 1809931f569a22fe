//! PRINT: a topic's records as text, in ksqlDB's words.

use super::Intake;
use super::answer::{Answer, ROOM};
use std::time::Duration;
use tokio::sync::mpsc;
use weir_dataflow::bind::Entry;
use weir_dataflow::plan::{Format, KeyWindow};
use weir_dataflow::row::SqlType;
use weir_dataflow::row::datetime::timestamp_text;
use weir_dataflow::row::encode::Encoder;
use weir_ingest::source::{Limit, Source};

/// How long to wait for more when a topic has none.
const PAUSE: Duration = Duration::from_millis(50);

/// What is shown of a topic.
struct Shown {
    /// The first record's formats have been told.
    begun: bool,
    /// A stream or table is declared over the topic: its formats are known.
    declared: Option<Declared>,
    every: u64,
    /// Records that may still be shown.
    left: u64,
    seen: u64,
}

/// What a declaration tells of records.
struct Declared {
    key: String,
    value: String,
    /// Keys end in their window's bounds.
    window: Option<KeyWindow>,
}

impl Declared {
    fn of(entry: &Entry) -> Self {
        let topic = entry.topic();
        let key: Vec<SqlType> = entry.schema().key.iter().map(|c| c.ty.clone()).collect();
        Declared {
            key: part_name(topic.key_format, &key),
            value: part_name(topic.value_format, &[]),
            window: topic.window,
        }
    }

    /// The key format's name, the window's kind around it.
    fn key_name(&self) -> String {
        let key = &self.key;
        match self.window {
            None => key.clone(),
            Some(KeyWindow::Time(_)) => format!("HOPPING({key}) or TUMBLING({key})"),
            Some(KeyWindow::Session) => format!("SESSION({key})"),
        }
    }

    fn key_text(&self, key: Option<&[u8]>) -> String {
        let (Some(bytes), Some(window)) = (key, self.window) else { return text(key, &self.key) };
        let bounds = if window == KeyWindow::Session { 16 } else { 8 };
        let Some((key, bounds)) = bytes.len().checked_sub(bounds).map(|at| bytes.split_at(at)) else {
            return text(key, &self.key);
        };
        let key = text(Some(key), &self.key);
        match window {
            KeyWindow::Time(_) => format!("[{key}@{}/-]", i64::from_be_bytes(fixed(bounds))),
            // The end stands before the start.
            KeyWindow::Session => {
                let (end, start) = bounds.split_at(8);
                format!("[{key}@{}/{}]", i64::from_be_bytes(fixed(start)), i64::from_be_bytes(fixed(end)))
            }
        }
    }
}

/// A record.
struct Printed<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    time: i64,
    partition: u32,
}

impl Intake {
    /// Begins to print a topic.
    pub(super) async fn print(
        &self,
        topic: &str,
        from_beginning: bool,
        every: u64,
        limit: Option<u64>,
    ) -> Result<Answer, String> {
        let catalog = self.catalog();
        // Topics are found as they are written, in any case when none is.
        let fits = |e: &&Entry| e.topic().topic == topic;
        let loosely = |e: &&Entry| e.topic().topic.eq_ignore_ascii_case(topic);
        let entry = catalog.entries().find(fits).or_else(|| catalog.entries().find(loosely));
        let name = entry.map_or(topic, |e| e.topic().topic.as_str());
        let shown =
            Shown { begun: false, declared: entry.map(Declared::of), every, left: limit.unwrap_or(u64::MAX), seen: 0 };
        let (sender, pieces) = mpsc::channel(ROOM);
        if let Some(source) = self.topics().read(name, from_beginning).await? {
            tokio::spawn(print_topic(source, shown, sender));
        } else if let Some((entry, view)) = entry.and_then(|e| e.view().map(|v| (e, v))) {
            let encoder = Encoder::new(entry.schema(), &view.topic).map_err(|e| e.to_string())?;
            let subscription = self.workers().subscribe(&view.name, from_beginning);
            tokio::spawn(print_view(subscription, encoder, shown, sender));
        } else {
            return Err(format!(
                "Could not find topic '{topic}', or the KSQL user does not have permissions to list the topic. Topic names are case-sensitive."
            ));
        }
        Ok(Answer::Text(pieces))
    }
}

async fn print_topic(mut source: Box<dyn Source>, mut shown: Shown, client: mpsc::Sender<String>) {
    while shown.left > 0 && !client.is_closed() {
        let batch = match source.poll(Limit { records: 256, bytes: 1 << 20 }) {
            Ok(Some(batch)) => batch,
            Ok(None) => {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => continue,
                    () = client.closed() => return,
                }
            }
            Err(error) => {
                let _ = client.send(format!("{error}\n")).await;
                return;
            }
        };
        let mut out = String::new();
        for record in &batch.records {
            shown.print(
                &mut out,
                &Printed {
                    key: record.key.map(|s| batch.slice(s)),
                    value: record.value.map(|s| batch.slice(s)),
                    time: record.time,
                    partition: batch.partition,
                },
            );
        }
        if !out.is_empty() && client.send(out).await.is_err() {
            return;
        }
    }
}

/// Prints a view's changes as the records that its topic would have.
async fn print_view(
    mut subscription: crate::command::Subscription,
    encoder: Encoder,
    mut shown: Shown,
    client: mpsc::Sender<String>,
) {
    while shown.left > 0 {
        let batch = tokio::select! {
            batch = subscription.next() => batch,
            () = client.closed() => return,
        };
        let rows = match batch {
            Some(Ok(batch)) => batch.rows.into_vec(),
            Some(Err(message)) => {
                let _ = client.send(format!("{message}\n")).await;
                return;
            }
            None => return,
        };
        let mut out = String::new();
        for row in &rows {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            let has_key = encoder.key(row, &mut key);
            let has_value = encoder.value(row, &mut value);
            let record = Printed {
                key: has_key.then_some(key.as_slice()),
                value: has_value.then_some(value.as_slice()),
                time: row.time,
                partition: 0,
            };
            shown.print(&mut out, &record);
        }
        if !out.is_empty() && client.send(out).await.is_err() {
            return;
        }
    }
}

impl Shown {
    /// Appends a record, unless it is not one that is shown.
    fn print(&mut self, out: &mut String, record: &Printed<'_>) {
        self.seen += 1;
        if self.left == 0 || !(self.seen - 1).is_multiple_of(self.every) {
            return;
        }
        self.left -= 1;
        let (key_format, value_format, key) = match &self.declared {
            Some(declared) => (declared.key_name(), declared.value.clone(), declared.key_text(record.key)),
            None => {
                let format = guess(record.key);
                let key = text(record.key, &format);
                (format, guess(record.value), key)
            }
        };
        if !self.begun {
            self.begun = true;
            out.push_str(&format!("Key format: {key_format}\nValue format: {value_format}\n"));
        }
        // 2024-01-01T00:00:00.000 in ISO's form.
        let time = timestamp_text(record.time).replacen('-', "/", 2).replacen('T', " ", 1);
        out.push_str(&format!(
            "rowtime: {time} Z, key: {key}, value: {}, partition: {}\n",
            text(record.value, &value_format),
            record.partition
        ));
    }
}

/// A format's name in the first lines.
fn part_name(format: Format, types: &[SqlType]) -> String {
    match (format, types) {
        (Format::Json, _) => "JSON".into(),
        (Format::Delimited { .. }, _) => "DELIMITED".into(),
        (Format::None, _) => "NONE".into(),
        (Format::Kafka, [SqlType::Int]) => "KAFKA_INT".into(),
        (Format::Kafka, [SqlType::Bigint]) => "KAFKA_BIGINT".into(),
        (Format::Kafka, [SqlType::Double]) => "KAFKA_DOUBLE".into(),
        (Format::Kafka, _) => "KAFKA_STRING".into(),
    }
}

/// The format that bytes seem to have.
fn guess(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "¯\\_(ツ)_/¯ - no data processed".into() };
    let printable = std::str::from_utf8(bytes).is_ok_and(|t| !t.chars().any(|c| c.is_control() && !c.is_whitespace()));
    let is_json = bytes.first().is_some_and(|b| matches!(b, b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
    match bytes.len() {
        _ if is_json => "JSON".into(),
        _ if printable => "KAFKA_STRING".into(),
        4 => "KAFKA_INT".into(),
        8 => "KAFKA_BIGINT or KAFKA_DOUBLE".into(),
        _ => "UNRECOGNIZED_BYTES".into(),
    }
}

/// Bytes as text.
fn text(bytes: Option<&[u8]>, format: &str) -> String {
    let Some(bytes) = bytes else { return "<null>".into() };
    match (format, bytes.len()) {
        ("KAFKA_INT", 4) => i32::from_be_bytes(fixed(bytes)).to_string(),
        ("KAFKA_BIGINT" | "KAFKA_BIGINT or KAFKA_DOUBLE", 8) => i64::from_be_bytes(fixed(bytes)).to_string(),
        ("KAFKA_DOUBLE", 8) => weir_dataflow::row::text::double_text(f64::from_be_bytes(fixed(bytes))),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => bytes.iter().map(|b| format!("\\x{b:02X}")).collect(),
        },
    }
}

/// The first bytes.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let n = N.min(bytes.len());
    out[..n].copy_from_slice(&bytes[..n]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_printed_in_ksqldbs_words() {
        let mut shown = Shown { begun: false, declared: None, every: 2, left: 2, seen: 0 };
        let mut out = String::new();
        for (key, value) in
            [(Some(&b"1.2.3.4"[..]), Some(&br#"{"a":1}"#[..])), (None, None), (Some(&[0, 0, 0, 7]), None)]
        {
            shown.print(&mut out, &Printed { key, value, time: 1_704_067_200_000, partition: 3 });
        }
        expect_test::expect![[r#"
            Key format: KAFKA_STRING
            Value format: JSON
            rowtime: 2024/01/01 00:00:00.000 Z, key: 1.2.3.4, value: {"a":1}, partition: 3
            rowtime: 2024/01/01 00:00:00.000 Z, key: 7, value: <null>, partition: 3
        "#]]
        .assert_eq(&out);
    }
}
