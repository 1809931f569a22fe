//! CREATE … AS SELECT: the projection, its key, and the view.

use super::call::{contains_aggregate, first_table_function};
use super::expr::Binder;
use super::from::{self, From, Key};
use super::items::{Item, Names, items, select_span};
use super::scope::{BOUNDS, Clause};
use super::show::{quoted, show};
use super::source::{default_format, exists};
use super::with::With;
use super::{Bound, Catalog, Session, group, prune};
use crate::plan::expr::Expr;
use crate::plan::{Filter, Format, NamedExpr, Step, TopicSpec, View, ViewKind};
use crate::row::{Column, Schema, Value};
use crate::sql::ast::{self, CreateAs, Emit, ExprKind, Ident, Literal, Query, SelectItem};
use crate::sql::error::{Diagnostic, Span};

/// What a query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose<'a> {
    /// It keeps a stream or table of this name.
    Keep(&'a str),
    /// It lives as long as its client: its columns have no key among them.
    Push,
}

/// Binds CREATE … AS SELECT.
pub(super) fn create_as(catalog: &Catalog, session: &Session, create: &CreateAs) -> Result<Bound, Diagnostic> {
    let kind = if create.table { "table" } else { "stream" };
    if let Some(done) = exists(catalog, &create.name, kind, create.or_replace, create.if_not_exists)? {
        return Ok(done);
    }
    let with = With::read(&create.with, false)?;
    let name = &create.name.name;
    let prefix = if create.table { "CTAS" } else { "CSAS" };
    let query_id = format!("{prefix}_{name}_{}", catalog.next_number());
    let view = view(catalog, session, &create.query, Purpose::Keep(name), name.clone(), query_id, &with)?;
    let is_table = !matches!(view.kind, ViewKind::Stream(_));
    if is_table != create.table {
        let (is, other) = if is_table { ("TABLE", "STREAM") } else { ("STREAM", "TABLE") };
        return Err(Diagnostic::at(
            create.name.span,
            format!("Invalid result type. Your SELECT query produces a {is}. Please use CREATE {is} AS SELECT statement instead."),
        )
        .hint(format!("write CREATE {is} in place of CREATE {other}")));
    }
    Ok(Bound::View(view))
}

/// Binds a query to a view of this name.
pub(super) fn view(
    catalog: &Catalog,
    session: &Session,
    query: &Query,
    purpose: Purpose<'_>,
    name: String,
    query_id: String,
    with: &With,
) -> Result<View, Diagnostic> {
    let mut from = from::bind(catalog, &query.from)?;
    name_joins(&mut from, &query_id);
    if let (Purpose::Keep(_), Some(_)) = (purpose, query.limit) {
        return Err(Diagnostic::at(
            query.span,
            "weir does not support LIMIT in CREATE … AS SELECT and INSERT INTO, nor does ksqlDB",
        ));
    }
    if from.window.is_some() && from.table && purpose != Purpose::Push {
        return Err(Diagnostic::at(from.span, "KSQL does not support persistent queries on windowed tables.")
            .hint("query the windowed table itself, or put the aggregation into one query"));
    }
    if let Some(filter) = &query.filter {
        let mut binder = Binder::new(catalog, &from.scope, Clause::Where);
        if let Some(name) = first_bound(filter).filter(|_| from.window.is_none() && query.window.is_some()) {
            return Err(Diagnostic::at(name.span, format!("Error in WHERE expression: Unknown column {}.", name.name)));
        }
        let condition = binder.condition(filter)?;
        from.pipeline.steps.push(Step::Filter(Filter { condition, columns: Vec::new() }));
    }
    if let Some(call) = first_exploded(query)
        && (!query.group_by.is_empty() || first_aggregate(query).is_some())
    {
        return Err(Diagnostic::at(call.span, "Table functions cannot be used with aggregations.")
            .hint("make a stream of the exploded rows first"));
    }
    // Without groups a client's aggregates are of all rows.
    let grouped = !query.group_by.is_empty() || (purpose == Purpose::Push && first_aggregate(query).is_some());
    if !grouped {
        if let Some(expr) = stranger(query).filter(|_| query.window.is_some()) {
            let text = show(expr, &|q, n| from.scope.internal(q, n));
            return Err(
                Diagnostic::at(expr.span, super::expr::not_grouped(&[text], Clause::Select)).hint("add GROUP BY")
            );
        }
        if let Some(window) = &query.window {
            return Err(Diagnostic::at(window.span, "WINDOW clause requires a GROUP BY clause.").hint("add GROUP BY"));
        }
        if let Some(having) = &query.having {
            return Err(Diagnostic::at(having.span, "HAVING requires a GROUP BY clause.").hint("use WHERE"));
        }
        if query.emit == Some(Emit::Final) {
            return Err(Diagnostic::at(query.span, "EMIT FINAL is only supported for windowed aggregations."));
        }
        if let Some(call) = first_aggregate(query) {
            return Err(Diagnostic::at(
                call.span,
                format!(
                    "Use of aggregate functions requires a GROUP BY clause. Aggregate function(s): {}",
                    call_name(call)
                ),
            )
            .hint("add GROUP BY"));
        }
    }
    if grouped && let Some(partition) = query.partition_by.first() {
        return Err(Diagnostic::at(partition.span, "PARTITION BY can not be used with GROUP BY."));
    }
    let (schema, mut kind, window) = if grouped {
        group::bind(catalog, session, query, &from, purpose)?
    } else {
        let (schema, kind) = plain(catalog, session, query, &from, purpose, with)?;
        (schema, kind, from.window)
    };
    let mut joins = from.joins.clone();
    prune::prune(&mut joins, &mut kind);
    let topic = topic(session, &name, &from, &schema, window, with)
        .map_err(|error| with_statement(error, &from, query, &name, &kind))?;
    Ok(View { name, query_id, schema, topic, joins, kind })
}

/// Joins are named after their query.
fn name_joins(from: &mut From, query_id: &str) {
    let joins: Vec<String> = from.joins.iter().map(|j| j.name.clone()).collect();
    let sides = from.joins.iter_mut().flat_map(|j| [&mut j.left.input, &mut j.right.input]);
    for pipeline in sides.chain([&mut from.pipeline]).filter(|p| joins.contains(&p.input)) {
        pipeline.input = format!("{query_id} {}", pipeline.input);
    }
    from.joins.iter_mut().for_each(|j| j.name = format!("{query_id} {}", j.name));
}

/// A query without groups.
fn plain(
    catalog: &Catalog,
    session: &Session,
    query: &Query,
    from: &From,
    purpose: Purpose<'_>,
    with: &With,
) -> Result<(Schema, ViewKind), Diagnostic> {
    let (keys, what) = match query.partition_by.as_slice() {
        [] => (None, KeyOf::Source),
        exprs => (Some(partition(catalog, from, exprs)?), KeyOf::Partition),
    };
    let mut explode = Vec::new();
    let items = items(catalog, from, query, purpose, keys.as_deref(), &mut explode)?;
    timestamp_exists(with, &items)?;
    let (key, value) = match purpose {
        Purpose::Push => {
            (Vec::new(), items.iter().map(|i| NamedExpr { name: i.name.clone(), expr: i.expr.clone() }).collect())
        }
        Purpose::Keep(sink) => {
            let by_projection = session.is_true("ksql.new.query.planner.enabled") == Some(true);
            split(from, query, keys.as_deref(), what, &items, sink, by_projection)?
        }
    };
    check_columns(&key, &value, purpose, query)?;
    let column = |e: &NamedExpr| Column { name: e.name.clone(), ty: e.expr.ty().clone() };
    let schema = Schema { key: key.iter().map(column).collect(), value: value.iter().map(column).collect() };
    let mut pipeline = from.pipeline.clone();
    // A tombstone passes what only projects.
    if pipeline.steps.is_empty() && from.joins.is_empty() && !from.table && purpose != Purpose::Push {
        pipeline.keep_tombstones = from.scope.relations.first().map(|r| r.keys..r.columns.len());
    }
    if !explode.is_empty() {
        if from.table {
            return Err(Diagnostic::at(select_span(query), "Table source is not supported with table functions"));
        }
        pipeline.keep_tombstones = None;
        pipeline.steps.push(Step::Explode(explode));
    }
    let mut columns: Columns = key.into_iter().chain(value).collect();
    if from.window.is_some() && !from.table && purpose != Purpose::Push {
        // The bounds of windowed keys stay behind the columns.
        let relation = from.scope.relations.first();
        let bound = |name: &str| Some(NamedExpr { name: name.into(), expr: relation?.column(name)? });
        columns.extend(BOUNDS.iter().filter_map(|name| bound(name)));
    }
    pipeline.steps.push(Step::Project(columns));
    let kind = if from.table { ViewKind::Table(pipeline) } else { ViewKind::Stream(pipeline) };
    Ok((schema, kind))
}

/// The TIMESTAMP of the WITH clause is a column of the projection; said before what else is wrong with it.
fn timestamp_exists(with: &With, items: &[Item]) -> Result<(), Diagnostic> {
    match &with.timestamp {
        Some((name, span)) if !items.iter().any(|i| i.name == *name) => Err(Diagnostic::at(
            *span,
            format!("The TIMESTAMP column set in the WITH clause does not exist in the schema: '{name}'"),
        )),
        _ => Ok(()),
    }
}

/// Where a projection's key comes from, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyOf {
    Source,
    Partition,
}

/// The expressions of PARTITION BY; none for NULL.
fn partition(catalog: &Catalog, from: &From, exprs: &[ast::Expr]) -> Result<Vec<Expr>, Diagnostic> {
    let span = exprs.iter().map(|e| e.span).reduce(Span::to).unwrap_or_default();
    if from.table {
        return Err(Diagnostic::at(span, "PARTITION BY is only supported for streams").hint("use GROUP BY"));
    }
    if from.window.is_some() {
        return Err(Diagnostic::at(
            span,
            "Implicit repartitioning of windowed sources is not supported. See https://github.com/confluentinc/ksql/issues/4385.",
        ));
    }
    let is_null = |e: &ast::Expr| matches!(e.kind, ExprKind::Literal(Literal::Null));
    if exprs.iter().any(is_null) {
        return if exprs.len() == 1 {
            Ok(Vec::new())
        } else {
            Err(Diagnostic::at(span, "Cannot PARTITION BY multiple columns including NULL"))
        };
    }
    let mut binder = Binder::new(catalog, &from.scope, Clause::PartitionBy);
    let mut keys = Vec::with_capacity(exprs.len());
    for expr in exprs {
        let key = binder.value(expr)?;
        if keys.contains(&key) {
            return Err(Diagnostic::at(
                expr.span,
                format!("Duplicate PARTITION BY expression: {}", show(expr, &|q, n| from.scope.qualified(q, n))),
            ));
        }
        keys.push(key);
    }
    Ok(keys)
}

type Columns = Vec<NamedExpr>;

/// The key columns and the value columns of a projection.
fn split(
    from: &From,
    query: &Query,
    keys: Option<&[Expr]>,
    what: KeyOf,
    items: &[Item],
    sink: &str,
    by_projection: bool,
) -> Result<(Columns, Columns), Diagnostic> {
    // For each key column: what it is, and its value.
    let wanted: Vec<(Vec<Expr>, Option<Expr>)> = match (keys, &from.key) {
        (Some(keys), _) => keys.iter().map(|k| (vec![k.clone()], None)).collect(),
        (None, Key::Columns(positions) | Key::Left(positions)) => {
            let column = |&i: &usize| Some(Expr::Column(i, from.scope.at(i)?.1.ty.clone()));
            positions.iter().filter_map(column).map(|e| (vec![e], None)).collect()
        }
        (None, Key::Join { value, columns, .. }) => {
            let column = |&i: &usize| Some(Expr::Column(i, from.scope.row.get(i)?.ty.clone()));
            vec![(columns.iter().filter_map(column).collect(), Some(value.clone()))]
        }
    };
    let mut key: Vec<(usize, NamedExpr)> = Vec::new();
    let mut used = vec![false; items.len()];
    for (candidates, value) in &wanted {
        let chosen = candidates.iter().find_map(|c| {
            let places: Vec<usize> = (0..items.len()).filter(|&i| items[i].expr == *c && !items[i].as_value).collect();
            (!places.is_empty()).then_some(places)
        });
        let Some(places) = chosen else {
            return Err(missing_key(from, query, &wanted, what, items, sink));
        };
        if places.len() > 1 {
            let mut names: Vec<&str> = places.iter().map(|&i| items[i].name.as_str()).collect();
            names.sort_unstable();
            let first = &items[places[0]];
            return Err(Diagnostic::at(
                items[places[1]].span,
                format!(
                    "The projection contains a key column (`{}`) more than once, aliased as: {}.",
                    key_name(from, first),
                    names.join(" and ")
                ),
            )
            .hint("AS_VALUE(…) makes a copy in the value"));
        }
        let item = &items[places[0]];
        used[places[0]] = true;
        let expr = value.clone().unwrap_or_else(|| item.expr.clone());
        key.push((places[0], NamedExpr { name: item.name.clone(), expr }));
    }
    // ksqlDB's newer planner orders the key as the projection does.
    if by_projection {
        key.sort_by_key(|(place, _)| *place);
    }
    let key = key.into_iter().map(|(_, column)| column).collect();
    let values = items.iter().zip(&used).filter(|(_, used)| !**used);
    let value = values.map(|(i, _)| NamedExpr { name: i.name.clone(), expr: i.expr.clone() }).collect();
    Ok((key, value))
}

/// The name that a key column has before the projection.
fn key_name(from: &From, item: &Item) -> String {
    match &item.expr {
        Expr::Column(i, _) => match from.scope.at(*i) {
            Some((relation, column)) if !from.scope.is_single() => format!("{}_{}", relation.alias, column.name),
            Some((_, column)) => column.name.clone(),
            None => item.name.clone(),
        },
        _ => item.name.clone(),
    }
}

fn missing_key(
    from: &From,
    query: &Query,
    wanted: &[(Vec<Expr>, Option<Expr>)],
    what: KeyOf,
    items: &[Item],
    sink: &str,
) -> Diagnostic {
    if let (Key::Left(positions), KeyOf::Source) = (&from.key, what) {
        return missing_left(from, query, positions, items);
    }
    let synthetic = from.scope.synthetic.as_ref().filter(|_| what == KeyOf::Source).map(|key| key.name.as_str());
    let text = |expr: &Expr, qualified: bool| match expr {
        Expr::Column(0, _) if synthetic.is_some() => synthetic.unwrap_or_default().into(),
        Expr::Column(i, _) => from.scope.at(*i).map_or(String::new(), |(relation, column)| {
            if qualified {
                format!("{}.{}", quoted(&relation.alias), quoted(&column.name))
            } else {
                quoted(&column.name)
            }
        }),
        _ => String::new(),
    };
    let (kind, names, join, several): (&str, Vec<String>, &str, bool) = match (what, &from.key) {
        (KeyOf::Partition, _) => {
            let names = query.partition_by.iter().map(|e| show(e, &|q, n| from.scope.qualified(q, n)));
            ("partitioning expression", names.collect(), " and ", query.partition_by.len() > 1)
        }
        (KeyOf::Source, Key::Join { .. }) => {
            let names: Vec<String> = wanted.iter().flat_map(|(c, _)| c.iter().map(|e| text(e, true))).collect();
            let several = names.len() > 1;
            ("join expression", names, " or ", several)
        }
        (KeyOf::Source, Key::Columns(_) | Key::Left(_)) => {
            let names: Vec<String> = wanted.iter().flat_map(|(c, _)| c.iter().map(|e| text(e, false))).collect();
            let several = names.len() > 1;
            ("key column", names, " and ", several)
        }
    };
    let example = if join == " or " { names.first().cloned().unwrap_or_default() } else { names.join(", ") };
    Diagnostic::at(
        select_span(query),
        format!(
            "Key missing from projection (ie, SELECT). See https://cnfl.io/2LV7ouS.\nThe query used to build `{sink}` must include the {kind}{} {} in its projection (eg, SELECT {example}...).{}",
            if several { "s" } else { "" },
            either(&names, join),
            synthetic.map_or(String::new(), |key| format!(
                "\n{key} was added as a synthetic key column because the join criteria did not match any source column. This expression must be included in the projection and may be aliased. "
            )),
        ),
    )
}

/// A join by a foreign key keeps the left table's key.
fn missing_left(from: &From, query: &Query, positions: &[usize], items: &[Item]) -> Diagnostic {
    let key = positions.iter().filter_map(|i| Some((*i, from.scope.at(*i)?)));
    let selected = |i: usize| items.iter().any(|t| !t.as_value && matches!(t.expr, Expr::Column(c, _) if c == i));
    let missing: Vec<_> = key.filter(|(i, _)| !selected(*i)).map(|(_, found)| found).collect();
    let table = missing.first().map_or(String::new(), |(relation, _)| format!("`{}`", relation.alias));
    let s = if missing.len() > 1 { "s" } else { "" };
    let names: Vec<String> = missing.iter().map(|(_, column)| format!("`{}`", column.name)).collect();
    Diagnostic::at(
        select_span(query),
        format!(
            "Primary key column{s} missing in projection. For foreign-key table-table joins, the projection must include all primary key columns from the left input table ({table}). Missing column{s}: {}.",
            names.join(", ")
        ),
    )
}

/// `A, B or C`, and with " and " all of them so.
fn either(names: &[String], join: &str) -> String {
    match names {
        [first @ .., last] if join == " or " && !first.is_empty() => format!("{}{join}{last}", first.join(", ")),
        _ => names.join(join),
    }
}

/// No name twice, and something in the value.
pub(super) fn check_columns(
    key: &[NamedExpr],
    value: &[NamedExpr],
    purpose: Purpose<'_>,
    query: &Query,
) -> Result<(), Diagnostic> {
    let span = select_span(query);
    for (what, columns) in [("key", key), ("value", value)] {
        if let Some((i, column)) =
            columns.iter().enumerate().find(|(i, c)| columns[..*i].iter().any(|o| o.name == c.name))
        {
            debug_assert!(i > 0);
            return Err(Diagnostic::at(
                span,
                format!("Duplicate {what} columns found in schema: `{}` {}", column.name, column.expr.ty()),
            )
            .hint("give one of them another name with AS"));
        }
    }
    if let Some(column) = value.iter().find(|c| key.iter().any(|k| k.name == c.name)) {
        return Err(Diagnostic::at(
            span,
            format!("Duplicate value columns found in schema: `{}` {}", column.name, column.expr.ty()),
        )
        .hint("give one of them another name with AS"));
    }
    if value.is_empty() && purpose != Purpose::Push {
        return Err(Diagnostic::at(span, "The projection contains no value columns.")
            .hint("AS_VALUE(…) makes a copy of a key column in the value"));
    }
    Ok(())
}

/// ksqlDB ends this message with the statement, every name written out.
fn with_statement(mut error: Diagnostic, from: &From, query: &Query, name: &str, kind: &ViewKind) -> Diagnostic {
    if !error.message.starts_with("Key format does not support schema") {
        return error;
    }
    let mut names = Names::new(from);
    let column = |q: Option<&Ident>, n: &Ident| from.scope.qualified(q, n);
    let select = query.select.iter().map(|item| match item {
        SelectItem::Expr { expr, alias } => {
            let name = alias.as_ref().map_or_else(|| names.of(from, expr), |a| a.name.clone());
            format!("{} {}", show(expr, &column), quoted(&name))
        }
        SelectItem::All { .. } | SelectItem::AllFields { .. } => "*".into(),
    });
    let select: Vec<String> = select.collect();
    let relations: Vec<String> =
        from.scope.relations.iter().map(|r| format!("{} {}", quoted(&r.name), quoted(&r.alias))).collect();
    let what = if matches!(kind, ViewKind::Stream(_)) { "STREAM" } else { "TABLE" };
    let mut text =
        format!("CREATE {what} {} AS SELECT\n  {}\nFROM {}", quoted(name), select.join(",\n  "), relations.join(" "));
    if let Some(filter) = &query.filter {
        text.push_str(&format!("\nWHERE {}", show(filter, &column)));
    }
    for (clause, exprs) in [("GROUP BY", &query.group_by), ("PARTITION BY", &query.partition_by)] {
        if !exprs.is_empty() {
            let exprs: Vec<String> = exprs.iter().map(|e| show(e, &column)).collect();
            text.push_str(&format!("\n{clause} {}", exprs.join(", ")));
        }
    }
    if let Some(having) = &query.having {
        text.push_str(&format!("\nHAVING {}", show(having, &column)));
    }
    error.message.push_str(&format!("\nStatement: {text}\nEMIT CHANGES"));
    error
}

/// The topic that a view's changes are written to.
fn topic(
    session: &Session,
    name: &str,
    from: &From,
    schema: &Schema,
    window: Option<crate::plan::KeyWindow>,
    with: &With,
) -> Result<TopicSpec, Diagnostic> {
    let inherited = match from.topic.key_format {
        // A stream without a key that gets one.
        Format::None => default_format(session, "ksql.persistence.default.format.key", Format::Kafka)?,
        format => format,
    };
    let key_format = if schema.key.is_empty() {
        if let Some(span) = with
            .key_span
            .filter(|_| with.key_format.is_some_and(|f| f != Format::None) && with.key_span != with.value_span)
        {
            return Err(Diagnostic::at(span, "Key format specified for stream without key columns."));
        }
        Format::None
    } else {
        with.key_format_or(inherited)?
    };
    let value_format = with.value_format_or(from.topic.value_format)?;
    with.check_formats(key_format, value_format, schema)?;
    let prefix = session.properties.get("ksql.output.topic.name.prefix").map_or("", String::as_str);
    Ok(TopicSpec {
        topic: with.topic.clone().unwrap_or_else(|| format!("{prefix}{name}")),
        partitions: with.partitions.or(from.topic.partitions),
        replicas: with.replicas.or(from.topic.replicas),
        key_format,
        value_format,
        wrap_single_value: with.wrap(session, value_format, schema)?,
        timestamp: with.timestamp_column(schema)?,
        window,
        headers: Vec::new(),
    })
}

fn first_bound(expr: &ast::Expr) -> Option<Ident> {
    let mut found = None;
    super::expr::visit(expr, &mut |e| {
        if let ExprKind::Column { name, .. } = &e.kind
            && BOUNDS.contains(&name.name.as_str())
            && found.is_none()
        {
            found = Some(name.clone());
        }
    });
    found
}

pub(super) fn first_aggregate(query: &Query) -> Option<&ast::Expr> {
    query.select.iter().find_map(|item| match item {
        SelectItem::Expr { expr, .. } if contains_aggregate(expr) => Some(expr),
        _ => None,
    })
}

/// The first table function of a select list.
pub(super) fn first_exploded(query: &Query) -> Option<ast::Expr> {
    query.select.iter().find_map(|item| match item {
        SelectItem::Expr { expr, .. } => first_table_function(expr),
        SelectItem::All { .. } | SelectItem::AllFields { .. } => None,
    })
}

/// The first column without an aggregate in it, where another one has one.
fn stranger(query: &Query) -> Option<&ast::Expr> {
    first_aggregate(query)?;
    query.select.iter().find_map(|item| match item {
        SelectItem::Expr { expr, .. } if !contains_aggregate(expr) => Some(expr),
        _ => None,
    })
}

fn call_name(expr: &ast::Expr) -> String {
    let mut name = String::new();
    super::expr::visit(expr, &mut |e| {
        if let ExprKind::Call { name: n, .. } = &e.kind
            && name.is_empty()
        {
            name.clone_from(&n.name);
        }
    });
    name
}

/// A literal's value, for tests of keys.
pub(super) fn literal(expr: &Expr) -> Option<&Value> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}
