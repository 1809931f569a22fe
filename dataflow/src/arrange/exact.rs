//! Groups by what tells their rows apart: found without their keys, and with one wait for memory.

use crate::row::packer::{Basis, Short, mix_short, spread};

/// What tells a row apart.
pub trait Word: Copy + Default + Eq {
    /// A hash of it.
    fn hash(&self) -> u64;
}

impl Word for u64 {
    #[inline]
    fn hash(&self) -> u64 {
        spread(*self)
    }
}

impl Word for Short {
    #[inline]
    fn hash(&self) -> u64 {
        mix_short(self)
    }
}

/// The groups of rows by what [tells them apart](crate::row::packer::Apart).
pub struct Exact<W> {
    basis: Basis,
    /// Open addressing: each in the first free slot from its hash's on; a quarter of them at least are free.
    slots: Vec<Slot<W>>,
    len: usize,
    /// The epoch from which the slots count.
    first: u64,
}

#[derive(Clone, Copy, Default)]
struct Slot<W> {
    word: W,
    /// From 1; 0: the slot is free.
    group: u32,
    /// The last epoch in which the group was asked for, from [`Exact::first`] on.
    used: u32,
}

/// Rows that are looked up together: the processor waits for the memory of all of them at once.
const TOGETHER: usize = 256;

impl<W: Word> Exact<W> {
    /// None yet, of rows of this basis, from this epoch on.
    pub fn new(basis: Basis, first: u64) -> Self {
        Exact { basis, slots: Vec::new(), len: 0, first }
    }

    /// Whether it is for rows of this basis, and can count as far as this epoch.
    pub fn is_for(&self, basis: &Basis, epoch: u64) -> bool {
        self.basis == *basis && epoch.saturating_sub(self.first) < u32::MAX.into()
    }

    /// Appends to `out` the groups of these rows, as far as they were set, and notes that they were asked for in this epoch.
    pub fn get(&mut self, words: &[W], epoch: u64, out: &mut Vec<Option<u32>>) {
        if self.slots.is_empty() {
            return out.extend(words.iter().map(|_| None));
        }
        let used = self.since_first(epoch);
        let mut found = [(0, Slot::default()); TOGETHER];
        for words in words.chunks(TOGETHER) {
            for (found, word) in found.iter_mut().zip(words) {
                let at = self.first_slot(word);
                *found = (at, self.slots[at]);
            }
            for ((at, slot), word) in found.iter().zip(words) {
                let at = if slot.group != 0 && slot.word == *word { *at } else { self.slot(word) };
                let slot = &mut self.slots[at];
                if slot.group != 0 {
                    slot.used = used.max(slot.used);
                }
                out.push(slot.group.checked_sub(1));
            }
        }
    }

    /// From now on such rows are of this group, which is asked for in this epoch.
    pub fn set(&mut self, word: W, group: u32, epoch: u64) {
        let Some(group) = group.checked_add(1) else { return };
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            let taken = self.slots.iter().copied().filter(|slot| slot.group != 0).collect();
            self.rebuild(2 * self.len + 1, taken);
        }
        let (used, at) = (self.since_first(epoch), self.slot(&word));
        let slot = &mut self.slots[at];
        self.len += usize::from(slot.group == 0);
        *slot = Slot { word, group, used: used.max(slot.used) };
    }

    /// The groups, each with the last epoch in which it was asked for.
    pub fn groups(&self) -> impl Iterator<Item = (u32, u64)> {
        self.slots.iter().filter_map(|slot| Some((slot.group.checked_sub(1)?, self.last_use(slot))))
    }

    /// Forgets the groups that nobody asked for from this epoch on.
    pub fn forget(&mut self, before: u64) {
        let stays = |slot: &Slot<W>| slot.group != 0 && self.last_use(slot) >= before;
        let slots: Vec<Slot<W>> = self.slots.iter().copied().filter(stays).collect();
        self.rebuild(slots.len(), slots);
    }

    #[inline]
    fn first_slot(&self, word: &W) -> usize {
        word.hash() as usize & (self.slots.len() - 1)
    }

    /// The slot of such rows, or the free one where they belong.
    #[inline]
    fn slot(&self, word: &W) -> usize {
        let mut at = self.first_slot(word);
        while self.slots[at].group != 0 && self.slots[at].word != *word {
            at = (at + 1) & (self.slots.len() - 1);
        }
        at
    }

    #[inline]
    fn since_first(&self, epoch: u64) -> u32 {
        u32::try_from(epoch.saturating_sub(self.first)).unwrap_or(u32::MAX)
    }

    fn last_use(&self, slot: &Slot<W>) -> u64 {
        self.first + u64::from(slot.used)
    }

    /// Only these, with room for so many.
    fn rebuild(&mut self, room: usize, taken: Vec<Slot<W>>) {
        self.len = taken.len();
        self.slots.clear();
        self.slots.resize((room * 4).div_ceil(3).next_power_of_two(), Slot::default());
        for slot in taken {
            let at = self.slot(&slot.word);
            self.slots[at] = slot;
        }
    }
}
