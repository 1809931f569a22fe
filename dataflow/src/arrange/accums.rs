//! Accumulators in columns: most views count, and then a number of rows and a time are all there is.

use super::{Accum, Narrow, Part};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A list of accumulators.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Accums {
    rows: Narrow,
    times: Narrow,
    /// Empty while no accumulator has parts.
    parts: Vec<Option<Box<[Part]>>>,
}

impl Accums {
    /// An empty list with room for so many.
    pub fn with_room(accums: usize) -> Self {
        Accums { rows: Narrow::with_room(accums), times: Narrow::with_room(accums), parts: Vec::new() }
    }

    /// Gives room back that is not used, where that is much.
    pub fn shrink(&mut self) {
        self.rows.shrink();
        self.times.shrink();
        if self.parts.capacity() / 4 * 3 > self.parts.len() {
            self.parts.shrink_to_fit();
        }
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The time of each.
    pub fn times(&self) -> &Narrow {
        &self.times
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, more: usize) {
        self.rows.reserve(more);
        self.times.reserve(more);
    }

    /// Appends all of another list.
    pub fn append(&mut self, mut other: Accums) {
        if self.is_empty() {
            *self = other;
            return;
        }
        if !self.parts.is_empty() || !other.parts.is_empty() {
            self.parts.resize(self.len(), None);
            self.parts.append(&mut other.parts);
            self.parts.resize(self.len() + other.len(), None);
        }
        self.rows.append(other.rows);
        self.times.append(other.times);
    }

    /// Those at these places, each of which comes once: they leave their parts.
    pub fn in_order(&mut self, order: &[u32]) -> Accums {
        let parts = if self.parts.is_empty() {
            Vec::new()
        } else {
            order.iter().map(|at| self.parts.get_mut(*at as usize).and_then(Option::take)).collect()
        };
        Accums { rows: self.rows.in_order(order), times: self.times.in_order(order), parts }
    }

    /// What those from each of these places to the next add up to. Those at these places leave their parts.
    pub fn sums(&mut self, firsts: &[u32]) -> Accums {
        let mut sums = self.in_order(firsts);
        let ends = firsts.iter().skip(1).map(|end| *end as usize).chain([self.len()]);
        for (to, (first, end)) in firsts.iter().zip(ends).enumerate() {
            (*first as usize + 1..end).for_each(|at| sums.add_to(to, self, at));
        }
        sums
    }

    /// Appends one.
    #[inline]
    pub fn push(&mut self, Accum { rows, time, parts }: Accum) {
        if parts.is_some() && self.parts.is_empty() {
            self.parts.resize(self.rows.len(), None);
        }
        if parts.is_some() || !self.parts.is_empty() {
            self.parts.push(parts);
        }
        self.rows.push(rows);
        self.times.push(time);
    }

    /// Appends one so many times.
    #[inline]
    pub fn extend(&mut self, accum: &Accum, count: usize) {
        if count > 0 && (accum.parts.is_some() || !self.parts.is_empty()) {
            self.parts.resize(self.len(), None);
            self.parts.resize(self.len() + count, accum.parts.clone());
        }
        self.rows.extend(accum.rows, count);
        self.times.extend(accum.time, count);
    }

    /// Appends what stands at these places, each of one of the lists.
    pub fn interleave(&mut self, lists: &[&Accums], indices: &[(usize, usize)]) {
        if !self.parts.is_empty() || lists.iter().any(|list| !list.parts.is_empty()) {
            self.parts.resize(self.len(), None);
            self.parts.extend(indices.iter().map(|(list, at)| lists[*list].parts.get(*at).cloned().flatten()));
        }
        let rows: SmallVec<[&Narrow; 8]> = lists.iter().map(|list| &list.rows).collect();
        self.rows.interleave(&rows, indices);
        let times: SmallVec<[&Narrow; 8]> = lists.iter().map(|list| &list.times).collect();
        self.times.interleave(&times, indices);
    }

    /// A copy of one.
    pub fn get(&self, at: usize) -> Accum {
        let (rows, time, parts) = self.parts(at);
        Accum { rows, time, parts: parts.map(Into::into) }
    }

    /// One, in its parts: rows, time and [`Accum::parts`].
    #[inline]
    pub fn parts(&self, at: usize) -> (i64, i64, Option<&[Part]>) {
        (self.rows.get(at), self.times.get(at), self.parts.get(at).and_then(Option::as_deref))
    }

    /// One, which is left without its parts.
    pub fn take(&mut self, at: usize) -> Accum {
        let parts = self.parts.get_mut(at).and_then(Option::take);
        Accum { rows: self.rows.get(at), time: self.times.get(at), parts }
    }

    /// Adds a row of this time to one, but not to its parts.
    #[inline]
    pub fn add_row(&mut self, at: usize, time: i64) {
        self.rows.increment(at);
        self.times.raise(at, time);
    }

    /// Adds rows of these times, each to the one at its place.
    #[inline]
    pub fn add_rows(&mut self, at: &[usize], times: &[i64]) {
        self.rows.increment_each(at);
        self.times.raise_each(at, times);
    }

    /// The parts of one, to which a row's arguments are to be added.
    #[inline]
    pub fn parts_mut(&mut self, at: usize) -> Option<&mut [Part]> {
        self.parts.get_mut(at).and_then(Option::as_deref_mut)
    }

    /// Adds one of another list to the one at `to`.
    #[inline]
    pub fn add_to(&mut self, to: usize, from: &Accums, at: usize) {
        if self.rows.get(to) == Accum::DEAD || from.rows.get(at) == Accum::DEAD {
            self.rows.set(to, Accum::DEAD);
            self.times.set(to, i64::MIN);
            if let Some(parts) = self.parts.get_mut(to) {
                *parts = None;
            }
            return;
        }
        self.rows.set(to, self.rows.get(to) + from.rows.get(at));
        self.times.set(to, self.times.get(to).max(from.times.get(at)));
        if let (Some(Some(parts)), Some(Some(others))) = (self.parts.get_mut(to), from.parts.get(at)) {
            Part::merge_all(parts, others);
        }
    }

    /// Adds one to an accumulator.
    pub fn add_onto(&self, at: usize, sum: &mut Accum) {
        let (rows, time, parts) = self.parts(at);
        sum.add(rows, time, parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list is what its accumulators are, one by one.
    #[test]
    fn lists_hold_accumulators_with_and_without_parts() {
        let plain = Accum { rows: 2, time: 7, parts: None };
        let parted = Accum { rows: 3, time: 5, parts: Some([Part::Whole(4)].into()) };
        let all = [plain.clone(), parted.clone(), Accum::dead(), plain];
        let mut list = Accums::default();
        all.iter().cloned().for_each(|accum| list.push(accum));
        assert_eq!((0..list.len()).map(|i| list.get(i)).collect::<Vec<_>>(), all);

        for (a, left) in all.iter().enumerate() {
            for (b, right) in all.iter().enumerate() {
                let mut expected = left.clone();
                expected.add(right.rows, right.time, right.parts.as_deref());
                let (mut sum, mut other) = (list.get(a), Accums::default());
                list.add_onto(b, &mut sum);
                other.push(list.get(a));
                other.add_to(0, &list, b);
                assert_eq!((sum, other.get(0)), (expected.clone(), expected));
            }
        }
        let mut many = Accums::default();
        all.iter().zip([2, 1, 0, 2]).for_each(|(accum, count)| many.extend(accum, count));
        let expected = [&all[0], &all[0], &all[1], &all[3], &all[3]];
        assert!((0..many.len()).map(|i| many.get(i)).eq(expected.into_iter().cloned()));
        many.add_rows(&[1, 3, 1], &[9, 3, 8]);
        many.add_row(2, 6);
        assert_eq!((0..5).map(|i| many.parts(i).0).collect::<Vec<_>>(), [2, 4, 4, 3, 2]);
        assert_eq!(many.times().iter().collect::<Vec<_>>(), [7, 9, 6, 7, 7]);
        let mut many = Accums::default();
        for at in [0, 1, 2, 3, 1, 1] {
            let mut one = Accums::default();
            one.push(all[at].clone());
            many.append(one);
        }
        let sums = many.sums(&[0, 1, 3, 4]);
        let twice = Accum { rows: 6, time: 5, parts: Some([Part::Whole(8)].into()) };
        let expected = [all[0].clone(), Accum::dead(), all[3].clone(), twice];
        assert_eq!((0..sums.len()).map(|i| sums.get(i)).collect::<Vec<_>>(), expected);
        assert_eq!(list.take(1), parted);
        assert_eq!(list.take(1), Accum { parts: None, ..parted.clone() });
        let mut list = Accums::default();
        all.iter().cloned().for_each(|accum| list.push(accum));
        let back = list.in_order(&[3, 1, 2]);
        assert_eq!((0..back.len()).map(|i| back.get(i)).collect::<Vec<_>>(), [all[3].clone(), parted, Accum::dead()]);
    }
}
