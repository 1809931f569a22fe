//! Numbers that lie near each other: times of an epoch, counts of rows.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A list of 64-bit numbers that takes 32 bits for each while all are near the first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Narrow {
    base: Option<i64>,
    /// Behind the base; [`LEAST`] stands for `i64::MIN`.
    short: Vec<u32>,
    /// All of them, once one did not fit.
    long: Vec<i64>,
}

/// `i64::MIN` is near every number: it marks what is not there.
const LEAST: u32 = u32::MAX;

impl Narrow {
    /// An empty list with room for so many.
    pub fn with_room(numbers: usize) -> Self {
        Narrow { base: None, short: Vec::with_capacity(numbers), long: Vec::new() }
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.short.len().max(self.long.len())
    }

    /// True when there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number.
    #[inline]
    pub fn get(&self, at: usize) -> i64 {
        match self.short.get(at) {
            Some(&LEAST) => i64::MIN,
            Some(&short) => self.base.unwrap_or(0).wrapping_add(i64::from(short)),
            None => self.long[at],
        }
    }

    /// The numbers in order.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        (0..self.len()).map(|at| self.get(at))
    }

    /// How it stands in 32 bits, if it does. The first number says what is near.
    #[inline]
    fn short(&mut self, number: i64) -> Option<u32> {
        if number == i64::MIN {
            return Some(LEAST);
        }
        if self.base.is_none() {
            // Later ones may be greater or less.
            self.base = Some(number.saturating_sub(1 << 31));
        }
        u32::try_from(number.checked_sub(self.base?)?).ok().filter(|&short| short != LEAST)
    }

    /// Appends a number.
    #[inline]
    pub fn push(&mut self, number: i64) {
        if self.long.is_empty() {
            if let Some(short) = self.short(number) {
                return self.short.push(short);
            }
            self.widen();
        }
        self.long.push(number);
    }

    /// Appends a number so many times.
    #[inline]
    pub fn extend(&mut self, number: i64, count: usize) {
        let Some(more) = count.checked_sub(1) else { return };
        self.push(number);
        match self.short.last() {
            Some(&short) => self.short.resize(self.short.len() + more, short),
            None => self.long.resize(self.long.len() + more, number),
        }
    }

    /// Adds one to a number.
    #[inline]
    pub fn increment(&mut self, at: usize) {
        if !increment(&mut self.short, at) {
            self.set(at, self.get(at).wrapping_add(1));
        }
    }

    /// Adds one to the number at each of these places.
    #[inline]
    pub fn increment_each(&mut self, at: &[usize]) {
        let short = self.short.as_mut_slice();
        let done = at.iter().take_while(|at| increment(short, **at)).count();
        at[done..].iter().for_each(|at| self.increment(*at));
    }

    /// Puts a greater number in a place.
    #[inline]
    pub fn raise(&mut self, at: usize, number: i64) {
        if !self.base.is_some_and(|base| raise(&mut self.short, base, at, number)) && number > self.get(at) {
            self.set(at, number);
        }
    }

    /// Puts in each of these places the number for it, where that is greater.
    #[inline]
    pub fn raise_each(&mut self, at: &[usize], numbers: &[i64]) {
        let both = || at.iter().zip(numbers);
        let (short, base) = (self.short.as_mut_slice(), self.base);
        let done = base.map_or(0, |base| both().take_while(|(at, n)| raise(short, base, **at, **n)).count());
        both().skip(done).for_each(|(at, number)| self.raise(*at, *number));
    }

    /// Puts another number in a place.
    #[inline]
    pub fn set(&mut self, at: usize, number: i64) {
        if self.long.is_empty() {
            if let Some(short) = self.short(number) {
                self.short[at] = short;
                return;
            }
            self.widen();
        }
        self.long[at] = number;
    }

    #[cold]
    fn widen(&mut self) {
        self.long = self.iter().collect();
        self.short = Vec::new();
    }

    /// Makes room for so many more.
    pub fn reserve(&mut self, more: usize) {
        if self.long.is_empty() { self.short.reserve(more) } else { self.long.reserve(more) }
    }

    /// Appends all of another list.
    pub fn append(&mut self, other: Narrow) {
        if self.is_empty() {
            *self = other;
            return;
        }
        if self.base == other.base && self.long.is_empty() && other.long.is_empty() {
            return self.short.extend_from_slice(&other.short);
        }
        let appended = self.behind(&[&other]).is_some_and(|behind| {
            self.extend_short(other.short.iter().map(|short| (*short, behind.first().copied().unwrap_or(0))))
        });
        if !appended {
            other.iter().for_each(|number| self.push(number));
        }
    }

    /// The numbers at these places.
    pub fn in_order(&self, order: &[u32]) -> Narrow {
        Narrow { base: self.base, short: in_order(&self.short, order), long: in_order(&self.long, order) }
    }

    /// Appends what stands at these places, each of one of the lists.
    pub fn interleave(&mut self, lists: &[&Narrow], indices: &[(usize, usize)]) {
        if !self.interleave_short(lists, indices) {
            indices.iter().for_each(|(list, at)| self.push(lists[*list].get(*at)));
        }
    }

    /// The same, if all are near the first.
    fn interleave_short(&mut self, lists: &[&Narrow], indices: &[(usize, usize)]) -> bool {
        let Some(behind) = self.behind(lists) else { return false };
        let lists: SmallVec<[(&[u32], i64); 8]> = lists.iter().map(|list| &list.short[..]).zip(behind).collect();
        self.extend_short(indices.iter().map(|(list, at)| (lists[*list].0[*at], lists[*list].1)))
    }

    /// How far the bases of these lists are behind this one's, which is one of theirs if there was none; `None`: too far, or
    /// there are numbers of 64 bits.
    fn behind(&mut self, lists: &[&Narrow]) -> Option<SmallVec<[i64; 8]>> {
        if !self.long.is_empty() || lists.iter().any(|list| !list.long.is_empty()) {
            return None;
        }
        let base = *self.base.get_or_insert(lists.iter().find_map(|list| list.base).unwrap_or(0));
        let behind = |list: &&Narrow| {
            list.base.unwrap_or(base).checked_sub(base).filter(|behind| behind.unsigned_abs() <= LEAST.into())
        };
        lists.iter().map(behind).collect()
    }

    /// Appends numbers, each given behind a base that is so far behind this one; none if one of them is not near.
    fn extend_short(&mut self, numbers: impl Iterator<Item = (u32, i64)>) -> bool {
        let (before, mut near) = (self.short.len(), true);
        self.short.extend(numbers.map(|(short, behind)| {
            let number = i64::from(short) + behind;
            near &= short == LEAST || (0..i64::from(LEAST)).contains(&number);
            if short == LEAST { LEAST } else { number as u32 }
        }));
        if !near {
            self.short.truncate(before);
        }
        near
    }

    /// Gives room back that is not used, where that is much.
    pub fn shrink(&mut self) {
        if self.short.capacity() / 4 * 3 > self.short.len() {
            self.short.shrink_to_fit();
        }
        if self.long.capacity() / 4 * 3 > self.long.len() {
            self.long.shrink_to_fit();
        }
    }
}

/// Adds one to a number. False: it would not stay short, and nothing was done.
#[inline]
fn increment(short: &mut [u32], at: usize) -> bool {
    match short.get_mut(at) {
        Some(short) if *short < LEAST - 1 => {
            *short += 1;
            true
        }
        _ => false,
    }
}

/// Puts a number in a place, unless it is less than what is there. False: it is not short, and nothing was done.
#[inline]
fn raise(short: &mut [u32], base: i64, at: usize, number: i64) -> bool {
    let near = number.wrapping_sub(base) as u64;
    match short.get_mut(at) {
        Some(short) if number >= base && near < LEAST.into() => {
            // One more, so that what stands for the least is the least.
            if near as u32 + 1 > short.wrapping_add(1) {
                *short = near as u32;
            }
            true
        }
        _ => false,
    }
}

/// What is at these places of a list, nothing of an empty one. Column by column the processor waits for many of them at once.
pub fn in_order<T: Copy>(list: &[T], order: &[u32]) -> Vec<T> {
    if list.is_empty() { Vec::new() } else { order.iter().map(|at| list[*at as usize]).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(
            numbers in prop::collection::vec(prop_oneof![4 => -9i64..9, 1 => Just(i64::MIN), 1 => any::<i64>()], 0..12),
            cut in 0..12usize,
            others in prop::collection::vec((0..12usize, prop_oneof![-9i64..9, Just(i64::MIN), any::<i64>()]), 0..4),
        ) {
            let list = |numbers: &[i64]| {
                let mut list = Narrow::default();
                numbers.iter().for_each(|&n| list.push(n));
                list
            };
            let mut numbers = numbers;
            let (head, tail) = numbers.split_at(cut.min(numbers.len()));
            let mut narrow = list(head);
            narrow.append(list(tail));
            prop_assert_eq!(narrow.len(), numbers.len());
            for (at, other) in others {
                if at < numbers.len() {
                    numbers[at] = other;
                    narrow.set(at, other);
                    let more = numbers.first().copied().unwrap_or(0);
                    numbers[at] = numbers[at].max(more);
                    match other % 3 {
                        0 => narrow.raise(at, more),
                        _ => narrow.raise_each(&[0, at], &[i64::MIN, more]),
                    }
                    if other % 3 == 0 {
                        numbers[at] = numbers[at].wrapping_add(2);
                        narrow.increment_each(&[at, at]);
                    }
                    if other % 2 == 0 {
                        numbers[at] = numbers[at].wrapping_add(1);
                        narrow.increment(at);
                    }
                }
            }
            prop_assert_eq!(narrow.iter().collect::<Vec<_>>(), numbers.clone());
            let mut many = Narrow::default();
            let counts = |number: &i64| number.rem_euclid(3) as usize;
            numbers.iter().for_each(|number| many.extend(*number, counts(number)));
            prop_assert!(many.iter().eq(numbers.iter().flat_map(|number| vec![*number; counts(number)])));
            let order: Vec<u32> = (0..u32::try_from(numbers.len()).unwrap()).rev().step_by(2).collect();
            prop_assert!(narrow.in_order(&order).iter().eq(numbers.into_iter().rev().step_by(2)));
        }
    }
}
