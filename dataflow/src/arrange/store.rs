//! A map from keys to accumulators, kept in runs, a span of event time each.
//!
//! Windows leave a store for good when their retention is over. To forget them one by one would mean to write all others anew,
//! so a store has its runs apart for each stretch of event time ([`Store::stretch`]): forgetting is dropping a stretch, and no
//! merge ever touches what has gone cold. A store without windows has one stretch.
//!
//! A store can be read before its new runs are merged with the others ([`Tiers`]), and meanwhile.
//!
//! Every update carries its epoch, so the store can be read as of any epoch that is not older than
//! [`Store::compact`] said.

use super::Accum;
use super::keys::KeyList;
use super::reader::Reader;
use super::run::Run;
use super::tiers::Tiers;
use std::collections::BTreeMap;
use std::rc::Rc;

/// See the module's head.
pub struct Store<K: KeyList> {
    /// Event time that is kept together, in ms; 0: all of it.
    stretch: i64,
    /// By number.
    stretches: BTreeMap<i64, Stretch<K>>,
    /// All epochs before this one are in.
    upper: u64,
    /// Reads are exact as of this epoch and later ones.
    since: u64,
}

type Runs<K> = Vec<Rc<Run<K>>>;

struct Stretch<K: KeyList> {
    /// Empty while they [merge](Store::to_merge).
    tiers: Tiers<K>,
    /// All runs: those of the tiers when they were here last, and those that came since.
    runs: Runs<K>,
    /// Those that are not in the tiers.
    new: Runs<K>,
    /// All updates are of this epoch and later ones.
    first: u64,
    /// The greatest time of an accumulator.
    latest: i64,
}

/// Runs that are merged, by stretch, and those that go in.
pub struct Merging<K: KeyList> {
    since: u64,
    stretches: Vec<(i64, Tiers<K>, Runs<K>)>,
}

impl<K: KeyList> Stretch<K> {
    fn new(first: u64) -> Self {
        Stretch { tiers: Tiers::default(), runs: Vec::new(), new: Vec::new(), first, latest: i64::MIN }
    }

    fn insert(&mut self, run: Run<K>) {
        self.latest = self.latest.max(run.latest());
        let run = Rc::new(run);
        self.runs.push(Rc::clone(&run));
        self.new.push(run);
    }
}

impl<K: KeyList> Merging<K> {
    /// Does what the new runs pay for, with [safepoints](crate::safepoint) on the way.
    pub fn work(&mut self) {
        for (_, tiers, new) in &mut self.stretches {
            new.drain(..).for_each(|run| tiers.insert(run, self.since));
        }
    }
}

impl<K: KeyList> Store<K> {
    /// An empty store. `stretch_ms` 0: keys have no event time.
    pub fn new(stretch_ms: i64) -> Self {
        Store { stretch: stretch_ms, stretches: BTreeMap::new(), upper: 0, since: 0 }
    }

    /// The number of the stretch that holds an event time.
    pub fn stretch(&self, time: i64) -> i64 {
        if self.stretch == 0 { 0 } else { time.div_euclid(self.stretch) }
    }

    /// The event time from which on a stretch holds it.
    pub fn stretch_start(&self, stretch: i64) -> i64 {
        if self.stretch == 0 { i64::MIN } else { stretch.saturating_mul(self.stretch) }
    }

    /// All epochs before this one are in.
    pub fn upper(&self) -> u64 {
        self.upper
    }

    /// The oldest epoch as of which reads are exact.
    pub fn since(&self) -> u64 {
        self.since
    }

    /// Puts in all updates of an epoch, by stretch, and closes the epochs before `upper`. They are [to be
    /// merged](Store::to_merge).
    pub fn insert(&mut self, runs: Vec<(i64, Run<K>)>, upper: u64) {
        for (stretch, run) in runs.into_iter().filter(|(_, run)| !run.is_empty()) {
            self.stretches.entry(stretch).or_insert_with(|| Stretch::new(upper.saturating_sub(1))).insert(run);
        }
        self.upper = upper;
    }

    /// What is to be merged since the last time, until it comes back [merged](Store::merged).
    pub fn to_merge(&mut self) -> Merging<K> {
        let with_new = self.stretches.iter_mut().filter(|(_, stretch)| !stretch.new.is_empty());
        let take = |(number, stretch): (&i64, &mut Stretch<K>)| {
            (*number, std::mem::take(&mut stretch.tiers), std::mem::take(&mut stretch.new))
        };
        Merging { since: self.since, stretches: with_new.map(take).collect() }
    }

    /// Takes back what has been merged.
    pub fn merged(&mut self, merging: Merging<K>) {
        for (number, tiers, _) in merging.stretches {
            if let Some(stretch) = self.stretches.get_mut(&number) {
                stretch.runs = tiers.runs().chain(&stretch.new).cloned().collect();
                stretch.tiers = tiers;
            }
        }
    }

    /// Merges what there is to merge.
    pub fn merge(&mut self) {
        let mut merging = self.to_merge();
        merging.work();
        self.merged(merging);
    }

    /// Says that nobody will read as of an epoch before this one.
    pub fn compact(&mut self, since: u64) {
        self.since = self.since.max(since);
    }

    /// Forgets every stretch before this one. What `survives` says stays is moved to this stretch.
    pub fn forget(&mut self, before: i64, mut survives: impl FnMut(K::Key<'_>, &Accum) -> bool) {
        let kept = self.stretches.split_off(&before);
        let gone = std::mem::replace(&mut self.stretches, kept);
        let mut run = Run::new(self.since, 0, 0);
        Reader::new(gone.values().flat_map(|stretch| stretch.runs.iter().cloned()), u64::MAX).scan(|key, accum| {
            if survives(key, &accum) {
                run.push(key, accum);
            }
        });
        if !run.is_empty() {
            self.insert(vec![(before, run)], self.upper.max(self.since + 1));
        }
    }

    /// The first stretch that holds anything.
    pub fn first_stretch(&self) -> Option<i64> {
        self.stretches.keys().next().copied()
    }

    /// Every update is of this epoch, or a later one.
    pub fn first_epoch(&self) -> u64 {
        self.stretches.values().map(|stretch| stretch.first).min().unwrap_or(self.upper)
    }

    /// The stretches that hold anything, ascending.
    pub fn stretches(&self) -> Vec<i64> {
        self.stretches.keys().copied().collect()
    }

    /// The greatest time of the accumulators that were put into a stretch.
    pub fn latest(&self, stretch: i64) -> i64 {
        self.stretches.get(&stretch).map_or(i64::MIN, |s| s.latest)
    }

    /// A reader of these stretches together, as of an epoch (its own updates included).
    pub fn read(&self, stretches: std::ops::RangeInclusive<i64>, as_of: u64) -> Reader<K> {
        if stretches.is_empty() {
            return Reader::new([], as_of);
        }
        Reader::new(self.stretches.range(stretches).flat_map(|(_, stretch)| stretch.runs.iter().cloned()), as_of)
    }

    /// Updates held, before what of them still meets is added up.
    pub fn updates(&self) -> usize {
        self.stretches.values().flat_map(|stretch| &stretch.runs).map(|run| run.len()).sum()
    }
}
