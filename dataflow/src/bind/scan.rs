//! Pull queries where scans are switched off (`ksql.query.pull.table.scan.enabled=false`): WHERE must name whole keys.

use super::Catalog;
use super::expr::Binder;
use super::from::From;
use super::scope::Clause;
use crate::plan::expr::Expr;
use crate::row::SqlType;
use crate::sql::ast::{self, BinaryOp, ExprKind, Query};
use crate::sql::error::Diagnostic;

/// What one comparison says of the key.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Says {
    /// It is not about the key.
    Nothing,
    /// The key column with this number has this value, or one of these.
    Value(usize),
    /// It is within a range.
    Range,
}

/// Refuses a query that would have to scan its table.
pub(super) fn check(catalog: &Catalog, from: &From, query: &Query, ranges: bool) -> Result<(), Diagnostic> {
    let Some(filter) = &query.filter else {
        return Err(Diagnostic::at(query.span, "Missing WHERE clause. See https://cnfl.io/queries for more info.\nAdd EMIT CHANGES if you intended to issue a push query.")
            .hint("SET 'ksql.query.pull.table.scan.enabled'='true' allows scans"));
    };
    let keys = from.scope.relations.first().map_or(0, |r| r.keys);
    let mut binder = Binder::new(catalog, &from.scope, Clause::Where);
    let first = from.scope.relations.first().and_then(|r| r.columns.first());
    let text_key = first.is_some_and(|c| c.ty == SqlType::String);
    let disjuncts = split(filter, BinaryOp::Or);
    for disjunct in &disjuncts {
        let conjuncts = split(disjunct, BinaryOp::And);
        let mut named = vec![false; keys];
        let mut ranged = 0;
        for conjunct in &conjuncts {
            match says(&mut binder, conjunct, keys)? {
                Says::Nothing => {}
                Says::Value(key) => named[key] = true,
                Says::Range => ranged += 1,
            }
        }
        if named.iter().all(|n| *n) {
            continue;
        }
        let some = named.iter().any(|n| *n);
        if keys > 1 && (some || ranged == 1) {
            return Err(Diagnostic::at(
                disjunct.span,
                "Multi-column sources must specify every key in the WHERE clause.",
            ));
        }
        if ranged > 1 && keys == 1 {
            return Err(Diagnostic::at(
                disjunct.span,
                "A comparison condition on the key column cannot be combined with other comparisons such as an IN predicate",
            ));
        }
        if ranged > 0 {
            // A range of one key of text is read in the order of its bytes, where that is allowed.
            if ranges && keys == 1 && disjuncts.len() == 1 && text_key && from.window.is_none() {
                continue;
            }
            return Err(Diagnostic::at(
                disjunct.span,
                "Query requires table scan to be enabled. Table scans can be enabled by setting ksql.query.pull.table.scan.enabled=true.",
            ));
        }
        return Err(Diagnostic::at(
            disjunct.span,
            format!("WHERE clause missing key column for disjunct: {}", binder.text(disjunct)),
        ));
    }
    Ok(())
}

/// The parts of a chain of AND or OR.
fn split(expr: &ast::Expr, by: BinaryOp) -> Vec<&ast::Expr> {
    match &expr.kind {
        ExprKind::Binary { op, left, right } if *op == by => {
            let mut parts = split(left, by);
            parts.extend(split(right, by));
            parts
        }
        _ => vec![expr],
    }
}

fn says(binder: &mut Binder<'_>, expr: &ast::Expr, keys: usize) -> Result<Says, Diagnostic> {
    let unresolvable =
        || Diagnostic::at(expr.span, "A comparison must be between a key column and a resolvable expression.");
    let mut key_of = |e: &ast::Expr| match binder.value(e) {
        Ok(Expr::Column(i, _)) if i < keys => Some(i),
        _ => None,
    };
    match &expr.kind {
        ExprKind::Binary { op, left, right } => {
            let (a, b) = (key_of(left), key_of(right));
            let (key, other) = match (a, b) {
                (Some(_), Some(_)) => return Err(unresolvable()),
                (Some(key), None) => (key, right),
                (None, Some(key)) => (key, left),
                (None, None) => return Ok(Says::Nothing),
            };
            if !binder.value(other)?.is_constant() {
                return Err(unresolvable());
            }
            match op {
                BinaryOp::Equal => Ok(Says::Value(key)),
                BinaryOp::Less | BinaryOp::LessOrEqual | BinaryOp::Greater | BinaryOp::GreaterOrEqual => {
                    Ok(Says::Range)
                }
                _ => Ok(Says::Nothing),
            }
        }
        ExprKind::In { operand, list, negated: false } => match key_of(operand) {
            None => Ok(Says::Nothing),
            Some(key) => {
                for item in list {
                    if !binder.value(item)?.is_constant() {
                        return Err(unresolvable());
                    }
                }
                Ok(Says::Value(key))
            }
        },
        _ => Ok(Says::Nothing),
    }
}
