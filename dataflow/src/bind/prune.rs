//! Only the columns that are read: what a source need not decode, and what a lookup or join need not carry.

use crate::plan::expr::Expr;
use crate::plan::join::{Join, Side};
use crate::plan::{Aggregate, Pipeline, Step, ViewKind};
use std::collections::{BTreeMap, BTreeSet};

/// Fills in the columns that a view's inputs are read for and that its filters keep, and takes those that nobody reads off
/// its lookups and joins.
pub(super) fn prune(joins: &mut [Join], kind: &mut ViewKind) {
    match kind {
        // The last step of these is the projection to their schema: all its columns are wanted.
        ViewKind::Stream(pipeline) | ViewKind::Table(pipeline) => prune_pipeline(joins, pipeline, Vec::new()),
        ViewKind::Aggregate(aggregate) => {
            let Aggregate { input, group, calls, .. } = aggregate;
            let reads = group.iter_mut().map(|g| &mut g.expr).chain(calls.iter_mut().flat_map(|c| &mut c.args));
            prune_pipeline(joins, input, reads.collect());
        }
    }
}

/// `last` are the expressions over the row behind the last step.
fn prune_pipeline(joins: &mut [Join], pipeline: &mut Pipeline, mut last: Vec<&mut Expr>) {
    // Positions behind the input's row belong to lookups.
    let input = pipeline.names.len();
    let mut width = input;
    let mut widths = Vec::with_capacity(pipeline.steps.len());
    for step in &pipeline.steps {
        widths.push(width);
        match step {
            Step::Filter(_) => {}
            Step::Project(exprs) => width = exprs.len(),
            Step::Explode(calls) => width += calls.len(),
            Step::Lookup(lookup) => width += lookup.columns.len(),
        }
    }
    // Backwards: what the steps behind read decides what a step gives.
    let mut wanted: BTreeSet<usize> = last.iter().flat_map(|e| e.columns()).collect();
    let mut kept: Vec<Vec<usize>> = vec![Vec::new(); pipeline.steps.len()];
    for (i, step) in pipeline.steps.iter_mut().enumerate().rev() {
        match step {
            Step::Filter(filter) => {
                filter.columns = wanted.iter().copied().collect();
                wanted.extend(filter.condition.columns());
            }
            Step::Project(exprs) => wanted = exprs.iter().flat_map(|e| e.expr.columns()).collect(),
            Step::Explode(calls) => {
                wanted.retain(|c| *c < widths[i]);
                wanted.extend(calls.iter().flat_map(|c| c.arg.columns()));
            }
            Step::Lookup(lookup) => {
                kept[i] = (0..lookup.columns.len()).filter(|c| wanted.contains(&(widths[i] + c))).collect();
                wanted = wanted.range(..widths[i]).copied().collect();
                wanted.extend(lookup.key.columns());
            }
        }
    }
    pipeline.columns = wanted.into_iter().filter(|c| *c < input).collect();
    // Forwards: columns move up where some before them are gone.
    let mut moved: BTreeMap<usize, usize> = (0..input).map(|c| (c, c)).collect();
    let mut next = input;
    if let Some(at) = joins.iter().position(|j| j.name == pipeline.input) {
        moved = prune_join(&mut joins[..=at], &mut pipeline.columns);
        next = moved.len();
        pipeline.names = moved.keys().filter_map(|c| pipeline.names.get(*c).cloned()).collect();
    }
    for (i, step) in pipeline.steps.iter_mut().enumerate() {
        match step {
            Step::Filter(filter) => {
                renumber(&mut filter.condition, &moved);
                filter.columns.iter_mut().for_each(|c| *c = moved.get(c).copied().unwrap_or(*c));
            }
            Step::Project(exprs) => {
                exprs.iter_mut().for_each(|e| renumber(&mut e.expr, &moved));
                moved = (0..exprs.len()).map(|c| (c, c)).collect();
                next = exprs.len();
            }
            Step::Explode(calls) => {
                for (at, call) in calls.iter_mut().enumerate() {
                    renumber(&mut call.arg, &moved);
                    moved.insert(widths[i] + at, next + at);
                }
                next += calls.len();
            }
            Step::Lookup(lookup) => {
                renumber(&mut lookup.key, &moved);
                for (at, column) in kept[i].iter().enumerate() {
                    moved.insert(widths[i] + column, next + at);
                }
                lookup.columns = kept[i].iter().filter_map(|c| lookup.columns.get(*c).copied()).collect();
                next += lookup.columns.len();
            }
        }
    }
    last.iter_mut().for_each(|e| renumber(e, &moved));
}

/// Leaves the last of these joins its key and the columns that are read of it, and prunes its sides. Returns where each
/// column that stays went; `columns` is put there too.
fn prune_join(joins: &mut [Join], columns: &mut Vec<usize>) -> BTreeMap<usize, usize> {
    let Some((join, before)) = joins.split_last_mut() else { return BTreeMap::new() };
    let keys = join.key.len();
    let stays: Vec<usize> = (0..keys).chain(columns.iter().copied().filter(|c| *c >= keys)).collect();
    let moved: BTreeMap<usize, usize> = stays.iter().enumerate().map(|(to, from)| (*from, to)).collect();
    let mut at = keys;
    for side in [&mut join.left, &mut join.right] {
        side.columns.retain(|_| {
            at += 1;
            moved.contains_key(&(at - 1))
        });
        let Side { input, key, columns } = side;
        let reads = key.iter_mut().chain(columns.iter_mut().map(|c| &mut c.expr));
        prune_pipeline(before, input, reads.collect());
    }
    *columns = columns.iter().filter_map(|c| moved.get(c).copied()).collect();
    moved
}

/// Puts every column at another place.
pub(super) fn relocate(expr: &mut Expr, place: &dyn Fn(usize) -> usize) {
    if let Expr::Column(i, _) = expr {
        *i = place(*i);
    }
    expr.children_mut().into_iter().for_each(|e| relocate(e, place));
}

/// Puts columns at their new positions.
pub(super) fn renumber(expr: &mut Expr, positions: &BTreeMap<usize, usize>) {
    if let Expr::Column(i, _) = expr
        && let Some(to) = positions.get(i)
    {
        *i = *to;
    }
    expr.children_mut().into_iter().for_each(|e| renumber(e, positions));
}
