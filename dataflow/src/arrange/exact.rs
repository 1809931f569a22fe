//! Groups by what tells their rows apart: found without their keys, and with one wait for memory. Of more groups than a
//! table of a bearable size holds it knows some.

use super::slots::{Slot, Slots};
use crate::row::packer::{Basis, Short, mix, mix_short};

/// What tells a row apart.
pub trait Word: Copy + Eq {
    /// One of them.
    const ZERO: Self;
    /// A hash of it.
    fn hash(&self) -> u64;
}

impl Word for u64 {
    const ZERO: Self = 0;

    #[inline]
    fn hash(&self) -> u64 {
        mix(0, *self)
    }
}

impl Word for Short {
    const ZERO: Self = [0; 3];

    #[inline]
    fn hash(&self) -> u64 {
        mix_short(self)
    }
}

/// The groups of rows by what [tells them apart](crate::row::packer::Apart).
pub struct Exact<W> {
    basis: Basis,
    slots: Slots<Entry<W>>,
    /// The epoch from which the slots count.
    first: u64,
}

#[derive(Clone, Copy)]
struct Entry<W> {
    word: W,
    /// From 1; 0: there is none.
    group: u32,
    /// The last epoch in which the group was asked for, from [`Exact::first`] on.
    used: u32,
}

impl<W: Word> Entry<W> {
    #[inline]
    fn is(&self, word: &W) -> bool {
        (self.word == *word) & !self.is_free()
    }
}

impl<W: Word> Slot for Entry<W> {
    const FREE: Self = Entry { word: W::ZERO, group: 0, used: 0 };

    #[inline]
    fn is_free(&self) -> bool {
        self.group == 0
    }

    #[inline]
    fn tag(&self) -> u32 {
        tag(&self.word)
    }
}

#[inline]
fn tag(word: &impl Word) -> u32 {
    (word.hash() >> 32) as u32
}

/// So many slots, of which three quarters are taken: to make it larger would take too long for those that wait.
const MOST: usize = 1 << 22;

impl<W: Word> Exact<W> {
    /// None yet, of rows of this basis, from this epoch on.
    pub fn new(basis: Basis, first: u64) -> Self {
        Exact { basis, slots: Slots::default(), first }
    }

    /// Whether it is for rows of this basis, and can count as far as this epoch.
    pub fn is_for(&self, basis: &Basis, epoch: u64) -> bool {
        self.basis == *basis && epoch.saturating_sub(self.first) < u32::MAX.into()
    }

    /// The group of such a row, if it was set, of which is noted that it was asked for in this epoch.
    #[inline]
    pub fn get(&mut self, word: &W, epoch: u64) -> Option<u32> {
        let used = self.since_first(epoch);
        // Without a branch that cannot be foreseen.
        let near = self.slots.near(tag(word));
        let [first, second] = near.map(|at| (self.slots.at(at).is(word), at));
        let entry = match if second.0 { second } else { first } {
            (true, at) => self.slots.at_mut(at),
            (false, _) => self.slots.find_mut(tag(word), |entry| entry.word == *word)?,
        };
        entry.used = used.max(entry.used);
        Some(entry.group - 1)
    }

    /// Such a row's group will be asked for: its place begins to come from memory.
    #[inline]
    pub fn expect(&self, word: &W) {
        self.slots.expect(tag(word));
    }

    /// From now on such rows are of this group, which is asked for in this epoch. Returns the group that is not known any
    /// more, and the last epoch in which it was asked for.
    #[must_use]
    pub fn set(&mut self, word: W, group: u32, epoch: u64) -> Option<(u32, u64)> {
        let group = group.checked_add(1)?;
        let used = self.since_first(epoch);
        if let Some(entry) = self.slots.find_mut(tag(&word), |entry| entry.word == word) {
            *entry = Entry { word, group, used: used.max(entry.used) };
            return None;
        }
        let gone = self.slots.add_within(MOST, Entry { word, group, used })?;
        Some(self.group(&gone))
    }

    /// The groups, each with the last epoch in which it was asked for.
    pub fn groups(&self) -> impl Iterator<Item = (u32, u64)> {
        self.slots.iter().map(|entry| self.group(entry))
    }

    fn group(&self, entry: &Entry<W>) -> (u32, u64) {
        (entry.group - 1, self.first + u64::from(entry.used))
    }

    /// Forgets the groups that nobody asked for from this epoch on.
    pub fn forget(&mut self, before: u64) {
        let first = self.first;
        self.slots.retain(|entry| first + u64::from(entry.used) >= before);
    }

    #[inline]
    fn since_first(&self, epoch: u64) -> u32 {
        u32::try_from(epoch.saturating_sub(self.first)).unwrap_or(u32::MAX)
    }
}
