//! Sessions: what arrives for a key is joined with the sessions that it touches.
//!
//! A session is kept under its group's key and its start, latest first, so the sessions near a time are found by one
//! seek and a step for each that is touched: the cost does not grow with a key's history. A session that grows at its end
//! keeps its place, its growth is added to it; one that is swallowed by another is marked dead.

use crate::arrange::store::{Reader, Run};
use crate::arrange::{Accum, Store};
use crate::row::packed;
use differential_dataflow::difference::Semigroup;
use std::collections::BTreeMap;

/// Rows of a group that are to be added: a session of their own until they meet others.
pub struct Arrival<'a> {
    /// The group's packed key.
    pub group: &'a [u8],
    /// Time of the first row; the last one's is the accumulator's time.
    pub start: i64,
    /// Sessions that ended before this time do not count any more; `i64::MIN`: all count.
    pub close: i64,
    /// What is added.
    pub accum: Accum,
}

/// A session before and after an epoch.
pub struct Touched {
    /// Its first row's time.
    pub start: i64,
    /// As it was.
    pub before: Option<Accum>,
    /// As it is; `None`: swallowed by another.
    pub after: Option<Accum>,
    /// What is to be added to what is stored.
    delta: Option<Accum>,
}

/// What an epoch's arrivals do.
#[derive(Default)]
pub struct Outcome {
    /// Updates by stretch, in order.
    pub runs: BTreeMap<i64, Vec<(Vec<u8>, Accum)>>,
    /// Groups with the sessions that changed.
    pub touched: Vec<(Vec<u8>, Vec<Touched>)>,
    /// Rows that came too late.
    pub late: u64,
}

/// Appends a session's start behind its group's key, so that later sessions come first.
pub fn push_start(out: &mut Vec<u8>, start: i64) {
    packed::push_i64(out, !start);
}

/// Reads what stands behind a group's key.
pub fn read_start(suffix: &[u8]) -> i64 {
    !packed::read_i64(suffix)
}

/// Applies an epoch's arrivals, which are in order of their group, and within it in order of their arrival.
pub fn apply(store: &mut Store, arrivals: &[Arrival<'_>], gap: i64) -> Outcome {
    let mut outcome = Outcome::default();
    let mut readers: BTreeMap<i64, Reader> = BTreeMap::new();
    for stretch in store.stretches() {
        readers.insert(stretch, store.read(stretch..=stretch, u64::MAX));
    }
    for arrivals in arrivals.chunk_by(|a, b| a.group == b.group) {
        let Some(group) = arrivals.first().map(|a| a.group) else { continue };
        let mut near: BTreeMap<i64, Touched> = BTreeMap::new();
        for arrival in arrivals {
            load(&mut readers, store, group, arrival, gap, &mut near);
            outcome.late += join(&mut near, arrival, gap);
        }
        let changed: Vec<Touched> = near.into_values().filter(|t| t.delta.is_some()).collect();
        for session in &changed {
            if session.before.is_none() && session.after.is_none() {
                continue;
            }
            let mut key = group.to_vec();
            push_start(&mut key, session.start);
            let update = if session.after.is_none() { Some(Accum::dead()) } else { session.delta.clone() };
            if let Some(update) = update {
                let stretch = place(&readers, store, session);
                outcome.runs.entry(stretch).or_default().push((key, update));
            }
        }
        outcome.touched.push((group.to_vec(), changed));
    }
    outcome.runs.values_mut().for_each(|run| run.sort_by(|a, b| a.0.cmp(&b.0)));
    outcome
}

/// The stretch that holds a session: where it was found, for a long one may have outlived the stretch of its start.
fn place(readers: &BTreeMap<i64, Reader>, store: &Store, session: &Touched) -> i64 {
    let own = store.stretch(session.start);
    match readers.keys().next() {
        Some(&first) => own.max(first),
        None => own,
    }
}

/// Brings the stored sessions that an arrival can touch into `near`.
fn load(
    readers: &mut BTreeMap<i64, Reader>,
    store: &Store,
    group: &[u8],
    arrival: &Arrival<'_>,
    gap: i64,
    near: &mut BTreeMap<i64, Touched>,
) {
    let low = arrival.start.saturating_sub(gap);
    let high = arrival.accum.time.saturating_add(gap);
    let mut from = group.to_vec();
    push_start(&mut from, high);
    let Some(&first) = readers.keys().next() else { return };
    let top = store.stretch(high).max(first);
    for (_, reader) in readers.range_mut(..=top).rev() {
        if reader.key().is_none_or(|key| key > from.as_slice()) {
            reader.rewind();
        }
        reader.seek(&from);
        while let Some(key) = reader.key() {
            if key.len() != group.len() + 8 || !key.starts_with(group) {
                break;
            }
            let start = read_start(&key[group.len()..]);
            let accum = reader.accum();
            reader.step();
            let Some(accum) = accum.filter(|a| !a.is_dead()) else { continue };
            if accum.time < low {
                return;
            }
            near.entry(start).or_insert_with(|| Touched {
                start,
                before: Some(accum.clone()),
                after: Some(accum),
                delta: None,
            });
        }
    }
}

/// Joins an arrival with the sessions near it. Returns how many rows came too late.
fn join(near: &mut BTreeMap<i64, Touched>, arrival: &Arrival<'_>, gap: i64) -> u64 {
    let (low, high) = (arrival.start.saturating_sub(gap), arrival.accum.time.saturating_add(gap));
    let met: Vec<i64> = near
        .values()
        .filter(|t| t.start <= high && t.after.as_ref().is_some_and(|a| a.time >= low && a.time >= arrival.close))
        .map(|t| t.start)
        .collect();
    let end = met.iter().filter_map(|s| near.get(s)?.after.as_ref().map(|a| a.time)).fold(arrival.accum.time, i64::max);
    if end < arrival.close {
        return arrival.accum.rows.unsigned_abs();
    }
    let start = met.first().copied().unwrap_or(arrival.start).min(arrival.start);
    // What joins the session that starts first: the arrival, and all of every other session that it meets.
    let mut joined = arrival.accum.clone();
    for other in met.iter().filter(|s| **s != start) {
        if let Some(session) = near.get_mut(other)
            && let Some(accum) = session.after.take()
        {
            joined.plus_equals(&accum);
            session.delta = Some(Accum::dead());
        }
    }
    let session = near.entry(start).or_insert_with(|| Touched { start, before: None, after: None, delta: None });
    match &mut session.after {
        Some(after) => after.plus_equals(&joined),
        None => session.after = Some(joined.clone()),
    }
    match &mut session.delta {
        Some(delta) if !delta.is_dead() => delta.plus_equals(&joined),
        _ => session.delta = Some(joined),
    }
    0
}

/// Updates as a run of an epoch.
pub fn run(epoch: u64, updates: &[(Vec<u8>, Accum)]) -> Run {
    let mut run = Run::new(epoch, updates.len(), updates.iter().map(|u| u.0.len()).sum());
    updates.iter().for_each(|(key, accum)| run.push(key, accum.clone()));
    run
}
