//! Byte strings one after the other, as a container of differential batches; and how they are put in order.

use super::offsets::Offsets;
use differential_dataflow::trace::implementations::BatchContainer;
use serde::{Deserialize, Serialize};
use timely::container::PushInto;

/// Packed keys in one piece of memory: their bytes, and where each ends.
#[derive(Clone, Serialize, Deserialize)]
pub struct PackedKeys {
    bytes: Vec<u8>,
    /// One more than there are keys; starts with 0.
    ends: Offsets,
}

impl std::fmt::Debug for PackedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries((0..BatchContainer::len(self)).map(|i| self.index(i))).finish()
    }
}

impl Default for PackedKeys {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl PackedKeys {
    /// Room for so many keys with so many bytes together.
    pub fn with_room(keys: usize, bytes: usize) -> Self {
        let mut ends = Offsets::with_capacity(keys + 1);
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

    /// The keys in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..BatchContainer::len(self)).map(|i| self.index(i))
    }
}

impl PushInto<&[u8]> for PackedKeys {
    fn push_into(&mut self, item: &[u8]) {
        self.push(item);
    }
}

impl BatchContainer for PackedKeys {
    type Owned = Vec<u8>;
    type ReadItem<'a> = &'a [u8];

    fn into_owned(item: &[u8]) -> Vec<u8> {
        item.to_vec()
    }
    fn push_ref(&mut self, item: &[u8]) {
        self.push(item);
    }
    fn push_own(&mut self, item: &Vec<u8>) {
        self.push(item);
    }
    fn clear(&mut self) {
        self.bytes.clear();
        BatchContainer::clear(&mut self.ends);
        self.ends.push(0);
    }
    fn with_capacity(size: usize) -> Self {
        Self::with_room(size, 0)
    }
    fn merge_capacity(a: &Self, b: &Self) -> Self {
        Self::with_room(BatchContainer::len(a) + BatchContainer::len(b), a.bytes.len() + b.bytes.len())
    }
    fn reborrow<'b, 'a: 'b>(item: &'a [u8]) -> &'b [u8] {
        item
    }
    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        &self.bytes[self.ends.index(index)..self.ends.index(index + 1)]
    }
    fn len(&self) -> usize {
        self.ends.len() - 1
    }
}

/// A key's place in one of several lists, beside the key's first bytes: lists are put in order without looking at
/// the keys themselves, where their first bytes differ.
#[derive(Clone, Copy)]
pub struct Place {
    head: u128,
    /// The list.
    pub list: u32,
    /// The place in the list.
    pub at: u32,
}

impl Place {
    /// False when the keys differ in their first bytes; true tells nothing.
    #[inline]
    pub fn same(&self, other: &Place) -> bool {
        self.head == other.head
    }
}

/// The keys of all lists in ascending order; equal keys in the order in which they stand.
pub fn in_order(lists: &[&PackedKeys]) -> Vec<Place> {
    let mut places = Vec::with_capacity(lists.iter().map(|l| BatchContainer::len(*l)).sum());
    for (list, keys) in (0..).zip(lists) {
        places.extend((0..).zip(keys.iter()).map(|(at, key)| Place { head: head(key), list, at }));
    }
    let key = |p: &Place| lists[p.list as usize].index(p.at as usize);
    places.sort_unstable_by(|a, b| {
        (a.head.cmp(&b.head)).then_with(|| key(a).cmp(key(b)).then((a.list, a.at).cmp(&(b.list, b.at))))
    });
    places
}

/// The first 16 bytes, as a number whose order is the bytes' order.
#[inline]
fn head(key: &[u8]) -> u128 {
    if let Some(first) = key.first_chunk() {
        return u128::from_be_bytes(*first);
    }
    let mut first = [0; 16];
    first[..key.len()].copy_from_slice(key);
    u128::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lists_are_put_in_order(
            lists in prop::collection::vec(prop::collection::vec(prop::collection::vec(0u8..2, 0..20), 0..20), 0..4)
        ) {
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
                places.iter().map(|p| (packed[p.list as usize].index(p.at as usize), p.list, p.at)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
