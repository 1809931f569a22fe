//! What an epoch's updates change in the rows of a table: the rows before and after, finished some thousand at a time.

use super::TableChange;
use super::finish::{CHUNK, Item};
use super::keyed::Shape;
use super::sessions::Touched;
use super::windows::{Hops, Place};
use crate::arrange::Accum;
use crate::arrange::reader::Reader;
use crate::row::packed;
use crate::views::change::Bounds;

/// Changes that are being worked out.
pub(super) struct Changes<'s, 'k> {
    shape: &'s Shape,
    /// Those whose rows are not finished yet.
    pending: Vec<Pending<'k>>,
    out: Vec<TableChange>,
}

struct Pending<'k> {
    key: &'k [u8],
    window: Option<Bounds>,
    before: Option<Accum>,
    after: Accum,
}

impl<'s, 'k> Changes<'s, 'k> {
    pub(super) fn new(shape: &'s Shape) -> Self {
        Changes { shape, pending: Vec::with_capacity(CHUNK), out: Vec::new() }
    }

    /// Groups without windows, or with windows of one pane each. `split` parts a stored key into the group's and its window.
    pub(super) fn singles(
        &mut self,
        updates: &[(&'k [u8], Accum)],
        reader: &mut Reader,
        split: impl Fn(&'k [u8]) -> (&'k [u8], Option<Bounds>),
    ) {
        self.out.reserve(updates.len());
        for (stored, update) in updates {
            let (key, window) = split(stored);
            self.add(key, window, reader.get(stored), update.clone());
        }
    }

    /// Windows of several panes each.
    pub(super) fn windows(&mut self, updates: &[(&'k [u8], Accum)], reader: &mut Reader, hops: Hops) {
        let (mut added, mut old): (Vec<Option<Accum>>, Vec<Option<Accum>>) = (Vec::new(), Vec::new());
        let mut from = Vec::new();
        let split = |update: &(&'k [u8], Accum)| Hops::split(update.0);
        // A group's updates whose windows share panes: readers do not go back.
        let near = |a: &(&'k [u8], Accum), b: &(&'k [u8], Accum)| {
            let ((group, before), (other, behind)) = (split(a), split(b));
            group == other && hops.first_start(behind.pane) < hops.last_start(before.pane) + hops.size
        };
        for near in updates.chunk_by(near) {
            let (Some((group, place)), Some((_, behind))) = (near.first().map(split), near.last().map(split)) else {
                continue;
            };
            let (first, last) = (hops.first_start(place.pane), hops.last_start(behind.pane));
            let slots = usize::try_from((last - first) / hops.advance + 1).unwrap_or(0);
            for windows in [&mut added, &mut old] {
                windows.clear();
                windows.resize(slots, None);
            }
            for (key, accum) in near {
                spread(hops, Hops::split(key).1, accum, first, &mut added);
            }
            // The panes of all windows that change.
            from.clear();
            from.extend_from_slice(group);
            packed::push_i64(&mut from, first);
            reader.seek(&from);
            while let Some(key) = reader.key() {
                let (owner, place) = Hops::split(key);
                if owner != group || place.pane >= last + hops.size {
                    break;
                }
                if let Some(accum) = reader.accum() {
                    spread(hops, place, &accum, first, &mut old);
                }
                reader.step();
            }
            for (start, (add, before)) in (0..).map(|i| first + i * hops.advance).zip(added.drain(..).zip(&mut old)) {
                if let Some(add) = add {
                    self.add(group, Some(hops.bounds(start)), before.take(), add);
                }
            }
        }
    }

    fn add(&mut self, key: &'k [u8], window: Option<Bounds>, before: Option<Accum>, update: Accum) {
        let after = match &before {
            None => update,
            Some(before) => {
                let mut after = before.clone();
                after.merge(&update);
                after
            }
        };
        self.pending.push(Pending { key, window, before, after });
        if self.pending.len() >= CHUNK {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let before = self.pending.iter().filter_map(|p| Some((p, p.before.as_ref()?)));
        let after = self.pending.iter().map(|p| (p, &p.after));
        let items: Vec<Item<'_>> =
            before.chain(after).map(|(p, accum)| Item { key: p.key, window: p.window, accum }).collect();
        let mut old = self.shape.finish.rows(&items);
        let new = old.split_off(items.len() - self.pending.len());
        let mut old = old.into_iter();
        for (change, new) in self.pending.drain(..).zip(new) {
            let old = change.before.and_then(|_| old.next()).flatten();
            if old.is_some() || new.is_some() || self.shape.tells_ends {
                let (key, time) = (change.key.into(), change.after.time);
                self.out.push(TableChange { key, window: change.window, old, new, time });
            }
        }
    }

    /// The changes, in order of their keys.
    pub(super) fn done(mut self) -> Vec<TableChange> {
        self.finish();
        self.out
    }
}

/// Adds a pane's entry to the windows that it counts for, of which the first starts at `first`.
fn spread(hops: Hops, place: Place, accum: &Accum, first: i64, windows: &mut [Option<Accum>]) {
    for start in hops.starts(place) {
        let slot = usize::try_from((start - first) / hops.advance).ok();
        match slot.and_then(|slot| windows.get_mut(slot)) {
            Some(Some(sum)) => sum.merge(accum),
            Some(none) => *none = Some(accum.clone()),
            None => {}
        }
    }
}

/// A session whose bounds change is another row: the old one goes, first all that go, then what there is now.
pub(super) fn sessions(shape: &Shape, touched: &[(Vec<u8>, Vec<Touched>)]) -> Vec<TableChange> {
    let bounds = |start: i64, accum: &Accum| Bounds { start, end: accum.time };
    let sessions = || touched.iter().flat_map(|(key, touched)| touched.iter().map(move |t| (key, t)));
    let items: Vec<Item<'_>> = sessions()
        .flat_map(|(key, t)| t.before.iter().chain(&t.after).map(move |accum| (key, t.start, accum)))
        .map(|(key, start, accum)| Item { key, window: Some(bounds(start, accum)), accum })
        .collect();
    let mut out = Vec::with_capacity(items.len());
    let mut rows = shape.finish.rows(&items).into_iter();
    for (key, touched) in touched {
        let mut there = Vec::new();
        for session in touched {
            let mut row = |accum: &Option<Accum>| {
                let accum = accum.as_ref()?;
                Some((bounds(session.start, accum), accum.time, rows.next().flatten()))
            };
            let (before, after) = (row(&session.before), row(&session.after));
            let same = before.as_ref().map(|b| b.0) == after.as_ref().map(|a| a.0);
            let change = |window: Bounds, old, new, time| TableChange {
                key: key.as_slice().into(),
                window: Some(window),
                old,
                new,
                time,
            };
            let mut old = None;
            match before {
                Some((_, _, row)) if same => old = row,
                Some((window, time, Some(row))) => out.push(change(window, Some(row), None, time)),
                Some((.., None)) | None => {}
            }
            if let Some((window, time, new)) = after
                && (old.is_some() || new.is_some())
            {
                there.push(change(window, old, new, time));
            }
        }
        out.extend(there);
    }
    out
}
