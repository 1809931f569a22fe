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
    /// A new input of a dataflow, with every epoch before `frontier` closed.
    pub fn new<'scope>(scope: Scope<'scope, u64>, frontier: u64) -> (Self, Flow<'scope, T>) {
        let ((handle, capability), stream) = scope.new_unordered_input();
        let mut inlet = Inlet { handle, capability: Some(capability), frontier: 0, held: None };
        inlet.advance(frontier);
        (inlet, stream)
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

    /// The first epoch that may still bring items, on any worker; `u64::MAX` when none will.
    pub fn frontier(&self) -> u64 {
        frontier(&self.probe)
    }
}

/// The first epoch that a probe has not seen closed.
pub fn frontier(probe: &Handle<u64>) -> u64 {
    probe.with_frontier(|f| f.first().copied().unwrap_or(u64::MAX))
}
