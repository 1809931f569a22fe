//! A random script and its records: what a generator makes, a twin evaluates, and a shrinker takes parts from.

use super::expr::{Expr, Type, Value};
use std::fmt::Write as _;

/// Streams and tables, each after those that it reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) relations: Vec<Relation>,
}

/// A stream or table.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    /// In capital letters.
    pub(crate) name: String,
    pub(crate) table: bool,
    /// Keys first.
    pub(crate) columns: Vec<Column>,
    pub(crate) made: Made,
    /// A group whose rows were all taken back may be there or not, as the input was cut: rows with 0 in this column
    /// are not compared, and nothing reads the table.
    pub(crate) empty_groups: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) key: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Made {
    Declared(Topic),
    View(Box<View>),
}

#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) partitions: Vec<Vec<Record>>,
    /// ROWTIME is this column.
    pub(crate) timestamp: Option<usize>,
}

/// A record: the line that `weir replay --records` reads, and what ksqlDB takes it for.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) line: String,
    pub(crate) meaning: Meaning,
}

#[derive(Clone, Debug)]
pub(crate) enum Meaning {
    /// It does not fit its declaration.
    Rejected,
    /// Key columns, value columns (`None`: a tombstone), ROWTIME.
    Row(Vec<Value>, Option<Vec<Value>>, i64),
}

/// CREATE … AS SELECT.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) from: String,
    pub(crate) pair: Option<Pair>,
    pub(crate) joins: Vec<Join>,
    pub(crate) filter: Option<Expr>,
    pub(crate) partition_by: Option<Expr>,
    pub(crate) group: Option<Group>,
    /// In the order of the view's columns.
    pub(crate) items: Vec<Expr>,
}

/// A second stream or table that the first is joined with: both sides' columns are in scope, the left ones first.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) right: String,
    pub(crate) outer: Outer,
    /// The columns that are equal, by their places, and their names.
    pub(crate) on: [(usize, String); 2],
    /// Columns of each side.
    pub(crate) widths: [usize; 2],
    pub(crate) how: How,
}

/// The sides whose rows stay when they find nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outer {
    Neither,
    Left,
    Right,
    Both,
}

/// What meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    /// Streams: how far the right row's time may lie before the left one's and after it, and GRACE PERIOD; in ms.
    Within { before: i64, after: i64, grace: Option<i64> },
    /// Tables: rows of one primary key.
    Primary,
    /// Tables: a left column is the right one's primary key.
    Foreign,
}

impl Outer {
    /// Rows of the left (0) or right (1) side stay.
    pub(crate) fn keeps(self, side: usize) -> bool {
        matches!((self, side), (Outer::Both, _) | (Outer::Left, 0) | (Outer::Right, 1))
    }
}

/// A table looked up, whose value columns come into scope behind those that are there.
#[derive(Clone, Debug)]
pub(crate) struct Join {
    pub(crate) inner: bool,
    pub(crate) table: String,
    pub(crate) alias: &'static str,
    /// The column in scope that equals the table's key.
    pub(crate) left: Expr,
    /// The name of that key.
    pub(crate) key: String,
    /// How many columns come into scope.
    pub(crate) width: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) by: Vec<Expr>,
    pub(crate) window: Option<Window>,
    pub(crate) calls: Vec<Call>,
    pub(crate) having: Option<Expr>,
}

/// An aggregate; no argument: COUNT(*).
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) arg: Option<Expr>,
    pub(crate) ty: Type,
}

/// Milliseconds all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) kind: WindowKind,
    pub(crate) grace: Option<i64>,
    pub(crate) retention: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum WindowKind {
    Tumbling(i64),
    /// Size and advance.
    Hopping(i64, i64),
    /// The gap.
    Session(i64),
}

impl Window {
    pub(crate) fn length(&self) -> i64 {
        match self.kind {
            WindowKind::Tumbling(size) | WindowKind::Hopping(size, _) | WindowKind::Session(size) => size,
        }
    }

    /// ksqlDB's default: a window takes records until a day after its start.
    pub(crate) fn grace(&self) -> i64 {
        self.grace.unwrap_or((86_400_000 - self.length()).max(0))
    }

    pub(crate) fn retention(&self) -> i64 {
        self.retention.unwrap_or(self.length() + self.grace())
    }

    fn sql(&self) -> String {
        let mut text = match self.kind {
            WindowKind::Tumbling(size) => format!("TUMBLING (SIZE {size} MILLISECONDS"),
            WindowKind::Hopping(size, advance) => {
                format!("HOPPING (SIZE {size} MILLISECONDS, ADVANCE BY {advance} MILLISECONDS")
            }
            WindowKind::Session(gap) => format!("SESSION ({gap} MILLISECONDS"),
        };
        if let Some(retention) = self.retention {
            let _ = write!(text, ", RETENTION {retention} MILLISECONDS");
        }
        if let Some(grace) = self.grace {
            let _ = write!(text, ", GRACE PERIOD {grace} MILLISECONDS");
        }
        text + ")"
    }
}

impl Relation {
    pub(crate) fn view(&self) -> Option<&View> {
        match &self.made {
            Made::View(view) => Some(view),
            Made::Declared(_) => None,
        }
    }

    pub(crate) fn keys(&self) -> usize {
        self.columns.iter().filter(|c| c.key).count()
    }

    /// Its statement.
    pub(crate) fn sql(&self) -> String {
        let kind = if self.table { "TABLE" } else { "STREAM" };
        match &self.made {
            Made::Declared(topic) => {
                let key = if self.table { " PRIMARY KEY" } else { " KEY" };
                let column = |c: &Column| format!("{} {}{}", c.name, c.ty.sql(), if c.key { key } else { "" });
                let columns: Vec<String> = self.columns.iter().map(column).collect();
                let time = topic.timestamp.map(|c| format!(", timestamp = '{}'", self.columns[c].name));
                let (columns, time) = (columns.join(", "), time.unwrap_or_default());
                let with = format!("kafka_topic = '{}', format = 'json'{time}", topic.name);
                format!("CREATE {kind} {} ({columns}) WITH ({with});\n", self.name)
            }
            Made::View(view) => {
                let (name, query) = (&self.name, view.sql(&self.columns));
                format!("CREATE {kind} {name} WITH (format = 'json') AS\n    {query};\n")
            }
        }
    }
}

impl View {
    /// The streams and tables that it reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &String> {
        let pair = self.pair.iter().map(|p| &p.right);
        std::iter::once(&self.from).chain(pair).chain(self.joins.iter().map(|j| &j.table))
    }

    fn sql(&self, columns: &[Column]) -> String {
        let items: Vec<String> = self.items.iter().zip(columns).map(|(e, c)| format!("{e} AS {}", c.name)).collect();
        let mut text = format!("SELECT {}\n    FROM {}", items.join(", "), self.from);
        if self.pair.is_some() || !self.joins.is_empty() {
            text.push_str(" S");
        }
        if let Some(Pair { right, outer, on: [(_, left_key), (_, right_key)], how, .. }) = &self.pair {
            let kind = match outer {
                Outer::Neither => "INNER",
                Outer::Left => "LEFT",
                Outer::Right => "RIGHT",
                Outer::Both => "FULL OUTER",
            };
            let _ = write!(text, "\n    {kind} JOIN {right} R");
            if let How::Within { before, after, grace } = how {
                let _ = write!(text, " WITHIN ({before} MILLISECONDS, {after} MILLISECONDS)");
                if let Some(grace) = grace {
                    let _ = write!(text, " GRACE PERIOD {grace} MILLISECONDS");
                }
            }
            let _ = write!(text, " ON {left_key} = {right_key}");
        }
        for join in &self.joins {
            let kind = if join.inner { "INNER" } else { "LEFT" };
            let Join { table, alias, left, key, .. } = join;
            let _ = write!(text, "\n    {kind} JOIN {table} {alias} ON {left} = {alias}.{key}");
        }
        if let Some(window) = self.group.as_ref().and_then(|g| g.window) {
            let _ = write!(text, "\n    WINDOW {}", window.sql());
        }
        if let Some(filter) = &self.filter {
            let _ = write!(text, "\n    WHERE {filter}");
        }
        if let Some(group) = &self.group {
            let by: Vec<String> = group.by.iter().map(ToString::to_string).collect();
            let _ = write!(text, "\n    GROUP BY {}", by.join(", "));
        }
        if let Some(by) = &self.partition_by {
            let _ = write!(text, "\n    PARTITION BY {by}");
        }
        if let Some(having) = self.group.as_ref().and_then(|g| g.having.as_ref()) {
            let _ = write!(text, "\n    HAVING {having}");
        }
        text
    }
}

impl Script {
    /// All statements.
    pub(crate) fn sql(&self) -> String {
        self.relations.iter().map(Relation::sql).collect()
    }

    /// The topics of the declared streams and tables.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.relations.iter().filter_map(|r| if let Made::Declared(topic) = &r.made { Some(topic) } else { None })
    }

    /// Takes away what no view needs for the ones that `wanted` says.
    pub(crate) fn keep(&mut self, wanted: impl Fn(&Relation) -> bool) {
        let mut needed: Vec<String> = Vec::new();
        for relation in self.relations.iter().rev() {
            if wanted(relation) || needed.contains(&relation.name) {
                needed.push(relation.name.clone());
                needed.extend(relation.view().into_iter().flat_map(View::reads).cloned());
            }
        }
        self.relations.retain(|r| needed.contains(&r.name));
    }
}
