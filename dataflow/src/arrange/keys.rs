//! What updates are kept under, in lists, and how it is put in order.

use super::narrow::{Narrow, in_order};
use super::offsets::Offsets;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::cmp::Ordering;
use std::ops::Range;

/// A list of keys.
pub trait KeyList {
    /// A key of the list.
    type Key<'k>: Copy;
    /// What tells most keys apart, in their order: of two keys the lesser one's is not greater.
    type Head: Copy + Ord;

    /// An empty list with room for so many keys, which have so many bytes together.
    fn with_room(keys: usize, bytes: usize) -> Self;
    /// Appends a key.
    fn push(&mut self, key: Self::Key<'_>);
    /// Appends what stands at these places, each of one of the lists.
    fn interleave(&mut self, lists: &[&Self], indices: &[(usize, usize)]);
    /// A key.
    fn get(&self, at: usize) -> Self::Key<'_>;
    /// How many there are.
    fn len(&self) -> usize;
    /// True when there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The bytes of all keys together.
    fn bytes(&self) -> usize;
    /// Gives room back that is not used, where that is much.
    fn shrink(&mut self);
    /// A key's head.
    fn head(key: Self::Key<'_>) -> Self::Head;
    /// The order of two keys that have the same head.
    fn behind_head(a: Self::Key<'_>, b: Self::Key<'_>) -> Ordering;
    /// Whether it is the same key.
    #[inline]
    fn same(a: Self::Key<'_>, b: Self::Key<'_>) -> bool {
        Self::head(a) == Self::head(b) && Self::behind_head(a, b).is_eq()
    }
    /// Whether the first one comes before the other.
    #[inline]
    fn is_less(a: Self::Key<'_>, b: Self::Key<'_>) -> bool {
        Self::head(a).cmp(&Self::head(b)).then_with(|| Self::behind_head(a, b)).is_lt()
    }
}

/// A group's number, and which of its updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// See [`Dictionary`](super::Dictionary).
    pub group: u32,
    /// Where in the group.
    pub place: Place,
}

/// Which of a group's panes or sessions; of a group without windows always the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// A pane's start; of a session its start, the latest first.
    pub at: i64,
    /// Tells those with the same start apart.
    pub mark: u32,
}

/// A list of places.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Places {
    len: usize,
    /// Empty while all are 0.
    at: Narrow,
    /// Empty while all are 0.
    marks: Vec<u32>,
}

impl Places {
    /// An empty list with room for so many.
    pub fn with_room(places: usize) -> Self {
        Places { at: Narrow::with_room(places), ..Places::default() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a place.
    #[inline]
    pub fn push(&mut self, place: Place) {
        if place.at != 0 || !self.at.is_empty() {
            if self.at.is_empty() {
                (0..self.len).for_each(|_| self.at.push(0));
            }
            self.at.push(place.at);
        }
        if place.mark != 0 || !self.marks.is_empty() {
            self.marks.resize(self.len, 0);
            self.marks.push(place.mark);
        }
        self.len += 1;
    }

    /// Appends a place so many times.
    #[inline]
    pub fn extend(&mut self, place: Place, count: usize) {
        let Some(more) = count.checked_sub(1) else { return };
        self.push(place);
        if !self.at.is_empty() {
            self.at.extend(place.at, more);
        }
        if !self.marks.is_empty() {
            self.marks.resize(self.len + more, place.mark);
        }
        self.len += more;
    }

    fn interleave(&mut self, lists: &[&Places], indices: &[(usize, usize)]) {
        let all_have_starts = lists.iter().all(|list| list.is_empty() || !list.at.is_empty());
        let some_have_starts = lists.iter().any(|list| !list.at.is_empty()) || !self.at.is_empty();
        let marked = lists.iter().any(|list| !list.marks.is_empty()) || !self.marks.is_empty();
        if marked || some_have_starts && !(all_have_starts && self.at.len() == self.len) {
            return indices.iter().for_each(|(list, at)| self.push(lists[*list].get(*at)));
        }
        if some_have_starts {
            let starts: SmallVec<[&Narrow; 8]> = lists.iter().map(|list| &list.at).collect();
            self.at.interleave(&starts, indices);
        }
        self.len += indices.len();
    }

    /// A place.
    #[inline]
    pub fn get(&self, at: usize) -> Place {
        let start = if self.at.is_empty() { 0 } else { self.at.get(at) };
        Place { at: start, mark: self.marks.get(at).copied().unwrap_or(0) }
    }

    /// In ascending order, equal ones as they stand: ranges, for mostly many that are equal stand together.
    pub fn ascending(&self) -> Vec<Range<u32>> {
        if self.at.is_empty() && self.marks.is_empty() {
            return std::iter::once(0..u32::try_from(self.len).unwrap_or(u32::MAX)).collect();
        }
        let mut ranges: Vec<(Place, Range<u32>)> = Vec::new();
        for (at, n) in (0..self.len).zip(0..) {
            let place = self.get(at);
            match ranges.last_mut() {
                Some((last, range)) if *last == place => range.end = n + 1,
                _ => ranges.push((place, n..n + 1)),
            }
        }
        ranges.sort_by_key(|(place, _)| *place);
        ranges.into_iter().map(|(_, range)| range).collect()
    }

    /// The least and the greatest [`Place::at`]; of none the same.
    pub fn span(&self) -> (i64, i64) {
        let at = || self.at.iter();
        at().min().zip(at().max()).unwrap_or_default()
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, more: usize) {
        if !self.at.is_empty() {
            self.at.reserve(more);
        }
    }

    /// Appends all of another list.
    pub fn append(&mut self, other: Places) {
        if self.is_empty() {
            *self = other;
            return;
        }
        let all_have_starts = self.at.len() == self.len && other.at.len() == other.len;
        let none_has = self.at.is_empty() && other.at.is_empty();
        if self.marks.is_empty() && other.marks.is_empty() && (all_have_starts || none_has) {
            self.at.append(other.at);
            self.len += other.len;
            return;
        }
        (0..other.len).for_each(|at| self.push(other.get(at)));
    }

    /// Those at these places of the list.
    pub fn in_order(&self, order: &[u32]) -> Places {
        Places { len: order.len(), at: self.at.in_order(order), marks: in_order(&self.marks, order) }
    }

    fn shrink(&mut self) {
        self.at.shrink();
        if self.marks.capacity() / 4 * 3 > self.marks.len() {
            self.marks.shrink_to_fit();
        }
    }
}

/// Keys of numbered groups.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    groups: Vec<u32>,
    places: Places,
}

impl Keys {
    /// Of these groups, and the place of each.
    pub fn of(groups: Vec<u32>, places: Places) -> Self {
        Keys { groups, places }
    }
}

impl KeyList for Keys {
    type Key<'k> = Key;
    /// The key as one number.
    type Head = u128;

    fn with_room(keys: usize, _: usize) -> Self {
        Keys { groups: Vec::with_capacity(keys), places: Places::with_room(keys) }
    }

    #[inline]
    fn push(&mut self, key: Key) {
        self.groups.push(key.group);
        self.places.push(key.place);
    }

    fn interleave(&mut self, lists: &[&Self], indices: &[(usize, usize)]) {
        let groups: SmallVec<[&[u32]; 8]> = lists.iter().map(|list| &list.groups[..]).collect();
        self.groups.extend(indices.iter().map(|(list, at)| groups[*list][*at]));
        let places: SmallVec<[&Places; 8]> = lists.iter().map(|list| &list.places).collect();
        self.places.interleave(&places, indices);
    }

    #[inline]
    fn get(&self, at: usize) -> Key {
        Key { group: self.groups[at], place: self.places.get(at) }
    }

    #[inline]
    fn len(&self) -> usize {
        self.groups.len()
    }

    fn bytes(&self) -> usize {
        0
    }

    fn shrink(&mut self) {
        if self.groups.capacity() / 4 * 3 > self.groups.len() {
            self.groups.shrink_to_fit();
        }
        self.places.shrink();
    }

    #[inline]
    fn head(Key { group, place: Place { at, mark } }: Key) -> u128 {
        let at = at as u64 ^ 1 << 63;
        u128::from(group) << 96 | u128::from(at) << 32 | u128::from(mark)
    }

    #[inline]
    fn behind_head(_: Key, _: Key) -> Ordering {
        Ordering::Equal
    }
}

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
        Self::with_room(0, 0)
    }
}

impl PackedKeys {
    /// Appends the key that `write` appends to the bytes.
    #[inline]
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Takes the last key away.
    pub fn pop(&mut self) {
        self.ends.pop();
        self.bytes.truncate(self.ends.get(self.ends.len() - 1));
    }

    /// Takes all keys away, and keeps their room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.ends.push(0);
    }

    /// The keys in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|i| self.get(i))
    }
}

impl KeyList for PackedKeys {
    type Key<'k> = &'k [u8];
    type Head = Head;

    fn with_room(_: usize, bytes: usize) -> Self {
        let mut ends = Offsets::default();
        ends.push(0);
        PackedKeys { bytes: Vec::with_capacity(bytes), ends }
    }

    #[inline]
    fn push(&mut self, key: &[u8]) {
        self.push_with(|bytes| bytes.extend_from_slice(key));
    }

    fn interleave(&mut self, lists: &[&Self], indices: &[(usize, usize)]) {
        indices.iter().for_each(|(list, at)| self.push(lists[*list].get(*at)));
    }

    #[inline]
    fn get(&self, at: usize) -> &[u8] {
        &self.bytes[self.ends.get(at)..self.ends.get(at + 1)]
    }

    #[inline]
    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn shrink(&mut self) {
        if self.bytes.capacity() / 4 * 3 > self.bytes.len() {
            self.bytes.shrink_to_fit();
        }
        self.ends.shrink();
    }

    #[inline]
    fn head(key: &[u8]) -> Head {
        Head::of(key)
    }

    #[inline]
    fn behind_head(a: &[u8], b: &[u8]) -> Ordering {
        a.cmp(b)
    }
}

/// Numbers of groups in ascending order, by where they stand in the list; equal ones in the order of `ranges`, which are all of
/// the list. All are less than `groups`.
pub fn by_group(numbers: &[u32], ranges: &[Range<u32>], groups: usize) -> Vec<u32> {
    debug_assert_eq!(ranges.iter().map(ExactSizeIterator::len).sum::<usize>(), numbers.len());
    let all = ranges.iter().cloned().flatten();
    if groups / 8 > numbers.len() {
        let mut order: Vec<u32> = all.collect();
        order.sort_by_key(|&i| numbers[i as usize]);
        return order;
    }
    // As they are dense, they are counted, and each has its place.
    let mut next = vec![0u32; groups + 1];
    numbers.iter().for_each(|&number| next[number as usize + 1] += 1);
    let mut before = 0;
    for next in &mut next {
        before += *next;
        *next = before;
    }
    let mut order = vec![0; numbers.len()];
    for i in all {
        let next = &mut next[numbers[i as usize] as usize];
        order[*next as usize] = i;
        *next += 1;
    }
    order
}

/// Byte strings in ascending order, by their places in the list.
///
/// Those that share their first bytes are told apart by the next ones, which are looked up once for each and not once
/// for each comparison: they are far apart in memory.
pub fn ascending(keys: &[&[u8]]) -> Vec<u32> {
    let mut headed: Vec<(Head, u32)> = (0..).zip(keys).map(|(at, key)| (Head::of(key), at)).collect();
    sort(keys, &mut headed, 0);
    headed.into_iter().map(|(_, at)| at).collect()
}

/// Keys that are the same so far are compared as a whole.
const DEEP: usize = 64;

/// Puts keys in order whose first `depth` bytes are the same.
fn sort(keys: &[&[u8]], headed: &mut [(Head, u32)], depth: usize) {
    headed.sort_unstable();
    for same in headed.chunk_by_mut(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
        let behind = depth + size_of::<Head>();
        if behind < DEEP && same.iter().any(|(_, at)| keys[*at as usize].len() > behind) {
            same.iter_mut()
                .for_each(|(head, at)| *head = Head::of(keys[*at as usize].get(behind..).unwrap_or_default()));
            sort(keys, same, behind);
        } else {
            same.sort_unstable_by_key(|(_, at)| (keys[*at as usize], *at));
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
        fn bytes_are_put_in_order(
            keys in prop::collection::vec((0..6usize, prop::collection::vec(0u8..2, 0..6)), 0..40)
        ) {
            // Keys that differ early and late.
            let long = |(same, rest): &(usize, Vec<u8>)| [vec![0; 15 * same], rest.clone()].concat();
            let keys: Vec<Vec<u8>> = keys.iter().map(long).collect();
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            let mut expected: Vec<u32> = (0..).take(keys.len()).collect();
            expected.sort_by_key(|&at| keys[at as usize]);
            let found = ascending(&keys);
            let of = |order: &[u32]| order.iter().map(|&at| keys[at as usize].to_vec()).collect::<Vec<_>>();
            prop_assert_eq!(of(&found), of(&expected));
            let mut all = found;
            all.sort_unstable();
            prop_assert!(all.into_iter().eq((0..).take(keys.len())));
        }

        #[test]
        fn groups_are_put_in_order_and_their_places(
            updates in prop::collection::vec((0u32..20, 0i64..3, 0u32..2), 0..40), more in 0usize..400,
        ) {
            let mut places = Places::default();
            updates.iter().for_each(|&(_, at, mark)| places.push(Place { at, mark }));
            let groups: Vec<u32> = updates.iter().map(|(group, ..)| *group).collect();
            let mut expected: Vec<u32> = (0..).take(updates.len()).collect();
            expected.sort_by_key(|&at| updates[at as usize]);
            prop_assert_eq!(by_group(&groups, &places.ascending(), 20 + more), expected);
            let at = || updates.iter().map(|(_, at, _)| *at);
            prop_assert_eq!(places.span(), at().min().zip(at().max()).unwrap_or_default());
        }

        #[test]
        fn places_come_back(places in prop::collection::vec((-9i64..9, 0u32..2), 0..9), cut in 0..9usize) {
            let places: Vec<Place> = places.iter().map(|&(at, mark)| Place { at, mark }).collect();
            let list = |places: &[Place]| {
                let mut list = Places::default();
                places.iter().for_each(|&place| list.push(place));
                list
            };
            let (head, tail) = places.split_at(cut.min(places.len()));
            let mut all = list(head);
            all.append(list(tail));
            let back: Vec<u32> = (0..u32::try_from(places.len()).unwrap()).rev().collect();
            let back = all.in_order(&back);
            prop_assert_eq!(back.len(), places.len());
            prop_assert!((0..places.len()).rev().map(|at| back.get(at)).eq(places.iter().copied()));
            prop_assert_eq!((0..places.len()).map(|at| all.get(at)).collect::<Vec<_>>(), places.clone());
            let counts = |place: &Place| place.at.rem_euclid(3) as usize;
            let mut many = Places::default();
            places.iter().for_each(|place| many.extend(*place, counts(place)));
            let expected: Vec<Place> = places.iter().flat_map(|place| vec![*place; counts(place)]).collect();
            prop_assert_eq!((0..many.len()).map(|at| many.get(at)).collect::<Vec<_>>(), expected);
        }
    }
}
