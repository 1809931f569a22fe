//! A store's keys in ascending order, out of many runs.
//!
//! A store that keeps much event time has some runs for each stretch of it. The runs stand in a heap by the key that
//! they are at, so a step costs the logarithm of their number, and a seek goes to each run only once.

use super::Accum;
use super::keys::KeyList;
use super::run::Run;
use std::rc::Rc;

/// See the module's head.
pub struct Reader<K: KeyList> {
    sources: Vec<Source<K>>,
    /// Sources that are not at their end, a heap: the parent's key is not greater than its children's.
    heap: Vec<usize>,
    /// Updates of later epochs are not seen.
    as_of: u64,
}

/// A run, and the key it is at.
struct Source<K: KeyList> {
    run: Rc<Run<K>>,
    at: usize,
    /// Of the key it is at; `None` at its end.
    head: Option<K::Head>,
}

impl<K: KeyList> Source<K> {
    fn new(run: Rc<Run<K>>) -> Self {
        let mut source = Source { run, at: 0, head: None };
        source.go_to(0);
        source
    }

    #[inline]
    fn key(&self) -> K::Key<'_> {
        self.run.key(self.at)
    }

    #[inline]
    fn go_to(&mut self, at: usize) {
        self.at = at;
        self.head = (at < self.run.len()).then(|| K::head(self.run.key(at)));
    }

    #[inline]
    fn at_end(&self) -> bool {
        self.head.is_none()
    }

    #[inline]
    fn cmp(&self, other: &Source<K>) -> std::cmp::Ordering {
        self.head.cmp(&other.head).then_with(|| K::behind_head(self.key(), other.key()))
    }

    /// Goes forward to the first key that is not before this one, by growing steps.
    fn seek(&mut self, key: K::Key<'_>, head: K::Head) {
        let (run, end) = (&self.run, self.run.len());
        let before = |at: usize| {
            let other = run.key(at);
            K::head(other).cmp(&head).then_with(|| K::behind_head(other, key)).is_lt()
        };
        let (mut low, mut step) = (self.at, 1);
        while low + step < end && before(low + step) {
            low += step;
            step *= 2;
        }
        // The key at `low` is before, unless it never moved; the one at `high` is not.
        let mut high = (low + step).min(end);
        while low < high {
            let middle = low + (high - low) / 2;
            if before(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.go_to(low);
    }
}

impl<K: KeyList> Reader<K> {
    /// At the first key of these runs together, as of an epoch, itself included.
    pub fn new(runs: impl IntoIterator<Item = Rc<Run<K>>>, as_of: u64) -> Self {
        let sources = runs.into_iter().map(Source::new).collect();
        let mut reader = Reader { sources, heap: Vec::new(), as_of };
        reader.rewind();
        reader
    }

    /// Goes forward to the first key that is not before this one; readers do not go back.
    pub fn seek(&mut self, key: K::Key<'_>) {
        let head = K::head(key);
        while let Some(&top) = self.heap.first() {
            let source = &mut self.sources[top];
            if source.head.cmp(&Some(head)).then_with(|| K::behind_head(source.key(), key)).is_ge() {
                return;
            }
            source.seek(key, head);
            self.moved();
        }
    }

    /// The key it stands at.
    pub fn key(&self) -> Option<K::Key<'_>> {
        self.heap.first().map(|&top| self.sources[top].key())
    }

    /// What the key it stands at adds up to; `None` when it was not there yet.
    pub fn accum(&mut self) -> Option<Accum> {
        let mut sum = None;
        self.add_up(0, &mut sum);
        sum
    }

    /// Adds up the sources below a place of the heap that are at the same key as the first.
    fn add_up(&self, place: usize, sum: &mut Option<Accum>) {
        let (Some(&source), Some(&top)) = (self.heap.get(place), self.heap.first()) else { return };
        let source = &self.sources[source];
        if place > 0 && source.cmp(&self.sources[top]).is_ne() {
            return;
        }
        source.run.add_up(source.at, self.as_of, sum);
        self.add_up(2 * place + 1, sum);
        self.add_up(2 * place + 2, sum);
    }

    /// Goes to the next key.
    pub fn step(&mut self) {
        let Some(&first) = self.heap.first() else { return };
        let (run, old, head) = (Rc::clone(&self.sources[first].run), self.sources[first].at, self.sources[first].head);
        while let Some(&top) = self.heap.first() {
            let source = &mut self.sources[top];
            if source.head != head || K::behind_head(source.key(), run.key(old)).is_ne() {
                return;
            }
            let next = source.run.end_of_key(source.at);
            source.go_to(next);
            self.moved();
        }
    }

    /// Goes back to before the first key.
    pub fn rewind(&mut self) {
        self.sources.iter_mut().for_each(|s| s.go_to(0));
        self.heap = (0..self.sources.len()).filter(|&s| !self.sources[s].at_end()).collect();
        (0..self.heap.len() / 2).rev().for_each(|place| self.sink(place));
    }

    /// Puts the first source where it belongs after it went forward.
    fn moved(&mut self) {
        if let Some(&top) = self.heap.first()
            && self.sources[top].at_end()
        {
            self.heap.swap_remove(0);
        }
        self.sink(0);
    }

    fn sink(&mut self, mut place: usize) {
        let less = |heap: &[usize], a: usize, b: usize| self.sources[heap[a]].cmp(&self.sources[heap[b]]).is_lt();
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            if left >= self.heap.len() {
                return;
            }
            let child = if right < self.heap.len() && less(&self.heap, right, left) { right } else { left };
            if !less(&self.heap, child, place) {
                return;
            }
            self.heap.swap(place, child);
            place = child;
        }
    }

    /// What this key adds up to. Keys asked for must not descend.
    pub fn get(&mut self, key: K::Key<'_>) -> Option<Accum> {
        self.seek(key);
        let found = self.key().is_some_and(|found| K::same(found, key));
        if found { self.accum() } else { None }
    }

    /// Shows all keys from where it stands to the end.
    pub fn scan(&mut self, mut each: impl FnMut(K::Key<'_>, Accum)) {
        while self.key().is_some() {
            let accum = self.accum();
            if let (Some(accum), Some(key)) = (accum, self.key()) {
                each(key, accum);
            }
            self.step();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrange::PackedKeys;
    use crate::arrange::Run;
    use crate::arrange::Store;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn rows(n: i64) -> Accum {
        Accum { rows: n, ..Accum::empty(&[]) }
    }

    proptest! {
        /// Epochs of updates in three stretches, against a map; as of every epoch.
        #[test]
        fn reads_what_was_put_in(
            epochs in prop::collection::vec(
                prop::collection::btree_map(prop::collection::vec(0u8..3, 0..4), 1i64..9, 0..12), 1..9
            ),
            wanted in prop::collection::vec(prop::collection::vec(0u8..3, 0..4), 0..6),
        ) {
            let stretch = |key: &[u8]| key.first().map_or(0, |b| i64::from(*b));
            let mut store = Store::new(1);
            for (epoch, updates) in (0..).zip(&epochs) {
                let mut runs: BTreeMap<i64, Run<PackedKeys>> = BTreeMap::new();
                for (key, n) in updates {
                    runs.entry(stretch(key)).or_insert_with(|| Run::new(epoch, 0, 0)).push(key, rows(*n));
                }
                store.insert(runs.into_iter().collect(), epoch + 1);
                // Some wait for their merge.
                if epoch % 3 != 2 {
                    store.merge();
                }
            }
            let mut wanted = wanted;
            wanted.sort();
            let mut model: BTreeMap<&[u8], i64> = BTreeMap::new();
            for (as_of, updates) in (0..).zip(&epochs) {
                updates.iter().for_each(|(key, n)| *model.entry(key).or_default() += n);
                let mut reader = store.read(0..=2, as_of);
                let mut all = Vec::new();
                reader.scan(|key, accum| all.push((key.to_vec(), accum.rows)));
                let expected: Vec<(Vec<u8>, i64)> = model.iter().map(|(k, n)| (k.to_vec(), *n)).collect();
                prop_assert_eq!(all, expected);
                reader.rewind();
                for key in &wanted {
                    prop_assert_eq!(reader.get(key).map(|a| a.rows), model.get(key.as_slice()).copied());
                }
            }
        }
    }
}
