//! SELECT … GROUP BY: groups, windows, aggregates, HAVING.

use super::call::{contains_aggregate, unknown_function};
use super::expr::{AGGREGATES, Binder, Groups, WINDOW, bounds_error, not_grouped, visit};
use super::from::From;
use super::items::{Item, Names, item_of, select_span, unnamed};
use super::query::{Purpose, check_columns};
use super::scope::{BOUNDS, Clause, Scope};
use super::show::show;
use super::{Catalog, Session};
use crate::plan::aggregate::{self, AggregateCall, Limits};
use crate::plan::expr::Expr;
use crate::plan::functions;
use crate::plan::{Aggregate, Format, KeyWindow, NamedExpr, ViewKind, Windowing};
use crate::row::{Column, Schema};
use crate::sql::ast::{self, Emit, ExprKind, Query, SelectItem, Window, WindowKind};
use crate::sql::error::{Diagnostic, Span};
use crate::time::{Grace, WindowSpec};
use std::collections::BTreeMap;

const DAY_MS: i64 = 86_400_000;

/// Binds a grouped query to its schema, its view and the windows of its keys.
pub(super) fn bind(
    catalog: &Catalog,
    session: &Session,
    query: &Query,
    from: &From,
    purpose: Purpose<'_>,
) -> Result<(Schema, ViewKind, Option<KeyWindow>), Diagnostic> {
    let window = query.window.as_ref().map(|w| windowing(w, query.emit)).transpose()?;
    if query.emit == Some(Emit::Final) && window.is_none() {
        return Err(Diagnostic::at(query.span, "EMIT FINAL is only supported for windowed aggregations.")
            .hint("add a WINDOW clause"));
    }
    if let (Some(clause), true) = (&query.window, from.table) {
        return Err(Diagnostic::at(clause.span, "WINDOW clause is only supported on streams, not on tables."));
    }
    if from.window.is_some() {
        return Err(Diagnostic::at(from.span, "weir does not support GROUP BY on a windowed source"));
    }
    if window.is_none() {
        for item in &query.select {
            if let SelectItem::Expr { expr, alias } = item {
                unnamed(expr, alias.as_ref(), purpose)?;
            }
        }
    }
    let keys = keys(catalog, from, query, window.is_some())?;
    known_functions(query)?;
    let aggregates = |item: &SelectItem| matches!(item, SelectItem::Expr { expr, .. } if contains_aggregate(expr));
    if !query.select.iter().any(aggregates) && !query.having.as_ref().is_some_and(contains_aggregate) {
        return Err(Diagnostic::at(
            query.group_by.iter().map(|e| e.span).reduce(Span::to).unwrap_or(query.span),
            "GROUP BY requires aggregate functions in either the SELECT or HAVING clause.",
        )
        .hint("add COUNT(*) to the select list"));
    }
    let is_value = |e: &ast::Expr| matches!(&e.kind, ExprKind::Call { name, .. } if name.name == "AS_VALUE");
    let values = query.group_by.iter().map(is_value).collect();
    let limits = limits(session);
    let mut groups = Groups { keys, values, calls: Vec::new(), windowed: window.is_some(), limits };
    let items = items(catalog, from, query, purpose, &mut groups)?;
    let having = match &query.having {
        None => None,
        Some(having) => {
            if let Some(name) = bound_name(having) {
                return Err(bounds_error(&name));
            }
            let mut binder = binder(catalog, &from.scope, Clause::Having, &mut groups);
            Some(binder.condition(having)?)
        }
    };
    if from.table {
        check_undo(query, &groups)?;
    }
    check_state(query, from, &groups)?;
    let (key_names, values) = project(query, from, &groups, &items, purpose)?;
    let group: Vec<NamedExpr> =
        key_names.into_iter().zip(&groups.keys).map(|(name, k)| NamedExpr { name, expr: k.clone() }).collect();
    check_columns(&group, &values, purpose, query)?;
    let mut project = values;
    let mut having = having;
    place(&mut project, &mut having, groups.keys.len(), groups.calls.len());
    let column = |e: &NamedExpr| Column { name: e.name.clone(), ty: e.expr.ty().clone() };
    let schema = Schema { key: group.iter().map(column).collect(), value: project.iter().map(column).collect() };
    let key_window = window.map(|w| match w.spec {
        WindowSpec::Tumbling { size } | WindowSpec::Hopping { size, .. } => KeyWindow::Time(size),
        WindowSpec::Session { .. } => KeyWindow::Session,
    });
    let aggregate = Aggregate {
        input: from.pipeline.clone(),
        retracts: from.table,
        group,
        window,
        calls: groups.calls,
        having,
        project,
    };
    Ok((schema, ViewKind::Aggregate(aggregate), key_window))
}

fn binder<'a>(catalog: &'a Catalog, scope: &'a Scope, clause: Clause, groups: &'a mut Groups) -> Binder<'a> {
    Binder { groups: Some(groups), ..Binder::new(catalog, scope, clause) }
}

/// Functions that there are not are said before what else is missing.
fn known_functions(query: &Query) -> Result<(), Diagnostic> {
    let mut unknown = None;
    for item in &query.select {
        let SelectItem::Expr { expr, .. } = item else { continue };
        visit(expr, &mut |e| {
            if let ExprKind::Call { name, args, .. } = &e.kind
                && !contains_aggregate(e)
                && !args.iter().any(|a| matches!(a.kind, ExprKind::Lambda { .. }))
                && functions::find(&name.name).is_none()
                && functions::table::find(&name.name).is_none()
                && unknown.is_none()
            {
                unknown = Some(name.clone());
            }
        });
    }
    unknown.map_or(Ok(()), |name| Err(unknown_function(&name)))
}

/// The grouping expressions.
fn keys(catalog: &Catalog, from: &From, query: &Query, windowed: bool) -> Result<Vec<Expr>, Diagnostic> {
    let mut keys: Vec<Expr> = Vec::with_capacity(query.group_by.len());
    for expr in &query.group_by {
        if let Some(name) = bound_name(expr).filter(|_| windowed) {
            return Err(bounds_error(&name));
        }
        if contains_aggregate(expr) {
            let name = first_call(expr);
            return Err(Diagnostic::at(
                expr.span,
                format!("GROUP BY does not support aggregate functions: {name} is an aggregate function."),
            ));
        }
        let key = Binder::new(catalog, &from.scope, Clause::GroupBy).value(expr)?;
        if keys.contains(&key) {
            let text = show(expr, &|q, n| from.scope.qualified(q, n));
            return Err(Diagnostic::at(expr.span, format!("Duplicate GROUP BY expression: {text}")));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The columns of the select list, over groups and aggregates.
fn items(
    catalog: &Catalog,
    from: &From,
    query: &Query,
    purpose: Purpose<'_>,
    groups: &mut Groups,
) -> Result<Vec<Item>, Diagnostic> {
    let mut names = Names::new(from);
    let mut items = Vec::with_capacity(query.select.len());
    let mut strangers: Vec<(String, Span)> = Vec::new();
    for item in &query.select {
        match item {
            SelectItem::Expr { expr, alias } => {
                unnamed(expr, alias.as_ref(), purpose)?;
                let mut binder = binder(catalog, &from.scope, Clause::Select, groups);
                match binder.bind(expr) {
                    Ok(typed) => items.push(item_of(from, expr, alias.as_ref(), typed, &mut names)?),
                    Err(error) if error.message.starts_with("Non-aggregate SELECT") => {
                        strangers.push((show(expr, &|q, n| from.scope.internal(q, n)), expr.span));
                    }
                    Err(error) => return Err(error),
                }
            }
            SelectItem::All { span, .. } => {
                for relation in &from.scope.relations {
                    for (i, column) in relation.columns.iter().enumerate() {
                        let expr = Expr::Column(relation.offset + i, column.ty.clone());
                        match groups.keys.iter().position(|k| *k == expr) {
                            Some(at) => items.push(Item {
                                name: column.name.clone(),
                                expr: Expr::Column(at, column.ty.clone()),
                                as_value: false,
                                span: *span,
                            }),
                            None => strangers.push((column.name.clone(), *span)),
                        }
                    }
                }
            }
            SelectItem::AllFields { span, .. } => {
                return Err(Diagnostic::at(*span, "weir does not support ->* in a query with GROUP BY"));
            }
        }
    }
    match strangers.first() {
        None => Ok(items),
        Some((_, span)) => {
            let texts: Vec<String> = strangers.iter().map(|(t, _)| t.clone()).collect();
            Err(Diagnostic::at(*span, not_grouped(&texts, Clause::Select)))
        }
    }
}

/// The name of the first aggregate function in an expression.
fn first_call(expr: &ast::Expr) -> String {
    let mut found = String::new();
    visit(expr, &mut |e| {
        if let ExprKind::Call { name, .. } = &e.kind
            && contains_aggregate(e)
            && !matches!(&e.kind, ExprKind::Call { args, .. } if args.iter().any(contains_aggregate))
            && found.is_empty()
        {
            found.clone_from(&name.name);
        }
    });
    found
}

/// The names of the key columns, and the value columns.
fn project(
    query: &Query,
    from: &From,
    groups: &Groups,
    items: &[Item],
    purpose: Purpose<'_>,
) -> Result<(Vec<String>, Vec<NamedExpr>), Diagnostic> {
    let named = |item: &Item| NamedExpr { name: item.name.clone(), expr: item.expr.clone() };
    let sink = match purpose {
        Purpose::Push => {
            let names = (0..groups.keys.len()).map(|i| format!("KSQL_GROUP_{i}")).collect();
            return Ok((names, items.iter().map(named).collect()));
        }
        Purpose::Keep(sink) => sink,
    };
    let is_key = |item: &Item, key: usize| {
        item.as_value == groups.values[key] && matches!(item.expr, Expr::Column(c, _) if c == key)
    };
    let mut names = Vec::with_capacity(groups.keys.len());
    let mut used = vec![false; items.len()];
    let mut missing = false;
    for key in 0..groups.keys.len() {
        let places: Vec<usize> = (0..items.len()).filter(|&i| is_key(&items[i], key)).collect();
        match places.as_slice() {
            [] => missing = true,
            [place] => {
                used[*place] = true;
                names.push(items[*place].name.clone());
            }
            [first, second, ..] => {
                return Err(Diagnostic::at(
                    items[*second].span,
                    format!(
                        "The projection contains a key column more than once: `{}` and `{}`.",
                        items[*first].name, items[*second].name
                    ),
                )
                .hint("AS_VALUE(…) makes a copy in the value"));
            }
        }
    }
    if missing {
        let all: Vec<String> = query.group_by.iter().map(|e| show(e, &|q, n| from.scope.internal(q, n))).collect();
        let absent: Vec<&String> =
            all.iter().enumerate().filter(|(k, _)| !items.iter().any(|i| is_key(i, *k))).map(|(_, t)| t).collect();
        let list = |sep: &str| absent.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(sep);
        return Err(Diagnostic::at(
            select_span(query),
            format!(
                "Key missing from projection (ie, SELECT). See https://cnfl.io/2LV7ouS.\nThe query used to build `{sink}` must include the grouping expression{} {} in its projection (eg, SELECT {}...).",
                if absent.len() > 1 { "s" } else { "" },
                list(" and "),
                list(", ")
            ),
        ));
    }
    let values = items.iter().zip(&used).filter(|(_, used)| !**used).map(|(i, _)| named(i)).collect();
    Ok((names, values))
}

/// Aggregates whose effect a table's update cannot take back.
fn check_undo(query: &Query, groups: &Groups) -> Result<(), Diagnostic> {
    let mut names: Vec<&str> = Vec::new();
    for call in &groups.calls {
        let name = call.function.name();
        if !names.contains(&name) && !aggregate::find(name).is_some_and(|d| d.undoable) {
            names.push(name);
        }
    }
    let text = match names.as_slice() {
        [] => return Ok(()),
        [one] => {
            format!("The aggregation function {one} cannot be applied to a table source, only to a stream source.")
        }
        [most @ .., last] => format!(
            "The aggregation functions {} and {last} cannot be applied to a table source, only to a stream source.",
            most.join(", ")
        ),
    };
    Err(Diagnostic::at(select_span(query), text))
}

/// ksqlDB keeps an aggregate's state in the format of the input's values, which must carry it.
fn check_state(query: &Query, from: &From, groups: &Groups) -> Result<(), Diagnostic> {
    let nested = |call: &AggregateCall| aggregate::find(call.function.name()).is_some_and(|d| d.nested);
    if !matches!(from.topic.value_format, Format::Delimited { .. }) || !groups.calls.iter().any(nested) {
        return Ok(());
    }
    Err(Diagnostic::at(
        select_span(query),
        "One of the functions used in the statement has an intermediate type that the value format can not handle. \
         Please remove the function or change the format.\nConsider up-voting \
         https://github.com/confluentinc/ksql/issues/3950, which will resolve this limitation",
    )
    .hint("give the input another value format, or make a stream of it with VALUE_FORMAT='JSON' first"))
}

/// The session's limits, without which lists are as long as they are.
fn limits(session: &Session) -> Limits {
    let limit = |name: &str| {
        let set: Option<i64> = session.properties.get(name).and_then(|v| v.trim().parse().ok());
        set.and_then(|n| u32::try_from(n).ok()).unwrap_or(i32::MAX.unsigned_abs())
    };
    Limits { list: limit("ksql.functions.collect_list.limit"), set: limit("ksql.functions.collect_set.limit") }
}

/// Puts aggregates and window bounds behind the keys, now that their number is known.
fn place(project: &mut [NamedExpr], having: &mut Option<Expr>, keys: usize, calls: usize) {
    let mut positions: BTreeMap<usize, usize> = (0..calls).map(|i| (AGGREGATES + i, keys + i)).collect();
    positions.extend((0..BOUNDS.len()).map(|i| (WINDOW + i, keys + calls + i)));
    for expr in project.iter_mut().map(|p| &mut p.expr).chain(having) {
        super::prune::renumber(expr, &positions);
    }
}

fn bound_name(expr: &ast::Expr) -> Option<ast::Ident> {
    let mut found = None;
    visit(expr, &mut |e| {
        if let ExprKind::Column { qualifier: None, name } = &e.kind
            && BOUNDS.contains(&name.name.as_str())
            && found.is_none()
        {
            found = Some(name.clone());
        }
    });
    found
}

/// A WINDOW clause with its defaults: grace until 24 hours after a window's start, retention until grace is over.
fn windowing(window: &Window, emit: Option<Emit>) -> Result<Windowing, Diagnostic> {
    let emit_final = emit == Some(Emit::Final);
    let positive = |d: &ast::Duration, what: &str| {
        if d.millis() > 0 { Ok(d.millis()) } else { Err(Diagnostic::at(d.span, format!("{what} must be more than 0"))) }
    };
    let (spec, size) = match &window.kind {
        WindowKind::Tumbling { size } => {
            let size = positive(size, "the window's size")?;
            (WindowSpec::Tumbling { size }, size)
        }
        WindowKind::Hopping { size, advance } => {
            let ms = positive(size, "the window's size")?;
            let by = positive(advance, "the window's advance")?;
            if by > ms {
                return Err(Diagnostic::at(
                    advance.span,
                    format!(
                        "Window advancement interval should be more than zero and less than window duration which is {ms} ms, but given advancement interval is: {by} ms"
                    ),
                ));
            }
            (WindowSpec::Hopping { size: ms, advance: by }, ms)
        }
        WindowKind::Session { gap } => {
            let gap = positive(gap, "the session's gap")?;
            (WindowSpec::Session { gap }, gap)
        }
    };
    let grace = match &window.grace {
        Some(grace) => grace.millis(),
        None if emit_final => 0,
        None => (DAY_MS - size).max(0),
    };
    let least = size.saturating_add(grace);
    let retention_ms = match &window.retention {
        None => least,
        Some(retention) if retention.millis() >= least => retention.millis(),
        Some(retention) => {
            return Err(Diagnostic::at(
                retention.span,
                format!(
                    "The retention period of the window store must be no smaller than its window size plus the grace period. Got size=[{size}], grace=[{grace}], retention=[{}]",
                    retention.millis()
                ),
            )
            .hint(format!("RETENTION {} MILLISECONDS is the least, or set a shorter GRACE PERIOD", least)));
        }
    };
    Ok(Windowing { spec, grace: Grace(grace), retention_ms, emit_final })
}
