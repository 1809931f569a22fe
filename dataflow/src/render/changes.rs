//! What an epoch's updates change in the rows of a table: the rows before and after, finished some thousand at a time.

use super::TableChange;
use super::finish::{CHUNK, Item};
use super::keyed::Shape;
use super::sessions::Touched;
use super::windows::Hops;
use crate::arrange::reader::Reader;
use crate::arrange::{Accum, Dictionary, Key, Keys, Place};
use crate::views::change::Bounds;
use differential_dataflow::difference::Semigroup;

/// Changes that are being worked out.
pub(super) struct Changes<'s> {
    shape: &'s Shape,
    groups: &'s Dictionary,
    /// Those whose rows are not finished yet.
    pending: Vec<Pending>,
    out: Vec<TableChange>,
}

struct Pending {
    group: u32,
    window: Option<Bounds>,
    before: Option<Accum>,
    after: Accum,
}

impl<'s> Changes<'s> {
    pub(super) fn new(shape: &'s Shape, groups: &'s Dictionary) -> Self {
        Changes { shape, groups, pending: Vec::with_capacity(CHUNK), out: Vec::new() }
    }

    /// Groups without windows, or with windows of one pane each.
    pub(super) fn singles(
        &mut self,
        updates: &[(Key, Accum)],
        reader: &mut Reader<Keys>,
        window: impl Fn(Place) -> Option<Bounds>,
    ) {
        self.out.reserve(updates.len());
        for (key, update) in updates {
            self.add(key.group, window(key.place), reader.get(*key), update.clone());
        }
    }

    /// Windows of several panes each.
    pub(super) fn windows(&mut self, updates: &[(Key, Accum)], reader: &mut Reader<Keys>, hops: Hops) {
        let (mut added, mut old): (Vec<Option<Accum>>, Vec<Option<Accum>>) = (Vec::new(), Vec::new());
        // A group's updates whose windows share panes: readers do not go back.
        let near = |(a, _): &(Key, Accum), (b, _): &(Key, Accum)| {
            a.group == b.group && hops.first_start(b.place.at) < hops.last_start(a.place.at) + hops.size
        };
        for near in updates.chunk_by(near) {
            let (Some((Key { group, place }, _)), Some((behind, _))) = (near.first(), near.last()) else { continue };
            let (first, last) = (hops.first_start(place.at), hops.last_start(behind.place.at));
            let slots = usize::try_from((last - first) / hops.advance + 1).unwrap_or(0);
            for windows in [&mut added, &mut old] {
                windows.clear();
                windows.resize(slots, None);
            }
            for (key, accum) in near {
                spread(hops, key.place, accum, first, &mut added);
            }
            // The panes of all windows that change.
            reader.seek(Key { group: *group, place: Place { at: first, mark: 0 } });
            while let Some(key) = reader.key() {
                if key.group != *group || key.place.at >= last + hops.size {
                    break;
                }
                if let Some(accum) = reader.accum() {
                    spread(hops, key.place, &accum, first, &mut old);
                }
                reader.step();
            }
            for (start, (add, before)) in (0..).map(|i| first + i * hops.advance).zip(added.drain(..).zip(&mut old)) {
                if let Some(add) = add {
                    self.add(*group, Some(hops.bounds(start)), before.take(), add);
                }
            }
        }
    }

    fn add(&mut self, group: u32, window: Option<Bounds>, before: Option<Accum>, update: Accum) {
        let after = match &before {
            None => update,
            Some(before) => {
                let mut after = before.clone();
                after.plus_equals(&update);
                after
            }
        };
        self.pending.push(Pending { group, window, before, after });
        if self.pending.len() >= CHUNK {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let before = self.pending.iter().filter_map(|p| Some((p, p.before.as_ref()?)));
        let after = self.pending.iter().map(|p| (p, &p.after));
        let items: Vec<Item<'_>> = before
            .chain(after)
            .map(|(p, accum)| Item { key: self.groups.key(p.group), window: p.window, accum })
            .collect();
        let mut old = self.shape.finish.rows(&items);
        let new = old.split_off(items.len() - self.pending.len());
        let mut old = old.into_iter();
        for (change, new) in self.pending.drain(..).zip(new) {
            let old = change.before.and_then(|_| old.next()).flatten();
            if old.is_some() || new.is_some() || self.shape.tells_ends {
                let (key, time) = (self.groups.key(change.group).into(), change.after.time);
                self.out.push(TableChange { key, window: change.window, old, new, time });
            }
        }
    }

    /// The changes, in order of their groups' numbers.
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
            Some(Some(sum)) => sum.plus_equals(accum),
            Some(none) => *none = Some(accum.clone()),
            None => {}
        }
    }
}

/// A session whose bounds change is another row: the old one goes, first all that go, then what there is now.
pub(super) fn sessions(shape: &Shape, groups: &Dictionary, touched: &[(u32, Vec<Touched>)]) -> Vec<TableChange> {
    let bounds = |start: i64, accum: &Accum| Bounds { start, end: accum.time };
    let sessions = || touched.iter().flat_map(|(group, touched)| touched.iter().map(|t| (groups.key(*group), t)));
    let items: Vec<Item<'_>> = sessions()
        .flat_map(|(key, t)| t.before.iter().chain(&t.after).map(move |accum| (key, t.start, accum)))
        .map(|(key, start, accum)| Item { key, window: Some(bounds(start, accum)), accum })
        .collect();
    let mut out = Vec::with_capacity(items.len());
    let mut rows = shape.finish.rows(&items).into_iter();
    for (group, touched) in touched {
        let mut there = Vec::new();
        for session in touched {
            let mut row = |accum: &Option<Accum>| {
                let accum = accum.as_ref()?;
                Some((bounds(session.start, accum), accum.time, rows.next().flatten()))
            };
            let (before, after) = (row(&session.before), row(&session.after));
            let same = before.as_ref().map(|b| b.0) == after.as_ref().map(|a| a.0);
            let change = |window: Bounds, old, new, time| TableChange {
                key: groups.key(*group).into(),
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
