//! Sessions: what arrives for a key is joined with the sessions that it touches.
//!
//! A session is kept under its group's key and its start, latest first, so the sessions near a time are found by one
//! seek and a step for each that is touched: the cost does not grow with a key's history. A session that grows at its end
//! keeps its place, its growth is added to it; one that is swallowed by another is marked dead.

use crate::arrange::reader::Reader;
use crate::arrange::store::Run;
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
    /// Updates by stretch.
    pub runs: BTreeMap<i64, Run>,
    /// Groups with the sessions that changed, where that was asked for.
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
/// `tell`: what was touched is asked for.
pub fn apply<'a>(
    store: &mut Store,
    arrivals: impl ExactSizeIterator<Item = Arrival<'a>>,
    gap: i64,
    epoch: u64,
    tell: bool,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut stored = Stored::new(store);
    let room = arrivals.len();
    let mut near: Vec<Touched> = Vec::new();
    let mut key: Vec<u8> = Vec::new();
    let mut arrivals = arrivals.peekable();
    while let Some(first) = arrivals.next() {
        let group = first.group;
        let mut arrival = Some(first);
        while let Some(a) = arrival {
            stored.load(group, &a, gap, &mut near, &mut key);
            outcome.late += join(&mut near, a, gap);
            arrival = arrivals.next_if(|a| a.group == group);
        }
        // The latest first: in order of their stored keys.
        for session in near.iter().rev() {
            let update = match (&session.before, &session.after) {
                (None, None) => None,
                (_, None) => Some(Accum::dead()),
                _ => session.delta.clone(),
            };
            if let Some(update) = update {
                key.clear();
                key.extend_from_slice(group);
                push_start(&mut key, session.start);
                let stretch = stored.place(session.start);
                // Nearly all belong in one stretch.
                let room = if outcome.runs.is_empty() { room } else { 0 };
                let run = outcome.runs.entry(stretch).or_insert_with(|| Run::new(epoch, room, room * key.len()));
                run.push(&key, update);
            }
        }
        if tell {
            outcome.touched.push((group.to_vec(), near.drain(..).filter(|t| t.delta.is_some()).collect()));
        }
        near.clear();
    }
    outcome
}

/// The sessions as they were before the epoch, by stretch.
struct Stored<'a> {
    store: &'a Store,
    /// Ascending: number, latest end, reader.
    readers: Vec<(i64, i64, Reader)>,
}

impl<'a> Stored<'a> {
    fn new(store: &'a mut Store) -> Self {
        let stretches = store.stretches();
        let readers = stretches.into_iter().map(|s| (s, store.latest(s), store.read(s..=s, u64::MAX))).collect();
        Stored { store, readers }
    }

    /// The stretch of a session: its start's, unless it has outlived that one.
    fn place(&self, start: i64) -> i64 {
        let own = self.store.stretch(start);
        self.readers.first().map_or(own, |(first, ..)| own.max(*first))
    }

    /// Brings the stored sessions that an arrival can touch into `near`, which is in order of starts.
    fn load(&mut self, group: &[u8], arrival: &Arrival<'_>, gap: i64, near: &mut Vec<Touched>, from: &mut Vec<u8>) {
        let low = arrival.start.saturating_sub(gap);
        let high = arrival.accum.time.saturating_add(gap);
        from.clear();
        from.extend_from_slice(group);
        push_start(from, high);
        let Some(&(first, ..)) = self.readers.first() else { return };
        let top = self.store.stretch(high).max(first);
        for (stretch, latest, reader) in self.readers.iter_mut().rev() {
            // Neither what starts too late nor what ended too early is near.
            if *stretch > top || *latest < low {
                continue;
            }
            if reader.key().is_none_or(|key| key > from.as_slice()) {
                reader.rewind();
            }
            reader.seek(from);
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
                if let Err(at) = near.binary_search_by_key(&start, |t| t.start) {
                    near.insert(at, Touched { start, before: Some(accum.clone()), after: Some(accum), delta: None });
                }
            }
        }
    }
}

/// Joins an arrival with the sessions near it. Returns how many rows came too late.
fn join(near: &mut Vec<Touched>, arrival: Arrival<'_>, gap: i64) -> u64 {
    let (low, high) = (arrival.start.saturating_sub(gap), arrival.accum.time.saturating_add(gap));
    let meets =
        |t: &Touched| t.start <= high && t.after.as_ref().is_some_and(|a| a.time >= low && a.time >= arrival.close);
    let ends = near.iter().filter(|t| meets(t)).filter_map(|t| t.after.as_ref().map(|a| a.time));
    if ends.fold(arrival.accum.time, i64::max) < arrival.close {
        return arrival.accum.rows.unsigned_abs();
    }
    let start = near.iter().find(|t| meets(t)).map_or(arrival.start, |t| t.start.min(arrival.start));
    // What joins the session that starts first: the arrival, and all of every other session that it meets.
    let mut joined = arrival.accum;
    let close = arrival.close;
    for session in near.iter_mut().filter(|t| t.start != start && t.start <= high) {
        if session.after.as_ref().is_some_and(|a| a.time >= low && a.time >= close)
            && let Some(accum) = session.after.take()
        {
            joined.plus_equals(&accum);
            session.delta = Some(Accum::dead());
        }
    }
    let at = match near.binary_search_by_key(&start, |t| t.start) {
        Ok(at) => at,
        Err(at) => {
            near.insert(at, Touched { start, before: None, after: None, delta: None });
            at
        }
    };
    let session = &mut near[at];
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
