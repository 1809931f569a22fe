//! The select list: stars written out, columns named.

use super::Catalog;
use super::expr::{Binder, Typed};
use super::from::From;
use super::query::Purpose;
use super::scope::{BOUNDS, Clause, Named, PSEUDO};
use crate::plan::Explode;
use crate::plan::expr::Expr;
use crate::row::SqlType;
use crate::sql::ast::{self, ExprKind, Ident, Query, SelectItem};
use crate::sql::error::{Diagnostic, Span};

/// One column of a select list.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The column's name.
    pub(super) name: String,
    /// Its value over the row.
    pub(super) expr: Expr,
    /// Under AS_VALUE: never the key.
    pub(super) as_value: bool,
    /// Where.
    pub(super) span: Span,
}

/// The columns of the select list, stars written out, names given.
pub(super) fn items(
    catalog: &Catalog,
    from: &From,
    query: &Query,
    purpose: Purpose<'_>,
    keys: Option<&[Expr]>,
    explode: &mut Vec<Explode>,
) -> Result<Vec<Item>, Diagnostic> {
    let mut items = Vec::new();
    let mut names = Names::new(from);
    for item in &query.select {
        match item {
            SelectItem::All { qualifier, span } => {
                // Behind PARTITION BY the key's computed columns are columns like others.
                for (key, expr) in keys.into_iter().flatten().zip(&query.partition_by) {
                    if from
                        .scope
                        .relations
                        .iter()
                        .all(|r| !matches!(key, Expr::Column(i, _) if *i < r.offset + r.columns.len()))
                    {
                        let name = names.of(from, expr);
                        items.push(Item { name, expr: key.clone(), as_value: false, span: *span });
                    }
                }
                stars(from, qualifier.as_ref(), *span, purpose, keys, &mut items)?;
            }
            SelectItem::AllFields { base, span } => fields(catalog, from, base, *span, &mut items)?,
            SelectItem::Expr { expr, alias } => {
                unnamed(expr, alias.as_ref(), purpose)?;
                let own = Binder::new(catalog, &from.scope, Clause::Select);
                let typed = Binder { explode: Some(&mut *explode), ..own }.bind(expr)?;
                items.push(item_of(from, expr, alias.as_ref(), typed, &mut names)?);
            }
        }
    }
    Ok(items)
}

/// A written column.
pub(super) fn item_of(
    from: &From,
    expr: &ast::Expr,
    alias: Option<&Ident>,
    typed: Typed,
    names: &mut Names,
) -> Result<Item, Diagnostic> {
    if typed.null {
        return Err(Diagnostic::at(
            expr.span,
            "Can't infer a type of null. Please explicitly cast it to a required type, e.g. CAST(null AS VARCHAR).",
        ));
    }
    let name = match alias {
        Some(alias) => {
            reserved(alias)?;
            alias.name.clone()
        }
        None => names.of(from, expr),
    };
    let as_value = matches!(&expr.kind, ExprKind::Call { name, .. } if name.name == "AS_VALUE");
    Ok(Item { name, expr: typed.expr, as_value, span: expr.span })
}

/// Aliases that would hide a pseudo column.
fn reserved(alias: &Ident) -> Result<(), Diagnostic> {
    if is_pseudo(&alias.name) {
        return Err(Diagnostic::at(
            alias.span,
            format!("`{}` is a reserved column name. You cannot use it as an alias for a column.", alias.name),
        ));
    }
    Ok(())
}

/// A pseudo column needs another name to be kept.
pub(super) fn unnamed(expr: &ast::Expr, alias: Option<&Ident>, purpose: Purpose<'_>) -> Result<(), Diagnostic> {
    let (ExprKind::Column { qualifier, name }, Purpose::Keep(_)) = (&expr.kind, purpose) else { return Ok(()) };
    let kept = alias.map_or(qualifier.is_none(), |alias| alias.name == name.name);
    if !kept || !is_pseudo(&name.name) {
        return Ok(());
    }
    Err(Diagnostic::at(
        name.span,
        format!("Reserved column name in select: `{}`. Please remove or alias the column.", name.name),
    )
    .hint(format!("write {} AS another name", name.name)))
}

fn is_pseudo(name: &str) -> bool {
    ["ROWTIME", "ROWPARTITION", "ROWOFFSET"].contains(&name) || BOUNDS.contains(&name)
}

/// Gives names to columns that have none.
pub(super) struct Names {
    next: usize,
    taken: Vec<String>,
}

impl Names {
    pub(super) fn new(from: &From) -> Self {
        let taken = from.scope.relations.iter().flat_map(|r| r.columns.iter().map(|c| c.name.clone())).collect();
        Names { next: 0, taken }
    }

    /// The name of a column that has no alias: a column's own (in a join with its relation's before it when several
    /// have it), a field's, or KSQL_COL_n.
    pub(super) fn of(&mut self, from: &From, expr: &ast::Expr) -> String {
        match &expr.kind {
            ExprKind::Column { qualifier, name } => {
                let pseudo = qualifier.is_some() && is_pseudo(&name.name) && !from.scope.is_single();
                if !pseudo && !from.scope.is_shared(&name.name) {
                    return name.name.clone();
                }
                match qualifier {
                    Some(q) => format!("{}_{}", q.name, name.name),
                    None => name.name.clone(),
                }
            }
            ExprKind::Field { field, .. } => {
                let mut name = field.name.clone();
                let mut n = 0;
                while self.taken.contains(&name) {
                    n += 1;
                    name = format!("{}_{n}", field.name);
                }
                self.taken.push(name.clone());
                name
            }
            _ => loop {
                let name = format!("KSQL_COL_{}", self.next);
                self.next += 1;
                if !self.taken.contains(&name) {
                    return name;
                }
            },
        }
    }
}

/// The columns of `*` or `alias.*`.
fn stars(
    from: &From,
    qualifier: Option<&Ident>,
    span: Span,
    purpose: Purpose<'_>,
    keys: Option<&[Expr]>,
    items: &mut Vec<Item>,
) -> Result<(), Diagnostic> {
    let relations: Vec<&Named> = match qualifier {
        None => from.scope.relations.iter().collect(),
        Some(q) => match from.scope.relations.iter().find(|r| r.alias == q.name) {
            Some(r) => vec![r],
            None => {
                return Err(Diagnostic::at(q.span, format!("'{}' is not a valid stream/table name or alias.", q.name)));
            }
        },
    };
    let prefix = !from.scope.is_single();
    // A key that no column stands for is a column of the whole row.
    if let (Some(key), None) = (&from.scope.synthetic, qualifier) {
        items.push(Item { name: key.name.clone(), expr: Expr::Column(0, key.ty.clone()), as_value: false, span });
    }
    for relation in relations {
        let column = |name: &str| Some((name.to_owned(), relation.column(name)?));
        let mut columns: Vec<(String, Expr)> = relation.columns.iter().filter_map(|c| column(&c.name)).collect();
        // The bounds of a side of a join are columns like others.
        if relation.windowed && (purpose == Purpose::Push || prefix) {
            let at = relation.keys;
            columns.splice(at..at, BOUNDS.into_iter().filter_map(column));
        }
        // Behind PARTITION BY the old key is a value like others, and stands last; a join's sides bring ROWTIME and the
        // like with them.
        if keys.is_some() {
            let keys = relation.keys;
            columns.rotate_left(keys);
            let pseudo = PSEUDO.iter().zip(&relation.pseudo).filter(|_| prefix);
            let pseudo = pseudo.filter_map(|(name, expr)| Some(((*name).to_owned(), expr.clone()?)));
            let at = columns.len() - keys;
            columns.splice(at..at, pseudo.collect::<Vec<_>>());
        }
        for (name, expr) in columns {
            let name = if prefix { format!("{}_{name}", relation.alias) } else { name };
            items.push(Item { name, expr, as_value: false, span });
        }
    }
    Ok(())
}

/// The columns of `struct->*`.
fn fields(
    catalog: &Catalog,
    from: &From,
    base: &ast::Expr,
    span: Span,
    items: &mut Vec<Item>,
) -> Result<(), Diagnostic> {
    let expr = Binder::new(catalog, &from.scope, Clause::Select).value(base)?;
    let SqlType::Struct(fields) = expr.ty().clone() else {
        return Err(Diagnostic::at(span, "Only the fields of a STRUCT can be selected with ->*"));
    };
    for (i, (name, ty)) in fields.into_iter().enumerate() {
        let expr = Expr::Field(Box::new(expr.clone()), i, ty);
        items.push(Item { name, expr, as_value: false, span });
    }
    Ok(())
}

/// The select list's place.
pub(super) fn select_span(query: &Query) -> Span {
    let span = |item: &SelectItem| match item {
        SelectItem::All { span, .. } | SelectItem::AllFields { span, .. } => *span,
        SelectItem::Expr { expr, alias } => alias.as_ref().map_or(expr.span, |a| expr.span.to(a.span)),
    };
    query.select.iter().map(span).reduce(Span::to).unwrap_or(query.span)
}
