//! A data file: statements, timed records, and the rows that each view must end with.
//!
//! ```text
//! What the file shows, in a sentence or two.
//!
//! == statements
//! CREATE STREAM clicks (userid INT) WITH (kafka_topic = 'clicks', value_format = 'json');
//! CREATE TABLE per_user AS SELECT userid, COUNT(*) AS n FROM clicks GROUP BY userid;
//!
//! == topic clicks
//! 1000 {"userid": 7}
//! 2500 {"userid": 7}
//!
//! == rows PER_USER
//! {"USERID":7,"N":2}
//!
//! == rejected 0
//! == late 0
//! ```
//!
//! A record is its time in milliseconds and its value; what is no JSON object goes to the topic as it stands. Where keys
//! of their own, tombstones or partitions matter, `== records TOPIC` has a whole record a line, as `weir replay
//! --records` reads them; each such section of a topic is a partition. Rows
//! may stand in any order, but their columns are in the view's order: key, WINDOWSTART, WINDOWEND, value. Lines that
//! start with `--` are comments outside of the statements too. `rejected` and `late` are checked when they stand there.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The field of each record's object that carries its time into `weir replay`.
pub(crate) const TIME_FIELD: &str = "ts";

/// A data file, parsed.
#[derive(Default)]
pub(crate) struct Case {
    statements: String,
    topics: BTreeMap<String, String>,
    /// By topic: the lines of each partition.
    records: BTreeMap<String, Vec<String>>,
    rows: BTreeMap<String, Vec<String>>,
    rejected: Option<u64>,
    late: Option<u64>,
}

impl Case {
    /// Reads a data file.
    pub(crate) fn read(file: &Path) -> Result<Case> {
        let text = fs::read_to_string(file)?;
        Case::parse(&text).with_context(|| file.display().to_string())
    }

    fn parse(text: &str) -> Result<Case> {
        let mut case = Case::default();
        let mut section = "";
        let mut name = "";
        for (number, line) in text.lines().enumerate() {
            if let Some(header) = line.strip_prefix("== ") {
                (section, name) = header.split_once(' ').unwrap_or((header, ""));
                case.open(section, name).with_context(|| format!("line {}", number + 1))?;
            } else if section == "statements" {
                case.statements.push_str(line);
                case.statements.push('\n');
            } else if !line.trim().is_empty() && !line.starts_with("--") {
                case.line(section, name, line).with_context(|| format!("line {}", number + 1))?;
            }
        }
        ensure!(!case.statements.is_empty(), "there are no statements");
        ensure!(!case.rows.is_empty(), "no rows are expected of any view");
        Ok(case)
    }

    fn open(&mut self, section: &str, name: &str) -> Result<()> {
        match section {
            "statements" => {}
            "topic" => ensure!(self.topics.insert(name.into(), String::new()).is_none(), "topic '{name}' stands twice"),
            "records" => self.records.entry(name.into()).or_default().push(String::new()),
            "rows" => ensure!(self.rows.insert(name.into(), Vec::new()).is_none(), "rows of '{name}' stand twice"),
            "rejected" => self.rejected = Some(name.parse()?),
            "late" => self.late = Some(name.parse()?),
            _ => bail!("no section '{section}': statements, topic, records, rows, rejected or late"),
        }
        Ok(())
    }

    fn line(&mut self, section: &str, name: &str, line: &str) -> Result<()> {
        match section {
            "" => {}
            "topic" => {
                let records = self.topics.entry(name.into()).or_default();
                let (time, value) = line.split_once(' ').context("a record is its time, a space and its value")?;
                let time: i64 = time.parse().with_context(|| format!("'{time}' is no time in milliseconds"))?;
                match value.trim_start().strip_prefix('{') {
                    Some(rest) if rest.trim() == "}" => writeln!(records, "{{\"{TIME_FIELD}\":{time}}}")?,
                    Some(rest) => writeln!(records, "{{\"{TIME_FIELD}\":{time},{rest}")?,
                    None => writeln!(records, "{value}")?,
                }
            }
            "records" => {
                if let Some(partition) = self.records.get_mut(name).and_then(|p| p.last_mut()) {
                    writeln!(partition, "{line}")?;
                }
            }
            "rows" => self.rows.entry(name.into()).or_default().push(canonical(line)?),
            _ => bail!("'{section}' has no lines"),
        }
        Ok(())
    }

    /// Writes the script and one file a topic; gives the arguments of `weir replay` for them.
    pub(crate) fn write(&self, folder: &Path) -> Result<Vec<String>> {
        let script = folder.join("script.sql");
        fs::write(&script, &self.statements)?;
        let mut args = vec!["replay".to_owned(), script.display().to_string()];
        for (topic, records) in &self.topics {
            let file = folder.join(format!("{topic}.jsonl"));
            fs::write(&file, records)?;
            args.extend(["--topic".to_owned(), format!("{topic}={}", file.display())]);
        }
        for (topic, partitions) in &self.records {
            for (i, records) in partitions.iter().enumerate() {
                let file = folder.join(format!("{topic}.{i}"));
                fs::write(&file, records)?;
                args.extend(["--records".to_owned(), format!("{topic}={}", file.display())]);
            }
        }
        args.extend(["--timestamp-field".to_owned(), TIME_FIELD.to_owned()]);
        Ok(args)
    }

    /// Holds what a replay wrote and counted against what the file expects.
    pub(crate) fn verify(&self, out: &Path, summary: &serde_json::Value) -> Result<()> {
        let mut complaints = String::new();
        for (view, expected) in &self.rows {
            let actual = rows_of(&out.join(format!("{view}.jsonl")))?;
            let difference = difference(expected, &actual);
            if !difference.is_empty() {
                writeln!(complaints, "{view}: - expected and missing, + there and not expected\n{difference}")?;
            }
        }
        for (what, expected) in [("rejected", self.rejected), ("late", self.late)] {
            let actual = summary.get(what).and_then(serde_json::Value::as_u64);
            if expected.is_some() && actual != expected {
                writeln!(complaints, "{what}: expected {expected:?}, counted {actual:?}")?;
            }
        }
        ensure!(complaints.is_empty(), "{complaints}");
        Ok(())
    }
}

/// The rows of a file of JSON lines, each in canonical text.
pub(crate) fn rows_of(file: &PathBuf) -> Result<Vec<String>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read '{}'", file.display()))?;
    text.lines().map(canonical).collect()
}

/// One spelling of a JSON text: no blanks, fields in their order, numbers as they are written.
fn canonical(line: &str) -> Result<String> {
    let value: serde_json::Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
    Ok(value.to_string())
}

/// The lines that only one of two collections has, however often; empty when they are equal. At most 40 lines.
pub(crate) fn difference(expected: &[String], actual: &[String]) -> String {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for row in expected {
        *counts.entry(row).or_default() -= 1;
    }
    for row in actual {
        *counts.entry(row).or_default() += 1;
    }
    let mut lines: Vec<String> = Vec::new();
    for (row, count) in counts {
        let sign = if count < 0 { '-' } else { '+' };
        lines.extend((0..count.unsigned_abs()).map(|_| format!("  {sign} {row}")));
    }
    let left_out = lines.len().saturating_sub(40);
    lines.truncate(40);
    if left_out > 0 {
        lines.push(format!("  … and {left_out} more"));
    }
    lines.join("\n")
}
