//! A map from keys to accumulators, kept in differential spines, a span of event time each.
//!
//! Windows leave a store for good when their retention is over. A spine has no cheap way to forget, so a store has
//! one spine for each stretch of event time ([`Store::stretch`]): forgetting is dropping a spine, and no merge ever
//! touches what has gone cold. A store without windows has one spine.
//!
//! Each epoch's run goes into the spine by itself, and pays for as much of the spine's merges as it is long: several put in
//! together would let the spine do as much at once, and all who wait would wait for that.
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
    spine: Spine<Rc<Run<K>>>,
    /// All updates are of this epoch and later ones.
    first: u64,
    /// The greatest time of an accumulator.
    latest: i64,
}

impl<K: KeyList + 'static> Stretch<K> {
    fn new(since: u64, first: u64) -> Self {
        // A spine wants an operator for its log messages only, and has no logger here.
        let mut spine = Spine::new(OperatorInfo::new(0, 0, Rc::from([])), None, None);
        spine.set_logical_compaction(Antichain::from_elem(since).borrow());
        Stretch { spine, first, latest: i64::MIN }
    }

    /// Takes a run of an epoch before `upper`, and not before those that came earlier.
    fn insert(&mut self, run: Run<K>, upper: u64) {
        self.latest = self.latest.max(run.latest());
        let mut lower = Antichain::new();
        self.spine.read_upper(&mut lower);
        let description = Description::new(lower, Antichain::from_elem(upper), Antichain::from_elem(0));
        self.spine.insert(Span::new(description, Some(Rc::new(run))));
        self.spine.set_physical_compaction(Antichain::from_elem(upper).borrow());
    }

    fn runs(&mut self) -> Vec<Rc<Run<K>>> {
        self.spine.batches_through(Antichain::new().borrow()).unwrap_or_default()
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

    /// Puts in all updates of an epoch, by stretch, and closes the epochs before `upper`.
    pub fn insert(&mut self, runs: Vec<(i64, Run<K>)>, upper: u64) {
        let since = self.since;
        for (stretch, run) in runs.into_iter().filter(|(_, run)| !run.is_empty()) {
            self.stretches
                .entry(stretch)
                .or_insert_with(|| Stretch::new(since, upper.saturating_sub(1)))
                .insert(run, upper);
        }
        self.upper = upper;
    }

    /// Says that nobody will read as of an epoch before this one.
    pub fn compact(&mut self, since: u64) {
        if since > self.since {
            self.since = since;
            let frontier = Antichain::from_elem(since);
            self.stretches.values_mut().for_each(|s| s.spine.set_logical_compaction(frontier.borrow()));
        }
    }

    /// Forgets every stretch before this one. What `survives` says stays is moved to this stretch.
    pub fn forget(&mut self, before: i64, mut survives: impl FnMut(K::Key<'_>, &Accum) -> bool) {
        let kept = self.stretches.split_off(&before);
        let mut gone = std::mem::replace(&mut self.stretches, kept);
        let mut run = Run::new(self.since, 0, 0);
        Reader::new(gone.values_mut().flat_map(Stretch::runs), u64::MAX).scan(|key, accum| {
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
    pub fn read(&mut self, stretches: std::ops::RangeInclusive<i64>, as_of: u64) -> Reader<K> {
        if stretches.is_empty() {
            return Reader::new([], as_of);
        }
        Reader::new(self.stretches.range_mut(stretches).flat_map(|(_, stretch)| stretch.runs()), as_of)
    }

    /// Updates held, before what of them still meets is added up.
    pub fn updates(&self) -> usize {
        let mut n = 0;
        for stretch in self.stretches.values() {
            stretch.spine.map_spans(|span| n += span.inner.as_ref().map_or(0, |run| run.len()));
        }
        n
    }
}
