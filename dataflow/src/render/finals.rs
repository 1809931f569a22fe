//! EMIT FINAL: of each window one change, when it is over.
//!
//! The changes of a windowed table come in, a window's last change goes out when the stream time has passed its end and
//! grace: no row can count for it any more. Windows that close in one epoch come out by start (sessions by end), then key.
//! A window is never lost, however far the stream time leaps. What is held here is a copy of the table's open windows.

use super::keyed::{Kept, Windows};
use super::port::Flow;
use super::table_changes::{TableChange, TableChanges};
use crate::views::change::Bounds;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

/// The stream time from which on a window is over.
pub fn over(windows: Windows, bounds: Bounds, grace: i64) -> i64 {
    match windows {
        Windows::None => i64::MAX,
        Windows::Hops(_) => bounds.end.saturating_add(grace),
        // A row exactly a gap after the last one still belongs to a session.
        Windows::Sessions(gap) => bounds.end.saturating_add(gap).saturating_add(grace).saturating_add(1),
    }
}

/// Open windows by when they are over, start and key; of each its end, its last row and that one's time.
type Open = BTreeMap<(i64, i64, Box<[u8]>), (i64, Box<[u8]>, i64)>;

/// The changes of a table's windows when they are over.
pub fn render<'scope>(
    changes: Flow<'scope, Arc<TableChanges>>,
    table: &Rc<RefCell<Kept>>,
    windows: Windows,
    grace: i64,
) -> Flow<'scope, Arc<TableChanges>> {
    let table = Rc::clone(table);
    changes.unary_frontier::<CapacityContainerBuilder<Vec<Arc<TableChanges>>>, _, _, _>(
        Pipeline,
        "Final",
        move |_, _| {
            let mut waiting: BTreeMap<u64, Vec<Arc<TableChanges>>> = BTreeMap::new();
            let mut open = Open::new();
            let mut held: Option<Capability<u64>> = None;
            let mut next = 0;
            move |(input, frontier), output| {
                input.for_each(|time, data| {
                    if let (Some(epoch), Some(capability)) = (time.least().copied(), time.retain_least(0)) {
                        waiting.entry(epoch).or_default().append(data);
                        // The first epoch that may still bring something.
                        if held.as_ref().is_none_or(|held| epoch < *held.time()) {
                            held = Some(capability);
                        }
                    }
                });
                let closed = frontier.frontier().first().copied().unwrap_or(u64::MAX);
                let Some(capability) = &mut held else { return };
                let table = table.borrow();
                let mut epochs: BTreeSet<u64> = table.stream_time_epochs(next..closed).collect();
                epochs.extend(waiting.range(..closed).map(|(epoch, _)| *epoch));
                for epoch in epochs {
                    for change in waiting.remove(&epoch).iter().flatten().flat_map(|changes| changes.iter()) {
                        let Some(bounds) = change.window else { continue };
                        let place = (over(windows, bounds, grace), bounds.start, change.key.into());
                        match change.new {
                            Some(row) => open.insert(place, (bounds.end, row.into(), change.time)),
                            None => open.remove(&place),
                        };
                    }
                    let now = table.stream_time(epoch);
                    let mut over = TableChanges::default();
                    while open.first_key_value().is_some_and(|((over, ..), _)| *over <= now)
                        && let Some(((_, start, key), (end, row, time))) = open.pop_first()
                    {
                        let window = Some(Bounds { start, end });
                        over.push(TableChange { key: &key, window, old: None, new: Some(&row), time });
                    }
                    if !over.is_empty() {
                        let at = capability.delayed(&epoch.max(*capability.time()));
                        output.session(&at).give(Arc::new(over));
                    }
                }
                next = closed;
                if closed == u64::MAX || open.is_empty() && waiting.is_empty() {
                    held = None;
                } else if closed > *capability.time() {
                    capability.downgrade(&closed);
                }
            }
        },
    )
}
