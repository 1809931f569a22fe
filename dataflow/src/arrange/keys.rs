//! Byte strings one after the other, as a container of differential batches.

use differential_dataflow::trace::implementations::{BatchContainer, OffsetList};
use serde::{Deserialize, Serialize};
use timely::container::PushInto;

/// Packed keys in one piece of memory: their bytes, and where each ends.
#[derive(Clone, Serialize, Deserialize)]
pub struct PackedKeys {
    bytes: Vec<u8>,
    /// One more than there are keys; starts with 0.
    ends: OffsetList,
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
        let mut ends = OffsetList::with_capacity(keys + 1);
        ends.push(0);
        PackedKeys { bytes: Vec::with_capacity(bytes), ends }
    }

    /// Appends a key.
    #[inline]
    pub fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
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
