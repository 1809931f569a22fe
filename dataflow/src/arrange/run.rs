//! Updates in order of their keys: what an epoch adds to a store, and what several of them become.

use super::keys::KeyList;
use super::{Accum, Accums, Part};
use smallvec::SmallVec;
use std::rc::Rc;

/// Updates in ascending order of their keys. A key may come more than once, with different epochs.
pub struct Run<K> {
    keys: K,
    accums: Accums,
    /// The epoch of all updates: then each key comes once.
    epoch: u64,
    /// The epoch of each; empty while all are of one.
    epochs: Vec<u64>,
}

impl<K: KeyList> Run<K> {
    /// An empty run of this epoch, with room for so many updates, whose keys have so many bytes together.
    pub fn new(epoch: u64, updates: usize, bytes: usize) -> Self {
        Run { keys: K::with_room(updates, bytes), accums: Accums::with_room(updates), epoch, epochs: Vec::new() }
    }

    /// These updates of an epoch. Keys must ascend.
    pub fn of(epoch: u64, keys: K, accums: Accums) -> Self {
        debug_assert!((1..keys.len()).all(|at| K::is_less(keys.get(at - 1), keys.get(at))));
        Run { keys, accums, epoch, epochs: Vec::new() }
    }

    /// Adds an update of the run's epoch. Keys must ascend.
    pub fn push(&mut self, key: K::Key<'_>, accum: Accum) {
        debug_assert!(self.len().checked_sub(1).is_none_or(|last| K::is_less(self.keys.get(last), key)));
        self.keys.push(key);
        self.accums.push(accum);
    }

    /// The number of updates.
    pub fn len(&self) -> usize {
        self.accums.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key of an update.
    #[inline]
    pub fn key(&self, at: usize) -> K::Key<'_> {
        self.keys.get(at)
    }

    /// What an update adds.
    pub fn accum(&self, at: usize) -> Accum {
        self.accums.get(at)
    }

    /// What an update adds, in its parts.
    #[inline]
    pub fn parts(&self, at: usize) -> (i64, i64, Option<&[Part]>) {
        self.accums.parts(at)
    }

    /// The epoch of an update.
    #[inline]
    pub fn epoch(&self, at: usize) -> u64 {
        self.epochs.get(at).copied().unwrap_or(self.epoch)
    }

    /// The place behind the updates of the key at `at`.
    #[inline]
    pub fn end_of_key(&self, at: usize) -> usize {
        if self.epochs.is_empty() {
            return at + 1;
        }
        let key = self.key(at);
        (at + 1..self.len()).find(|&i| !K::same(self.key(i), key)).unwrap_or(self.len())
    }

    /// Adds what the updates of the key at `at` add up to, as of an epoch, itself included.
    pub fn add_up(&self, at: usize, as_of: u64, sum: &mut Option<Accum>) {
        for i in (at..self.end_of_key(at)).filter(|&i| self.epoch(i) <= as_of) {
            match sum {
                None => *sum = Some(self.accum(i)),
                Some(sum) => self.accums.add_onto(i, sum),
            }
        }
    }

    /// The greatest time of an accumulator.
    pub fn latest(&self) -> i64 {
        self.accums.times().iter().fold(i64::MIN, i64::max)
    }

    /// Appends what stands at these places, each of one of the runs; an epoch before `since` is taken for that one.
    pub(super) fn interleave(&mut self, runs: &[Rc<Run<K>>], indices: &[(usize, usize)], since: u64) {
        let before = self.len();
        let epoch = |(run, at): &(usize, usize)| runs[*run].epoch(*at).max(since);
        if before == 0 {
            self.epoch = indices.first().map_or(since, epoch);
        }
        let one = self.epoch;
        if !self.epochs.is_empty() || runs.iter().any(|run| !run.epochs.is_empty() || run.epoch.max(since) != one) {
            self.epochs.resize(before, one);
            self.epochs.extend(indices.iter().map(epoch));
        }
        let keys: SmallVec<[&K; 8]> = runs.iter().map(|run| &run.keys).collect();
        self.keys.interleave(&keys, indices);
        let accums: SmallVec<[&Accums; 8]> = runs.iter().map(|run| &run.accums).collect();
        self.accums.interleave(&accums, indices);
    }

    /// Adds an accumulator of another run to the one at `to`.
    pub(super) fn add_to(&mut self, to: usize, from: &Run<K>, at: usize) {
        self.accums.add_to(to, &from.accums, at);
    }

    /// The bytes of all keys together.
    pub(super) fn key_bytes(&self) -> usize {
        self.keys.bytes()
    }

    /// Gives room back that is not used, where that is much, and that of epochs that are all the same.
    pub(super) fn shrink(&mut self) {
        self.keys.shrink();
        self.accums.shrink();
        if self.epochs.iter().all(|epoch| Some(epoch) == self.epochs.first()) {
            self.epoch = self.epochs.first().copied().unwrap_or(self.epoch);
            self.epochs = Vec::new();
        }
        self.epochs.shrink_to_fit();
    }
}
