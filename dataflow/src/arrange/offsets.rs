//! Ascending numbers from 0, as a container of differential batches: where each key's bytes end, where its updates do.
//!
//! A key of a fresh batch has one update, so the numbers 0, 1, 2 … at the head are not stored; the others take 32 bits
//! while they fit.

use differential_dataflow::trace::implementations::BatchContainer;
use serde::{Deserialize, Serialize};
use timely::container::PushInto;

/// See the module's head.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Offsets {
    /// The first so many numbers are their own places.
    steps: usize,
    short: Vec<u32>,
    /// From the first on that does not fit.
    long: Vec<u64>,
}

impl Offsets {
    /// The numbers from 0 to `last`.
    pub fn up_to(last: usize) -> Self {
        Offsets { steps: last + 1, short: Vec::new(), long: Vec::new() }
    }

    /// With room for so many that are not steps of one.
    pub fn with_capacity(numbers: usize) -> Self {
        Offsets { steps: 0, short: Vec::with_capacity(numbers), long: Vec::new() }
    }

    /// Appends a number.
    #[inline]
    pub fn push(&mut self, number: usize) {
        if self.short.is_empty() && self.long.is_empty() && number == self.steps {
            self.steps += 1;
        } else if let (true, Ok(short)) = (self.long.is_empty(), u32::try_from(number)) {
            self.short.push(short);
        } else {
            self.long.push(number as u64);
        }
    }
}

impl PushInto<usize> for Offsets {
    fn push_into(&mut self, number: usize) {
        self.push(number);
    }
}

impl BatchContainer for Offsets {
    type Owned = usize;
    type ReadItem<'a> = usize;

    fn into_owned(number: usize) -> usize {
        number
    }
    fn push_ref(&mut self, number: usize) {
        self.push(number);
    }
    fn push_own(&mut self, number: &usize) {
        self.push(*number);
    }
    fn clear(&mut self) {
        *self = Offsets { steps: 0, short: std::mem::take(&mut self.short), long: Vec::new() };
        self.short.clear();
    }
    fn with_capacity(_size: usize) -> Self {
        // Most are steps of one.
        Self::default()
    }
    fn merge_capacity(a: &Self, b: &Self) -> Self {
        Self::with_capacity(a.short.len() + b.short.len())
    }
    fn reborrow<'b, 'a: 'b>(number: usize) -> usize {
        number
    }
    #[inline]
    fn index(&self, index: usize) -> usize {
        if index < self.steps {
            return index;
        }
        match self.short.get(index - self.steps) {
            Some(short) => *short as usize,
            None => self.long[index - self.steps - self.short.len()] as usize,
        }
    }
    #[inline]
    fn len(&self) -> usize {
        self.steps + self.short.len() + self.long.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(steps in 0..5usize, more in prop::collection::vec(0..(1usize << 33), 0..6)) {
            let mut numbers: Vec<usize> = (0..steps).chain(more.iter().map(|m| m + steps)).collect();
            numbers.sort_unstable();
            let mut offsets = Offsets::default();
            for _ in 0..2 {
                numbers.iter().for_each(|&n| offsets.push(n));
                let back: Vec<usize> = (0..BatchContainer::len(&offsets)).map(|i| offsets.index(i)).collect();
                prop_assert_eq!(&back, &numbers);
                BatchContainer::clear(&mut offsets);
            }
        }
    }
}
