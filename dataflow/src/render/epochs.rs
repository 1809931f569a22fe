//! What comes in an epoch, all together when the epoch has closed.

use super::port::Flow;
use std::collections::BTreeMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

/// Items of epochs that are still open.
pub struct Waiting<A>(BTreeMap<u64, (Capability<u64>, Vec<A>)>);

impl<A> Default for Waiting<A> {
    fn default() -> Self {
        Waiting(BTreeMap::new())
    }
}

impl<A> Waiting<A> {
    /// Adds items of the capability's epoch.
    pub fn add(&mut self, capability: Capability<u64>, items: &mut Vec<A>) {
        self.0.entry(*capability.time()).or_insert_with(|| (capability, Vec::new())).1.append(items);
    }

    /// No epoch has items.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The items of the first epoch, when it is before the first open one (`None`: all have closed).
    pub fn next(&mut self, open: Option<u64>) -> Option<(Capability<u64>, Vec<A>)> {
        let first = self.0.first_entry().filter(|e| open.is_none_or(|open| *e.key() < open))?;
        Some(first.remove())
    }
}

/// Runs `apply` over the whole of each closed epoch; each item goes to the worker that `target` says.
pub fn by_epoch<'scope, A, B>(
    stream: Flow<'scope, A>,
    name: &str,
    target: impl Fn(&A) -> u64 + 'static,
    mut apply: impl FnMut(Vec<A>) -> Vec<B> + 'static,
) -> Flow<'scope, B>
where
    A: timely::ExchangeData,
    B: Clone + 'static,
{
    stream.unary_frontier::<CapacityContainerBuilder<Vec<B>>, _, _, _>(Exchange::new(target), name, move |_, _| {
        let mut waiting = Waiting::default();
        move |(input, frontier), output| {
            input.for_each(|time, data| {
                if let Some(capability) = time.retain_least(0) {
                    waiting.add(capability, data);
                }
            });
            while let Some((capability, items)) = waiting.next(frontier.frontier().first().copied()) {
                output.session(&capability).give_iterator(apply(items).into_iter());
            }
        }
    })
}
