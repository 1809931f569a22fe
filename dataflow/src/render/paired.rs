//! Table-table joins: what the change of a row on either side changes in the joined table.
//!
//! *Primary*: both rows have the join's key; they meet on the worker of that key. *Foreign*: a left row meets the right row
//! whose key it names, on the worker of the right row's key; a change of one right row concerns all left rows that name it.
//! What a left row is joined to then goes to the worker of the left row's key, which knows what it was before.
//!
//! An epoch's changes are taken together: what comes out of it is each joined row before and after, in order of the keys.
//! What is kept here (the rows of both sides, as far as the join reads them) is a copy of the tables' own rows.
//!
//! As in Kafka Streams, a change whose row has no partner tells nothing in an inner join by primary key; by foreign key the
//! end of a left row, and a left row that changes, is always told, also where nothing was joined.

use super::epochs::by_epoch;
use super::parcels::owner;
use super::port::Flow;
use super::table_changes::{TableChange, TableChanges};
use super::{SharedReports, steps, tables};
use crate::plan::join::{Join, Side};
use crate::row::packer::Packer;
use crate::row::{Schema, SqlType};
use crate::sql::ast::JoinKind;
use arrow_array::ArrayRef;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::operator::Operator;

type Bytes = Box<[u8]>;

/// A table's changes.
pub type Changes<'scope> = Flow<'scope, Arc<TableChanges>>;

/// What a row's change says to a join.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Part {
    target: u64,
    right: bool,
    /// The value on which it is joined; `None`: null.
    on: Option<Bytes>,
    /// The row's own key.
    own: Bytes,
    /// What it gives to a joined row; `None`: it is no more there.
    row: Option<Bytes>,
    /// The row was there before.
    was: bool,
    time: i64,
}

/// A row that is there: what it gives to a joined row, and its time.
type There = (Bytes, i64);

/// The changes of one side, as they concern the join. A left row of a foreign key that names another right row now is
/// taken from the one and given to the other.
fn parts<'scope>(
    changes: Changes<'scope>,
    schema: Schema,
    side: Side,
    right: bool,
    view: &str,
    reports: &SharedReports,
) -> Flow<'scope, Part> {
    let peers = changes.scope().peers() as u64;
    let (view, reports) = (view.to_owned(), reports.clone());
    changes.unary::<CapacityContainerBuilder<Vec<Part>>, _, _, _>(Pipeline, "Parts", move |_, _| {
        move |input, output| {
            input.for_each(|time, data| {
                let mut session = output.session(&time);
                for changes in data.drain(..) {
                    let mut failed = steps::errors();
                    let mut one = |new: bool| -> BTreeMap<usize, (Option<Bytes>, Bytes)> {
                        let batch = tables::batch(&schema, &changes, new);
                        let batch = steps::apply(&side.input.steps, batch, &mut failed);
                        let input = steps::input(&batch);
                        let mut packer = |exprs: &mut dyn Iterator<Item = &crate::plan::expr::Expr>| {
                            let columns: Vec<(ArrayRef, SqlType)> =
                                exprs.map(|e| (e.eval(&input, &mut failed), e.ty().clone())).collect();
                            Packer::new(columns)
                        };
                        let keys = packer(&mut side.key.iter());
                        let values = packer(&mut side.columns.iter().map(|c| &c.expr));
                        let pack = |packer: &Packer, row: usize| {
                            let mut out = Vec::new();
                            packer.push(&mut out, row);
                            out.into_boxed_slice()
                        };
                        let row = |row: usize| ((!keys.any_null(row)).then(|| pack(&keys, row)), pack(&values, row));
                        (0..batch.len()).map(|r| (usize::try_from(batch.offsets[r]).unwrap_or(0), row(r))).collect()
                    };
                    let (mut before, mut after) = (one(false), one(true));
                    for (i, change) in changes.iter().enumerate() {
                        let (before, after) = (before.remove(&i), after.remove(&i));
                        let was = before.is_some();
                        let part = |on: Option<Bytes>, row: Option<Bytes>| Part {
                            target: owner(on.as_deref().unwrap_or(change.key), peers),
                            right,
                            on,
                            own: change.key.into(),
                            row,
                            was,
                            time: change.time,
                        };
                        match (before, after) {
                            (Some((old, _)), Some((new, row))) => {
                                if old != new {
                                    session.give(part(old, None));
                                }
                                session.give(part(new, Some(row)));
                            }
                            (None, Some((new, row))) => session.give(part(new, Some(row))),
                            (Some((old, _)), None) => session.give(part(old, None)),
                            (None, None) => {}
                        }
                    }
                    reports.borrow_mut().evaluation(&view, &failed, &changes.times());
                }
            });
        }
    })
}

/// What a join does with rows that have no partner.
#[derive(Clone)]
struct Pairing {
    kind: JoinKind,
    /// Nulls in place of a side's columns.
    nulls: [Bytes; 2],
}

impl Pairing {
    /// The joined row of what is there, and its time: the later one's.
    fn join(&self, left: Option<&There>, right: Option<&There>) -> Option<There> {
        let outer = match (left, right) {
            (Some(_), Some(_)) => true,
            (Some(_), None) => matches!(self.kind, JoinKind::Left | JoinKind::Full),
            (None, Some(_)) => matches!(self.kind, JoinKind::Right | JoinKind::Full),
            (None, None) => false,
        };
        let row = |there: Option<&There>, nulls: &Bytes| there.map_or_else(|| nulls.clone(), |t| t.0.clone());
        let time = left.map_or(i64::MIN, |l| l.1).max(right.map_or(i64::MIN, |r| r.1));
        outer.then(|| ([row(left, &self.nulls[0]), row(right, &self.nulls[1])].concat().into(), time))
    }
}

/// Joins two tables' changes.
pub fn render<'scope>(
    left: (Changes<'scope>, Schema),
    right: (Changes<'scope>, Schema),
    join: &Join,
    foreign: bool,
    view: &str,
    reports: &SharedReports,
) -> Changes<'scope> {
    let nulls = |columns: usize| vec![0; columns].into_boxed_slice();
    let pairing = Pairing { kind: join.kind, nulls: [nulls(join.left.columns.len()), nulls(join.right.columns.len())] };
    let left = parts(left.0, left.1, join.left.clone(), false, view, reports);
    let right = parts(right.0, right.1, join.right.clone(), true, view, reports);
    let parts = left.concat(right);
    if foreign {
        let peers = parts.scope().peers() as u64;
        let answers = by_epoch(parts, &format!("Pair {}", join.name), |p: &Part| p.target, named(pairing, peers));
        by_epoch(answers, &format!("Told {}", join.name), |a: &Answer| a.target, told())
    } else {
        by_epoch(parts, &format!("Pair {}", join.name), |p: &Part| p.target, paired(pairing))
    }
}

/// By primary key: the rows of both sides by it.
fn paired(pairing: Pairing) -> impl FnMut(Vec<Part>) -> Vec<Arc<TableChanges>> {
    let mut pairs: HashMap<Bytes, [Option<There>; 2]> = HashMap::new();
    move |parts| {
        let mut by_key: BTreeMap<Bytes, Vec<Part>> = BTreeMap::new();
        for mut part in parts {
            if let Some(key) = part.on.take() {
                by_key.entry(key).or_default().push(part);
            }
        }
        let mut changes = TableChanges::with_room(by_key.len(), 0);
        for (key, parts) in by_key {
            let pair = pairs.entry(key.clone()).or_default();
            let old = pairing.join(pair[0].as_ref(), pair[1].as_ref());
            let mut time = i64::MIN;
            for part in parts {
                time = time.max(part.time);
                pair[usize::from(part.right)] = part.row.map(|row| (row, part.time));
            }
            let new = pairing.join(pair[0].as_ref(), pair[1].as_ref());
            time = pair.iter().flatten().map(|there| there.1).fold(time, i64::max);
            if pair.iter().all(Option::is_none) {
                pairs.remove(&key);
            }
            if old.is_some() || new.is_some() {
                let (old, new) = (old.as_ref().map(|old| &*old.0), new.as_ref().map(|new| &*new.0));
                changes.push(change(&key, old, new, time));
            }
        }
        if changes.is_empty() { Vec::new() } else { vec![Arc::new(changes)] }
    }
}

fn change<'a>(key: &'a [u8], old: Option<&'a [u8]>, new: Option<&'a [u8]>, time: i64) -> TableChange<'a> {
    TableChange { key, window: None, old, new, time }
}

/// What a left row is joined to now.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Answer {
    target: u64,
    key: Bytes,
    row: Option<Bytes>,
    time: i64,
}

/// A right row, and the left rows that name it.
#[derive(Default)]
struct Named {
    right: Option<There>,
    left: BTreeMap<Bytes, There>,
}

/// By foreign key: left rows by the right row that they name.
fn named(pairing: Pairing, peers: u64) -> impl FnMut(Vec<Part>) -> Vec<Answer> {
    let mut all: HashMap<Bytes, Named> = HashMap::new();
    move |parts| {
        let mut answers = Vec::new();
        let mut answer = |key: Bytes, row: Option<Bytes>, time: i64| {
            answers.push(Answer { target: owner(&key, peers), key, row, time });
        };
        // Left rows that go somewhere else, or for good, go first; then right rows change; then left rows come.
        let (left, right): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|p| !p.right);
        let (come, go): (Vec<Part>, Vec<Part>) = left.into_iter().partition(|p| p.row.is_some());
        let mut touched: Vec<Bytes> = Vec::new();
        let coming: std::collections::HashSet<&Bytes> = come.iter().map(|p| &p.own).collect();
        for part in &go {
            let Some(named) = part.on.as_ref().and_then(|on| all.get_mut(on)) else {
                answer(part.own.clone(), None, part.time);
                continue;
            };
            named.left.remove(&part.own);
            touched.extend(part.on.clone());
            let time = named.right.as_ref().map_or(part.time, |r| r.1.max(part.time));
            answer(part.own.clone(), None, time);
        }
        for part in right {
            let Some(on) = part.on else { continue };
            if part.row.is_none() {
                touched.push(on.clone());
            }
            let named = all.entry(on).or_default();
            named.right = part.row.map(|row| (row, part.time));
            for (key, left) in named.left.iter().filter(|(key, _)| !coming.contains(key)) {
                let row = pairing.join(Some(left), named.right.as_ref());
                answer(key.clone(), row.map(|r| r.0), left.1.max(part.time));
            }
        }
        for part in &come {
            let Some(row) = part.row.clone() else { continue };
            let left = (row, part.time);
            let right = part.on.clone().and_then(|on| {
                let named = all.entry(on).or_default();
                named.left.insert(part.own.clone(), left.clone());
                named.right.clone()
            });
            let joined = pairing.join(Some(&left), right.as_ref());
            let time = joined.as_ref().map_or(part.time, |j| j.1);
            // A new row that finds nothing tells nothing, one that changed does.
            if joined.is_some() || part.was {
                answer(part.own.clone(), joined.map(|j| j.0), time);
            }
        }
        for on in touched {
            if all.get(&on).is_some_and(|named| named.right.is_none() && named.left.is_empty()) {
                all.remove(&on);
            }
        }
        answers
    }
}

/// What left rows were joined to, by their keys.
fn told() -> impl FnMut(Vec<Answer>) -> Vec<Arc<TableChanges>> {
    let mut joined: HashMap<Bytes, Bytes> = HashMap::new();
    move |answers| {
        // A row that went to another right row is answered for twice: what it is joined to now counts.
        let mut by_key: BTreeMap<Bytes, (Option<Bytes>, i64)> = BTreeMap::new();
        for Answer { key, row, time, .. } in answers {
            let known = by_key.entry(key).or_insert((None, time));
            known.1 = known.1.max(time);
            if row.is_some() {
                *known = (row, time);
            }
        }
        let mut changes = TableChanges::with_room(by_key.len(), 0);
        for (key, (new, time)) in by_key {
            let old = match &new {
                Some(row) => joined.insert(key.clone(), row.clone()),
                None => joined.remove(&key),
            };
            changes.push(change(&key, old.as_deref(), new.as_deref(), time));
        }
        if changes.is_empty() { Vec::new() } else { vec![Arc::new(changes)] }
    }
}
