//! EXPLAIN: a view's plan as text, the innermost step at the end, every choice that was made in its place.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "an operation names the few types and values that it takes; all others are refused or null"
)]

use super::aggregate::{AggregateCall, AggregateFunction};
use super::expr::Expr;
use super::join::{Join, Matching};
use super::{Aggregate, Format, KeyWindow, NamedExpr, Pipeline, Source, Step, TopicSpec, View, ViewKind, Windowing};
use crate::row::{Column, Schema, SqlType, Value, text};
use crate::sql::ast::{BinaryOp, JoinKind};
use crate::time::WindowSpec;
use std::fmt;

/// The names of the current row's columns.
type Names = Vec<String>;

/// The plan, a step a line, in the order in which rows pass them.
impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if matches!(self.kind, ViewKind::Stream(_)) { "stream" } else { "table" };
        writeln!(f, "{} {what} {}", self.query_id, self.name)?;
        writeln!(f, "  schema {}", Columns(&self.schema))?;
        let lines = match &self.kind {
            ViewKind::Stream(p) | ViewKind::Table(p) => pipeline(p).0,
            ViewKind::Aggregate(a) => aggregate(a),
        };
        for line in self.joins.iter().flat_map(join).chain(lines) {
            writeln!(f, "  {line}")?;
        }
        write!(f, "  to {}", self.topic)
    }
}

/// The declaration in one line a part.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.table { "table" } else { "stream" };
        write!(f, "{what} {}\n  schema {}\n  from {}", self.name, Columns(&self.schema), self.topic)
    }
}

/// `topic T, key JSON, value DELIMITED(;)` and what else is set.
impl fmt::Display for TopicSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {}, key {}, value {}", self.topic, self.key_format, self.value_format)?;
        if !self.wrap_single_value && self.value_format == Format::Json {
            f.write_str(" unwrapped")?;
        }
        if let Some(n) = self.partitions {
            write!(f, ", {n} partitions")?;
        }
        match self.window {
            Some(KeyWindow::Time(size)) => write!(f, ", windows of {}", span(size))?,
            Some(KeyWindow::Session) => f.write_str(", sessions")?,
            None => {}
        }
        match &self.timestamp {
            Some(t) => write!(
                f,
                ", timestamp from column {}{}",
                t.column,
                t.format.as_ref().map(|p| format!(" as '{p}'")).unwrap_or_default()
            ),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Format::Json => f.write_str("JSON"),
            Format::Delimited { delimiter: ',' } => f.write_str("DELIMITED"),
            Format::Delimited { delimiter } => write!(f, "DELIMITED({})", delimiter.escape_default()),
            Format::Kafka => f.write_str("KAFKA"),
            Format::None => f.write_str("NONE"),
        }
    }
}

/// `` `K` INTEGER KEY, `V` STRING``, as ksqlDB prints a schema.
struct Columns<'a>(&'a Schema);

impl fmt::Display for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.key.iter().map(|c| (c, " KEY"));
        let all = keys.chain(self.0.value.iter().map(|c| (c, "")));
        for (i, (Column { name, ty }, key)) in all.enumerate() {
            write!(f, "{}`{name}` {ty}{key}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// The lines of a pipeline, and the columns that come out of it.
fn pipeline(p: &Pipeline) -> (Vec<String>, Names) {
    let mut names: Names = p.names.clone();
    let columns: Vec<&str> = p.columns.iter().filter_map(|c| names.get(*c)).map(String::as_str).collect();
    let columns = if columns.is_empty() { "no columns".into() } else { columns.join(", ") };
    let mut lines = vec![format!("read {}: {columns}", p.input)];
    for step in &p.steps {
        match step {
            Step::Filter(f) => lines.push(format!("filter {}", show(&f.condition, &names))),
            Step::Project(exprs) => {
                lines.push(format!("project {}", named(exprs, &names)));
                names = exprs.iter().map(|e| e.name.clone()).collect();
            }
            Step::Explode(calls) => {
                let shown: Vec<String> =
                    calls.iter().map(|c| format!("{}({})", c.function.name(), show(&c.arg, &names))).collect();
                lines.push(format!("explode {}", shown.join(", ")));
                names.extend(shown);
            }
            Step::Lookup(l) => {
                let kind = if l.kind == JoinKind::Left { "left" } else { "inner" };
                let all: Vec<&Column> = l.schema.columns().collect();
                let found: Vec<String> = l
                    .columns
                    .iter()
                    .map(|c| format!("{}.{}", l.table, all.get(*c).map_or("ROWTIME", |c| &c.name)))
                    .collect();
                lines.push(format!("lookup {kind} {} by {} for {}", l.table, show(&l.key, &names), found.join(", ")));
                names.extend(found);
            }
        }
    }
    if p.keep_tombstones.is_some() {
        lines.push("keep tombstones".into());
    }
    (lines, names)
}

/// A join: what of its sides meets, then each side.
fn join(j: &Join) -> Vec<String> {
    let kind = match j.kind {
        JoinKind::Inner => "inner",
        JoinKind::Left => "left",
        JoinKind::Right => "right",
        JoinKind::Full => "full",
    };
    let sides = j.sides().map(|side| {
        let (lines, names) = pipeline(&side.input);
        (lines, list(&side.key, &names), named(&side.columns, &names))
    });
    let [(left, left_key, left_columns), (right, right_key, right_columns)] = sides;
    let on = match &j.on {
        Matching::Within { before_ms, after_ms, grace_ms } => {
            let grace = grace_ms.map(|ms| format!(", grace {}", span(ms))).unwrap_or_default();
            format!(" within {} before and {} after{grace}", span(*before_ms), span(*after_ms))
        }
        Matching::Primary => " of tables by primary key".into(),
        Matching::Foreign => " of tables by foreign key".into(),
    };
    let mut lines = vec![format!("{}: {kind} join{on}", j.name)];
    for (side, steps, key, columns) in
        [("left", left, left_key, left_columns), ("right", right, right_key, right_columns)]
    {
        lines.extend(steps.into_iter().map(|line| format!("  {side}: {line}")));
        let columns = if columns.is_empty() { "nothing".into() } else { columns };
        lines.push(format!("  {side}: by {key} for {columns}"));
    }
    lines
}

fn aggregate(a: &Aggregate) -> Vec<String> {
    let (mut lines, names) = pipeline(&a.input);
    if let Some(w) = &a.window {
        lines.push(window(w));
    }
    let group = if a.group.is_empty() { "all rows".into() } else { format!("by {}", named(&a.group, &names)) };
    lines.push(format!("group {group}{}", if a.retracts { ", rows of a table leave their groups" } else { "" }));
    let calls: Vec<String> = a.calls.iter().map(|c| call(c, &names)).collect();
    lines.push(format!("aggregate {}", calls.join(", ")));
    let mut results: Names = a.group.iter().map(|g| g.name.clone()).chain(calls).collect();
    results.extend(["WINDOWSTART", "WINDOWEND"].map(String::from));
    if let Some(having) = &a.having {
        lines.push(format!("having {}", show(having, &results)));
    }
    lines.push(format!("project {}", named(&a.project, &results)));
    lines
}

fn window(w: &Windowing) -> String {
    let kind = match w.spec {
        WindowSpec::Tumbling { size } => format!("tumbling of {}", span(size)),
        WindowSpec::Hopping { size, advance } => format!("hopping of {} every {}", span(size), span(advance)),
        WindowSpec::Session { gap } => format!("session with a gap of {}", span(gap)),
    };
    let emit = if w.emit_final { ", final results only" } else { "" };
    format!("window {kind}, grace {}, retention {}{emit}", span(w.grace.0), span(w.retention_ms))
}

/// A span in the greatest unit that has no rest.
fn span(ms: i64) -> String {
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")] {
        if ms != 0 && ms % unit == 0 {
            return format!("{} {name}", ms / unit);
        }
    }
    format!("{ms} ms")
}

fn call(c: &AggregateCall, names: &Names) -> String {
    if c.function == AggregateFunction::CountRows {
        return "COUNT(*)".into();
    }
    let name = c.function.name();
    format!("{name}({})", list(&c.args, names))
}

fn named(exprs: &[NamedExpr], names: &Names) -> String {
    let one = |e: &NamedExpr| {
        let value = show(&e.expr, names);
        if value == e.name { value } else { format!("{value} AS {}", e.name) }
    };
    exprs.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn list(exprs: &[Expr], names: &Names) -> String {
    exprs.iter().map(|e| show(e, names)).collect::<Vec<_>>().join(", ")
}

/// An expression as SQL over the names of the row's columns.
fn show(expr: &Expr, names: &Names) -> String {
    let one = |e: &Expr| show(e, names);
    match expr {
        Expr::Column(i, _) => names.get(*i).cloned().unwrap_or_else(|| format!("#{i}")),
        Expr::Rowtime => "ROWTIME".into(),
        Expr::Rowpartition => "ROWPARTITION".into(),
        Expr::Rowoffset => "ROWOFFSET".into(),
        Expr::Literal(value, ty) => literal(value, ty),
        Expr::Binary(op, a, b, _) => format!("({} {} {})", one(a), symbol(*op), one(b)),
        Expr::Negate(e) => format!("-{}", one(e)),
        Expr::Not(e) => match &**e {
            Expr::IsNull(e) => format!("({} IS NOT NULL)", one(e)),
            e => format!("(NOT {})", one(e)),
        },
        Expr::IsNull(e) => format!("({} IS NULL)", one(e)),
        Expr::Like { operand, pattern, escape } => {
            let escape = escape.map(|c| format!(" ESCAPE '{c}'")).unwrap_or_default();
            format!("({} LIKE {}{escape})", one(operand), one(pattern))
        }
        Expr::In(e, items) => format!("({} IN ({}))", one(e), list(items, names)),
        Expr::Case(branches, otherwise, _) => {
            let branches: String = branches.iter().map(|(c, r)| format!(" WHEN {} THEN {}", one(c), one(r))).collect();
            let otherwise = otherwise.as_ref().map(|e| format!(" ELSE {}", one(e))).unwrap_or_default();
            format!("CASE{branches}{otherwise} END")
        }
        Expr::Try(e) => one(e),
        Expr::Cast(e, ty) => format!("CAST({} AS {ty})", one(e)),
        Expr::Call(function, args, _) => format!("{}({})", function.name(), list(args, names)),
        Expr::Subscript(base, index, _) => format!("{}[{}]", one(base), one(index)),
        Expr::Field(base, i, _) => match base.ty() {
            SqlType::Struct(fields) => format!("{}->{}", one(base), fields.get(*i).map_or("?", |(n, _)| n)),
            _ => format!("{}->{i}", one(base)),
        },
        Expr::Construct(parts, SqlType::Array(_)) => format!("ARRAY[{}]", list(parts, names)),
        Expr::Construct(parts, SqlType::Struct(fields)) => {
            let parts: Vec<String> = fields.iter().zip(parts).map(|((n, _), e)| format!("{n} := {}", one(e))).collect();
            format!("STRUCT({})", parts.join(", "))
        }
        Expr::Construct(parts, _) => {
            let pairs: Vec<String> =
                parts.chunks(2).map(|p| p.iter().map(one).collect::<Vec<_>>().join(" := ")).collect();
            format!("MAP({})", pairs.join(", "))
        }
        Expr::Parameter(i, _) => format!("${i}"),
        Expr::Lambda(first, count, body) => {
            let params: Vec<String> = (*first..first + count).map(|i| format!("${i}")).collect();
            format!("({}) => {}", params.join(", "), one(body))
        }
    }
}

fn literal(value: &Value, ty: &SqlType) -> String {
    match value {
        Value::String(s) => format!("'{}'", s.replace('\'', "''")),
        Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => {
            format!("'{}'", text::value_text(value, ty).unwrap_or_default())
        }
        _ => text::value_text(value, ty).unwrap_or_else(|| "NULL".into()),
    }
}

fn symbol(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Modulo => "%",
        BinaryOp::Concat => "||",
        BinaryOp::Equal => "=",
        BinaryOp::NotEqual => "<>",
        BinaryOp::Less => "<",
        BinaryOp::LessOrEqual => "<=",
        BinaryOp::Greater => ">",
        BinaryOp::GreaterOrEqual => ">=",
        BinaryOp::Distinct => "IS DISTINCT FROM",
        BinaryOp::NotDistinct => "IS NOT DISTINCT FROM",
        BinaryOp::And => "AND",
        BinaryOp::Or => "OR",
    }
}
