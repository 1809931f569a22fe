//! Sums from which deviations and correlations are read, and sketches of how many different values there are.

use super::exact_sum::ExactSum;
use crate::row::Value;
use foldhash::quality::FixedState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::hash::BuildHasher;

/// Exact sums of one column and of its squares; of two columns x and y: x, x², y, y², xy.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moments {
    n: i64,
    sums: [ExactSum; 5],
}

/// Adds `sign × a × b` without rounding.
fn add_product(sum: &mut ExactSum, a: f64, b: f64, sign: f64) {
    let high = a * b;
    sum.add(sign * high);
    if high.is_finite() {
        sum.add(sign * a.mul_add(b, -high));
    }
}

impl Moments {
    /// Adds a value (`sign` 1) or takes it back (−1).
    pub fn add(&mut self, x: f64, sign: i64) {
        let s = sign as f64;
        self.n += sign;
        self.sums[0].add(s * x);
        add_product(&mut self.sums[1], x, x, s);
    }

    /// Adds a pair of values or takes it back. Squares are rounded as ksqlDB's are.
    pub fn add_pair(&mut self, x: f64, y: f64, sign: i64) {
        let s = sign as f64;
        self.n += sign;
        self.sums.iter_mut().zip([x, x * x, y, y * y, x * y]).for_each(|(sum, v)| sum.add(s * v));
    }

    /// Adds what others have.
    pub fn merge(&mut self, other: &Moments) {
        self.n += other.n;
        self.sums.iter_mut().zip(&other.sums).for_each(|(a, b)| a.merge(b));
    }

    /// The variance of a sample; 0 of less than two values.
    pub fn variance(&self) -> f64 {
        if self.n < 2 {
            return 0.0;
        }
        // Σ(x − m)² = Σx² − 2mΣx + nm², for an m near the mean, exactly; that m is not quite the mean does not show.
        let n = self.n as f64;
        let mut rest = self.sums[0].clone();
        let high = rest.value();
        rest.add(-high);
        let (low, mean) = (rest.value(), high / n);
        let mut squares = self.sums[1].clone();
        add_product(&mut squares, 2.0 * mean, high, -1.0);
        add_product(&mut squares, 2.0 * mean, low, -1.0);
        let square = mean * mean;
        add_product(&mut squares, n, square, 1.0);
        add_product(&mut squares, n, mean.mul_add(mean, -square), 1.0);
        squares.value().max(0.0) / (n - 1.0)
    }

    /// Pearson's coefficient; NaN where there is none.
    pub fn correlation(&self) -> f64 {
        let n = self.n as f64;
        let [x, xx, y, yy, xy] = self.sums.each_ref().map(ExactSum::value);
        (n * xy - x * y) / ((n * xx - x * x) * (n * yy - y * y)).sqrt()
    }
}

/// Different values: their hashes while they are few, then HyperLogLog's registers (2^14, standard error 0.8 %).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Distinct {
    /// Their hashes.
    Few(BTreeSet<u64>),
    /// For each register the greatest number of leading zeros, plus 1, of the hashes that fall into it.
    Many(Vec<u8>),
}

const REGISTER_BITS: u32 = 14;
const FEW: usize = 1024;

impl Default for Distinct {
    fn default() -> Self {
        Distinct::Few(BTreeSet::new())
    }
}

impl Distinct {
    /// Adds a value.
    pub fn add(&mut self, value: &Value) {
        self.add_hash(FixedState::with_seed(0x7765_6972).hash_one(value));
    }

    fn add_hash(&mut self, hash: u64) {
        match self {
            Distinct::Few(hashes) => {
                hashes.insert(hash);
                if hashes.len() > FEW {
                    let hashes = std::mem::take(hashes);
                    *self = Distinct::Many(vec![0; 1 << REGISTER_BITS]);
                    hashes.into_iter().for_each(|h| self.add_hash(h));
                }
            }
            Distinct::Many(registers) => {
                let zeros = ((hash << REGISTER_BITS) | (1 << (REGISTER_BITS - 1))).leading_zeros();
                if let Some(register) = registers.get_mut((hash >> (64 - REGISTER_BITS)) as usize) {
                    *register = (*register).max(u8::try_from(zeros + 1).unwrap_or(u8::MAX));
                }
            }
        }
    }

    /// Adds what others have.
    pub fn merge(&mut self, other: &Distinct) {
        match other {
            Distinct::Few(hashes) => hashes.iter().for_each(|h| self.add_hash(*h)),
            Distinct::Many(theirs) => {
                if let Distinct::Few(hashes) = self {
                    let hashes = std::mem::take(hashes);
                    *self = Distinct::Many(theirs.clone());
                    hashes.into_iter().for_each(|h| self.add_hash(h));
                } else if let Distinct::Many(ours) = self {
                    ours.iter_mut().zip(theirs).for_each(|(a, b)| *a = (*a).max(*b));
                }
            }
        }
    }

    /// About how many there are.
    pub fn count(&self) -> i64 {
        match self {
            Distinct::Few(hashes) => hashes.len() as i64,
            Distinct::Many(registers) => {
                let m = registers.len() as f64;
                let sum: f64 = registers.iter().map(|&r| 0.5_f64.powi(r.into())).sum();
                let estimate = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
                let empty = registers.iter().filter(|&&r| r == 0).count();
                let linear = if empty > 0 && estimate <= 2.5 * m { m * (m / empty as f64).ln() } else { estimate };
                linear.round() as i64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variance_does_not_cancel() {
        let mut m = Moments::default();
        [1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0].into_iter().for_each(|v| m.add(v, 1));
        assert_eq!(m.variance(), 1.0);
        m.add(7.0, 1);
        m.add(7.0, -1);
        assert_eq!(m.variance(), 1.0);
    }

    #[test]
    fn counts_of_many_are_near_and_do_not_depend_on_cuts() {
        let mut whole = Distinct::default();
        let (mut even, mut odd) = (Distinct::default(), Distinct::default());
        for i in 0..50_000_i64 {
            let value = Value::Bigint(i);
            whole.add(&value);
            if i % 2 == 0 {
                even.add(&value)
            } else if i < 500 {
                odd.add(&value)
            }
        }
        (1..50_000).step_by(2).for_each(|i| odd.add(&Value::Bigint(i)));
        odd.merge(&even);
        assert_eq!(odd, whole);
        assert!((whole.count() - 50_000).abs() < 1500, "{}", whole.count());
    }
}
