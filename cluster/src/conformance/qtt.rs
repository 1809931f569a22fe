//! A case's statements and records: bound as a script's, run query by query, compared topic by topic.
//!
//! 1. Each statement is parsed and bound as in a script; the last one may have to fail, with a part of its message.
//! 2. The queries run in the order of their statements, each over the topics that it reads: when the case writes to some
//!    of these, it is fed the case's records in their order; then what earlier queries wrote, topic by topic.
//! 3. Every topic that the case expects records in must have these and no other, in this order; then the streams, tables
//!    and topics are looked at that must be there.
//!
//! A query reads a derived stream or table from its topic, by the topic's formats, as a program of its own would.

use super::case::{Case, Post, PostSource, Record, Topic};
use super::compare::{self, Numbers};
use super::feed::{self, Feed};
use super::records::{self, Raw};
use super::report::Failure;
use crate::command::Offset;
use crate::intake::script;
use crate::intake::session::Session;
use regex::Regex;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use weir_dataflow::bind::{Bound, Catalog, Entry, InsertValues, Relation, bind};
use weir_dataflow::plan::{Format, Source, TopicSpec, View};
use weir_dataflow::row::encode::Encoder;
use weir_dataflow::row::{Schema, Value};
use weir_dataflow::sql::ast::Statement;
use weir_dataflow::sql::error::{Diagnostic, line_column};
use weir_dataflow::sql::parse;
use weir_dataflow::views::change::Row;

/// Runs a case.
///
/// # Errors
/// How it went otherwise than the case says.
pub fn run(case: &Case) -> Result<(), Failure> {
    let mut script = Script::new(case);
    let refused = script.run(case);
    match (refused, case.refusal()) {
        (Ok(()), None) => {}
        (Ok(()), Some(refusal)) => {
            return Err(Failure::compared("no error came", refusal.message.clone(), ""));
        }
        (Err(refused), None) => return Err(Failure::new(format!("refused: {}", refused.message))),
        (Err(refused), Some(refusal)) => {
            let last = refused.statement + 1 == case.statements.len();
            if !refused.says(&refusal.message) {
                return Err(Failure::compared("another error came", refusal.message.clone(), refused.message));
            }
            return if last {
                Ok(())
            } else {
                Err(Failure::new(format!("statement {} is refused, not the last", refused.statement + 1)))
            };
        }
    }
    script.feed(case).map_err(Failure::new)?;
    let numbers = match case.properties.get("use.exact.numeric.comparison") {
        Some(Json::Bool(false)) => Numbers::Close,
        _ => Numbers::Exact,
    };
    let mut topics: Vec<&str> = case.outputs.iter().map(|o| o.topic.as_str()).collect();
    topics.dedup();
    let mut seen = BTreeSet::new();
    for topic in topics.into_iter().filter(|t| seen.insert(*t)) {
        let expected: Vec<&Record> = case.outputs.iter().filter(|o| o.topic == topic).collect();
        let actual = script.written(topic).map_err(Failure::new)?;
        compare::records(topic, &expected, &actual, numbers)?;
    }
    case.post.as_ref().map_or(Ok(()), |post| script.check(post))
}

/// A statement that was refused.
struct Refused {
    /// Its number, from 0.
    statement: usize,
    message: String,
    /// The same with its place, in the ways in which ksqlDB says it.
    placed: Vec<String>,
}

impl Refused {
    fn new(statement: usize, text: &str, error: &Diagnostic) -> Self {
        let (line, column) = line_column(text, error.span.map_or(0, |s| s.start as usize));
        let message = match &error.hint {
            Some(hint) => format!("{}\nHint: {hint}", error.message),
            None => error.message.clone(),
        };
        let placed = vec![
            format!("line {line}:{column}: {}", error.message),
            format!("Exception while preparing statement: Line: {line}, Col: {column}: {}", error.message),
        ];
        Refused { statement, message, placed }
    }

    fn says(&self, part: &str) -> bool {
        self.message.contains(part) || self.placed.iter().any(|p| p.contains(part))
    }
}

/// What a case's statements have made.
struct Script {
    catalog: Catalog,
    session: Session,
    /// The persistent queries, in order.
    queries: Vec<View>,
    /// Declared streams and tables that are gone again stay known as readers of their topics.
    declared: Vec<Source>,
    /// What statements and queries have written, by topic.
    topics: BTreeMap<String, Vec<Raw>>,
}

impl Script {
    fn new(case: &Case) -> Self {
        let mut session = Session::with_offset(Offset::Earliest);
        for (name, value) in &case.properties {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            // A case may set what only ksqlDB's server can be started with.
            if session.set(name, &value).is_err() {
                session.bound.properties.insert(name.clone(), value);
            }
        }
        Script {
            catalog: Catalog::default(),
            session,
            queries: Vec::new(),
            declared: Vec::new(),
            topics: BTreeMap::new(),
        }
    }

    /// Binds the statements, one after the other: the lines of a script.
    fn run(&mut self, case: &Case) -> Result<(), Refused> {
        let script = case.statements.join("\n");
        let mut ends = Vec::with_capacity(case.statements.len());
        case.statements.iter().fold(0, |at, text| {
            ends.push(at + text.len());
            at + text.len() + 1
        });
        let refused = |error: &Diagnostic| {
            let at = error.span.map_or(script.len(), |s| s.start as usize);
            Refused::new(ends.iter().take_while(|end| **end < at).count(), &script, error)
        };
        let (statements, errors) = parse(&script);
        let unread = errors.first();
        for statement in &statements {
            if unread.and_then(|e| e.span).is_some_and(|e| e.start < statement.span.start) {
                break;
            }
            self.statement(statement)
                .map_err(|e| refused(&Diagnostic { span: e.span.or(Some(statement.span)), ..e }))?;
        }
        unread.map_or(Ok(()), |error| Err(refused(error)))
    }

    fn statement(&mut self, statement: &Statement) -> Result<(), Diagnostic> {
        script::apply_settings(&mut self.session, statement).map_err(Diagnostic::new)?;
        let bound = bind(&self.catalog, &self.session.bound, statement)?;
        match &bound {
            Bound::Source(source) => {
                writes(&source.schema, &source.topic)?;
                self.declared.push(source.clone());
            }
            Bound::View(view) => {
                writes(&view.schema, &view.topic)?;
                self.queries.retain(|v| v.name != view.name);
                self.queries.push(view.clone());
            }
            Bound::Insert(view) => self.queries.push(view.clone()),
            Bound::InsertValues(insert) => self.insert(insert)?,
            Bound::Drop(drop) => self.queries.retain(|v| v.name != drop.name),
            Bound::Pull(_)
            | Bound::Push(_)
            | Bound::Type { .. }
            | Bound::Alter { .. }
            | Bound::Nothing(_)
            | Bound::Other => {}
        }
        self.catalog.add(&bound, &statement.text);
        Ok(())
    }

    fn insert(&mut self, insert: &InsertValues) -> Result<(), Diagnostic> {
        let Some(entry) = self.catalog.get(&insert.target) else { return Ok(()) };
        let encoder = writes(entry.schema(), entry.topic())?;
        let InsertValues { key, value, time, .. } = insert.clone();
        let key = if key.iter().all(Value::is_null) { Vec::new() } else { key };
        let row = Row { key, window: None, value: Some(value), time: time.unwrap_or(0) };
        let topic = entry.topic().topic.clone();
        self.topics.entry(topic).or_default().extend(encode(&encoder, &row));
        Ok(())
    }

    /// Runs the queries.
    fn feed(&mut self, case: &Case) -> Result<(), String> {
        let mut written: BTreeMap<String, Vec<Raw>> = BTreeMap::new();
        let mut inputs = Vec::new();
        for record in &case.inputs {
            let raw = match self.schema_of(&record.topic) {
                Some((schema, topic)) => records::encode(record, &schema, &topic)?,
                None => continue,
            };
            written.entry(record.topic.clone()).or_default().push(raw.clone());
            inputs.push((record.topic.clone(), raw));
        }
        for view in std::mem::take(&mut self.queries) {
            let sources: Vec<Source> = reads(&view).into_iter().filter_map(|name| self.source(name)).collect();
            let topics: BTreeSet<&str> = sources.iter().map(|s| s.topic.topic.as_str()).collect();
            let mut records: Vec<(String, Raw)> =
                inputs.iter().filter(|(topic, _)| topics.contains(topic.as_str())).cloned().collect();
            for topic in topics.into_iter().filter(|t| !written.contains_key(*t)) {
                let produced = self.topics.get(topic).into_iter().flatten();
                records.extend(produced.map(|raw| (topic.to_owned(), raw.clone())));
            }
            let (schema, topic) = match self.catalog.get(&view.name) {
                Some(entry) => (entry.schema().clone(), entry.topic().clone()),
                None => (view.schema.clone(), view.topic.clone()),
            };
            let encoder = Encoder::new(&schema, &topic).map_err(|e| e.to_string())?;
            let name = view.query_id.clone();
            let rows = feed::run(Feed { view: View { name, ..view }, sources, records })?;
            let output = self.topics.entry(topic.topic).or_default();
            output.extend(rows.iter().filter_map(|row| encode(&encoder, row)));
        }
        Ok(())
    }

    /// The columns and formats of a topic: those of the first stream or table over it.
    fn schema_of(&self, topic: &str) -> Option<(Schema, TopicSpec)> {
        let declared = self.declared.iter().find(|s| s.topic.topic == topic);
        let of = |entry: &Entry| (entry.schema().clone(), entry.topic().clone());
        match declared {
            Some(source) => Some((source.schema.clone(), source.topic.clone())),
            None => self.catalog.entries().find(|e| e.topic().topic == topic).map(of),
        }
    }

    /// What reads the topic of a stream or table.
    fn source(&self, name: &str) -> Option<Source> {
        let entry = self.catalog.get(name)?;
        Some(match &entry.relation {
            Relation::Source(source) => source.clone(),
            Relation::View(view) => Source {
                name: view.name.clone(),
                table: entry.is_table(),
                queryable: false,
                schema: view.schema.clone(),
                topic: view.topic.clone(),
            },
        })
    }

    /// A topic's records as a case says them.
    fn written(&self, topic: &str) -> Result<Vec<Record>, String> {
        let Some((schema, spec)) = self.schema_of(topic) else {
            return Ok(Vec::new());
        };
        let raws = self.topics.get(topic).map(Vec::as_slice).unwrap_or_default();
        raws.iter().map(|raw| records::decode(raw, topic, &schema, &spec)).collect()
    }

    /// Looks at what must be there in the end.
    fn check(&self, post: &Post) -> Result<(), Failure> {
        for source in &post.sources {
            self.check_source(source)?;
        }
        let Some(topics) = &post.topics else { return Ok(()) };
        let names: BTreeSet<&str> = self.catalog.entries().map(|e| e.topic().topic.as_str()).collect();
        if let Some(pattern) = &topics.blacklist {
            // Weir's queries exchange rows among workers; topics in between do not exist.
            let pattern = Regex::new(&format!("^(?:{pattern})$")).map_err(|e| Failure::new(e.to_string()))?;
            if let Some(name) = names.iter().find(|name| pattern.is_match(name)) {
                return Err(Failure::new(format!("topic '{name}' is there and must not be")));
            }
        }
        for topic in topics.topics.iter().filter(|t| !is_internal(&t.name)) {
            self.check_topic(topic)?;
        }
        Ok(())
    }

    fn check_source(&self, expected: &PostSource) -> Result<(), Failure> {
        let name = &expected.name;
        let entry = self.catalog.get(name).ok_or_else(|| Failure::new(format!("'{name}' is not there")))?;
        let differs = |what: &str, expected: &str, actual: &str| {
            if expected.eq_ignore_ascii_case(actual) {
                Ok(())
            } else {
                Err(Failure::compared(format!("{what} of '{name}' differs"), expected, actual))
            }
        };
        if !expected.kind.is_empty() {
            differs("the kind", &expected.kind, entry.kind())?;
        }
        if let Some(text) = &expected.schema {
            let wanted = self.parse_schema(text).map_err(Failure::new)?;
            differs("the schema", &schema_text(&wanted), &schema_text(entry.schema()))?;
        }
        let topic = entry.topic();
        for (what, expected, actual) in [
            ("the format of keys", &expected.key_format, topic.key_format),
            ("the format of values", &expected.value_format, topic.value_format),
        ] {
            if let Some(expected) = expected {
                differs(what, format_name(expected), format_text(actual))?;
            }
        }
        if let Some(features) = &expected.value_features {
            let actual = if topic.wrap_single_value { "WRAP_SINGLES" } else { "UNWRAP_SINGLES" };
            differs("the wrapping of values", &features.join(", "), actual)?;
        }
        Ok(())
    }

    fn check_topic(&self, expected: &Topic) -> Result<(), Failure> {
        let name = &expected.name;
        let entries: Vec<&Entry> = self.catalog.entries().filter(|e| e.topic().topic == *name).collect();
        let Some(entry) = entries.first() else {
            return Err(Failure::new(format!("topic '{name}' is not there")));
        };
        let partitions = entry.topic().partitions;
        if let (Some(expected), Some(actual)) = (expected.partitions, partitions)
            && expected != actual
        {
            let texts = (expected.to_string(), actual.to_string());
            return Err(Failure::compared(format!("the partitions of topic '{name}' differ"), texts.0, texts.1));
        }
        for (expected, actual) in
            [(&expected.key_format, entry.topic().key_format), (&expected.format, entry.topic().value_format)]
        {
            if let Some(expected) = expected
                && !format_name(expected).eq_ignore_ascii_case(format_text(actual))
            {
                let texts = (format_name(expected), format_text(actual));
                return Err(Failure::compared(format!("a format of topic '{name}' differs"), texts.0, texts.1));
            }
        }
        Ok(())
    }

    fn parse_schema(&self, text: &str) -> Result<Schema, String> {
        let columns = text.replace(" PRIMARY KEY", " KEY");
        let text = format!("CREATE STREAM SCHEMA_OF ({columns}) WITH (kafka_topic='t', format='JSON');");
        let (statements, errors) = parse(&text);
        match (statements.first(), errors.first()) {
            (Some(statement), None) => {
                match bind(&self.catalog, &Session::with_offset(Offset::Earliest).bound, statement) {
                    Ok(Bound::Source(source)) => Ok(source.schema),
                    Ok(_) => Err(format!("the case's schema is none: {columns}")),
                    Err(error) => Err(format!("the case's schema is none: {columns}: {}", error.message)),
                }
            }
            _ => Err(format!("the case's schema is none: {columns}")),
        }
    }
}

/// What writes rows of these columns to this topic.
fn writes(schema: &Schema, topic: &TopicSpec) -> Result<Encoder, Diagnostic> {
    Encoder::new(schema, topic).map_err(|e| Diagnostic::new(e.to_string()))
}

/// A row as a record.
fn encode(encoder: &Encoder, row: &Row) -> Option<Raw> {
    let part = |write: &dyn Fn(&mut Vec<u8>) -> bool| {
        let mut bytes = Vec::new();
        write(&mut bytes).then_some(bytes)
    };
    Some(Raw {
        key: part(&|out| encoder.key(row, out)),
        value: part(&|out| encoder.value(row, out)),
        time: encoder.time(row)?,
        headers: Vec::new(),
    })
}

/// The streams and tables that a query reads.
fn reads(view: &View) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    view.inputs().into_iter().chain(view.lookups()).filter(|name| seen.insert(*name)).collect()
}

fn schema_text(schema: &Schema) -> String {
    let key = schema.key.iter().map(|c| format!("`{}` {} KEY", c.name, c.ty));
    let value = schema.value.iter().map(|c| format!("`{}` {}", c.name, c.ty));
    key.chain(value).collect::<Vec<_>>().join(", ")
}

fn format_text(format: Format) -> &'static str {
    match format {
        Format::Json => "JSON",
        Format::Delimited { .. } => "DELIMITED",
        Format::Kafka => "KAFKA",
        Format::None => "NONE",
    }
}

/// A format's name, which may stand in an object.
fn format_name(format: &Json) -> &str {
    format.get("format").unwrap_or(format).as_str().unwrap_or_default()
}

/// The topics in between that only ksqlDB has.
fn is_internal(topic: &str) -> bool {
    topic.starts_with("_confluent-ksql-")
}
