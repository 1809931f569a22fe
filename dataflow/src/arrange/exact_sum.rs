//! Sums of doubles that do not depend on the order of their addends.
//!
//! A running `f64` sum differs with the order in which records are added, so with the number of workers and the cut
//! of batches. Kept as a sum of non-overlapping doubles (Shewchuk, "Adaptive Precision Floating-Point Arithmetic",
//! 1997), it is exact; reading it rounds once, correctly.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// An exact sum of doubles.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ExactSum {
    /// Non-overlapping, by growing magnitude.
    parts: SmallVec<[f64; 2]>,
    /// The sum of what is not finite (infinities, NaN); 0 when everything was.
    special: f64,
}

impl ExactSum {
    /// Adds a number.
    pub fn add(&mut self, mut x: f64) {
        if !x.is_finite() {
            self.special += x;
            return;
        }
        let mut kept = 0;
        for i in 0..self.parts.len() {
            let mut y = self.parts[i];
            if x.abs() < y.abs() {
                std::mem::swap(&mut x, &mut y);
            }
            let high = x + y;
            let low = y - (high - x);
            if low != 0.0 {
                self.parts[kept] = low;
                kept += 1;
            }
            x = high;
        }
        self.parts.truncate(kept);
        if !x.is_finite() {
            // The true sum left the range of doubles.
            self.special += x;
        } else if x != 0.0 {
            self.parts.push(x);
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &ExactSum) {
        other.parts.iter().for_each(|&p| self.add(p));
        self.special += other.special;
    }

    /// The sum, rounded once.
    pub fn value(&self) -> f64 {
        if self.special != 0.0 {
            return self.special;
        }
        let mut parts = self.parts.iter().rev();
        let Some(&first) = parts.next() else { return 0.0 };
        let (mut high, mut low) = (first, 0.0);
        for &part in parts.by_ref() {
            let sum = high + part;
            low = part - (sum - high);
            high = sum;
            if low != 0.0 {
                break;
            }
        }
        // Round half to even was decided on `high` and `low` alone; a further part of the same sign breaks the tie.
        if let Some(&next) = parts.next()
            && ((low < 0.0 && next < 0.0) || (low > 0.0 && next > 0.0))
        {
            let doubled = low * 2.0;
            let sum = high + doubled;
            if doubled == sum - high {
                high = sum;
            }
        }
        high
    }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for ExactSum {}
impl PartialOrd for ExactSum {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ExactSum {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.value().total_cmp(&other.value())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> f64 {
        let mut s = ExactSum::default();
        values.iter().for_each(|&v| s.add(v));
        s.value()
    }

    #[test]
    fn cancels_and_rounds_once() {
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[]), 0.0);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
    }

    proptest! {
        #[test]
        fn order_and_cuts_do_not_matter(
            values in prop::collection::vec((-1e3f64..1e3, -30i32..30), 0..40),
            cut in 0usize..40, seed in any::<u64>()
        ) {
            let values: Vec<f64> = values.iter().map(|(m, e)| m * 10f64.powi(*e)).collect();
            let whole = sum(&values);
            let mut shuffled = values.clone();
            let n = shuffled.len();
            for i in 0..n { shuffled.swap(i, (seed as usize).wrapping_mul(i + 7) % n); }
            prop_assert_eq!(whole.to_bits(), sum(&shuffled).to_bits());
            let (a, b) = values.split_at(cut.min(n));
            let mut left = ExactSum::default();
            a.iter().for_each(|&v| left.add(v));
            let mut right = ExactSum::default();
            b.iter().for_each(|&v| right.add(v));
            left.merge(&right);
            prop_assert_eq!(whole.to_bits(), left.value().to_bits());
        }
    }
}
