//! Groups by what tells their rows apart: found without their keys, and with one wait for memory. Of more groups than a
//! table of a bearable size holds it knows some.
//!
//! Small numbers, as ids and rows of a table are, have places in a list; all else is found by its hash.

use super::slots::{Slot, Slots};
use crate::prefetch::prefetch;
use crate::row::packer::{Basis, Short, mix, mix_short};

/// What tells a row apart.
pub trait Word: Copy + Eq {
    /// One of them.
    const ZERO: Self;
    /// A hash of it.
    fn hash(&self) -> u64;
    /// Its place in a list, which is too great for one where it is no number.
    fn place(&self) -> usize;
}

impl Word for u64 {
    const ZERO: Self = 0;

    #[inline]
    fn hash(&self) -> u64 {
        mix(0, *self)
    }

    #[inline]
    fn place(&self) -> usize {
        usize::try_from(*self).unwrap_or(usize::MAX)
    }
}

impl Word for Short {
    const ZERO: Self = [0; 3];

    #[inline]
    fn hash(&self) -> u64 {
        mix_short(self)
    }

    #[inline]
    fn place(&self) -> usize {
        usize::MAX
    }
}

/// The groups of rows by what [tells them apart](crate::row::packer::Apart).
pub struct Exact<W> {
    basis: Basis,
    /// Those of the words that have a place in it.
    list: Vec<Use>,
    /// All others.
    slots: Slots<Entry<W>>,
    /// How many [may](may_have_place) be in the list.
    small: usize,
    /// The epoch from which the list and the slots count.
    first: u64,
}

/// A group, and when it was used.
#[derive(Clone, Copy, Default)]
struct Use {
    /// From 1; 0: there is none.
    group: u32,
    /// The last epoch in which the group was asked for, from [`Exact::first`] on.
    used: u32,
}

#[derive(Clone, Copy)]
struct Entry<W> {
    word: W,
    known: Use,
}

impl<W: Word> Entry<W> {
    #[inline]
    fn is(&self, word: &W) -> bool {
        (self.word == *word) & !self.is_free()
    }
}

impl<W: Word> Slot for Entry<W> {
    const FREE: Self = Entry { word: W::ZERO, known: Use { group: 0, used: 0 } };

    #[inline]
    fn is_free(&self) -> bool {
        self.known.group == 0
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

/// So many slots, of which three quarters are taken: to make it larger would take too long for those that wait. The list is
/// no longer than that.
const MOST: usize = 1 << 22;

fn may_have_place(word: &impl Word) -> bool {
    word.place() < MOST
}

impl<W: Word> Exact<W> {
    /// None yet, of rows of this basis, from this epoch on.
    pub fn new(basis: Basis, first: u64) -> Self {
        Exact { basis, list: Vec::new(), slots: Slots::default(), small: 0, first }
    }

    /// Whether it is for rows of this basis, and can count as far as this epoch.
    pub fn is_for(&self, basis: &Basis, epoch: u64) -> bool {
        self.basis == *basis && epoch.saturating_sub(self.first) < u32::MAX.into()
    }

    /// The group of such a row, if it was set, of which is noted that it was asked for in this epoch.
    #[inline]
    pub fn get(&mut self, word: &W, epoch: u64) -> Option<u32> {
        let used = self.since_first(epoch);
        let known = match self.list.get_mut(word.place()) {
            Some(known) => known,
            None => {
                // Without a branch that cannot be foreseen.
                let near = self.slots.near(tag(word));
                let [first, second] = near.map(|at| (self.slots.at(at).is(word), at));
                let entry = match if second.0 { second } else { first } {
                    (true, at) => self.slots.at_mut(at),
                    (false, _) => self.slots.find_mut(tag(word), |entry| entry.word == *word)?,
                };
                &mut entry.known
            }
        };
        known.used = used.max(known.used);
        known.group.checked_sub(1)
    }

    /// Such a row's group will be asked for: its place begins to come from memory.
    #[inline]
    pub fn expect(&self, word: &W) {
        match self.list.get(word.place()) {
            Some(known) => prefetch(known),
            None => self.slots.expect(tag(word)),
        }
    }

    /// From now on such rows are of this group, which is asked for in this epoch. Returns the group that is not known any
    /// more, and the last epoch in which it was asked for.
    #[must_use]
    pub fn set(&mut self, word: W, group: u32, epoch: u64) -> Option<(u32, u64)> {
        let known = Use { group: group.checked_add(1)?, used: self.since_first(epoch) };
        // A list is worth its room if an eighth of it will be taken, or it is short.
        if word.place() >= self.list.len() && word.place() < (4 * self.small + 1024).min(MOST) {
            self.lengthen((word.place() + 1).next_power_of_two());
        }
        let before = match self.list.get_mut(word.place()) {
            Some(before) => Some(before),
            None => self.slots.find_mut(tag(&word), |entry| entry.word == word).map(|entry| &mut entry.known),
        };
        if let Some(before) = before {
            self.small += usize::from(before.group == 0);
            *before = Use { used: known.used.max(before.used), ..known };
            return None;
        }
        self.small += usize::from(may_have_place(&word));
        let gone = self.slots.add_within(MOST, Entry { word, known })?;
        self.small -= usize::from(may_have_place(&gone.word));
        Some(self.group(gone.known))
    }

    /// Makes places for the words less than `length`.
    fn lengthen(&mut self, length: usize) {
        self.list.resize(length, Use::default());
        let mut moved = false;
        for entry in self.slots.iter().filter(|entry| entry.word.place() < length) {
            self.list[entry.word.place()] = entry.known;
            moved = true;
        }
        if moved {
            self.slots.retain(|entry| entry.word.place() >= length);
        }
    }

    /// The groups, each with the last epoch in which it was asked for.
    pub fn groups(&self) -> impl Iterator<Item = (u32, u64)> {
        let listed = self.list.iter().filter(|known| known.group > 0).copied();
        listed.chain(self.slots.iter().map(|entry| entry.known)).map(|known| self.group(known))
    }

    fn group(&self, known: Use) -> (u32, u64) {
        (known.group - 1, self.first + u64::from(known.used))
    }

    /// Forgets the groups that nobody asked for from this epoch on.
    pub fn forget(&mut self, before: u64) {
        let first = self.first;
        let stays = |known: &Use| known.group > 0 && first + u64::from(known.used) >= before;
        self.list.iter_mut().filter(|known| !stays(known)).for_each(|known| *known = Use::default());
        self.list.truncate(self.list.iter().rposition(stays).map_or(0, |last| last + 1));
        if self.list.capacity() / 2 > self.list.len() {
            self.list.shrink_to_fit();
        }
        self.slots.retain(|entry| stays(&entry.known));
        let listed = self.list.iter().filter(|known| stays(known)).count();
        self.small = listed + self.slots.iter().filter(|entry| may_have_place(&entry.word)).count();
    }

    #[inline]
    fn since_first(&self, epoch: u64) -> u32 {
        u32::try_from(epoch.saturating_sub(self.first)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::SqlType;
    use crate::row::packer::Packer;
    use arrow_array::Int32Array;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    proptest! {
        /// Epochs of words, near 0 and not, of which those not asked for lately are forgotten, against a map.
        #[test]
        fn words_are_known_while_they_are_used(
            epochs in prop::collection::vec(
                (prop::collection::vec(prop_oneof![6 => 900..1300u64, 1 => 0..9u64, 1 => 1300..9000u64, 1 => any::<u64>()], 0..80), any::<bool>()),
                1..8,
            ),
        ) {
            let column = Arc::new(Int32Array::from(vec![0]));
            let basis = Packer::grouping(vec![(column, SqlType::Int)], 1).basis().cloned().unwrap();
            let mut exact = Exact::new(basis, 3);
            let mut model: BTreeMap<u64, (u32, u64)> = BTreeMap::new();
            let (mut numbers, mut most) = (0.., 0);
            for (epoch, (words, forgets)) in (3..).zip(&epochs) {
                for word in words {
                    exact.expect(word);
                    prop_assert_eq!(exact.get(word, epoch), model.get(word).map(|known| known.0));
                    if !model.contains_key(word) {
                        let number = numbers.next().unwrap();
                        prop_assert_eq!(exact.set(*word, number, epoch), None);
                        model.insert(*word, (number, epoch));
                    }
                    model.entry(*word).and_modify(|known| known.1 = epoch);
                    // Also where it is known already.
                    prop_assert_eq!(exact.set(*word, model[word].0, epoch - 1), None);
                    most = most.max(model.keys().filter(|word| may_have_place(*word)).count());
                }
                if *forgets {
                    exact.forget(epoch);
                    model.retain(|_, known| known.1 >= epoch);
                }
                let mut groups: Vec<_> = exact.groups().collect();
                groups.sort_unstable();
                let mut expected: Vec<_> = model.values().copied().collect();
                expected.sort_unstable();
                prop_assert_eq!(groups, expected);
                prop_assert_eq!(exact.small, model.keys().filter(|word| may_have_place(*word)).count());
                prop_assert!(exact.slots.iter().all(|entry| entry.word.place() >= exact.list.len().max(1024)));
                prop_assert!(exact.list.len() <= 2 * (4 * most + 1024));
            }
        }
    }
}
