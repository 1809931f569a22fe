//! FROM: what is read, and the tables that are looked up for each of its rows.

use super::Catalog;
use super::catalog::Entry;
use super::expr::{Binder, Typed, visit};
use super::scope::{Clause, Named, Scope};
use super::show::show;
use crate::plan::expr::Expr;
use crate::plan::functions::wider;
use crate::plan::{KeyWindow, Lookup, Pipeline, Step, TopicSpec};
use crate::sql::ast::{self, BinaryOp, ExprKind, Ident, Join, JoinKind, Relation};
use crate::sql::error::{Diagnostic, Span};

/// A bound FROM clause.
#[derive(Debug)]
pub(super) struct From {
    /// Reads the leftmost relation; one step a join. All columns, before pruning.
    pub(super) pipeline: Pipeline,
    /// The names in it.
    pub(super) scope: Scope,
    /// It is a table.
    pub(super) table: bool,
    /// The keys of the rows have windows.
    pub(super) window: Option<KeyWindow>,
    /// The topic of the leftmost relation: formats and partitions of what is made of it.
    pub(super) topic: TopicSpec,
    /// The key of the rows.
    pub(super) key: Key,
    /// It is a view that is kept by a query (not a declared source).
    pub(super) is_view: bool,
    /// Where it stands.
    pub(super) span: Span,
}

/// The key of a FROM clause's rows.
#[derive(Clone, Debug)]
pub(super) enum Key {
    /// The key columns of the only relation, by their positions in the row.
    Columns(Vec<usize>),
    /// The value on which the last join was made, and the columns that can stand for it in the projection.
    Join {
        /// The value.
        value: Expr,
        /// Positions in the row, left side first.
        columns: Vec<usize>,
    },
}

/// Binds a FROM clause.
pub(super) fn bind(catalog: &Catalog, relation: &Relation) -> Result<From, Diagnostic> {
    match relation {
        Relation::Named { name, alias } => {
            let entry = catalog.find(name)?;
            Ok(single(entry, name, alias.as_ref()))
        }
        Relation::Join(join) => joined(catalog, join),
    }
}

fn named(entry: &Entry, name: &Ident, alias: Option<&Ident>, offset: usize) -> Named {
    Named {
        alias: alias.unwrap_or(name).name.clone(),
        name: name.name.clone(),
        columns: entry.schema().columns().cloned().collect(),
        keys: entry.schema().key.len(),
        offset,
        windowed: entry.is_windowed(),
        leads: offset == 0,
    }
}

fn single(entry: &Entry, name: &Ident, alias: Option<&Ident>) -> From {
    let relation = named(entry, name, alias, 0);
    let pipeline = Pipeline {
        input: name.name.clone(),
        names: relation.names(),
        columns: (0..relation.width()).collect(),
        keep_tombstones: false,
        steps: Vec::new(),
    };
    From {
        pipeline,
        key: Key::Columns(relation.key_positions()),
        scope: Scope { relations: vec![relation] },
        table: entry.is_table(),
        window: entry.topic().window,
        topic: entry.topic().clone(),
        is_view: entry.view().is_some(),
        span: alias.map_or(name.span, |a| name.span.to(a.span)),
    }
}

fn joined(catalog: &Catalog, join: &Join) -> Result<From, Diagnostic> {
    let mut left = bind(catalog, &join.left)?;
    let Relation::Named { name, alias } = &join.right else {
        return Err(Diagnostic::at(join.span, "weir does not support a join in brackets"));
    };
    let entry = catalog.find(name)?;
    if let Some(same) = left.scope.relations.iter().find(|r| r.name == name.name) {
        return Err(Diagnostic::at(
            name.span,
            format!("Can not join '{}' to '{}': self joins are not yet supported.", same.name, name.name),
        ));
    }
    let right = named(entry, name, alias.as_ref(), left.scope.width());
    if let Some(same) = left.scope.relations.iter().find(|r| r.alias == right.alias) {
        return Err(Diagnostic::at(name.span, format!("Each side of a join needs its own alias: {}", same.alias)));
    }
    let left_name = left.scope.relations.first().map_or(String::new(), |r| r.name.clone());
    if left.table && !entry.is_table() {
        return Err(Diagnostic::at(
            join.span,
            format!(
                "Invalid join order: table-stream joins are not supported; only stream-table joins. Got {left_name} {} {}.",
                kind_text(join.kind),
                name.name
            ),
        )
        .hint("put the stream on the left"));
    }
    let mut scope = left.scope.clone();
    scope.relations.push(right.clone());
    // The condition is judged before what weir does not do, for its mistakes are ksqlDB's too.
    let (outer, inner) = sides(catalog, &scope, &right, &join.on)?;
    if !left.table && !entry.is_table() {
        if join.within.is_none() {
            return Err(Diagnostic::at(
                join.span,
                format!(
                    "{left_name} {} {} must specify a WITHIN clause. Stream-stream joins require one.",
                    kind_text(join.kind),
                    name.name
                ),
            )
            .hint("add WITHIN 1 HOUR before ON; but weir does not support stream-stream joins yet"));
        }
        return Err(Diagnostic::at(join.span, "weir does not support stream-stream joins")
            .hint("a stream can be joined to a table"));
    }
    if left.table {
        return Err(Diagnostic::at(join.span, "weir does not support table-table joins")
            .hint("a stream can be joined to a table"));
    }
    if let Some(within) = &join.within {
        return Err(Diagnostic::at(
            within.before.span,
            "Invalid join condition: WITHIN clause is only supported in stream-stream joins.",
        ));
    }
    if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
        let kind = if join.kind == JoinKind::Right { "right" } else { "full outer" };
        return Err(Diagnostic::at(
            join.span,
            format!("Join between {left_name} (STREAM) and {} (TABLE): invalid join type: {kind} join is not supported for stream-table joins", name.name),
        )
        .hint("use LEFT JOIN or JOIN"));
    }
    let invalid_key = || {
        let text = |e: &ast::Expr| show(e, &|q, n| scope.qualified(q, n));
        let (l, r) = (text(&outer.source), text(&inner.source));
        Diagnostic::at(
            join.on.span,
            format!(
                "Invalid join condition: stream-table joins require to join on the table's primary key. Got {l} = {r}."
            ),
        )
        .hint(format!(
            "the primary key of {} is {}",
            name.name,
            entry.schema().key.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
        ))
    };
    let Expr::Column(position, key_type) = &inner.typed.expr else { return Err(invalid_key()) };
    if right.keys != 1 || *position != right.offset {
        return Err(invalid_key());
    }
    if right.windowed {
        return Err(Diagnostic::at(name.span, "Can not join windowed source to non-windowed source.")
            .hint(format!("{} is windowed", name.name)));
    }
    if left.window.is_some() {
        return Err(Diagnostic::at(
            left.span,
            "Implicit repartitioning of windowed sources is not supported. See https://github.com/confluentinc/ksql/issues/4385.",
        ));
    }
    let outer_type = outer.typed.ty().cloned();
    if outer_type.as_ref().is_none_or(|t| t != key_type && wider(t, key_type).as_ref() != Some(key_type)) {
        let text = |e: &ast::Expr| show(e, &|q, n| scope.internal(q, n));
        return Err(Diagnostic::at(
            join.on.span,
            format!(
                "Invalid join condition: types don't match. Got {}{{{}}} = {}{{{key_type}}}.",
                text(&outer.source),
                super::operators::type_text(outer_type.as_ref()),
                text(&inner.source)
            ),
        )
        .hint(format!("CAST one side to {key_type}")));
    }
    // Joins on one and the same value have one key, whichever of its columns is chosen.
    let same = match (&left.key, &outer.typed.expr) {
        (Key::Join { columns, .. }, Expr::Column(i, _)) if columns.contains(i) => Some(columns.clone()),
        _ => None,
    };
    let mut columns = same.clone().unwrap_or_default();
    // AS_VALUE(…) is never a key.
    if let (Expr::Column(i, _), ExprKind::Column { .. }, None) = (&outer.typed.expr, &outer.source.kind, &same) {
        columns.push(*i);
    }
    columns.push(*position);
    let value = outer.typed.cast(key_type);
    left.pipeline.steps.push(Step::Lookup(Lookup {
        table: name.name.clone(),
        schema: entry.schema().clone(),
        columns: (0..right.columns.len()).collect(),
        key: value.clone(),
        kind: join.kind,
    }));
    left.key = Key::Join { value, columns };
    left.scope = scope;
    left.is_view = false;
    left.span = join.span;
    Ok(left)
}

/// One side of a join's condition.
struct Side {
    source: ast::Expr,
    typed: Typed,
}

/// The sides of `ON a = b`: that of what is on the left of the join, then that of its right.
fn sides(catalog: &Catalog, scope: &Scope, right: &Named, on: &ast::Expr) -> Result<(Side, Side), Diagnostic> {
    let text = |e: &ast::Expr| show(e, &|q, n| scope.qualified(q, n));
    let (a, b) = match &on.kind {
        ExprKind::Binary { op: BinaryOp::Equal, left, right } => (left, right),
        ExprKind::Binary { op: BinaryOp::And | BinaryOp::Or, .. } => {
            return Err(Diagnostic::at(
                on.span,
                format!(
                    "Invalid join condition: joins on multiple conditions are not yet supported. Got {}.",
                    text(on)
                ),
            ));
        }
        _ => {
            return Err(Diagnostic::at(
                on.span,
                format!("Invalid join condition: only equality (=) conditions are supported. Got {}.", text(on)),
            ));
        }
    };
    let mut stranger = None;
    visit(on, &mut |e| {
        if let ExprKind::Column { qualifier: Some(q), .. } = &e.kind
            && !scope.relations.iter().any(|r| r.alias == q.name)
            && stranger.is_none()
        {
            stranger = Some(q.clone());
        }
    });
    if let Some(q) = stranger {
        return Err(scope.stranger(&q));
    }
    let mut binder = Binder::new(catalog, scope, Clause::JoinOn);
    let (first, second) = (binder.bind(a)?, binder.bind(b)?);
    let is_right = |expr: &ast::Expr, typed: &Typed| {
        let mut sides: Vec<bool> = typed.expr.columns().iter().map(|&i| i >= right.offset).collect();
        sides.dedup();
        match sides.as_slice() {
            [side] => Ok(*side),
            _ => Err(Diagnostic::at(
                expr.span,
                format!(
                    "Invalid comparison expression '{}' in join '{}'. Each side of the join comparision must contain references from exactly one source.",
                    text(expr),
                    text(on)
                ),
            )),
        }
    };
    let sides = (is_right(a, &first)?, is_right(b, &second)?);
    let side = |source: &ast::Expr, typed: Typed| Side { source: source.clone(), typed };
    match sides {
        (false, true) => Ok((side(a, first), side(b, second))),
        (true, false) => Ok((side(b, second), side(a, first))),
        _ => Err(Diagnostic::at(
            on.span,
            format!("Invalid join condition: each side must name one of the joined sources. Got {}.", text(on)),
        )),
    }
}

fn kind_text(kind: JoinKind) -> &'static str {
    match kind {
        JoinKind::Inner => "[INNER] JOIN",
        JoinKind::Left => "LEFT [OUTER] JOIN",
        JoinKind::Right => "RIGHT [OUTER] JOIN",
        JoinKind::Full => "[FULL] OUTER JOIN",
    }
}
