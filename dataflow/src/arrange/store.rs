//! A map from packed keys to accumulators, kept in differential spines, a span of event time each.
//!
//! Windows leave a store for good when their retention is over. A spine has no cheap way to forget, so a store has
//! one spine for each stretch of event time ([`Store::stretch`]): forgetting is dropping a spine, and no merge ever
//! touches what has gone cold. A store without windows has one spine.
//!
//! Every update carries its epoch, so the store can be read as of any epoch that is not older than
//! [`Store::compact`] said.

use super::{Accum, PackedKeys};
use differential_dataflow::difference::Semigroup;
use differential_dataflow::trace::cursor::{CursorList, cursor_list};
use differential_dataflow::trace::implementations::ord_neu::{BuilderInput, OrdKeyBatch, OrdKeyBuilder};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::implementations::{BatchContainer, OffsetList};
use differential_dataflow::trace::{Builder, Cursor, Description, Navigable, Span, Trace, TraceReader};
use std::collections::BTreeMap;
use std::rc::Rc;
use timely::container::DrainContainer;
use timely::dataflow::operators::generic::OperatorInfo;
use timely::progress::Antichain;

type Layout = (PackedKeys, Vec<()>, Vec<u64>, Vec<Accum>, OffsetList);
type Batch = Rc<OrdKeyBatch<Layout>>;

/// See the module's head.
pub struct Store {
    /// Event time a spine covers, in ms; 0: all of it.
    stretch: i64,
    /// Spines by number of their stretch; behind the stretch's own (0), those of what outlived an earlier stretch.
    spines: BTreeMap<(i64, u32), Spine<Batch>>,
    /// All epochs before this one are in.
    upper: u64,
    /// Reads are exact as of this epoch and later ones.
    since: u64,
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
        let spine = self.spines.entry(place).or_insert_with(|| {
            // A spine wants an operator for its log messages only, and has no logger here.
            let mut spine = Spine::new(OperatorInfo::new(0, 0, Rc::from([])), None, None);
            spine.set_logical_compaction(since.borrow());
            spine
        });
        let mut lower = Antichain::new();
        spine.read_upper(&mut lower);
        let updates = run.len();
        let mut builder = OrdKeyBuilder::<Layout, Run>::with_capacity(updates, updates, updates);
        builder.push(&mut { run });
        let description = Description::new(lower, Antichain::from_elem(upper), Antichain::from_elem(0));
        spine.insert(Span::new(description, builder.done().map(Rc::new)));
        spine.set_physical_compaction(Antichain::from_elem(upper).borrow());
    }

    /// Says that nobody will read as of an epoch before this one.
    pub fn compact(&mut self, since: u64) {
        if since > self.since {
            self.since = since;
            let frontier = Antichain::from_elem(since);
            self.spines.values_mut().for_each(|spine| spine.set_logical_compaction(frontier.borrow()));
        }
    }

    /// Forgets every stretch before this one. What `survives` says stays is moved to this stretch.
    pub fn forget(&mut self, before: i64, survives: impl Fn(&[u8], &Accum) -> bool) {
        let kept = self.spines.split_off(&(before, 0));
        let mut gone = std::mem::replace(&mut self.spines, kept);
        let mut run = Run::new(self.since, 0, 0);
        Reader::new(gone.values_mut().map(batches).collect(), u64::MAX).scan(|key, accum| {
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

    /// A reader of these stretches together, as of an epoch (its own updates included).
    pub fn read(&mut self, stretches: std::ops::RangeInclusive<i64>, as_of: u64) -> Reader {
        let (first, last) = stretches.into_inner();
        if first > last {
            return Reader::new(Vec::new(), as_of);
        }
        let range = (first, 0)..=(last, u32::MAX);
        Reader::new(self.spines.range_mut(range).map(|(_, spine)| batches(spine)).collect(), as_of)
    }

    /// Updates held, before what of them still meets is added up.
    pub fn updates(&self) -> usize {
        let mut n = 0;
        for spine in self.spines.values() {
            spine.map_spans(|span| n += span.inner.as_ref().map_or(0, |b| b.updates));
        }
        n
    }
}

fn batches(spine: &mut Spine<Batch>) -> Vec<Batch> {
    spine.batches_through(Antichain::new().borrow()).unwrap_or_default()
}

/// Reads a store's keys in ascending order.
pub struct Reader {
    cursor: CursorList<<Batch as Navigable>::Cursor>,
    storage: Vec<Batch>,
    /// Updates of later epochs are not seen.
    as_of: u64,
}

impl Reader {
    fn new(batches: Vec<Vec<Batch>>, as_of: u64) -> Self {
        let (cursor, storage) = cursor_list(batches.into_iter().flatten().collect());
        Reader { cursor, storage, as_of }
    }

    /// Goes forward to the first key that is not before this one; readers do not go back.
    pub fn seek(&mut self, key: &[u8]) {
        self.cursor.seek_key(&self.storage, key);
    }

    /// The key it stands at.
    pub fn key(&self) -> Option<&[u8]> {
        self.cursor.get_key(&self.storage)
    }

    /// What the key it stands at adds up to; `None` when it was not there yet.
    pub fn accum(&mut self) -> Option<Accum> {
        let mut sum: Option<Accum> = None;
        let as_of = self.as_of;
        self.cursor.map_times(&self.storage, |time, accum| {
            if *time <= as_of {
                match &mut sum {
                    None => sum = Some(accum.clone()),
                    Some(sum) => sum.plus_equals(accum),
                }
            }
        });
        sum
    }

    /// Goes to the next key.
    pub fn step(&mut self) {
        self.cursor.step_key(&self.storage);
    }

    /// Goes back to before the first key.
    pub fn rewind(&mut self) {
        self.cursor.rewind_keys(&self.storage);
    }

    /// What this key adds up to. Keys asked for must not descend.
    pub fn get(&mut self, key: &[u8]) -> Option<Accum> {
        self.seek(key);
        if self.key() == Some(key) { self.accum() } else { None }
    }

    /// Shows all keys from where it stands to the end.
    pub fn scan(&mut self, mut each: impl FnMut(&[u8], Accum)) {
        while let Some(accum) = self.key().is_some().then(|| self.accum()) {
            if let (Some(accum), Some(key)) = (accum, self.key()) {
                each(key, accum);
            }
            self.step();
        }
    }
}

impl DrainContainer for Run {
    type Item<'a> = (&'a [u8], Accum, u64);
    type DrainIter<'a> = RunDrain<'a>;
    fn drain(&mut self) -> RunDrain<'_> {
        RunDrain { keys: &self.keys, at: 0, accums: self.accums.drain(..), epoch: self.epoch }
    }
}

/// The updates of a run, taken out in order.
pub struct RunDrain<'a> {
    keys: &'a PackedKeys,
    at: usize,
    accums: std::vec::Drain<'a, Accum>,
    epoch: u64,
}

impl<'a> Iterator for RunDrain<'a> {
    type Item = (&'a [u8], Accum, u64);
    fn next(&mut self) -> Option<Self::Item> {
        let accum = self.accums.next()?;
        let key = self.keys.index(self.at);
        self.at += 1;
        Some((key, accum, self.epoch))
    }
}

impl BuilderInput<PackedKeys, Vec<()>> for Run {
    type Key<'a> = &'a [u8];
    type Val<'a> = ();
    type Time = u64;
    type Diff = Accum;

    fn into_parts<'a>((key, accum, epoch): Self::Item<'a>) -> (&'a [u8], (), u64, Accum) {
        (key, (), epoch, accum)
    }
    fn key_eq(this: &&[u8], other: &[u8]) -> bool {
        *this == other
    }
    fn val_eq((): &(), (): &()) -> bool {
        true
    }
    fn key_val_upd_counts(chain: &[Self]) -> (usize, usize, usize) {
        let n = chain.iter().map(Run::len).sum();
        (n, n, n)
    }
}
