//! Rows of one side of a stream-stream join, on their way to the worker that keeps their key.
//!
//! Each row gets its *clock*: the greatest time in its partition up to and with it, over rows that have a key. Where a
//! partition's batches are dealt out to several workers, these tell each other the clocks of their batches; a batch waits for
//! the earlier ones and goes out at their epoch or a later one. So the rows of an epoch and their clocks are the same
//! whatever the number of workers and the cut of the batches.

use super::parcels::owner;
use super::port::Flow;
use super::turns::{self, Summary, Turn, Turns};
use super::{SharedReports, steps};
use crate::plan::join::Side;
use crate::row::packer::Packer;
use crate::row::{Batch, Origin, SqlType};
use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;
use serde::{Deserialize, Serialize};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;

/// What one batch brings to one worker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arrivals {
    /// The worker.
    pub target: u64,
    /// Of the right side.
    pub right: bool,
    /// The partition.
    pub partition: u32,
    /// The batch's number in it.
    pub sequence: u64,
    /// The partition's clock after the batch; `i64::MIN` before the first row with a key.
    pub clock: i64,
    /// The rows, in order.
    pub rows: Vec<Arrival>,
}

/// A row.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Arrival {
    /// Its place in the batch.
    pub row: u32,
    /// ROWTIME.
    pub time: i64,
    /// The partition's clock with it.
    pub clock: i64,
    /// The packed key on which it is joined; `None` when a part of it is null.
    pub key: Option<Box<[u8]>>,
    /// What it gives to a joined row, packed.
    pub value: Box<[u8]>,
}

/// A batch with its keys and columns evaluated.
struct Prepared {
    times: ScalarBuffer<i64>,
    origin: Origin,
    keys: Packer,
    values: Packer,
    /// The greatest time of a row with a key.
    max_time: i64,
}

impl Prepared {
    fn new(side: &Side, batch: &Batch, errors: &mut crate::plan::eval::EvalErrors) -> Self {
        let input = steps::input(batch);
        let mut packer = |exprs: &mut dyn Iterator<Item = &crate::plan::expr::Expr>| {
            let columns: Vec<(ArrayRef, SqlType)> = exprs.map(|e| (e.eval(&input, errors), e.ty().clone())).collect();
            Packer::new(columns)
        };
        let keys = packer(&mut side.key.iter());
        let values = packer(&mut side.columns.iter().map(|c| &c.expr));
        let with_key = (0..batch.len()).filter(|&row| !keys.any_null(row));
        let max_time = with_key.map(|row| batch.times[row]).max().unwrap_or(i64::MIN);
        Prepared { times: batch.times.clone(), origin: batch.origin, keys, values, max_time }
    }

    /// Its rows for each worker, when the clock before them was this.
    fn arrivals(&self, right: bool, before: i64, peers: u64) -> Vec<Arrivals> {
        let Origin { partition, sequence } = self.origin;
        let clock = before.max(self.max_time);
        let mut all: Vec<Arrivals> =
            (0..peers).map(|target| Arrivals { target, right, partition, sequence, clock, rows: Vec::new() }).collect();
        let mut clock = before;
        for (row, &time) in self.times.iter().enumerate() {
            let mut value = Vec::new();
            self.values.push(&mut value, row);
            let key = (!self.keys.any_null(row)).then(|| {
                let mut key = Vec::new();
                self.keys.push(&mut key, row);
                key.into_boxed_slice()
            });
            let target = match &key {
                Some(key) => {
                    clock = clock.max(time);
                    owner(key, peers)
                }
                None => u64::from(partition) % peers.max(1),
            };
            if let Some(arrivals) = all.get_mut(target as usize) {
                let row = u32::try_from(row).unwrap_or(u32::MAX);
                arrivals.rows.push(Arrival { row, time, clock, key, value: value.into() });
            }
        }
        all
    }
}

impl turns::Prepared for Prepared {
    fn origin(&self) -> Origin {
        self.origin
    }

    fn max_time(&self) -> i64 {
        self.max_time
    }
}

/// The rows of a side, a parcel for each worker a batch, to be exchanged by [`Arrivals::target`]. `split`: the input's
/// partitions are dealt out to several workers, batch by batch.
pub fn render<'scope>(
    stream: Flow<'scope, Batch>,
    side: Side,
    right: bool,
    split: bool,
    view: &str,
    reports: &SharedReports,
) -> Flow<'scope, Arrivals> {
    let peers = stream.scope().peers() as u64;
    let prepared = turns::prepare(stream, view, reports, move |batch, errors| Prepared::new(&side, batch, errors));
    let summaries = turns::summaries(&prepared, split);
    let mut turns: Turns<Prepared> = Turns::default();
    prepared.binary::<_, CapacityContainerBuilder<Vec<Arrivals>>, _, _, _, _>(
        summaries,
        Pipeline,
        Exchange::new(|(target, _): &(u64, Summary)| *target),
        "Arrive",
        move |_, _| {
            move |batches, summaries, output| {
                summaries.for_each(|_, data| data.drain(..).for_each(|(_, summary)| turns.know(summary)));
                let mut ready = Vec::new();
                batches.for_each(|time, data| {
                    let Some(capability) = time.retain_least(0) else { return };
                    for batch in data.drain(..) {
                        if split {
                            turns.wait(capability.clone(), batch);
                        } else {
                            ready.push(turns.take(capability.clone(), batch));
                        }
                    }
                });
                ready.extend(turns.ready());
                for Turn { batch, capability, before, epoch } in ready {
                    let at = capability.delayed(&epoch);
                    output.session(&at).give_iterator(batch.arrivals(right, before, peers).into_iter());
                }
            }
        },
    )
}
