//! Ways in and out of a node's dataflow, worked by the worker between two steps.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::ActivateCapability;
use timely::dataflow::operators::core::{UnorderedHandle, UnorderedInput};
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::probe::{Handle, Probe};
use timely::dataflow::{Scope, Stream};

/// A stream of a dataflow whose time is the epoch.
pub type Flow<'scope, T> = Stream<'scope, u64, Vec<T>>;

/// Feeds a dataflow: items at any epoch that is not closed yet.
pub struct Inlet<T: Clone + 'static> {
    handle: UnorderedHandle<u64, CapacityContainerBuilder<Vec<T>>>,
    /// Held for the first epoch that is not closed; `None` after [`Inlet::close`].
    capability: Option<ActivateCapability<u64>>,
    frontier: u64,
    /// While it is paused: what came meanwhile.
    held: Option<Vec<T>>,
}

impl<T: Clone + 'static> Inlet<T> {
    /// A new input of a dataflow, to which nothing comes before the epoch `frontier`. The epochs before it stay open until
    /// [`Inlet::begin`] or the next [`Inlet::advance`]: while a dataflow is built, timely takes it that all workers hold
    /// what this one holds, and workers may build it in different epochs.
    pub fn new<'scope>(scope: Scope<'scope, u64>, frontier: u64) -> (Self, Flow<'scope, T>) {
        let ((handle, capability), stream) = scope.new_unordered_input();
        (Inlet { handle, capability: Some(capability), frontier, held: None }, stream)
    }

    /// Closes the epochs before the first one, once the dataflow is built.
    pub fn begin(&mut self) {
        self.capability = self.capability.take().map(|c| c.delayed(&self.frontier));
        self.handle.activate();
    }

    /// Sends an item at an epoch; one that is closed already becomes the first open one.
    pub fn send(&mut self, epoch: u64, item: T) {
        if let Some(held) = &mut self.held {
            held.push(item);
        } else if let Some(capability) = &self.capability {
            let at = capability.delayed(&epoch.max(self.frontier));
            self.handle.activate().session(&at).give(item);
        }
    }

    /// From now on items are held back, while epochs go on closing.
    pub fn pause(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Sends what was held back, at the first open epoch.
    pub fn resume(&mut self) {
        for item in self.held.take().into_iter().flatten() {
            self.send(self.frontier, item);
        }
    }

    /// Closes every epoch before this one; before `u64::MAX`, all.
    pub fn advance(&mut self, epoch: u64) {
        if epoch == u64::MAX {
            return self.close();
        }
        if epoch > self.frontier {
            self.frontier = epoch;
            self.capability = self.capability.take().map(|c| c.delayed(&epoch));
            self.handle.activate();
        }
    }

    /// Closes all epochs.
    pub fn close(&mut self) {
        if self.frontier == u64::MAX {
            return;
        }
        self.frontier = u64::MAX;
        self.capability = None;
        self.handle.activate();
    }
}

/// What came out of a dataflow, until the worker takes it.
pub struct Outlet<T> {
    items: Rc<RefCell<VecDeque<(u64, T)>>>,
    probe: Handle<u64>,
}

impl<T> Clone for Outlet<T> {
    fn clone(&self) -> Self {
        Outlet { items: Rc::clone(&self.items), probe: self.probe.clone() }
    }
}

impl<T: Clone + 'static> Outlet<T> {
    /// Collects a stream.
    pub fn new(stream: Flow<'_, T>) -> Self {
        let items = Rc::new(RefCell::new(VecDeque::new()));
        let sink = Rc::clone(&items);
        let probe = Handle::new();
        stream
            .unary::<CapacityContainerBuilder<Vec<()>>, _, _, _>(Pipeline, "Outlet", move |_, _| {
                move |input, _output| {
                    input.for_each(|time, data| {
                        if let Some(epoch) = time.least().copied() {
                            sink.borrow_mut().extend(data.drain(..).map(|item| (epoch, item)));
                        }
                    });
                }
            })
            .probe_with(&probe);
        Outlet { items, probe }
    }

    /// Takes the items that are there, each with its epoch.
    pub fn take(&self) -> VecDeque<(u64, T)> {
        self.items.take()
    }

    /// Takes the items of the epochs before this one, of a stream whose epochs come one after the other.
    pub fn take_before(&self, epoch: u64) -> VecDeque<(u64, T)> {
        let mut items = self.items.borrow_mut();
        let later = items.iter().position(|(e, _)| *e >= epoch).unwrap_or(items.len());
        let later = items.split_off(later);
        std::mem::replace(&mut *items, later)
    }

    /// The first epoch that may still bring items, on any worker; `u64::MAX` when none will.
    pub fn frontier(&self) -> u64 {
        frontier(&self.probe)
    }
}

/// The first epoch that a probe has not seen closed.
pub fn frontier(probe: &Handle<u64>) -> u64 {
    probe.with_frontier(|f| f.first().copied().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn workers_may_build_a_dataflow_in_different_epochs() {
        let workers = timely::execute(timely::Config::process(2), |worker| {
            let epoch = 5 + worker.index() as u64;
            let (mut inlet, outlet) = worker.dataflow(|scope| {
                let (inlet, items) = Inlet::<u64>::new(scope, epoch);
                (inlet, Outlet::new(items))
            });
            inlet.begin();
            inlet.advance(10);
            let mut turns = 0..10_000;
            while outlet.frontier() < 10 && turns.next().is_some() {
                worker.step_or_park(Some(Duration::from_millis(1)));
            }
            outlet.frontier()
        });
        let frontiers: Vec<u64> =
            workers.expect("they start").join().into_iter().map(|f| f.expect("no panic")).collect();
        assert!(frontiers.iter().all(|f| *f >= 10), "{frontiers:?}");
    }
}
