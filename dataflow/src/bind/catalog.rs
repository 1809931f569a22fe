//! What exists: streams, tables, the queries that keep them, custom types; and who reads whom.

use super::{Bound, Drop};
use crate::plan::{Source, TopicSpec, View, ViewKind};
use crate::row::{Schema, SqlType};
use crate::sql::ast::{DropKind, Ident};
use crate::sql::error::Diagnostic;
use crate::sql::nearest;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The streams, tables, persistent queries and custom types that exist. Cloning copies only pointers.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    entries: BTreeMap<String, Arc<Entry>>,
    /// INSERT INTO queries by their ids.
    inserts: BTreeMap<String, Arc<View>>,
    types: BTreeMap<String, SqlType>,
    /// Statements added so far: the number in the next query's id.
    statements: u64,
}

/// A stream or table.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Declared, or kept by a query.
    pub relation: Relation,
    /// The statement that made it.
    pub text: String,
    /// Its query has been terminated: the stream or table stays as it is.
    pub terminated: bool,
}

/// Where a stream's or table's rows come from.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there are few, each behind a pointer of its own")]
pub enum Relation {
    /// A topic.
    Source(Source),
    /// A persistent query.
    View(View),
}

impl Entry {
    /// Its name.
    pub fn name(&self) -> &str {
        match &self.relation {
            Relation::Source(s) => &s.name,
            Relation::View(v) => &v.name,
        }
    }

    /// Its columns.
    pub fn schema(&self) -> &Schema {
        match &self.relation {
            Relation::Source(s) => &s.schema,
            Relation::View(v) => &v.schema,
        }
    }

    /// Its topic.
    pub fn topic(&self) -> &TopicSpec {
        match &self.relation {
            Relation::Source(s) => &s.topic,
            Relation::View(v) => &v.topic,
        }
    }

    /// True for a table, false for a stream.
    pub fn is_table(&self) -> bool {
        match &self.relation {
            Relation::Source(s) => s.table,
            Relation::View(v) => !matches!(v.kind, ViewKind::Stream(_)),
        }
    }

    /// True when its keys have windows.
    pub fn is_windowed(&self) -> bool {
        self.topic().window.is_some()
    }

    /// The view, when it is one.
    pub fn view(&self) -> Option<&View> {
        match &self.relation {
            Relation::View(v) => Some(v),
            Relation::Source(_) => None,
        }
    }

    /// `STREAM` or `TABLE`.
    pub fn kind(&self) -> &'static str {
        if self.is_table() { "TABLE" } else { "STREAM" }
    }
}

impl Catalog {
    /// A stream or table by its exact name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name).map(|e| &**e)
    }

    /// All streams and tables, by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(|e| &**e)
    }

    /// All persistent queries that run: those that keep a stream or table, then INSERT INTO queries.
    pub fn queries(&self) -> impl Iterator<Item = &View> {
        let kept = self.entries.values().filter(|e| !e.terminated).filter_map(|e| e.view());
        kept.chain(self.inserts.values().map(|v| &**v))
    }

    /// A persistent query by its id, in any case.
    pub fn query(&self, id: &str) -> Option<&View> {
        self.queries().find(|v| v.query_id.eq_ignore_ascii_case(id))
    }

    /// Custom types by name.
    pub fn types(&self) -> impl Iterator<Item = (&str, &SqlType)> {
        self.types.iter().map(|(n, t)| (n.as_str(), t))
    }

    /// A custom type.
    pub fn custom_type(&self, name: &str) -> Option<&SqlType> {
        self.types.get(name)
    }

    /// The queries that read a stream or table.
    pub fn readers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a View> {
        self.queries().filter(move |v| inputs(v).contains(&name))
    }

    /// The INSERT INTO queries that write into a stream.
    pub fn writers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a View> {
        self.inserts.values().map(|v| &**v).filter(move |v| v.name == name)
    }

    /// The number of the next statement that is added: the one at the end of its query's id.
    pub fn next_number(&self) -> u64 {
        self.statements
    }

    /// The stream or table that a FROM or the like means.
    pub(super) fn find(&self, name: &Ident) -> Result<&Entry, Diagnostic> {
        self.get(&name.name).ok_or_else(|| {
            let error = Diagnostic::at(name.span, format!("{} does not exist.", name.name));
            match nearest(&name.name, self.entries.keys().map(String::as_str)) {
                Some(other) => error.hint(format!("did you mean {other}?")),
                None => error.hint("SHOW STREAMS and SHOW TABLES list what there is"),
            }
        })
    }

    /// Takes what a statement made into the catalog; `text` is the statement's. Statements that make nothing are
    /// ignored.
    pub fn add(&mut self, bound: &Bound, text: &str) {
        let entry = |relation| Arc::new(Entry { relation, text: text.into(), terminated: false });
        match bound {
            Bound::Source(source) => {
                self.entries.insert(source.name.clone(), entry(Relation::Source(source.clone())));
            }
            Bound::View(view) => {
                self.entries.insert(view.name.clone(), entry(Relation::View(view.clone())));
            }
            Bound::Insert(view) => {
                self.inserts.insert(view.query_id.clone(), Arc::new(view.clone()));
            }
            Bound::Type { name, ty } => {
                self.types.insert(name.clone(), ty.clone());
            }
            Bound::Alter { name, columns } => {
                if let Some(entry) = self.entries.get_mut(name)
                    && let Relation::Source(source) = &mut Arc::make_mut(entry).relation
                {
                    source.schema.value.extend(columns.iter().cloned());
                }
            }
            Bound::Drop(drop) => return self.drop(drop),
            Bound::InsertValues(_) | Bound::Pull(_) | Bound::Push(_) | Bound::Nothing(_) | Bound::Other => return,
        }
        self.statements += 1;
    }

    /// Takes something out of the catalog.
    pub fn drop(&mut self, drop: &Drop) {
        match drop.kind {
            DropKind::Stream | DropKind::Table => {
                self.entries.remove(&drop.name);
            }
            DropKind::Type => {
                self.types.remove(&drop.name);
            }
            DropKind::Connector => return,
        }
        self.statements += 1;
    }

    /// Ends a persistent query: an INSERT INTO is gone, a stream or table stays without its query. The query, when
    /// there was one with this id.
    pub fn terminate(&mut self, id: &str) -> Option<View> {
        let view = self.query(id)?.clone();
        if self.inserts.remove(&view.query_id).is_none()
            && let Some(entry) = self.entries.get_mut(&view.name)
        {
            Arc::make_mut(entry).terminated = true;
        }
        self.statements += 1;
        Some(view)
    }

    /// What a DROP takes away, unless something still uses it.
    pub(super) fn check_drop(
        &self,
        kind: DropKind,
        name: &Ident,
        if_exists: bool,
        delete_topic: bool,
    ) -> Result<Bound, Diagnostic> {
        let missing = |what: &str| {
            let message = format!("{what} {} does not exist.", name.name);
            if if_exists {
                return Ok(Bound::Nothing(message));
            }
            let error = Diagnostic::at(name.span, message);
            Err(match nearest(&name.name, self.entries.keys().chain(self.types.keys()).map(String::as_str)) {
                Some(other) => error.hint(format!("did you mean {other}?")),
                None => error,
            })
        };
        let mut drop = Drop { kind, name: name.name.clone(), delete_topic, query_id: None };
        if kind == DropKind::Type {
            return if self.types.contains_key(&name.name) { Ok(Bound::Drop(drop)) } else { missing("Type") };
        }
        let table = kind == DropKind::Table;
        let Some(entry) = self.get(&name.name) else {
            return missing(if table { "Table" } else { "Stream" });
        };
        if entry.is_table() != table {
            let (is, not) = if table { ("stream", "table") } else { ("table", "stream") };
            return Err(Diagnostic::at(
                name.span,
                format!(
                    "Incompatible data source type is {}, but statement was DROP {}",
                    is.to_uppercase(),
                    not.to_uppercase()
                ),
            )
            .hint(format!("use DROP {} {}", is.to_uppercase(), name.name)));
        }
        if delete_topic && entry.relation.is_read_only() {
            return Err(Diagnostic::at(name.span, format!("Cannot delete topic for read-only source: {}", name.name)));
        }
        self.check_unused(&name.name).map_err(|message| Diagnostic::at(name.span, message))?;
        drop.query_id = entry.view().filter(|_| !entry.terminated).map(|v| v.query_id.clone());
        Ok(Bound::Drop(drop))
    }

    fn check_unused(&self, name: &str) -> Result<(), String> {
        let list = |mut names: Vec<&str>| {
            names.sort_unstable();
            names.join(", ")
        };
        let sources: Vec<&str> =
            self.readers(name).filter(|v| !self.inserts.contains_key(&v.query_id)).map(|v| v.name.as_str()).collect();
        if !sources.is_empty() {
            return Err(format!(
                "Cannot drop {name}.\nThe following streams and/or tables read from this source: [{}].\nYou need to drop them before dropping {name}.",
                list(sources)
            ));
        }
        let reads: Vec<&str> = self.readers(name).map(|v| v.query_id.as_str()).collect();
        let writes: Vec<&str> = self.writers(name).map(|v| v.query_id.as_str()).collect();
        if reads.is_empty() && writes.is_empty() {
            return Ok(());
        }
        Err(format!(
            "Cannot drop {name}.\nThe following queries read from this source: [{}].\nThe following queries write into this source: [{}].\nYou need to terminate them before dropping {name}.",
            list(reads),
            list(writes)
        ))
    }
}

/// The streams and tables that a query reads.
fn inputs(view: &View) -> Vec<&str> {
    view.inputs().into_iter().chain(view.lookups()).collect()
}
