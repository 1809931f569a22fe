//! A map from packed keys to accumulators, kept in differential spines, a span of event time each.
//!
//! Windows leave a store for good when their retention is over. A spine has no cheap way to forget, so a store has
//! one spine for each stretch of event time ([`Store::stretch`]): forgetting is dropping a spine, and no merge ever
//! touches what has gone cold. A store without windows has one spine.
//!
//! Every update carries its epoch, so the store can be read as of any epoch that is not older than
//! [`Store::compact`] said.

use super::offsets::Offsets;
use super::reader::Reader;
use super::{Accum, PackedKeys};
use differential_dataflow::trace::implementations::BatchContainer;
use differential_dataflow::trace::implementations::ord_neu::key_batch::OrdKeyStorage;
use differential_dataflow::trace::implementations::ord_neu::{OrdKeyBatch, Upds};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::{Description, Span, Trace, TraceReader};
use std::collections::BTreeMap;
use std::rc::Rc;
use timely::dataflow::operators::generic::OperatorInfo;
use timely::progress::Antichain;

pub(super) type Layout = (PackedKeys, Vec<()>, Vec<u64>, Vec<Accum>, Offsets);
pub(super) type Batch = Rc<OrdKeyBatch<Layout>>;

/// See the module's head.
pub struct Store {
    /// Event time a spine covers, in ms; 0: all of it.
    stretch: i64,
    /// Spines by number of their stretch; behind the stretch's own (0), those of what outlived an earlier stretch.
    spines: BTreeMap<(i64, u32), Stretch>,
    /// All epochs before this one are in.
    upper: u64,
    /// Reads are exact as of this epoch and later ones.
    since: u64,
}

struct Stretch {
    spine: Spine<Batch>,
    /// The greatest time of an accumulator.
    latest: i64,
}

/// Updates of one epoch in ascending order of their keys, each key once.
pub struct Run {
    keys: PackedKeys,
    accums: Vec<Accum>,
    epoch: u64,
}

impl Run {
    /// An empty run of this epoch, with room for so many updates.
    pub fn new(epoch: u64, updates: usize, bytes: usize) -> Self {
        Run { keys: PackedKeys::with_room(updates, bytes), accums: Vec::with_capacity(updates), epoch }
    }

    /// Adds an update. Keys must ascend.
    pub fn push(&mut self, key: &[u8], accum: Accum) {
        debug_assert!(self.keys.last().is_none_or(|last| last < key));
        self.keys.push(key);
        self.accums.push(accum);
    }

    /// The number of updates.
    pub fn len(&self) -> usize {
        self.accums.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.accums.is_empty()
    }

    /// As a batch: a key has one update, at the run's epoch.
    fn into_batch(self) -> OrdKeyBatch<Layout> {
        let updates = self.accums.len();
        let upds = Upds { offs: Offsets::up_to(updates), times: vec![self.epoch; updates], diffs: self.accums };
        let storage = OrdKeyStorage { keys: self.keys, upds };
        OrdKeyBatch { storage, updates, value: OrdKeyBatch::<Layout>::create_value() }
    }

    /// The updates in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Accum)> {
        self.keys.iter().zip(&self.accums)
    }
}

impl Store {
    /// An empty store. `stretch_ms` 0: keys have no event time.
    pub fn new(stretch_ms: i64) -> Self {
        Store { stretch: stretch_ms, spines: BTreeMap::new(), upper: 0, since: 0 }
    }

    /// The number of the stretch that holds an event time.
    pub fn stretch(&self, time: i64) -> i64 {
        if self.stretch == 0 { 0 } else { time.div_euclid(self.stretch) }
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
    pub fn insert(&mut self, runs: Vec<(i64, Run)>, upper: u64) {
        for (stretch, run) in runs.into_iter().filter(|(_, run)| !run.is_empty()) {
            self.insert_run((stretch, 0), run, upper);
        }
        self.upper = upper;
    }

    fn insert_run(&mut self, place: (i64, u32), run: Run, upper: u64) {
        let since = Antichain::from_elem(self.since);
        let Stretch { spine, latest } = self.spines.entry(place).or_insert_with(|| {
            // A spine wants an operator for its log messages only, and has no logger here.
            let mut spine = Spine::new(OperatorInfo::new(0, 0, Rc::from([])), None, None);
            spine.set_logical_compaction(since.borrow());
            Stretch { spine, latest: i64::MIN }
        });
        *latest = run.accums.iter().map(|a| a.time).fold(*latest, i64::max);
        let mut lower = Antichain::new();
        spine.read_upper(&mut lower);
        let batch = (!run.is_empty()).then(|| Rc::new(run.into_batch()));
        let description = Description::new(lower, Antichain::from_elem(upper), Antichain::from_elem(0));
        spine.insert(Span::new(description, batch));
        spine.set_physical_compaction(Antichain::from_elem(upper).borrow());
    }

    /// Says that nobody will read as of an epoch before this one.
    pub fn compact(&mut self, since: u64) {
        if since > self.since {
            self.since = since;
            let frontier = Antichain::from_elem(since);
            self.spines.values_mut().for_each(|s| s.spine.set_logical_compaction(frontier.borrow()));
        }
    }

    /// Forgets every stretch before this one. What `survives` says stays is moved to this stretch.
    pub fn forget(&mut self, before: i64, survives: impl Fn(&[u8], &Accum) -> bool) {
        let kept = self.spines.split_off(&(before, 0));
        let mut gone = std::mem::replace(&mut self.spines, kept);
        let mut run = Run::new(self.since, 0, 0);
        Reader::new(gone.values_mut().flat_map(batches), u64::MAX).scan(|key, accum| {
            if survives(key, &accum) {
                run.push(key, accum);
            }
        });
        if !run.is_empty() {
            let beside = (1..).find(|n| !self.spines.contains_key(&(before, *n))).unwrap_or(u32::MAX);
            self.insert_run((before, beside), run, self.upper.max(self.since + 1));
        }
    }

    /// The first stretch that holds anything.
    pub fn first_stretch(&self) -> Option<i64> {
        self.spines.keys().next().map(|(stretch, _)| *stretch)
    }

    /// The stretches that hold anything, ascending.
    pub fn stretches(&self) -> Vec<i64> {
        let mut stretches: Vec<i64> = self.spines.keys().map(|(stretch, _)| *stretch).collect();
        stretches.dedup();
        stretches
    }

    /// The greatest time of the accumulators that were put into a stretch.
    pub fn latest(&self, stretch: i64) -> i64 {
        self.spines.range((stretch, 0)..=(stretch, u32::MAX)).map(|(_, s)| s.latest).fold(i64::MIN, i64::max)
    }

    /// A reader of these stretches together, as of an epoch (its own updates included).
    pub fn read(&mut self, stretches: std::ops::RangeInclusive<i64>, as_of: u64) -> Reader {
        let (first, last) = stretches.into_inner();
        if first > last {
            return Reader::new([], as_of);
        }
        let range = (first, 0)..=(last, u32::MAX);
        Reader::new(self.spines.range_mut(range).flat_map(|(_, stretch)| batches(stretch)), as_of)
    }

    /// Updates held, before what of them still meets is added up.
    pub fn updates(&self) -> usize {
        let mut n = 0;
        for stretch in self.spines.values() {
            stretch.spine.map_spans(|span| n += span.inner.as_ref().map_or(0, |b| b.updates));
        }
        n
    }
}

fn batches(stretch: &mut Stretch) -> Vec<Batch> {
    stretch.spine.batches_through(Antichain::new().borrow()).unwrap_or_default()
}
