//! Byte strings one after the other, and how they are put in order.

use super::offsets::Offsets;
use serde::{Deserialize, Serialize};

/// Packed keys in one piece of memory: their bytes, and where each ends.
#[derive(Clone, Serialize, Deserialize)]
pub struct PackedKeys {
    bytes: Vec<u8>,
    /// One more than there are keys; starts with 0.
    ends: Offsets,
}

impl std::fmt::Debug for PackedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Default for PackedKeys {
    fn default() -> Self {
        Self::with_room(0)
    }
}

impl PackedKeys {
    /// Room for keys that have so many bytes together.
    pub fn with_room(bytes: usize) -> Self {
        let mut ends = Offsets::default();
        ends.push(0);
        PackedKeys { bytes: Vec::with_capacity(bytes), ends }
    }

    /// Appends a key.
    #[inline]
    pub fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
    }

    /// Appends the key that `write` appends to the bytes.
    #[inline]
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The bytes of all keys together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.ends.len() - 1
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A key.
    #[inline]
    pub fn get(&self, at: usize) -> &[u8] {
        &self.bytes[self.ends.get(at)..self.ends.get(at + 1)]
    }

    /// The keys in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|i| self.get(i))
    }

    /// Gives room back that is not used, where that is much.
    pub fn shrink(&mut self) {
        if self.bytes.capacity() / 4 * 3 > self.bytes.len() {
            self.bytes.shrink_to_fit();
        }
        self.ends.shrink();
    }
}

/// A key's place in one of several lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The list.
    pub list: u32,
    /// The place in the list.
    pub at: u32,
    /// It is the same key as the one before.
    pub again: bool,
}

/// The keys of all lists in ascending order; equal keys in the order in which they stand.
///
/// Keys that share their first bytes are told apart by the next ones, which are looked up once for each key and not once
/// for each comparison: the keys themselves are far apart in memory.
pub fn in_order(lists: &[&PackedKeys]) -> Vec<Place> {
    let mut headed = Vec::with_capacity(lists.iter().map(|l| l.len()).sum());
    for (list, keys) in (0..).zip(lists) {
        headed.extend((0..).zip(keys.iter()).map(|(at, key)| Headed { head: Head::of(key), list, at }));
    }
    let mut places = Vec::with_capacity(headed.len());
    sort(lists, &mut headed, 0, &mut places);
    places
}

struct Headed {
    /// Of the key behind the bytes that are known to be the same.
    head: Head,
    list: u32,
    at: u32,
}

/// Keys that are the same so far are compared as a whole.
const DEEP: usize = 64;

/// Puts keys in order whose first `depth` bytes are the same.
fn sort(lists: &[&PackedKeys], headed: &mut [Headed], depth: usize, places: &mut Vec<Place>) {
    let key = |h: &Headed| lists[h.list as usize].get(h.at as usize);
    headed.sort_unstable_by_key(|h| h.head);
    for same in headed.chunk_by_mut(|a, b| a.head == b.head) {
        let behind = depth + size_of::<Head>();
        if let [one] = same {
            places.push(Place { list: one.list, at: one.at, again: false });
        } else if behind < DEEP && same.iter().any(|h| key(h).len() > behind) {
            same.iter_mut().for_each(|h| h.head = Head::of(key(h).get(behind..).unwrap_or_default()));
            sort(lists, same, behind, places);
        } else {
            same.sort_unstable_by(|a, b| key(a).cmp(key(b)).then((a.list, a.at).cmp(&(b.list, b.at))));
            let mut before = None;
            for h in &*same {
                places.push(Place { list: h.list, at: h.at, again: before == Some(key(h)) });
                before = Some(key(h));
            }
        }
    }
}

/// A key's first 16 bytes, as a number whose order is the bytes' order. Keys with the same head may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head(u64, u64);

impl Head {
    /// Of this key.
    #[inline]
    pub fn of(key: &[u8]) -> Self {
        let word = |bytes: [u8; 8]| u64::from_be_bytes(bytes);
        if let (Some(first), Some(second)) = (key.first_chunk(), key.get(8..).and_then(<[u8]>::first_chunk)) {
            return Head(word(*first), word(*second));
        }
        if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
            // Of the last 8 bytes those that are not among the first.
            let behind = u128::from(word(*last)) << (8 * (16 - key.len()));
            return Head(word(*first), behind as u64);
        }
        let first = key.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        Head(if key.is_empty() { 0 } else { first << (8 * (8 - key.len())) }, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lists_are_put_in_order(
            lists in prop::collection::vec(
                prop::collection::vec((0..6usize, prop::collection::vec(0u8..2, 0..6)), 0..20),
                0..4,
            )
        ) {
            // Keys that differ early and late.
            let long = |(same, rest): &(usize, Vec<u8>)| [vec![0; 15 * same], rest.clone()].concat();
            let lists: Vec<Vec<Vec<u8>>> = lists.iter().map(|list| list.iter().map(long).collect()).collect();
            let packed: Vec<PackedKeys> = lists
                .iter()
                .map(|list| {
                    let mut keys = PackedKeys::default();
                    list.iter().for_each(|key| keys.push(key));
                    keys
                })
                .collect();
            let mut expected: Vec<(&[u8], u32, u32)> = Vec::new();
            for (l, list) in (0..).zip(&lists) {
                expected.extend((0..).zip(list).map(|(i, key)| (key.as_slice(), l, i)));
            }
            expected.sort();
            let packed: Vec<&PackedKeys> = packed.iter().collect();
            let places = in_order(&packed);
            let found: Vec<(&[u8], u32, u32)> =
                places.iter().map(|p| (packed[p.list as usize].get(p.at as usize), p.list, p.at)).collect();
            prop_assert_eq!(&found, &expected);
            for (i, place) in places.iter().enumerate() {
                prop_assert_eq!(place.again, i > 0 && found[i - 1].0 == found[i].0);
            }
        }
    }
}
