//! A map from keys to accumulators, kept in differential spines, a span of event time each.
//!
//! Windows leave a store for good when their retention is over. A spine has no cheap way to forget, so a store has
//! one spine for each stretch of event time ([`Store::stretch`]): forgetting is dropping a spine, and no merge ever
//! touches what has gone cold. A store without windows has one spine.
//!
//! Each epoch's run goes into the spine by itself, and pays for as much of the spine's merges as it is long: several put in
//! together would let the spine do as much at once, and all who wait would wait for that. A store can be read before its runs
//! are merged, and meanwhile.
//!
//! Every update carries its epoch, so the store can be read as of any epoch that is not older than
//! [`Store::compact`] said.

use super::Accum;
use super::keys::KeyList;
use super::reader::Reader;
use super::run::Run;
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::{Description, Span, Trace, TraceReader};
use std::collections::BTreeMap;
use std::rc::Rc;
use timely::dataflow::operators::generic::OperatorInfo;
use timely::progress::Antichain;

/// See the module's head.
pub struct Store<K: KeyList + 'static> {
    /// Event time a spine covers, in ms; 0: all of it.
    stretch: i64,
    /// By number.
    stretches: BTreeMap<i64, Stretch<K>>,
    /// All epochs before this one are in.
    upper: u64,
    /// Reads are exact as of this epoch and later ones.
    since: u64,
}

struct Stretch<K: KeyList + 'static> {
    /// `None` while it [merges](Store::to_merge).
    spine: Option<Runs<K>>,
    /// All runs: those of the spine when it was here last, and those that came since.
    runs: Vec<Rc<Run<K>>>,
    /// Those that are not in the spine.
    new: Vec<Rc<Run<K>>>,
    /// All updates are of this epoch and later ones.
    first: u64,
    /// The greatest time of an accumulator.
    latest: i64,
}

type Runs<K> = Spine<Rc<Run<K>>>;

/// Spines, by stretch, and the runs that go into them.
pub struct Merging<K: KeyList + 'static>(Vec<(i64, Runs<K>, Vec<Rc<Run<K>>>)>);

impl<K: KeyList + 'static> Stretch<K> {
    fn new(since: u64, first: u64) -> Self {
        // A spine wants an operator for its log messages only, and has no logger here.
        let mut spine = Spine::new(OperatorInfo::new(0, 0, Rc::from([])), None, None);
        spine.set_logical_compaction(Antichain::from_elem(since).borrow());
        Stretch { spine: Some(spine), runs: Vec::new(), new: Vec::new(), first, latest: i64::MIN }
    }

    fn insert(&mut self, run: Run<K>) {
        self.latest = self.latest.max(run.latest());
        let run = Rc::new(run);
        self.runs.push(Rc::clone(&run));
        self.new.push(run);
    }
}

impl<K: KeyList + 'static> Merging<K> {
    /// Does what the new runs pay for, with [safepoints](crate::safepoint) on the way.
    pub fn work(&mut self) {
        for (_, spine, new) in &mut self.0 {
            for run in new.drain(..) {
                // What a spine takes for times counts its runs: an epoch may have several.
                let mut lower = Antichain::new();
                spine.read_upper(&mut lower);
                let upper = Antichain::from_elem(lower.first().map_or(0, |runs| runs + 1));
                let description = Description::new(lower, upper.clone(), Antichain::from_elem(0));
                spine.insert(Span::new(description, Some(run)));
                spine.set_physical_compaction(upper.borrow());
            }
        }
    }
}

impl<K: KeyList + 'static> Store<K> {
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
        let since = self.since;
        for (stretch, run) in runs.into_iter().filter(|(_, run)| !run.is_empty()) {
            self.stretches.entry(stretch).or_insert_with(|| Stretch::new(since, upper.saturating_sub(1))).insert(run);
        }
        self.upper = upper;
    }

    /// What is to be merged since the last time, until it comes back [merged](Store::merged).
    pub fn to_merge(&mut self) -> Merging<K> {
        let with_new = self.stretches.iter_mut().filter(|(_, stretch)| !stretch.new.is_empty());
        let take = |(number, stretch): (&i64, &mut Stretch<K>)| {
            Some((*number, stretch.spine.take()?, std::mem::take(&mut stretch.new)))
        };
        Merging(with_new.filter_map(take).collect())
    }

    /// Takes back what has been merged.
    pub fn merged(&mut self, merging: Merging<K>) {
        for (number, mut spine, _) in merging.0 {
            if let Some(stretch) = self.stretches.get_mut(&number) {
                stretch.runs = spine.batches_through(Antichain::new().borrow()).unwrap_or_default();
                stretch.runs.extend(stretch.new.iter().cloned());
                stretch.spine = Some(spine);
            }
        }
    }

    /// Says that nobody will read as of an epoch before this one.
    pub fn compact(&mut self, since: u64) {
        if since > self.since {
            self.since = since;
            let frontier = Antichain::from_elem(since);
            let spines = self.stretches.values_mut().filter_map(|stretch| stretch.spine.as_mut());
            spines.for_each(|spine| spine.set_logical_compaction(frontier.borrow()));
        }
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
