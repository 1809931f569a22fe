//! Ascending numbers from 0: where each key's bytes end.
//!
//! Keys of numbers are all of one length, so multiples of the first one at the head are not stored; the others take 32
//! bits while they fit.

use serde::{Deserialize, Serialize};

/// See the module's head.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Offsets {
    /// The first so many numbers are 0, `step`, twice that …
    steps: usize,
    step: usize,
    short: Vec<u32>,
    /// From the first on that does not fit.
    long: Vec<u64>,
}

impl Offsets {
    /// Appends a number.
    #[inline]
    pub fn push(&mut self, number: usize) {
        if self.short.is_empty() && self.long.is_empty() {
            if self.steps == 1 {
                self.step = number;
            }
            if number == self.steps * self.step {
                self.steps += 1;
                return;
            }
        }
        match u32::try_from(number) {
            Ok(short) if self.long.is_empty() => self.short.push(short),
            _ => self.long.push(number as u64),
        }
    }

    /// A number.
    #[inline]
    pub fn get(&self, at: usize) -> usize {
        if at < self.steps {
            return at * self.step;
        }
        match self.short.get(at - self.steps) {
            Some(short) => *short as usize,
            None => self.long[at - self.steps - self.short.len()] as usize,
        }
    }

    /// Takes the last number away.
    pub fn pop(&mut self) {
        if self.long.pop().is_none() && self.short.pop().is_none() {
            self.steps = self.steps.saturating_sub(1);
        }
    }

    /// Takes all numbers away, and keeps their room.
    pub fn clear(&mut self) {
        (self.steps, self.step) = (0, 0);
        self.short.clear();
        self.long.clear();
    }

    /// How many numbers there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.steps + self.short.len() + self.long.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives room back that is not used, where that is much.
    pub fn shrink(&mut self) {
        if self.short.capacity() / 4 * 3 > self.short.len() {
            self.short.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(
            step in 0..4usize,
            steps in 0..5usize,
            more in prop::collection::vec(0..(1usize << 33), 0..6),
        ) {
            let mut numbers: Vec<usize> = (0..steps).map(|i| i * step).chain(more.iter().map(|m| m + steps * step)).collect();
            numbers.push(0);
            numbers.sort_unstable();
            let mut offsets = Offsets::default();
            numbers.iter().for_each(|&n| offsets.push(n));
            let back: Vec<usize> = (0..offsets.len()).map(|i| offsets.get(i)).collect();
            prop_assert_eq!(&back, &numbers);
        }
    }
}
