//! A hash table whose slots say themselves where they belong: it grows without a look at what they stand for.

use crate::prefetch::prefetch;

/// What a table holds: a slot that is taken, or free.
pub trait Slot: Copy {
    /// Nothing.
    const FREE: Self;
    /// Whether it is [`Slot::FREE`].
    fn is_free(&self) -> bool;
    /// Some bits of a hash, by which it is found.
    fn tag(&self) -> u32;
}

/// Open addressing: each slot is the first free one of those where its tag is looked for. A quarter of them at least are free.
pub struct Slots<S> {
    /// As many as a power of two.
    slots: Vec<S>,
    taken: usize,
}

impl<S: Slot> Default for Slots<S> {
    fn default() -> Self {
        Self::of(1)
    }
}

impl<S: Slot> Slots<S> {
    fn of(slots: usize) -> Self {
        Slots { slots: vec![S::FREE; slots], taken: 0 }
    }

    /// The number of the slot where a tag is looked for after so many others. At first at its home, which its upper bits say,
    /// and in the neighbour, which comes from memory with that; then behind these.
    #[inline]
    fn nth(&self, tag: u32, nth: usize) -> usize {
        let home = ((u64::from(tag) * self.slots.len() as u64) >> u32::BITS) as usize;
        (if nth < 2 { home ^ nth } else { (home & !1) + nth }) & (self.slots.len() - 1)
    }

    /// A tag will be looked for: its home and what is behind its neighbour begin to come from memory. Who looks for many says
    /// so first for all of them.
    #[inline]
    pub fn expect(&self, tag: u32) {
        [0, 2].iter().for_each(|nth| prefetch(&self.slots[self.nth(tag, *nth)]));
    }

    /// The numbers of the slots where a tag is looked for at first.
    #[inline]
    pub fn near(&self, tag: u32) -> [usize; 2] {
        [self.nth(tag, 0), self.nth(tag, 1)]
    }

    /// A slot by its number.
    #[inline]
    pub fn at(&self, number: usize) -> &S {
        &self.slots[number]
    }

    /// The same.
    #[inline]
    pub fn at_mut(&mut self, number: usize) -> &mut S {
        &mut self.slots[number]
    }

    /// The slot of this tag that is the `same`.
    #[inline]
    pub fn find(&self, tag: u32, same: impl Fn(&S) -> bool) -> Option<&S> {
        self.place(tag, same).map(|at| &self.slots[at])
    }

    /// The slot of this tag that is the `same`.
    #[inline]
    pub fn find_mut(&mut self, tag: u32, same: impl Fn(&S) -> bool) -> Option<&mut S> {
        self.place(tag, same).map(|at| &mut self.slots[at])
    }

    #[inline]
    fn place(&self, tag: u32, same: impl Fn(&S) -> bool) -> Option<usize> {
        let mut taken = (0..).map(|nth| self.nth(tag, nth)).take_while(|at| !self.slots[*at].is_free());
        taken.find(|at| same(&self.slots[*at]))
    }

    /// Puts in one that is not there.
    pub fn add(&mut self, slot: S) {
        if self.is_full() {
            self.rebuild(2 * self.slots.len(), |_| true);
        }
        self.put(slot);
    }

    /// Puts in one that is not there, in a table that has at most so many slots: a power of two. Returns the one that does not
    /// fit any more, which may be this one.
    pub fn add_within(&mut self, most: usize, slot: S) -> Option<S> {
        if self.slots.len() < most || !self.is_full() {
            self.add(slot);
            return None;
        }
        // What stands where another belongs does not keep it from being found.
        let home = self.nth(slot.tag(), 0);
        let first = &mut self.slots[home];
        Some(if first.is_free() { slot } else { std::mem::replace(first, slot) })
    }

    fn is_full(&self) -> bool {
        (self.taken + 1) * 4 > self.slots.len() * 3
    }

    /// Those that are taken.
    pub fn iter(&self) -> impl Iterator<Item = &S> {
        self.slots.iter().filter(|slot| !slot.is_free())
    }

    /// Those that are taken, each of which has to keep its tag.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut S> {
        self.slots.iter_mut().filter(|slot| !slot.is_free())
    }

    /// Keeps those that stay.
    pub fn retain(&mut self, stays: impl Fn(&S) -> bool) {
        let stay = self.iter().filter(|slot| stays(slot)).count();
        self.rebuild((stay * 4).div_ceil(3).next_power_of_two(), stays);
    }

    fn rebuild(&mut self, slots: usize, stays: impl Fn(&S) -> bool) {
        let old = std::mem::replace(self, Self::of(slots));
        old.iter().filter(|slot| stays(slot)).for_each(|slot| self.put(*slot));
    }

    fn put(&mut self, slot: S) {
        let free = (0..).map(|nth| self.nth(slot.tag(), nth)).find(|at| self.slots[*at].is_free());
        if let Some(at) = free {
            self.slots[at] = slot;
            self.taken += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Copy)]
    struct Pair {
        tag: u32,
        key: u32,
    }

    impl Slot for Pair {
        const FREE: Self = Pair { tag: 0, key: 0 };

        fn is_free(&self) -> bool {
            self.key == 0
        }

        fn tag(&self) -> u32 {
            self.tag
        }
    }

    proptest! {
        /// Against a map, with tags that several keys share.
        #[test]
        fn what_is_put_in_is_found(keys in prop::collection::vec(1..200u32, 0..300), shared in 1..5u32, least in 0..200u32) {
            let tag = |key: u32| (key / shared).wrapping_mul(0x9E37_79B9);
            let (mut slots, mut model) = (Slots::default(), BTreeMap::new());
            for key in keys {
                let there = slots.find_mut(tag(key), |slot: &Pair| slot.key == key).is_some();
                prop_assert_eq!(there, model.insert(key, ()).is_some());
                if !there {
                    slots.add(Pair { tag: tag(key), key });
                }
            }
            // Into fewer slots than there are keys: each comes out again, or stands there.
            let (mut few, mut gone) = (Slots::default(), BTreeMap::new());
            for (key, ()) in &model {
                let out = few.add_within(16, Pair { tag: tag(*key), key: *key });
                gone.extend(out.map(|pair: Pair| (pair.key, ())));
            }
            for (key, ()) in &model {
                let there = few.find(tag(*key), |slot| slot.key == *key).is_some();
                prop_assert_eq!(there, !gone.contains_key(key));
            }
            prop_assert_eq!(few.iter().count(), model.len() - gone.len());
            prop_assert_eq!(few.iter().count(), model.len().min(12));
            for stays in [0, least] {
                slots.retain(|slot| slot.key >= stays);
                model.retain(|key, ()| *key >= stays);
                let found = |key: u32| slots.find(tag(key), |slot| slot.key == key).map(|slot| slot.key);
                (1..200).for_each(|key| assert_eq!(found(key), model.contains_key(&key).then_some(key)));
                let mut all: Vec<u32> = slots.iter().map(|slot| slot.key).collect();
                all.sort_unstable();
                prop_assert!(all.into_iter().eq(model.keys().copied()));
                let is_near = |key: &u32| slots.near(tag(*key)).iter().any(|at| slots.at(*at).key == *key);
                prop_assert!(model.keys().any(is_near) || model.is_empty());
            }
        }
    }
}
