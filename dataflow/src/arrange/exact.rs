//! Groups by what tells their rows apart: found without their keys, and with one wait for memory.

use crate::row::packer::{Basis, Packer};

/// The groups of rows by their [exact](Packer::exact) hashes.
#[derive(Default)]
pub struct Exact {
    /// What the hashes stand for; `None`: there are none.
    basis: Option<Basis>,
    /// Open addressing: each in the first free slot from its hash's on; a quarter of them at least are free.
    slots: Vec<Slot>,
    len: usize,
    /// The epoch from which the slots count.
    first: u64,
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u64,
    /// [`NONE`]: the slot is free.
    group: u32,
    /// The last epoch in which the group was asked for, from [`Exact::first`] on.
    used: u32,
}

const NONE: u32 = u32::MAX;

const FREE: Slot = Slot { hash: 0, group: NONE, used: 0 };

/// Hashes that are looked up together: the processor waits for the memory of all of them at once.
const TOGETHER: usize = 256;

impl Exact {
    /// Empty, for rows of these keys, from this epoch on.
    pub fn new(keys: &Packer, first: u64) -> Self {
        Exact { basis: keys.exact().cloned(), first, ..Exact::default() }
    }

    /// Whether it is for rows of these keys, and can count as far as this epoch.
    pub fn is_for(&self, keys: &Packer, epoch: u64) -> bool {
        self.basis.as_ref() == keys.exact() && epoch.saturating_sub(self.first) < u32::MAX.into()
    }

    /// Appends to `out` the groups of rows with these hashes, as far as they were set, and notes that they were asked for in
    /// this epoch.
    pub fn get(&mut self, hashes: &[u64], epoch: u64, out: &mut Vec<Option<u32>>) {
        if self.slots.is_empty() {
            return out.extend(hashes.iter().map(|_| None));
        }
        let (mask, used) = (self.slots.len() - 1, self.since_first(epoch));
        let mut found = [FREE; TOGETHER];
        for hashes in hashes.chunks(TOGETHER) {
            for (found, &hash) in found.iter_mut().zip(hashes) {
                *found = self.slots[hash as usize & mask];
            }
            for (found, &hash) in found.iter().zip(hashes) {
                let first = found.group != NONE && found.hash == hash;
                let slot = if first { &mut self.slots[hash as usize & mask] } else { self.slot(hash) };
                if slot.group != NONE {
                    slot.used = used.max(slot.used);
                }
                out.push((slot.group != NONE).then_some(slot.group));
            }
        }
    }

    /// From now on rows with this hash, if it is exact, are of this group, which is asked for in this epoch.
    pub fn set(&mut self, hash: u64, group: u32, epoch: u64) {
        if self.basis.is_none() || group == NONE {
            return;
        }
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            let taken = self.slots.iter().copied().filter(|slot| slot.group != NONE).collect();
            self.rebuild(2 * self.len + 1, taken);
        }
        let used = self.since_first(epoch);
        let slot = self.slot(hash);
        let new = slot.group == NONE;
        *slot = Slot { hash, group, used: used.max(slot.used) };
        self.len += usize::from(new);
    }

    /// The groups, each with the last epoch in which it was asked for.
    pub fn groups(&self) -> impl Iterator<Item = (u32, u64)> {
        self.slots.iter().filter(|slot| slot.group != NONE).map(|slot| (slot.group, self.last_use(slot)))
    }

    /// Forgets the groups that nobody asked for from this epoch on.
    pub fn forget(&mut self, before: u64) {
        let stays = |slot: &Slot| slot.group != NONE && self.last_use(slot) >= before;
        let slots: Vec<Slot> = self.slots.iter().copied().filter(stays).collect();
        self.rebuild(slots.len(), slots);
    }

    /// The slot of a hash, or the free one where it belongs.
    #[inline]
    fn slot(&mut self, hash: u64) -> &mut Slot {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while self.slots[at].group != NONE && self.slots[at].hash != hash {
            at = (at + 1) & mask;
        }
        &mut self.slots[at]
    }

    #[inline]
    fn since_first(&self, epoch: u64) -> u32 {
        u32::try_from(epoch.saturating_sub(self.first)).unwrap_or(u32::MAX)
    }

    fn last_use(&self, slot: &Slot) -> u64 {
        self.first + u64::from(slot.used)
    }

    /// Only these, with room for so many.
    fn rebuild(&mut self, room: usize, taken: Vec<Slot>) {
        self.len = taken.len();
        self.slots.clear();
        self.slots.resize((room * 4).div_ceil(3).next_power_of_two(), FREE);
        taken.into_iter().for_each(|slot| *self.slot(slot.hash) = slot);
    }
}
