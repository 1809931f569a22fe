//! Windows out of panes.
//!
//! A pane is as long as the greatest common divisor of a window's size and advance: every window is a row of whole
//! panes, and a record is added to one pane instead of to every window that covers it. A record's [`Place`] in its group
//! is its pane's start, with the mark 0; of one that is late for the first `n` windows that cover its pane, and not for
//! the others, the mark is `n`.

use crate::arrange::{Accum, Place};
use crate::time::WindowSpec;
use crate::views::change::Bounds;
use differential_dataflow::difference::Semigroup;
use std::collections::BTreeMap;

/// Tumbling and hopping windows: their size, advance and pane, in ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hops {
    /// Length of a window.
    pub size: i64,
    /// From one window's start to the next one's.
    pub advance: i64,
    /// Length of a pane.
    pub pane: i64,
}

impl Hops {
    /// Of a window clause that is not a session.
    pub fn new(spec: WindowSpec) -> Option<Self> {
        let (size, advance) = match spec {
            WindowSpec::Tumbling { size } => (size, size),
            WindowSpec::Hopping { size, advance } => (size, advance),
            WindowSpec::Session { .. } => return None,
        };
        let (mut a, mut b) = (size.max(1), advance.max(1));
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Some(Hops { size: size.max(1), advance: advance.max(1), pane: a })
    }

    /// The start of the first window that covers a time (not negative).
    pub fn first_start(&self, time: i64) -> i64 {
        (time - self.size + self.advance).max(0) / self.advance * self.advance
    }

    /// The start of the last window that covers a time.
    pub fn last_start(&self, time: i64) -> i64 {
        time / self.advance * self.advance
    }

    /// Where a record belongs; `None` when it is late for all its windows, that is when they ended at `close` (stream
    /// time less grace) or before, or when its time is negative.
    pub fn place(&self, time: i64, close: i64) -> Option<Place> {
        if time < 0 {
            return None;
        }
        let pane = time / self.pane * self.pane;
        let first = self.first_start(time);
        if first.saturating_add(self.size) > close {
            return Some(Place { at: pane, mark: 0 });
        }
        let last = self.last_start(time);
        if last.saturating_add(self.size) <= close {
            return None;
        }
        let skip = (close - first - self.size) / self.advance + 1;
        Some(Place { at: pane, mark: u32::try_from(skip).unwrap_or(u32::MAX) })
    }

    /// The bounds of a window.
    pub fn bounds(&self, start: i64) -> Bounds {
        Bounds { start, end: start.saturating_add(self.size) }
    }

    /// The starts of the windows that a pane's entry counts for, ascending.
    pub fn starts(&self, place: Place) -> impl Iterator<Item = i64> + use<> {
        let (first, last, advance) = (self.first_start(place.at), self.last_start(place.at), self.advance);
        (0..).map(move |i| first + i * advance).skip(place.mark as usize).take_while(move |s| *s <= last)
    }

    /// Adds a pane's entry to the windows that it counts for.
    pub fn spread(&self, place: Place, accum: &Accum, windows: &mut BTreeMap<i64, Accum>) {
        for start in self.starts(place) {
            match windows.get_mut(&start) {
                Some(sum) => sum.plus_equals(accum),
                None => {
                    windows.insert(start, accum.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the definition: all windows `k × advance` that cover the time and have not closed.
        #[test]
        fn places_are_the_open_windows(time in 0i64..500, size in 1i64..60, hop in 1i64..60, close in -10i64..600) {
            let advance = hop.min(size);
            let hops = Hops::new(WindowSpec::Hopping { size, advance }).unwrap();
            let open: Vec<i64> = (0..=time / advance)
                .map(|k| k * advance)
                .filter(|s| *s <= time && time < s + size && s + size > close)
                .collect();
            let place = hops.place(time, close);
            prop_assert_eq!(place.map(|p| hops.starts(p).collect::<Vec<_>>()).unwrap_or_default(), open);
        }
    }
}
