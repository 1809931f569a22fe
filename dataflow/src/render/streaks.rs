//! Rows of a batch that stand together and have one place: nearly always all of them, so that they are judged together.

use super::windows::Hops;
use crate::arrange::Place;
use std::ops::Range;

/// The place of the rows before, which is nearly always the next ones' too.
#[derive(Clone, Copy)]
struct Near {
    place: Place,
    /// The end of the first window that takes it: later than what has closed.
    end: i64,
    hash: u64,
    number: u32,
}

impl Near {
    fn of(hops: &Hops, place: Place, number: u32) -> Self {
        // Where some windows do not take it, the next row is judged again.
        let end = if place.mark == 0 { hops.first_start(place.at).saturating_add(hops.size) } else { i64::MIN };
        let hash = (place.at as u64 ^ u64::from(place.mark).rotate_left(40)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Near { place, end, hash: hash ^ hash >> 32, number }
    }

    /// Rows whose times lie between these two have this place, when stream time less grace is `close` or less.
    #[inline]
    fn holds(&self, (least, most): (i64, i64), close: i64, pane: i64) -> bool {
        least >= self.place.at && most - self.place.at < pane && close < self.end
    }
}

/// See the module's head.
pub(super) struct Streak {
    /// Which.
    pub rows: Range<usize>,
    /// Where they belong.
    pub place: Place,
    /// A hash of the place.
    pub hash: u64,
    /// Where it is that of the streak before, the place is too. Else it is greater, until numbers begin anew.
    pub number: u32,
}

/// Where the rows of a stream's batches belong.
pub(super) struct Judge {
    /// `None`: all in one place.
    hops: Option<Hops>,
    grace: i64,
    near: Option<Near>,
    /// Rows that were late for all windows.
    pub late: u64,
}

impl Judge {
    /// Of windows that stay open for this grace in ms.
    pub(super) fn new(hops: Option<Hops>, grace: i64) -> Self {
        Judge { hops, grace, near: None, late: 0 }
    }

    /// The next rows that have one place, from this one on and without those that are late. `span`: the least and the greatest of
    /// all times. `stream_time`: before them, and then with them.
    pub(super) fn next(
        &mut self,
        times: &[i64],
        span: (i64, i64),
        from: usize,
        stream_time: &mut i64,
    ) -> Option<Streak> {
        let mut rows = from..from;
        let Some(hops) = &self.hops else {
            rows.end = times.len();
            let place = Place::default();
            return (!rows.is_empty()).then_some(Streak { rows, place, hash: 0, number: 0 });
        };
        while rows.end < times.len() {
            let time = times[rows.end];
            let now = time.max(*stream_time);
            let close = now.saturating_sub(self.grace);
            if !self.near.is_some_and(|near| near.holds((time, time), close, hops.pane)) {
                if !rows.is_empty() {
                    break;
                }
                let Some(place) = hops.place(time, close) else {
                    self.late += 1;
                    *stream_time = now;
                    rows = rows.end + 1..rows.end + 1;
                    continue;
                };
                let number = self.near.map_or(0, |near| near.number.wrapping_add(1));
                self.near = Some(Near::of(hops, place, number));
            }
            *stream_time = now;
            let last = now.max(span.1);
            let all_hold = |near: &Near| near.holds(span, last.saturating_sub(self.grace), hops.pane);
            if rows.is_empty() && self.near.as_ref().is_some_and(all_hold) {
                *stream_time = last;
                rows.end = times.len();
                break;
            }
            rows.end += 1;
        }
        let Near { place, hash, number, .. } = self.near.filter(|_| !rows.is_empty())?;
        Some(Streak { rows, place, hash, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WindowSpec;
    use proptest::prelude::*;

    proptest! {
        /// Batches of rows, against each row judged by itself.
        #[test]
        fn rows_together_have_the_place_of_each_alone(
            batches in prop::collection::vec(prop_oneof![
                prop::collection::vec(-5i64..200, 0..9),
                (0i64..200, prop::collection::vec(0i64..4, 0..9)).prop_map(|(at, near)| near.iter().map(|n| at + n).collect()),
            ], 1..6),
            size in 1i64..60,
            hop in 1i64..60,
            grace in 0i64..60,
        ) {
            let hops = Hops::new(WindowSpec::Hopping { size, advance: hop.min(size) }).unwrap();
            let mut judge = Judge::new(Some(hops), grace);
            let (mut stream_time, mut plain_time, mut late) = (i64::MIN, i64::MIN, 0);
            let mut numbers: Vec<(u32, Place)> = Vec::new();
            for times in batches {
                let mut expected = Vec::new();
                for (row, time) in times.iter().enumerate() {
                    plain_time = plain_time.max(*time);
                    match hops.place(*time, plain_time.saturating_sub(grace)) {
                        Some(place) => expected.push((row, place)),
                        None => late += 1,
                    }
                }
                let span = times.iter().fold((i64::MAX, i64::MIN), |(least, most), t| (least.min(*t), most.max(*t)));
                let (mut next, mut judged) = (0, Vec::new());
                while let Some(streak) = judge.next(&times, span, next, &mut stream_time) {
                    prop_assert!(streak.rows.start >= next && !streak.rows.is_empty());
                    next = streak.rows.end;
                    if let Some((number, place)) = numbers.last() {
                        prop_assert!(streak.number > *number || streak.number == *number && streak.place == *place);
                    }
                    numbers.push((streak.number, streak.place));
                    judged.extend(streak.rows.map(|row| (row, streak.place)));
                }
                prop_assert_eq!(judged, expected);
                prop_assert_eq!((stream_time, judge.late), (plain_time, late));
            }
        }
    }
}
