//! Updates in order of their keys: what an epoch adds to a store, and what a spine merges them into.

use super::interleave::Interleaving;
use super::keys::KeyList;
use super::{Accum, Accums};
use crate::safepoint;
use differential_dataflow::trace::implementations::spine_fueled::{Merger, SpineBatch};
use timely::progress::frontier::AntichainRef;

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

    /// Adds an update of the run's epoch. Keys must ascend.
    pub fn push(&mut self, key: K::Key<'_>, accum: Accum) {
        self.push_key(key);
        self.accums.push(accum);
    }

    /// Moves an accumulator of another list here, as an update of the run's epoch. Keys must ascend.
    #[inline]
    pub fn push_taken(&mut self, key: K::Key<'_>, from: &mut Accums, at: usize) {
        self.push_key(key);
        self.accums.push_taken(from, at);
    }

    /// Adds an accumulator of another list to the last update's.
    #[inline]
    pub fn add_to_last(&mut self, from: &Accums, at: usize) {
        self.accums.add_to(self.len() - 1, from, at);
    }

    #[inline]
    fn push_key(&mut self, key: K::Key<'_>) {
        debug_assert!(self.len().checked_sub(1).is_none_or(|last| {
            let last = self.keys.get(last);
            K::head(last).cmp(&K::head(key)).then_with(|| K::behind_head(last, key)).is_lt()
        }));
        self.keys.push(key);
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

    /// What two runs hold together, the earlier one first. Epochs before `since` are not told apart any more.
    pub fn merged(earlier: &Run<K>, later: &Run<K>, since: u64) -> Run<K> {
        let mut merge = Merge::new([earlier, later], since);
        merge.work([earlier, later], &mut isize::MAX.clone());
        merge.finish()
    }
}

/// Two runs that become one.
pub struct Merge<K: KeyList> {
    /// Where each run is read.
    at: [usize; 2],
    /// Of the last update that came in its key's head, its run and its place.
    last: Option<(K::Head, usize, usize)>,
    since: u64,
    out: Run<K>,
    /// Updates that are taken together: those that are put out, and for those of a key and an epoch that are there already
    /// which of those that come out it is, its run and its place.
    next: Interleaving,
    same: Vec<(usize, usize, usize)>,
}

/// So many updates are taken together: their columns stay in the processor's nearest cache.
const TOGETHER: usize = 1024;

impl<K: KeyList> Merge<K> {
    fn new(runs: [&Run<K>; 2], since: u64) -> Self {
        let updates = runs.iter().map(|r| r.len()).sum();
        Merge {
            at: [0; 2],
            last: None,
            since,
            out: Run::new(since, updates, runs.iter().map(|r| r.keys.bytes()).sum()),
            next: Interleaving::default(),
            same: Vec::new(),
        }
    }

    /// Takes so many updates; `fuel` is what is left.
    fn work(&mut self, runs: [&Run<K>; 2], fuel: &mut isize) {
        while *fuel > 0 && (0..2).any(|run| self.at[run] < runs[run].len()) {
            self.next.begin(self.at);
            *fuel -= self.choose(runs, TOGETHER.min(fuel.unsigned_abs())) as isize;
            self.put_out(runs);
            safepoint::reached();
        }
    }

    /// Which updates come next, at most so many. Returns how many there are.
    fn choose(&mut self, runs: [&Run<K>; 2], most: usize) -> usize {
        let ([earlier, later], before) = (runs, self.out.len());
        let ([mut a, mut b], mut last, mut taken) = (self.at, self.last, 0);
        while taken < most {
            let (run, at, head) = match (a < earlier.len(), b < later.len()) {
                (true, true) => {
                    let (key_a, key_b) = (earlier.key(a), later.key(b));
                    let (head_a, head_b) = (K::head(key_a), K::head(key_b));
                    let is_later = head_b < head_a || head_b == head_a && K::behind_head(key_b, key_a).is_lt();
                    // No branch depends on which it is: that could not be foreseen.
                    if is_later { (1, b, head_b) } else { (0, a, head_a) }
                }
                (true, false) => (0, a, K::head(earlier.key(a))),
                (false, true) => (1, b, K::head(later.key(b))),
                (false, false) => break,
            };
            let same = last.is_some_and(|(last_head, last_run, last)| {
                let epoch = |run: usize, at: usize| runs[run].epoch(at).max(self.since);
                last_head == head
                    && K::behind_head(runs[last_run].key(last), runs[run].key(at)).is_eq()
                    && epoch(last_run, last) == epoch(run, at)
            });
            if same {
                self.same.push((before + self.next.len() - 1, run, at));
            } else {
                self.next.push(run, at);
            }
            last = Some((head, run, at));
            (a, b, taken) = (a + 1 - run, b + run, taken + 1);
        }
        (self.at, self.last) = ([a, b], last);
        taken
    }

    fn put_out(&mut self, runs: [&Run<K>; 2]) {
        let (before, since) = (self.out.len(), self.since);
        let epoch = |(run, at): (usize, usize)| runs[run].epoch(at).max(since);
        if before == 0 {
            self.out.epoch = self.next.places().next().map_or(since, epoch);
        }
        let (one, epochs) = (self.out.epoch, &mut self.out.epochs);
        if !epochs.is_empty() || runs.iter().any(|run| !run.epochs.is_empty() || run.epoch.max(since) != one) {
            epochs.resize(before, one);
            epochs.extend(self.next.places().map(epoch));
        }
        self.out.keys.interleave(runs.map(|run| &run.keys), &self.next);
        self.out.accums.interleave(runs.map(|run| &run.accums), &self.next);
        self.same.drain(..).for_each(|(to, run, at)| self.out.accums.add_to(to, &runs[run].accums, at));
    }

    fn finish(mut self) -> Run<K> {
        self.out.keys.shrink();
        self.out.accums.shrink();
        self.out
    }
}

impl<K: KeyList + 'static> SpineBatch for Run<K> {
    type Time = u64;
    type Merger = Merge<K>;

    fn len(&self) -> usize {
        self.len()
    }
}

impl<K: KeyList + 'static> Merger<Run<K>> for Merge<K> {
    fn new(earlier: &Run<K>, later: &Run<K>, since: AntichainRef<'_, u64>) -> Self {
        Merge::new([earlier, later], since.first().copied().unwrap_or(u64::MAX))
    }

    fn work(&mut self, earlier: &Run<K>, later: &Run<K>, fuel: &mut isize) {
        Merge::work(self, [earlier, later], fuel);
    }

    fn done(self) -> Option<Run<K>> {
        let run = self.finish();
        (!run.is_empty()).then_some(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrange::{Key, Keys, PackedKeys, Part, Place};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Updates of a run: those of each epoch, by key, and what each adds.
    type Epochs = Vec<BTreeMap<(u8, bool), i8>>;

    /// Some updates are of a session that is no more, some have parts.
    fn accum(n: i8) -> Accum {
        match n {
            0 => Accum::dead(),
            1..9 => Accum { rows: n.into(), time: 7, parts: None },
            _ => Accum { rows: 1, time: i64::from(n) << 40, parts: Some([Part::Whole(n.into())].into()) },
        }
    }

    /// One epoch after the other, put together in pairs with little fuel at a time.
    fn merged<K: KeyList + 'static>(
        epochs: &Epochs,
        sinces: &[u64],
        key: impl Fn((u8, bool), &mut dyn FnMut(K::Key<'_>)),
    ) -> Run<K> {
        let mut all = Run::<K>::new(0, 0, 0);
        for ((epoch, updates), since) in (0..).zip(epochs).zip(sinces) {
            let mut run = Run::new(epoch, 0, 0);
            updates.iter().for_each(|(of, n)| key(*of, &mut |key| run.push(key, accum(*n))));
            let mut merge = Merge::new([&all, &run], *since);
            let mut fuel = 0;
            while fuel == 0 {
                fuel = 3;
                merge.work([&all, &run], &mut fuel);
            }
            all = merge.finish();
        }
        all
    }

    fn shown<K: KeyList, O: Ord>(run: &Run<K>, key: impl Fn(K::Key<'_>) -> O) -> BTreeMap<O, Vec<(u64, Accum)>> {
        let mut shown: BTreeMap<O, Vec<(u64, Accum)>> = BTreeMap::new();
        for at in 0..run.len() {
            shown.entry(key(run.key(at))).or_default().push((run.epoch(at), run.accum(at)));
        }
        shown
    }

    proptest! {
        /// Against a map, as of epochs that are still told apart.
        #[test]
        fn what_is_merged_adds_up(
            epochs in prop::collection::vec(
                prop::collection::btree_map((0..20u8, any::<bool>()), 0..12i8, 0..30), 1..7),
            lag in 0..4u64,
            starts in any::<bool>(),
        ) {
            let sinces: Vec<u64> = (0..epochs.len() as u64).map(|epoch| epoch.saturating_sub(lag)).collect();
            let since = sinces.last().copied().unwrap_or(0);
            let mut model: BTreeMap<(u8, bool), BTreeMap<u64, Accum>> = BTreeMap::new();
            for (epoch, updates) in (0..).zip(&epochs) {
                for (of, n) in updates {
                    let at = model.entry(*of).or_default();
                    at.entry(since.max(epoch)).and_modify(|sum| sum.merge(&accum(*n))).or_insert_with(|| accum(*n));
                }
            }
            let model: BTreeMap<_, Vec<_>> = model.into_iter().map(|(of, at)| (of, at.into_iter().collect())).collect();
            // Epochs that came under the last `since` only now may still stand apart.
            let add_up = |shown: BTreeMap<(u8, bool), Vec<(u64, Accum)>>| {
                let add_up = |updates: Vec<(u64, Accum)>| {
                    let mut at: BTreeMap<u64, Accum> = BTreeMap::new();
                    for (epoch, accum) in updates {
                        at.entry(epoch.max(since)).and_modify(|sum| sum.merge(&accum)).or_insert(accum);
                    }
                    at.into_iter().collect::<Vec<_>>()
                };
                shown.into_iter().map(|(of, updates)| (of, add_up(updates))).collect::<BTreeMap<_, _>>()
            };
            let place = |(n, marked): (u8, bool)| Place {
                at: if starts { i64::from(n % 2) } else { 0 },
                mark: u32::from(marked),
            };
            let numbered = merged::<Keys>(&epochs, &sinces, |of, push| push(Key { group: of.0.into(), place: place(of) }));
            prop_assert!((1..numbered.len()).all(|at| numbered.key(at - 1) <= numbered.key(at)));
            let of = |key: Key| (key.group as u8, key.place.mark == 1);
            prop_assert_eq!(add_up(shown(&numbered, of)), model.clone());
            let packed = merged::<PackedKeys>(&epochs, &sinces, |of, push| push(&[of.0, u8::from(of.1)]));
            prop_assert_eq!(add_up(shown(&packed, |key| (key[0], key[1] == 1))), model);
        }
    }
}
