//! Updates in order of their keys: what an epoch adds to a store, and what a spine merges them into.

use super::keys::KeyList;
use super::{Accum, Accums};
use differential_dataflow::trace::implementations::spine_fueled::{Merger, SpineBatch};
use smallvec::SmallVec;
use timely::progress::frontier::AntichainRef;

/// Updates in ascending order of their keys. A key may come more than once, with different epochs.
pub struct Run<K> {
    keys: K,
    accums: Accums,
    epochs: Epochs,
}

/// The epoch of each update.
enum Epochs {
    /// All of one: then each key comes once.
    One(u64),
    Each(Vec<u64>),
}

impl<K: KeyList> Run<K> {
    /// An empty run of this epoch, with room for so many updates, whose keys have so many bytes together.
    pub fn new(epoch: u64, updates: usize, bytes: usize) -> Self {
        Run { keys: K::with_room(updates, bytes), accums: Accums::with_room(updates), epochs: Epochs::One(epoch) }
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
        self.accums.add_to_last(from, at);
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
        match &self.epochs {
            Epochs::One(epoch) => *epoch,
            Epochs::Each(epochs) => epochs[at],
        }
    }

    /// The place behind the updates of the key at `at`.
    #[inline]
    pub fn end_of_key(&self, at: usize) -> usize {
        match &self.epochs {
            Epochs::One(_) => at + 1,
            Epochs::Each(_) => {
                let key = self.key(at);
                (at + 1..self.len()).find(|&i| !K::same(self.key(i), key)).unwrap_or(self.len())
            }
        }
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

    /// What these runs hold together; the earlier ones first. Epochs before `since` are not told apart any more.
    pub fn merged(runs: &[&Run<K>], since: u64) -> Run<K> {
        let (mut merge, mut fuel) = (Merge::new(runs, since), isize::MAX);
        merge.work(runs, &mut fuel);
        merge.finish()
    }
}

/// Some runs that become one.
pub struct Merge<K: KeyList> {
    /// Where each run is read.
    at: SmallVec<[usize; 8]>,
    /// A heap of the runs that are not at their end, by their keys' heads, keys, and the runs' order.
    heap: SmallVec<[(K::Head, u32); 8]>,
    since: u64,
    out: Run<K>,
    /// Of the last key that was put out.
    last: Option<K::Head>,
}

impl<K: KeyList> Merge<K> {
    fn new(runs: &[&Run<K>], since: u64) -> Self {
        let updates = runs.iter().map(|r| r.len()).sum();
        let mut merge = Merge {
            at: SmallVec::from_elem(0, runs.len()),
            heap: (0..).zip(runs).filter(|(_, r)| !r.is_empty()).map(|(i, r)| (K::head(r.key(0)), i)).collect(),
            since,
            last: None,
            out: Run::new(since, updates, runs.iter().map(|r| r.keys.bytes()).sum()),
        };
        (0..merge.heap.len() / 2).rev().for_each(|place| merge.sink(runs, place));
        merge
    }

    /// Takes so many updates; `fuel` is what is left.
    fn work(&mut self, runs: &[&Run<K>], fuel: &mut isize) {
        while *fuel > 0
            && let Some(&(head, source)) = self.heap.first()
        {
            let (run, at) = (runs[source as usize], self.at[source as usize]);
            self.take(head, run, at);
            *fuel -= 1;
            self.at[source as usize] = at + 1;
            if at + 1 < run.len() {
                self.heap[0].0 = K::head(run.key(at + 1));
            } else {
                self.heap.swap_remove(0);
            }
            self.sink(runs, 0);
        }
    }

    #[inline]
    fn take(&mut self, head: K::Head, run: &Run<K>, at: usize) {
        let (key, epoch, out) = (run.key(at), run.epoch(at).max(self.since), &mut self.out);
        if self.last == Some(head)
            && let Some(last) = out.len().checked_sub(1)
            && out.epoch(last) == epoch
            && K::behind_head(out.key(last), key).is_eq()
        {
            return out.accums.add_to_last(&run.accums, at);
        }
        out.keys.push(key);
        out.accums.push_copy(&run.accums, at);
        self.last = Some(head);
        let before = out.accums.len() - 1;
        match &mut out.epochs {
            Epochs::One(one) if before == 0 => *one = epoch,
            Epochs::One(one) if *one == epoch => {}
            Epochs::One(one) => {
                let mut each = vec![*one; before];
                each.push(epoch);
                out.epochs = Epochs::Each(each);
            }
            Epochs::Each(epochs) => epochs.push(epoch),
        }
    }

    fn sink(&mut self, runs: &[&Run<K>], mut place: usize) {
        let less = |a: &(K::Head, u32), b: &(K::Head, u32)| {
            let key = |s: &(K::Head, u32)| runs[s.1 as usize].key(self.at[s.1 as usize]);
            a.0.cmp(&b.0).then_with(|| K::behind_head(key(a), key(b)).then(a.1.cmp(&b.1))).is_lt()
        };
        let heap = &mut self.heap[..];
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            if left >= heap.len() {
                return;
            }
            let child = if right < heap.len() && less(&heap[right], &heap[left]) { right } else { left };
            if !less(&heap[child], &heap[place]) {
                return;
            }
            heap.swap(place, child);
            place = child;
        }
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
        Merge::new(&[earlier, later], since.first().copied().unwrap_or(u64::MAX))
    }

    fn work(&mut self, earlier: &Run<K>, later: &Run<K>, fuel: &mut isize) {
        Merge::work(self, &[earlier, later], fuel);
    }

    fn done(self) -> Option<Run<K>> {
        let run = self.finish();
        (!run.is_empty()).then_some(run)
    }
}
