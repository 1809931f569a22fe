//! A stream's batches, partition by partition in order, whatever workers they were dealt out to.
//!
//! [`prepare`] evaluates what an operator needs of a batch. Where a partition's batches are dealt out to several workers,
//! [`summaries`] tells all of them each batch's greatest time and epoch, and a batch waits for its turn ([`Turns`]) until the
//! summaries of all earlier ones are known. So what is decided by the greatest time before a batch is the same whatever
//! worker sees it.

use super::port::Flow;
use super::{SharedReports, steps};
use crate::plan::eval::EvalErrors;
use crate::row::{Batch, Origin};
use crate::safepoint;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::{Operator, empty};

/// A batch with all evaluated that an operator needs of it.
pub trait Prepared: 'static {
    /// The batch's place.
    fn origin(&self) -> Origin;

    /// The greatest time of its rows that count; `i64::MIN` when there is none.
    fn max_time(&self) -> i64;
}

/// Of a batch: partition, number, greatest time, epoch.
pub type Summary = (u32, u64, i64, u64);

/// A batch whose turn it is.
pub struct Turn<P> {
    /// The batch.
    pub batch: Rc<P>,
    /// Of the batch's epoch.
    pub capability: Capability<u64>,
    /// The greatest time of the partition's earlier batches; `i64::MIN` when they had none.
    pub before: i64,
    /// The latest epoch of a batch of the partition, up to and with this one.
    pub epoch: u64,
}

/// What one partition has brought so far.
struct Partition<P> {
    /// The greatest time of the batches that have had their turn.
    time: i64,
    /// The latest epoch of these.
    epoch: u64,
    /// The next batch's number.
    next: u64,
    /// Batches of this worker that wait for earlier ones.
    waiting: BTreeMap<u64, (Capability<u64>, Rc<P>)>,
    /// Greatest time and epoch of batches that are known and have not had their turn.
    known: BTreeMap<u64, (i64, u64)>,
}

impl<P> Default for Partition<P> {
    fn default() -> Self {
        Partition { time: i64::MIN, epoch: 0, next: 0, waiting: BTreeMap::new(), known: BTreeMap::new() }
    }
}

/// The order of all partitions.
pub struct Turns<P>(HashMap<u32, Partition<P>>);

impl<P> Default for Turns<P> {
    fn default() -> Self {
        Turns(HashMap::new())
    }
}

impl<P: Prepared> Turns<P> {
    /// Notes what is known of a batch, of this worker or another.
    pub fn know(&mut self, (partition, sequence, time, epoch): Summary) {
        self.0.entry(partition).or_default().known.insert(sequence, (time, epoch));
    }

    /// A batch that waits for its turn.
    pub fn wait(&mut self, capability: Capability<u64>, batch: Rc<P>) {
        let Origin { partition, sequence } = batch.origin();
        self.0.entry(partition).or_default().waiting.insert(sequence, (capability, batch));
    }

    /// The turn of a batch that is the next one: only this worker reads its partition.
    pub fn take(&mut self, capability: Capability<u64>, batch: Rc<P>) -> Turn<P> {
        let partition = self.0.entry(batch.origin().partition).or_default();
        partition.turn(capability, batch)
    }

    /// The batches whose turn it is.
    pub fn ready(&mut self) -> Vec<Turn<P>> {
        let mut ready = Vec::new();
        for partition in self.0.values_mut() {
            while let Some((time, epoch)) = partition.known.remove(&partition.next) {
                partition.next += 1;
                match partition.waiting.remove(&(partition.next - 1)) {
                    Some((capability, batch)) => ready.push(partition.turn(capability, batch)),
                    None => {
                        partition.time = partition.time.max(time);
                        partition.epoch = partition.epoch.max(epoch);
                    }
                }
            }
        }
        ready
    }

    /// The first epoch of a batch that waits.
    pub fn held(&self) -> Option<u64> {
        self.0.values().flat_map(|p| p.waiting.values()).map(|(capability, _)| *capability.time()).min()
    }
}

impl<P: Prepared> Partition<P> {
    fn turn(&mut self, capability: Capability<u64>, batch: Rc<P>) -> Turn<P> {
        let before = self.time;
        self.time = before.max(batch.max_time());
        self.epoch = self.epoch.max(*capability.time());
        Turn { batch, capability, before, epoch: self.epoch }
    }
}

/// A stream's batches, evaluated.
pub fn prepare<'scope, P: Prepared>(
    stream: Flow<'scope, Batch>,
    view: &str,
    reports: &SharedReports,
    mut evaluate: impl FnMut(&Batch, &mut EvalErrors) -> P + 'static,
) -> Flow<'scope, Rc<P>> {
    let (view, reports) = (view.to_owned(), reports.clone());
    stream.unary::<CapacityContainerBuilder<Vec<Rc<P>>>, _, _, _>(Pipeline, "Prepare", move |_, _| {
        move |input, output| {
            input.for_each(|time, batches| {
                let mut session = output.session(&time);
                for batch in batches.drain(..) {
                    safepoint::reached();
                    let mut failed = steps::errors();
                    session.give(Rc::new(evaluate(&batch, &mut failed)));
                    reports.borrow_mut().evaluation(&view, &failed, &batch.times);
                }
            });
        }
    })
}

/// What all workers are to know of the batches, to be exchanged by the worker's number that stands before; nothing where
/// partitions are not dealt out (`split`).
pub fn summaries<'scope, P: Prepared>(prepared: &Flow<'scope, Rc<P>>, split: bool) -> Flow<'scope, (u64, Summary)> {
    let scope = prepared.scope();
    if !split {
        return empty(scope);
    }
    let peers = scope.peers() as u64;
    prepared.clone().unary::<CapacityContainerBuilder<Vec<(u64, Summary)>>, _, _, _>(
        Pipeline,
        "Summary",
        move |_, _| {
            move |input, output| {
                input.for_each(|time, batches| {
                    let epoch = time.least().copied().unwrap_or(0);
                    let mut session = output.session(&time);
                    for batch in batches.drain(..) {
                        let Origin { partition, sequence } = batch.origin();
                        let summary = (partition, sequence, batch.max_time(), epoch);
                        (0..peers).for_each(|peer| session.give((peer, summary)));
                    }
                });
            }
        },
    )
}
