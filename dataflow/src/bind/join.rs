//! Joins: what may be joined with what, the condition, and the key of what comes out.
//!
//! A stream-table join is a step of the pipeline. Any other join becomes a node of its own: the pipeline so far is its left
//! side, the right relation its right side, and a new pipeline reads its rows. Such a row is the join's key, then the left
//! row, then the right one, each with its ROWTIME and the like, since they are no more the row's.

use super::Catalog;
use super::catalog::{Entry, Relation as Kept};
use super::expr::{Binder, Typed, visit};
use super::from::{From, Key, named, single};
use super::operators::type_text;
use super::prune;
use super::scope::{BOUNDS, Clause, Named, PSEUDO, Scope};
use super::show::show;
use super::types;
use crate::plan::expr::Expr;
use crate::plan::functions::wider;
use crate::plan::join::{Join, Matching, Side};
use crate::plan::{Format, KeyWindow, Lookup, NamedExpr, Pipeline, Step, ViewKind};
use crate::row::{Column, SqlType};
use crate::sql::ast::{self, BinaryOp, ExprKind, JoinKind, Relation};
use crate::sql::error::Diagnostic;
use crate::time::WindowSpec;

/// Binds a join and what is on its left.
pub(super) fn joined(catalog: &Catalog, join: &ast::Join) -> Result<From, Diagnostic> {
    let mut left = super::from::bind(catalog, &join.left)?;
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
    let right = named(entry, name, alias.as_ref(), left.scope.row.len());
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
    scope.row.extend(right.row());
    scope.relations.push(right.clone());
    let on = condition(catalog, scope, &right, &join.on)?;
    check_formats(catalog, &on.scope, join)?;
    let windows = windows(catalog, &left, entry, &right, &on, join)?;
    on.check_key(join)?;
    match (left.table, entry.is_table()) {
        (false, true) => {
            look_up(&mut left, entry, &right, on, join)?;
        }
        (_, false) => {
            let Some(within) = &join.within else {
                return Err(Diagnostic::at(
                    join.span,
                    format!(
                        "{left_name} {} {} must specify a WITHIN clause. Stream-stream joins require one.",
                        kind_text(join.kind),
                        name.name
                    ),
                )
                .hint("add WITHIN 1 HOUR before ON"));
            };
            on.check_types(join)?;
            let matching = Matching::Within {
                before_ms: within.before.millis(),
                after_ms: within.after.millis(),
                grace_ms: within.grace.as_ref().map(ast::Duration::millis),
            };
            let source = single(entry, name, alias.as_ref());
            meet(&mut left, source, &right, on, join, matching, windows);
        }
        (true, true) => {
            no_within(join)?;
            let matching = tables(&left, entry, &right, &on, join)?;
            on.check_types(join)?;
            let source = single(entry, name, alias.as_ref());
            meet(&mut left, source, &right, on, join, matching, &[]);
        }
    }
    if left.topic.key_format == Format::None {
        left.topic.key_format = entry.topic().key_format;
    }
    left.is_view = false;
    left.span = join.span;
    Ok(left)
}

fn no_within(join: &ast::Join) -> Result<(), Diagnostic> {
    match &join.within {
        None => Ok(()),
        Some(within) => Err(Diagnostic::at(
            within.before.span,
            "Invalid join condition: WITHIN clause is only supported in stream-stream joins.",
        )),
    }
}

/// Values in Kafka's own formats cannot carry what a join makes of them.
fn check_formats(catalog: &Catalog, scope: &Scope, join: &ast::Join) -> Result<(), Diagnostic> {
    let kafka = |r: &&Named| catalog.get(&r.name).is_some_and(|e| e.topic().value_format == Format::Kafka);
    let names: Vec<&str> = scope.relations.iter().filter(kafka).map(|r| r.name.as_str()).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Diagnostic::at(
        join.span,
        format!(
            "Source(s) {} are using the 'KAFKA' value format. This format does not yet support JOIN.",
            names.join(", ")
        ),
    ))
}

/// The bounds of windows that must be equal on both sides: those of windowed sources.
fn windows(
    catalog: &Catalog,
    left: &From,
    entry: &Entry,
    right: &Named,
    on: &Condition,
    join: &ast::Join,
) -> Result<&'static [&'static str], Diagnostic> {
    let (a, b) = (left.window, if right.windowed { entry.topic().window } else { None });
    let first = left.scope.relations.first();
    let name = |window: Option<KeyWindow>, entry: Option<&Entry>| match (window, entry) {
        (None, _) => None,
        (Some(KeyWindow::Session), _) => Some("SESSION"),
        (Some(KeyWindow::Time(_)), Some(entry)) => Some(time_window_name(entry)),
        (Some(KeyWindow::Time(_)), None) => Some("TUMBLING"),
    };
    let names = [name(a, first.and_then(|r| catalog.get(&r.name))), name(b, Some(entry))];
    match (a, b) {
        (None, None) => Ok(&[]),
        (Some(_), None) | (None, Some(_)) => {
            let line = |name: &str, window: Option<&str>| {
                let what = window.map_or("not windowed".into(), |w| format!("{w} windowed"));
                format!("`{name}` is {what}")
            };
            let left_name = first.map_or("", |r| r.name.as_str());
            Err(Diagnostic::at(
                join.span,
                format!(
                    "Can not join windowed source to non-windowed source.\n{}\n{}",
                    line(left_name, names[0]),
                    line(&right.name, names[1])
                ),
            ))
        }
        (Some(KeyWindow::Session), Some(KeyWindow::Time(_))) | (Some(KeyWindow::Time(_)), Some(KeyWindow::Session)) => {
            Err(Diagnostic::at(
                join.span,
                format!(
                    "Incompatible windowed sources.\nLeft source: {}\nRight source: {}\nSession windowed sources can only be joined to other session windowed sources, and may still not result in expected behaviour as session bounds must be an exact match for the join to work\nHopping and tumbling windowed sources can only be joined to other hopping and tumbling windowed sources",
                    names[0].unwrap_or_default(),
                    names[1].unwrap_or_default()
                ),
            ))
        }
        (Some(a), Some(b)) => {
            if a != b || !on.left_is_key(left) || on.primary_key(right).is_none() || entry.is_table() {
                return Err(Diagnostic::at(
                    join.span,
                    "Implicit repartitioning of windowed sources is not supported. See https://github.com/confluentinc/ksql/issues/4385.",
                ));
            }
            Ok(&BOUNDS)
        }
    }
}

/// What ksqlDB calls the time windows of a source's keys.
fn time_window_name(entry: &Entry) -> &'static str {
    let hopping = match &entry.relation {
        Kept::View(view) => match &view.kind {
            ViewKind::Aggregate(a) => a.window.is_some_and(|w| matches!(w.spec, WindowSpec::Hopping { .. })),
            ViewKind::Stream(_) | ViewKind::Table(_) => false,
        },
        // A declared source keeps the size of its windows only: which they are stands in its statement.
        Kept::Source(_) => entry.text.to_ascii_uppercase().contains("'HOPPING'"),
    };
    if hopping { "HOPPING" } else { "TUMBLING" }
}

/// A stream-table join: one more step.
fn look_up(left: &mut From, entry: &Entry, right: &Named, on: Condition, join: &ast::Join) -> Result<(), Diagnostic> {
    no_within(join)?;
    let left_name = left.scope.relations.first().map_or("", |r| r.name.as_str());
    if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
        let kind = if join.kind == JoinKind::Right { "right" } else { "full outer" };
        return Err(Diagnostic::at(
            join.span,
            format!("Join between {left_name} (STREAM) and {} (TABLE): invalid join type: {kind} join is not supported for stream-table joins", right.name),
        )
        .hint("use LEFT JOIN or JOIN"));
    }
    let Some(key_type) = on.primary_key(right) else {
        let message = "stream-table joins require to join on the table's primary key";
        return Err(on.refused(message, join).hint(format!(
            "the primary key of {} is {}",
            right.name,
            entry.schema().key.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
        )));
    };
    let outer_type = on.left.typed.ty();
    if outer_type.is_none_or(|t| *t != key_type && wider(t, &key_type).as_ref() != Some(&key_type)) {
        return Err(on.types_differ(join).hint(format!("CAST one side to {key_type}")));
    }
    // Topics that are joined as they are have the same keys in the same partitions.
    if on.left_is_key(left)
        && let (Some(a), Some(b)) = (left.topic.partitions, entry.topic().partitions)
        && a != b
    {
        return Err(partitions_differ(left_name, a, &right.name, b, join));
    }
    let value = match on.same_key(left) {
        Some(value) => value,
        None => on.left.typed.clone().cast(&key_type),
    };
    let rowtime = right.columns.len();
    left.pipeline.steps.push(Step::Lookup(Lookup {
        table: right.name.clone(),
        schema: entry.schema().clone(),
        columns: (0..=rowtime).collect(),
        key: value.clone(),
        kind: join.kind,
    }));
    let mut scope = on.scope.clone();
    scope.synthetic = None;
    scope.row.push(Column { name: format!("{}_ROWTIME", right.alias), ty: SqlType::Bigint });
    if let Some(last) = scope.relations.last_mut() {
        last.pseudo = [Some(Expr::Column(right.offset + rowtime, SqlType::Bigint)), None, None];
    }
    let (columns, equal) = on.key_columns(left);
    left.key = Key::Join { value, columns, equal };
    left.scope = scope;
    Ok(())
}

fn partitions_differ(left: &str, a: u32, right: &str, b: u32, join: &ast::Join) -> Diagnostic {
    Diagnostic::at(
        join.span,
        format!(
            "Can't join `{left}` with `{right}` since the number of partitions don't match. `{left}` partitions = {a}; `{right}` partitions = {b}. Please repartition either one so that the number of partitions match."
        ),
    )
}

/// How two tables meet.
fn tables(left: &From, entry: &Entry, right: &Named, on: &Condition, join: &ast::Join) -> Result<Matching, Diagnostic> {
    if on.primary_key(right).is_none() {
        let message = "table-table joins require to join on the primary key of the right input table";
        return Err(on.refused(message, join).hint(format!(
            "the primary key of {} is {}",
            right.name,
            entry.schema().key.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ")
        )));
    }
    if on.left_is_key(left) {
        if let (Some(a), Some(b)) = (left.topic.partitions, entry.topic().partitions)
            && a != b
        {
            let left_name = left.scope.relations.first().map_or("", |r| r.name.as_str());
            return Err(partitions_differ(left_name, a, &right.name, b, join));
        }
        return Ok(Matching::Primary);
    }
    if !left.joins.is_empty() {
        return Err(on.refused("foreign-key table-table joins are not supported as part of n-way joins", join));
    }
    if matches!(join.kind, JoinKind::Right | JoinKind::Full) {
        let kind = if join.kind == JoinKind::Right { "RIGHT OUTER" } else { "FULL OUTER" };
        let text = |e: &ast::Expr| show(e, &|q, n| on.scope.qualified(q, n));
        return Err(Diagnostic::at(
            join.span,
            format!(
                "Invalid join type: {} join not supported for foreign-key table-table join. Got {} {} {} ON {}.",
                kind,
                left.scope.relations.first().map_or("", |r| r.name.as_str()),
                kind_text(join.kind),
                right.name,
                text(&join.on)
            ),
        )
        .hint("use LEFT JOIN or JOIN"));
    }
    Ok(Matching::Foreign)
}

/// A join that keeps state: what was read so far becomes its left side, and its rows are read from here on.
fn meet(
    left: &mut From,
    source: From,
    right: &Named,
    on: Condition,
    join: &ast::Join,
    matching: Matching,
    bounds: &[&str],
) {
    let foreign = matching == Matching::Foreign;
    let bounds_of = |scope: &Scope| -> Vec<Expr> {
        bounds.iter().filter_map(|b| scope.relations.first().and_then(|r| r.column(b))).collect()
    };
    // The left row, then the ROWTIME and the like of those whose they were; the right row, the same.
    let (mut scope, columns) = carried(left.scope.clone());
    let key = on.same_key(left).unwrap_or_else(|| on.left.typed.expr.clone());
    let key_type = key.ty().clone();
    let key = std::iter::once(key).chain(bounds_of(&left.scope)).collect();
    let left_side = Side { input: left.pipeline.clone(), key, columns };
    let (right_scope, columns) = carried(source.scope.clone());
    let mut key = on.right.typed.expr.clone();
    prune::relocate(&mut key, &|i| i - right.offset);
    let key = std::iter::once(key).chain(bounds_of(&source.scope)).collect();
    let right_side = Side { input: source.pipeline, key, columns };
    let width = scope.row.len();
    for mut relation in right_scope.relations {
        relation.relocate(width);
        scope.relations.push(relation);
    }
    // The key goes before all of them.
    let key: Vec<Column> = match (&left.key, foreign) {
        (Key::Columns(positions) | Key::Left(positions), true) => {
            positions.iter().filter_map(|i| left.scope.row.get(*i).cloned()).collect()
        }
        (Key::Join { value, .. }, true) => vec![Column { name: scope.synthetic_name(), ty: value.ty().clone() }],
        (_, false) => {
            let bounds = bounds.iter().map(|b| Column { name: (*b).into(), ty: SqlType::Bigint });
            std::iter::once(Column { name: scope.synthetic_name(), ty: key_type.clone() }).chain(bounds).collect()
        }
    };
    let by = key.len();
    scope.relations.iter_mut().for_each(|r| r.relocate(by));
    let place = |i: usize| by + if i < right.offset { i } else { i - right.offset + width };
    left.key = match (&left.key, foreign) {
        (Key::Columns(positions) | Key::Left(positions), true) => {
            scope.synthetic = None;
            Key::Left(positions.iter().map(|i| place(*i)).collect())
        }
        (left_key, _) => {
            let (columns, equal) = match left_key {
                Key::Join { columns, equal, .. } if foreign => (columns.clone(), equal.clone()),
                _ => on.key_columns(left),
            };
            let value = Expr::Column(0, key[0].ty.clone());
            let mut columns: Vec<usize> = columns.into_iter().map(place).collect();
            let mut equal = equal;
            equal.iter_mut().for_each(|e| prune::relocate(e, &place));
            scope.synthetic = None;
            // Without a column that has the key's value in every row, the key is a column of its own.
            if columns.is_empty() || join.kind == JoinKind::Full {
                scope.synthetic = key.first().cloned();
                columns = vec![0];
                equal = vec![value.clone()];
            }
            Key::Join { value, columns, equal }
        }
    };
    let name = format!("join {}", left.joins.len() + 1);
    let join = Join { name: name.clone(), kind: join.kind, on: matching, left: left_side, right: right_side, key };
    scope.row = join.schema().columns().cloned().collect();
    left.pipeline = Pipeline {
        input: name,
        names: scope.row.iter().map(|c| c.name.clone()).collect(),
        columns: (0..scope.row.len()).collect(),
        keep_tombstones: None,
        steps: Vec::new(),
    };
    left.joins.push(join);
    left.scope = scope;
}

/// What a side gives to a joined row: all columns of its row, then the ROWTIME and the like of those relations whose they
/// are; and the scope afterwards, in which these are columns.
fn carried(mut scope: Scope) -> (Scope, Vec<NamedExpr>) {
    let prefix = match scope.relations.as_slice() {
        [one] => format!("{}_", one.alias),
        _ => String::new(),
    };
    let column = |(i, c): (usize, &Column)| NamedExpr {
        name: format!("{prefix}{}", c.name),
        expr: Expr::Column(i, c.ty.clone()),
    };
    let mut columns: Vec<NamedExpr> = scope.row.iter().enumerate().map(column).collect();
    for relation in &mut scope.relations {
        for (what, pseudo) in PSEUDO.iter().zip(&mut relation.pseudo) {
            let Some(expr) = pseudo.as_mut().filter(|e| !matches!(e, Expr::Column(..))) else { continue };
            let own = std::mem::replace(expr, Expr::Column(columns.len(), expr.ty().clone()));
            let name = format!("{}_{what}", relation.alias);
            scope.row.push(Column { name: name.clone(), ty: own.ty().clone() });
            columns.push(NamedExpr { name, expr: own });
        }
    }
    (scope, columns)
}

/// One side of a join's condition.
struct Half {
    source: ast::Expr,
    typed: Typed,
}

/// `ON a = b`, over the row of what is on the left of the join and then its right.
struct Condition {
    scope: Scope,
    left: Half,
    right: Half,
    /// The right side is written first.
    flipped: bool,
}

impl Condition {
    /// The sides as they are written.
    fn written(&self) -> (&Half, &Half) {
        if self.flipped { (&self.right, &self.left) } else { (&self.left, &self.right) }
    }

    fn text(&self, half: &Half) -> String {
        show(&half.source, &|q, n| self.scope.qualified(q, n))
    }

    fn refused(&self, message: &str, join: &ast::Join) -> Diagnostic {
        let (a, b) = self.written();
        let got = format!("{} = {}", self.text(a), self.text(b));
        Diagnostic::at(join.on.span, format!("Invalid join condition: {message}. Got {got}."))
    }

    fn types_differ(&self, join: &ast::Join) -> Diagnostic {
        let (a, b) = self.written();
        let one = |half: &Half| format!("{}{{{}}}", self.text(half), type_text(half.typed.ty()));
        let got = format!("{} = {}", one(a), one(b));
        Diagnostic::at(join.on.span, format!("Invalid join condition: types don't match. Got {got}."))
    }

    fn check_types(&self, join: &ast::Join) -> Result<(), Diagnostic> {
        if self.left.typed.ty().is_some() && self.left.typed.ty() == self.right.typed.ty() {
            return Ok(());
        }
        Err(self.types_differ(join).hint("CAST one side to the other's type"))
    }

    /// The key can be one: it has no map in it. It is called as the left side's column is in the join.
    fn check_key(&self, join: &ast::Join) -> Result<(), Diagnostic> {
        let Some(ty) = self.left.typed.ty().cloned() else { return Ok(()) };
        let name = match &self.left.typed.expr {
            Expr::Column(i, _) => self.scope.at(*i).map(|(r, column)| format!("{}_{}", r.alias, column.name)),
            _ => None,
        };
        let name = name.unwrap_or_else(|| self.scope.synthetic_name());
        types::check_key(&[Column { name, ty }]).map_err(|message| Diagnostic::at(join.on.span, message))
    }

    /// The left side of the condition is the key of what is on the left of the join.
    fn left_is_key(&self, left: &From) -> bool {
        match &left.key {
            Key::Columns(positions) | Key::Left(positions) => {
                matches!((positions.as_slice(), &self.left.typed.expr), ([key], Expr::Column(i, _)) if i == key)
            }
            Key::Join { equal, .. } => equal.contains(&self.left.typed.expr),
        }
    }

    /// The type of the right relation's key, when the condition's right side is that.
    fn primary_key(&self, right: &Named) -> Option<SqlType> {
        match &self.right.typed.expr {
            Expr::Column(i, ty) if right.keys == 1 && *i == right.offset => Some(ty.clone()),
            _ => None,
        }
    }

    /// The key of the left rows, when they have been joined on the same value before.
    fn same_key(&self, left: &From) -> Option<Expr> {
        match &left.key {
            Key::Join { value, equal, .. } if equal.contains(&self.left.typed.expr) => Some(value.clone()),
            _ => None,
        }
    }

    /// The columns that can stand for the join's key, and all expressions that are equal to it.
    fn key_columns(&self, left: &From) -> (Vec<usize>, Vec<Expr>) {
        let (mut columns, mut equal) = match &left.key {
            // Joins on one and the same value have one key, whichever of its columns is chosen.
            Key::Join { columns, equal, .. } if equal.contains(&self.left.typed.expr) => {
                (columns.clone(), equal.clone())
            }
            _ => (Vec::new(), Vec::new()),
        };
        for half in [&self.left, &self.right] {
            // AS_VALUE(…) is never a key.
            if let (Expr::Column(i, _), ExprKind::Column { .. }) = (&half.typed.expr, &half.source.kind)
                && !columns.contains(i)
                && !equal.contains(&half.typed.expr)
            {
                columns.push(*i);
            }
            if !equal.contains(&half.typed.expr) {
                equal.push(half.typed.expr.clone());
            }
        }
        (columns, equal)
    }
}

/// Binds a join's condition.
fn condition(catalog: &Catalog, scope: Scope, right: &Named, on: &ast::Expr) -> Result<Condition, Diagnostic> {
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
    let mut binder = Binder::new(catalog, &scope, Clause::JoinOn);
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
    let half = |source: &ast::Expr, typed: Typed| Half { source: source.clone(), typed };
    match sides {
        (false, true) => {
            let (left, right) = (half(a, first), half(b, second));
            Ok(Condition { scope, left, right, flipped: false })
        }
        (true, false) => {
            let (left, right) = (half(b, second), half(a, first));
            Ok(Condition { scope, left, right, flipped: true })
        }
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
