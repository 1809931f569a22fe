//! The groups of a table by number.
//!
//! A group comes back in every epoch, with every pane. Its packed key stands here once; updates carry the number, and are
//! put in order and merged by it. Numbers are dense, and are given anew when nothing is kept under them any more.

use super::keys::{KeyList, PackedKeys};
use super::slots::{Slot, Slots};
use foldhash::quality::FixedState;
use std::hash::BuildHasher;

/// See the module's head. A worker's own: another worker has other numbers.
#[derive(Default)]
pub struct Dictionary {
    /// Where each group is, by its key's hash.
    slots: Slots<Entry>,
    /// Of each group the last epoch in which it was asked for, its number, its key's length, and its key, so that who looks
    /// for a group waits for memory twice only: for its slot and for this.
    records: Records,
    /// Bytes of records that are there no more.
    dead: usize,
    /// Where each number's record starts, in units; [`NONE`]: nothing has this number.
    places: Vec<u32>,
    free: Vec<u32>,
    /// The numbers that were given since [`Dictionary::given`] was asked last; `None`: nobody wants to know.
    given: Option<Vec<u32>>,
}

/// Records in pieces of memory that stay where they are: nothing is copied when there are more.
#[derive(Default)]
struct Records {
    pieces: Vec<Vec<u8>>,
    bytes: usize,
}

impl Records {
    /// Appends one. Where it starts, in units from the first piece's start as if each had [`PIECE`] bytes.
    fn push(&mut self, epoch: u64, number: u32, key: &[u8]) -> u32 {
        let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
        let bytes = (HEAD + key.len()).next_multiple_of(UNIT);
        if self.pieces.last().is_none_or(|piece| piece.len() + bytes > PIECE) {
            // The first one grows as it needs to. One that is too long for a piece has one of its own.
            self.pieces.push(Vec::with_capacity(if self.pieces.is_empty() { 0 } else { bytes.max(PIECE) }));
        }
        let before = (self.pieces.len() - 1) * (PIECE / UNIT);
        let Some(piece) = self.pieces.last_mut() else { return NONE };
        let place = u32::try_from(before + piece.len() / UNIT).unwrap_or(NONE);
        assert!(place != NONE && length != u32::MAX, "a worker's groups of a table have at most 32 GiB of keys");
        piece.extend_from_slice(&epoch.to_le_bytes());
        piece.extend_from_slice(&number.to_le_bytes());
        piece.extend_from_slice(&length.to_le_bytes());
        piece.extend_from_slice(key);
        piece.resize(piece.len().next_multiple_of(UNIT), 0);
        self.bytes += bytes;
        place
    }

    /// A record, and what follows it.
    #[inline]
    fn at(&self, place: u32) -> &[u8] {
        let place = place as usize;
        &self.pieces[place / (PIECE / UNIT)][place % (PIECE / UNIT) * UNIT..]
    }

    #[inline]
    fn at_mut(&mut self, place: u32) -> &mut [u8] {
        let place = place as usize;
        &mut self.pieces[place / (PIECE / UNIT)][place % (PIECE / UNIT) * UNIT..]
    }

    #[inline]
    fn head(&self, place: u32) -> &[u8; HEAD] {
        const NOTHING: &[u8; HEAD] = &[0; HEAD];
        self.at(place).first_chunk().unwrap_or(NOTHING)
    }

    /// The number of the group whose record is there.
    #[inline]
    fn number(&self, place: u32) -> u32 {
        let [_, _, _, _, _, _, _, _, number @ .., _, _, _, _] = *self.head(place);
        u32::from_le_bytes(number)
    }

    #[inline]
    fn used(&self, place: u32) -> u64 {
        let [used @ .., _, _, _, _, _, _, _, _] = *self.head(place);
        u64::from_le_bytes(used)
    }

    #[inline]
    fn key(&self, place: u32) -> &[u8] {
        let [_, _, _, _, _, _, _, _, _, _, _, _, length @ ..] = *self.head(place);
        &self.at(place)[HEAD..HEAD + u32::from_le_bytes(length) as usize]
    }

    /// The bytes of a record.
    fn length(&self, place: u32) -> usize {
        (HEAD + self.key(place).len()).next_multiple_of(UNIT)
    }

    /// Something is kept under the number of this record as of an epoch.
    #[inline]
    fn keep(&mut self, place: u32, epoch: u64) -> u32 {
        if epoch > self.used(place) {
            self.at_mut(place)[..8].copy_from_slice(&epoch.to_le_bytes());
        }
        self.number(place)
    }
}

#[derive(Clone, Copy)]
struct Entry {
    /// Of the hash.
    tag: u32,
    /// Where the record starts, in units; [`NONE`]: there is none.
    place: u32,
}

impl Slot for Entry {
    const FREE: Self = Entry { tag: 0, place: NONE };

    #[inline]
    fn is_free(&self) -> bool {
        self.place == NONE
    }

    #[inline]
    fn tag(&self) -> u32 {
        self.tag
    }
}

const NONE: u32 = u32::MAX;

/// A record starts at a multiple of so many bytes.
const UNIT: usize = 8;

/// Bytes of a piece of records.
const PIECE: usize = 1 << 20;

/// Bytes before a record's key.
const HEAD: usize = 16;

/// Keys that are looked up together: the processor waits for the memory of all of them at once.
const TOGETHER: usize = 256;

/// The hash by which a group is found, and its worker chosen: the same everywhere.
#[inline]
pub fn hash(key: &[u8]) -> u64 {
    FixedState::with_seed(0x7765_6972).hash_one(key)
}

/// The worker that keeps a group whose key has this [`hash`], of so many.
#[inline]
pub fn owner(hash: u64, peers: u64) -> u64 {
    if peers > 1 { hash % peers } else { 0 }
}

/// The low bits choose the worker, which has only groups that are alike in them.
#[inline]
fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Dictionary {
    /// An empty one, which notes the numbers that it gives.
    pub fn noting() -> Self {
        Dictionary { given: Some(Vec::new()), ..Dictionary::default() }
    }

    /// The numbers that were given since this was asked last, if it notes them.
    pub fn given(&mut self) -> Vec<u32> {
        self.given.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Appends the numbers of these groups, in an epoch, to `out`; who has none gets a new one. `hashes`: the [`hash`] of
    /// each key.
    pub fn numbers(&mut self, keys: &PackedKeys, hashes: &[u64], epoch: u64, out: &mut Vec<u32>) {
        let mut found = [Entry::FREE; TOGETHER];
        let mut numbers = [NONE; TOGETHER];
        let mut at = 0;
        for hashes in hashes.chunks(TOGETHER) {
            let found = &mut found[..hashes.len()];
            hashes.iter().for_each(|hash| self.slots.expect(tag(*hash)));
            for (found, &hash) in found.iter_mut().zip(hashes) {
                let [first, second] = self.slots.near(tag(hash)).map(|at| *self.slots.at(at));
                *found = if first.tag == tag(hash) { first } else { second };
            }
            for ((found, number), &hash) in found.iter().zip(&mut numbers).zip(hashes) {
                *number =
                    if found.place != NONE && found.tag == tag(hash) { self.records.number(found.place) } else { NONE };
            }
            for ((found, &number), &hash) in found.iter().zip(&numbers).zip(hashes) {
                let key = keys.get(at);
                let known = number != NONE && self.records.key(found.place) == key;
                out.push(if known {
                    self.records.keep(found.place, epoch)
                } else {
                    self.get_or_insert(hash, key, epoch)
                });
                at += 1;
            }
        }
    }

    fn find_entry(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let same = |entry: &Entry| entry.tag == tag(hash) && self.records.key(entry.place) == key;
        self.slots.find(tag(hash), same).map(|entry| entry.place)
    }

    fn get_or_insert(&mut self, hash: u64, key: &[u8], epoch: u64) -> u32 {
        if let Some(place) = self.find_entry(hash, key) {
            return self.records.keep(place, epoch);
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.places.push(NONE);
            u32::try_from(self.places.len() - 1).unwrap_or(NONE)
        });
        assert!(number != NONE, "a worker has at most 4 billion groups of a table");
        let place = self.records.push(epoch, number, key);
        self.places[number as usize] = place;
        self.slots.add(Entry { tag: tag(hash), place });
        self.given.iter_mut().for_each(|given| given.push(number));
        number
    }

    /// The number of a group that is there.
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        self.find_entry(hash(key), key).map(|place| self.records.number(place))
    }

    /// The numbers of the groups whose keys start like this. Looks at all of them.
    pub fn starting(&self, with: &[u8]) -> Vec<u32> {
        let all =
            (0..).zip(&self.places).filter(|&(_, &place)| place != NONE && self.records.key(place).starts_with(with));
        all.map(|(number, _)| number).collect()
    }

    /// The packed key of a group.
    #[inline]
    pub fn key(&self, number: u32) -> &[u8] {
        self.records.key(self.places[number as usize])
    }

    /// All numbers are less than this.
    pub fn end(&self) -> usize {
        self.places.len()
    }

    /// Something is kept under this number as of an epoch.
    pub fn keep(&mut self, number: u32, epoch: u64) {
        self.records.keep(self.places[number as usize], epoch);
    }

    /// Forgets the groups that nobody asked for from this epoch on. True when there were some.
    pub fn forget(&mut self, before: u64) -> bool {
        let free = self.free.len();
        for number in (0..).take(self.places.len()) {
            let place = self.places[number as usize];
            if place != NONE && self.records.used(place) < before {
                self.dead += self.records.length(place);
                self.places[number as usize] = NONE;
                self.free.push(number);
            }
        }
        if self.free.len() == free {
            return false;
        }
        let (places, records) = (&self.places, &self.records);
        self.slots.retain(|entry| places[records.number(entry.place) as usize] == entry.place);
        if self.dead > self.records.bytes / 2 {
            let old = std::mem::take(&mut self.records);
            for (number, place) in (0..).zip(&mut self.places).filter(|(_, place)| **place != NONE) {
                *place = self.records.push(old.used(*place), number, old.key(*place));
            }
            self.slots.iter_mut().for_each(|entry| entry.place = self.places[old.number(entry.place) as usize]);
            self.dead = 0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// Epochs of groups, of which those not seen for two epochs are forgotten, against a map.
        #[test]
        fn groups_keep_their_numbers_while_they_are_used(
            epochs in prop::collection::vec(prop::collection::vec("[ab]{0,3}", 0..12), 1..9)
        ) {
            let mut dictionary = Dictionary::noting();
            let mut model: HashMap<&[u8], (u32, u64)> = HashMap::new();
            for (epoch, keys) in (0..).zip(&epochs) {
                let mut packed = PackedKeys::default();
                keys.iter().for_each(|key| packed.push(key.as_bytes()));
                let (hashes, mut numbers): (Vec<u64>, _) = (packed.iter().map(hash).collect(), Vec::new());
                dictionary.numbers(&packed, &hashes, epoch, &mut numbers);
                let known = model.len();
                for (key, number) in keys.iter().map(String::as_bytes).zip(numbers) {
                    prop_assert_eq!(model.entry(key).or_insert((number, epoch)).0, number);
                    model.insert(key, (number, epoch));
                }
                let given = dictionary.given();
                prop_assert_eq!(given.len(), model.len() - known);
                prop_assert!(given.iter().all(|given| model.values().any(|(number, used)| number == given && *used == epoch)));
                let known = model.len();
                let forgot = dictionary.forget(epoch.saturating_sub(1));
                model.retain(|_, (_, used)| *used + 1 >= epoch);
                prop_assert_eq!(forgot, model.len() < known);
                for (key, (number, _)) in &model {
                    prop_assert_eq!(dictionary.key(*number), *key);
                    prop_assert_eq!(dictionary.find(key), Some(*number));
                }
                prop_assert_eq!(dictionary.starting(b"").len(), model.len());
                let with_a = model.keys().filter(|key| key.starts_with(b"a")).count();
                prop_assert_eq!(dictionary.starting(b"a").len(), with_a);
                // No more numbers than there were groups at once.
                prop_assert_eq!(dictionary.end() - dictionary.free.len(), model.len());
            }
        }
    }
}
