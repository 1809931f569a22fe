//! An epoch's parcels together, put in the order in which they are applied, column by column.

use super::parcels::Parcel;
use crate::arrange::keys::by_group;
use crate::arrange::narrow::in_order;
use crate::arrange::{Accums, Key, Keys, Places, Run};
use std::collections::BTreeMap;

/// See the module's head.
pub(super) struct Updates {
    /// The greatest of the parcels'.
    pub(super) stream_time: i64,
    pub(super) groups: Vec<u32>,
    pub(super) places: Places,
    pub(super) accums: Accums,
    /// As [`Parcel::sessions`].
    pub(super) sessions: Vec<(i64, i64)>,
}

impl Updates {
    /// All groups have numbers less than `end`.
    pub(super) fn of(mut parcels: Vec<Parcel<Vec<u32>>>, end: usize) -> Self {
        parcels.sort_by_key(|p| p.order);
        let mut more: usize = parcels.iter().map(|parcel| parcel.groups.len()).sum();
        let (groups, places, accums, sessions) = Default::default();
        let mut all = Updates { stream_time: i64::MIN, groups, places, accums, sessions };
        for parcel in parcels {
            more -= parcel.groups.len();
            let is_first = all.groups.is_empty();
            all.stream_time = all.stream_time.max(parcel.stream_time);
            if is_first {
                all.groups = parcel.groups;
            } else {
                all.groups.extend(parcel.groups);
            }
            all.places.append(parcel.places);
            all.accums.append(parcel.accums);
            all.sessions.extend(parcel.sessions);
            if is_first && !all.groups.is_empty() {
                all.reserve(more);
            }
        }
        all.in_order(end)
    }

    /// Makes room for so many more, at once.
    fn reserve(&mut self, more: usize) {
        self.groups.reserve(more);
        self.places.reserve(more);
        self.accums.reserve(more);
        if !self.sessions.is_empty() {
            self.sessions.reserve(more);
        }
    }

    /// By group, then by place; those of one place in the order in which they stand.
    fn in_order(mut self, end: usize) -> Updates {
        let order = by_group(&self.groups, &self.places.ascending(), end);
        self.those_at(&order)
    }

    /// Those that stand there, each of which comes once: they leave their parts.
    fn those_at(&mut self, order: &[u32]) -> Updates {
        Updates {
            stream_time: self.stream_time,
            groups: in_order(&self.groups, order),
            places: self.places.in_order(order),
            accums: self.accums.in_order(order),
            sessions: in_order(&self.sessions, order),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    #[inline]
    pub(super) fn key(&self, at: usize) -> Key {
        Key { group: self.groups[at], place: self.places.get(at) }
    }

    /// Those of each key as one, where they are in order.
    pub(super) fn added_up(mut self) -> Updates {
        let end = u32::try_from(self.len()).unwrap_or(u32::MAX);
        let is_first = |at: &u32| {
            let at = *at as usize;
            at == 0 || self.groups[at] != self.groups[at - 1] || self.places.get(at) != self.places.get(at - 1)
        };
        let firsts: Vec<u32> = (0..end).filter(is_first).collect();
        if firsts.len() == self.len() {
            return self;
        }
        let (groups, places) = (in_order(&self.groups, &firsts), self.places.in_order(&firsts));
        Updates { groups, places, accums: self.accums.sums(&firsts), sessions: Vec::new(), ..self }
    }

    /// A run of an epoch for each stretch of places.
    pub(super) fn runs(mut self, epoch: u64, stretch_of: impl Fn(i64) -> i64) -> Vec<(i64, Run<Keys>)> {
        let (first, last) = self.places.span();
        // Nearly always.
        if stretch_of(first) == stretch_of(last) {
            return vec![(stretch_of(first), self.run(epoch))];
        }
        let mut stretches: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (at, n) in (0..self.len()).zip(0..) {
            stretches.entry(stretch_of(self.places.get(at).at)).or_default().push(n);
        }
        stretches.into_iter().map(|(stretch, those)| (stretch, self.those_at(&those).run(epoch))).collect()
    }

    fn run(self, epoch: u64) -> Run<Keys> {
        Run::of(epoch, Keys::of(self.groups, self.places), self.accums)
    }
}
