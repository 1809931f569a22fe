//! Queries that a client asks: pull and push.

use super::call::contains_aggregate;
use super::catalog::Entry;
use super::expr::Binder;
use super::from::{self, From};
use super::items::{self, Item};
use super::query::{self, Purpose};
use super::scan;
use super::scope::Clause;
use super::with::With;
use super::{Bound, Catalog, Relation, Session};
use crate::plan::expr::Expr;
use crate::plan::query::{PullQuery, PushQuery, RowQuery};
use crate::plan::{NamedExpr, View, ViewKind};
use crate::row::{Column, Value};
use crate::sql::ast::{self, BinaryOp, Emit, ExprKind, Query};
use crate::sql::error::{Diagnostic, Span};

/// Binds a SELECT on its own.
pub(super) fn query(catalog: &Catalog, session: &Session, query: &Query) -> Result<Bound, Diagnostic> {
    match query.emit {
        None => pull(catalog, session, query).map(Bound::Pull),
        Some(_) => push(catalog, session, query).map(|p| Bound::Push(Box::new(p))),
    }
}

const EVERYWHERE: (i64, i64) = (i64::MIN, i64::MAX);

fn pull(catalog: &Catalog, session: &Session, query: &Query) -> Result<PullQuery, Diagnostic> {
    refuse_clauses(query)?;
    let mut from = from::bind(catalog, &query.from)?;
    let Some(relation) = from.scope.relations.first_mut() else {
        return Err(Diagnostic::at(query.span, "a query needs a FROM clause"));
    };
    // Tables' rows too have a place as long as it takes to refuse it by its name.
    relation.pseudo = [Some(Expr::Rowtime), Some(Expr::Rowpartition), Some(Expr::Rowoffset)];
    let relation = relation.clone();
    let name = relation.name.clone();
    let Some(entry) = catalog.get(&name) else {
        return Err(Diagnostic::at(query.span, format!("{name} does not exist.")));
    };
    let items = client_items(catalog, &from, query)?;
    if entry.is_table() && !is_queryable(entry) {
        return Err(Diagnostic::at(
            from.span,
            format!("The `{name}` table isn't queryable. To derive a queryable table, you can do 'CREATE TABLE QUERYABLE_{name} AS SELECT * FROM {name}'. See https://cnfl.io/queries for more info."),
        )
        .hint("add EMIT CHANGES to follow its changes"));
    }
    if !entry.is_table() && session.is_true("ksql.query.pull.stream.enabled") == Some(false) {
        return Err(Diagnostic::at(
            query.span,
            "Pull queries on streams are disabled. To create a push query on the stream, add EMIT CHANGES to the end. To enable pull queries on streams, set the ksql.query.pull.stream.enabled config to 'true'.",
        ));
    }
    for item in &items {
        refuse_places(&item.expr, item.span, Clause::Select)?;
    }
    let rows = rows(catalog, &from, query, &items, entry)?;
    if entry.is_table() && session.is_true("ksql.query.pull.table.scan.enabled") == Some(false) {
        scan::check(catalog, &from, query, session.is_true("ksql.query.pull.range.scan.enabled").unwrap_or(true))?;
    }
    let key_count = relation.keys;
    let bounds = relation.columns.len();
    let is_key = |e: &Expr| match e {
        Expr::Column(i, _) => entry.is_table() && (*i < key_count || *i >= bounds),
        _ => false,
    };
    let columns = items
        .iter()
        .map(|i| (Column { name: i.name.clone(), ty: i.expr.ty().clone() }, is_key(&i.expr) && !i.as_value));
    Ok(PullQuery { query: rows, stream: !entry.is_table(), columns: columns.collect() })
}

/// What pull queries have not.
fn refuse_clauses(query: &Query) -> Result<(), Diagnostic> {
    let refuse = |span: Span, what: &str| {
        Err(Diagnostic::at(span, format!("Pull queries don't support {what} clauses. See https://cnfl.io/queries for more info.\nAdd EMIT CHANGES if you intended to issue a push query."))
            .hint("add EMIT CHANGES, or put it into a CREATE TABLE … AS SELECT and query that"))
    };
    if let ast::Relation::Join(join) = &query.from {
        return refuse(join.span, "JOIN");
    }
    if let Some(window) = &query.window {
        return refuse(window.span, "WINDOW");
    }
    if let Some(e) = query.group_by.first() {
        return refuse(e.span, "GROUP BY");
    }
    if let Some(e) = query.partition_by.first() {
        return refuse(e.span, "PARTITION BY");
    }
    if let Some(e) = &query.having {
        return refuse(e.span, "HAVING");
    }
    Ok(())
}

/// A table whose rows are kept: a view, or one declared with SOURCE.
fn is_queryable(entry: &Entry) -> bool {
    match &entry.relation {
        Relation::View(_) => true,
        Relation::Source(s) => s.queryable,
    }
}

/// The select list of a query over one stream or table as it is.
fn client_items(catalog: &Catalog, from: &From, query: &Query) -> Result<Vec<Item>, Diagnostic> {
    let mut explode = Vec::new();
    let items = items::items(catalog, from, query, Purpose::Push, None, &mut explode)?;
    if !explode.is_empty() {
        return Err(Diagnostic::at(items::select_span(query), "Pull queries don't support table functions.")
            .hint("make a stream of the exploded rows first: CREATE STREAM … AS SELECT"));
    }
    let aggregate = query.select.iter().find_map(|item| match item {
        ast::SelectItem::Expr { expr, .. } if contains_aggregate(expr) => Some(expr),
        _ => None,
    });
    if let Some(e) = aggregate {
        return Err(
            Diagnostic::at(e.span, "Aggregate functions need a GROUP BY clause").hint("add GROUP BY and EMIT CHANGES")
        );
    }
    for (i, item) in items.iter().enumerate() {
        if items[..i].iter().any(|o| o.name == item.name) {
            return Err(Diagnostic::at(
                item.span,
                format!("Duplicate value columns found in schema: `{}` {}", item.name, item.expr.ty()),
            )
            .hint("give one of them another name with AS"));
        }
    }
    Ok(items)
}

/// The rows of a stream or table that a query wants.
fn rows(catalog: &Catalog, from: &From, query: &Query, items: &[Item], entry: &Entry) -> Result<RowQuery, Diagnostic> {
    let mut binder = Binder::new(catalog, &from.scope, Clause::Where);
    let filter = query.filter.as_ref().map(|f| binder.condition(f)).transpose()?;
    if let (Some(bound), Some(written)) = (&filter, &query.filter)
        && query.emit.is_none()
    {
        refuse_places(bound, written.span, Clause::Where)?;
    }
    if query.emit.is_none()
        && let Some(written) = &query.filter
    {
        check_keys(&binder, entry, written)?;
    }
    let schema = entry.schema();
    let keys = filter.as_ref().filter(|_| entry.is_table()).and_then(|f| keys(f, schema.key.len()));
    let window_starts = match &filter {
        Some(f) if entry.is_windowed() => window_starts(f, schema.len()),
        _ => EVERYWHERE,
    };
    Ok(RowQuery {
        input: entry.name().into(),
        keys,
        bounds_behind: entry.is_windowed() && entry.view().is_none(),
        window_starts,
        filter,
        project: items.iter().map(|i| NamedExpr { name: i.name.clone(), expr: i.expr.clone() }).collect(),
        limit: query.limit,
    })
}

/// A key that is compared with NULL finds nothing; ksqlDB says so.
fn check_keys(binder: &Binder<'_>, entry: &Entry, filter: &ast::Expr) -> Result<(), Diagnostic> {
    let mut error = None;
    super::expr::visit(filter, &mut |e| {
        let ExprKind::In { operand, list, .. } = &e.kind else { return };
        let ExprKind::Column { name, .. } = &operand.kind else { return };
        let Some(key) = entry.schema().key.iter().find(|k| k.name == name.name && error.is_none()) else { return };
        error = list.iter().find_map(|item| match &item.kind {
            ExprKind::Literal(ast::Literal::Null) => Some(Diagnostic::at(
                item.span,
                format!("Primary key columns can not be NULL: ({} = null)", binder.text(operand)),
            )),
            ExprKind::Literal(ast::Literal::String(_)) if key.ty.is_numeric() => Some(Diagnostic::at(
                item.span,
                format!(
                    "{} can not be converted to the type of the key column: {} {} KEY",
                    binder.text(item),
                    super::show::quoted(&key.name),
                    key.ty
                ),
            )),
            _ => None,
        });
    });
    error.map_or(Ok(()), Err)
}

/// Where a row lies is not known of what a pull query reads.
fn refuse_places(expr: &Expr, span: Span, clause: Clause) -> Result<(), Diagnostic> {
    let names = places(expr);
    if names.is_empty() {
        return Ok(());
    }
    Err(Diagnostic::at(
        span,
        format!("Pull queries don't support the following columns in {} clauses: {}", clause.name(), names.join(", ")),
    ))
}

/// The columns of an expression that say where a record lies.
fn places(expr: &Expr) -> Vec<&'static str> {
    let mut names = Vec::new();
    expr.visit(&mut |e| match e {
        Expr::Rowpartition => names.push("`ROWPARTITION`"),
        Expr::Rowoffset => names.push("`ROWOFFSET`"),
        _ => {}
    });
    names
}

/// The whole keys that a condition allows, when it names them.
fn keys(filter: &Expr, width: usize) -> Option<Vec<Vec<Value>>> {
    let keys = partial_keys(filter, width)?;
    let mut whole: Vec<Vec<Value>> =
        keys.into_iter().map(|k| k.into_iter().collect::<Option<Vec<_>>>()).collect::<Option<_>>()?;
    whole.sort();
    whole.dedup();
    Some(whole)
}

/// Keys of which some columns are known.
type Partial = Vec<Vec<Option<Value>>>;

/// What a condition says of the key's columns; none: nothing that a look-up could use.
fn partial_keys(filter: &Expr, width: usize) -> Option<Partial> {
    /// More keys than this are scanned for.
    const MOST: usize = 1000;
    let one = |column: usize, value: &Value| {
        let mut key = vec![None; width];
        *key.get_mut(column)? = Some(value.clone());
        Some(key)
    };
    match filter {
        Expr::Binary(BinaryOp::Equal, a, b, _) => match (&**a, &**b) {
            (Expr::Column(i, _), Expr::Literal(v, _)) | (Expr::Literal(v, _), Expr::Column(i, _)) if *i < width => {
                Some(vec![one(*i, v)?])
            }
            _ => None,
        },
        Expr::In(e, list) => match &**e {
            Expr::Column(i, _) if *i < width => {
                list.iter().map(|item| one(*i, query::literal(item)?)).collect::<Option<Partial>>()
            }
            _ => None,
        },
        Expr::Binary(BinaryOp::Or, a, b, _) => {
            let mut keys = partial_keys(a, width)?;
            keys.extend(partial_keys(b, width)?);
            (keys.len() <= MOST).then_some(keys)
        }
        Expr::Binary(BinaryOp::And, a, b, _) => match (partial_keys(a, width), partial_keys(b, width)) {
            (Some(a), Some(b)) if a.len() * b.len() <= MOST => {
                let both = a.iter().flat_map(|x| b.iter().filter_map(move |y| meet(x, y)));
                Some(both.collect())
            }
            (a, b) => a.or(b),
        },
        _ => None,
    }
}

/// What two partial keys say together; none when they contradict each other.
fn meet(a: &[Option<Value>], b: &[Option<Value>]) -> Option<Vec<Option<Value>>> {
    a.iter()
        .zip(b)
        .map(|(x, y)| match (x, y) {
            (Some(x), Some(y)) if x != y => None,
            (x, y) => Some(x.clone().or_else(|| y.clone())),
        })
        .collect()
}

/// The window starts that a condition allows, from and to, both included.
fn window_starts(filter: &Expr, column: usize) -> (i64, i64) {
    match filter {
        Expr::Binary(BinaryOp::And, a, b, _) => {
            let (x, y) = (window_starts(a, column), window_starts(b, column));
            (x.0.max(y.0), x.1.min(y.1))
        }
        Expr::Binary(BinaryOp::Or, a, b, _) => {
            let (x, y) = (window_starts(a, column), window_starts(b, column));
            (x.0.min(y.0), x.1.max(y.1))
        }
        Expr::Binary(op, a, b, _) => {
            let (op, value) = match (&**a, &**b) {
                (Expr::Column(i, _), Expr::Literal(Value::Bigint(v), _)) if *i == column => (*op, *v),
                (Expr::Literal(Value::Bigint(v), _), Expr::Column(i, _)) if *i == column => (mirrored(*op), *v),
                _ => return EVERYWHERE,
            };
            match op {
                BinaryOp::Equal => (value, value),
                BinaryOp::Less => (i64::MIN, value.saturating_sub(1)),
                BinaryOp::LessOrEqual => (i64::MIN, value),
                BinaryOp::Greater => (value.saturating_add(1), i64::MAX),
                BinaryOp::GreaterOrEqual => (value, i64::MAX),
                _ => EVERYWHERE,
            }
        }
        Expr::In(e, list) if matches!(**e, Expr::Column(i, _) if i == column) => {
            let starts: Vec<i64> = list
                .iter()
                .filter_map(|i| if let Some(Value::Bigint(v)) = query::literal(i) { Some(*v) } else { None })
                .collect();
            match (starts.len() == list.len(), starts.iter().min(), starts.iter().max()) {
                (true, Some(least), Some(most)) => (*least, *most),
                _ => EVERYWHERE,
            }
        }
        _ => EVERYWHERE,
    }
}

/// The comparison with its sides swapped.
fn mirrored(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Less => BinaryOp::Greater,
        BinaryOp::LessOrEqual => BinaryOp::GreaterOrEqual,
        BinaryOp::Greater => BinaryOp::Less,
        BinaryOp::GreaterOrEqual => BinaryOp::LessOrEqual,
        other => other,
    }
}

fn push(catalog: &Catalog, session: &Session, query: &Query) -> Result<PushQuery, Diagnostic> {
    let from = from::bind(catalog, &query.from)?;
    let plain = from.scope.is_single()
        && query.group_by.is_empty()
        && query.partition_by.is_empty()
        && query.window.is_none()
        && query.having.is_none()
        && query.emit == Some(Emit::Changes)
        && query::first_aggregate(query).is_none()
        && query::first_exploded(query).is_none();
    let entry = from.scope.relations.first().and_then(|r| catalog.get(&r.name));
    if let (true, Some(entry)) = (plain, entry) {
        let items = client_items(catalog, &from, query)?;
        let rows = rows(catalog, &from, query, &items, entry)?;
        // Only a view sees where in its topic a record of a stream lies.
        let placed = rows.project.iter().map(|p| &p.expr).chain(&rows.filter).any(|e| !places(e).is_empty());
        if entry.is_table() || !placed {
            let columns = rows.project.iter().map(column).collect();
            return Ok(PushQuery { view: None, query: rows, table: entry.is_table(), columns });
        }
    }
    // The query's own view; its name cannot be a user's.
    let leftmost = from.scope.relations.first().map_or("", |r| r.name.as_str());
    let name = format!("transient_{leftmost}_{}", catalog.next_number());
    let unlimited = Query { limit: None, ..query.clone() };
    let mut view =
        query::view(catalog, session, &unlimited, Purpose::Push, name.clone(), name.clone(), &With::default())
            .or_else(|error| transient_format(catalog, session, &unlimited, &name, error))?;
    view.topic.topic.clone_from(&name);
    let keys = view.schema.key.len();
    let project: Vec<NamedExpr> = view
        .schema
        .value
        .iter()
        .enumerate()
        .map(|(i, c)| NamedExpr { name: c.name.clone(), expr: Expr::Column(keys + i, c.ty.clone()) })
        .collect();
    let columns = project.iter().map(column).collect();
    let table = !matches!(view.kind, ViewKind::Stream(_));
    let rows = RowQuery { project, limit: query.limit, ..RowQuery::all(name) };
    Ok(PushQuery { view: Some(view), query: rows, table, columns })
}

/// A query's own view is written nowhere, so a format that cannot carry its columns is no obstacle.
fn transient_format(
    catalog: &Catalog,
    session: &Session,
    query: &Query,
    name: &str,
    error: Diagnostic,
) -> Result<View, Diagnostic> {
    let with = With {
        key_format: Some(crate::plan::Format::Json),
        value_format: Some(crate::plan::Format::Json),
        ..With::default()
    };
    query::view(catalog, session, query, Purpose::Push, name.into(), name.into(), &with).map_err(|_| error)
}

fn column(e: &NamedExpr) -> Column {
    Column { name: e.name.clone(), ty: e.expr.ty().clone() }
}
