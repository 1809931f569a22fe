//! Runs that are merged as they become many.
//!
//! Runs of about the same size stand in one *tier*. As soon as it has [`FAN`] of them they are merged in one go, and what they
//! become stands in the tier of its size. So an update is copied as often as tiers are above it, and a store has some runs a
//! tier. Each run that comes pays for a share of the merges that are going on, so that no one has to wait for a whole merge.
//! (A log-structured merge tree with tiers. Differential's spine is one whose tiers have two runs each: it copies an update
//! three times where eight runs are merged in one go.)

use super::Run;
use super::keys::KeyList;
use super::merge::Merge;
use std::rc::Rc;

/// See the module's head.
pub struct Tiers<K: KeyList>(Vec<Tier<K>>);

struct Tier<K: KeyList> {
    waiting: Vec<Rc<Run<K>>>,
    merging: Option<Merge<K>>,
}

/// So many runs are merged in one go, or more if they have had to wait.
const FAN: usize = 1 << FAN_BITS;
const FAN_BITS: u32 = 3;

/// Updates that each merge takes for one that comes. With less than two, the next runs could come before a merge has ended; the
/// others are for runs of different sizes.
const SHARE: usize = 4;

/// A run pays for so many updates at least: after many that are large, few may come.
const LEAST: usize = 1 << 10;

impl<K: KeyList> Default for Tiers<K> {
    fn default() -> Self {
        Tiers(Vec::new())
    }
}

impl<K: KeyList> Tiers<K> {
    /// Takes one more. Epochs before `since` are not told apart any more. There are [safepoints](crate::safepoint) on the way.
    pub fn insert(&mut self, run: Rc<Run<K>>, since: u64) {
        let share = SHARE * run.len().max(LEAST);
        self.put(run, since);
        for tier in 0..self.0.len() {
            let tier = &mut self.0[tier];
            let done = tier.merging.as_mut().is_some_and(|merge| merge.work(share));
            if done && let Some(merge) = tier.merging.take() {
                tier.merge_many(since);
                self.put(Rc::new(merge.finish()), since);
            }
        }
    }

    fn put(&mut self, run: Rc<Run<K>>, since: u64) {
        let tier = (run.len().max(1).ilog2() / FAN_BITS) as usize;
        while self.0.len() <= tier {
            self.0.push(Tier { waiting: Vec::new(), merging: None });
        }
        self.0[tier].waiting.push(run);
        self.0[tier].merge_many(since);
    }

    /// All runs.
    pub fn runs(&self) -> impl Iterator<Item = &Rc<Run<K>>> {
        self.0.iter().flat_map(|tier| tier.merging.iter().flat_map(Merge::runs).chain(&tier.waiting))
    }
}

impl<K: KeyList> Tier<K> {
    /// Begins to merge those that wait, if they are many.
    fn merge_many(&mut self, since: u64) {
        if self.merging.is_none() && self.waiting.len() >= FAN {
            self.merging = Some(Merge::new(std::mem::take(&mut self.waiting), since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrange::{Accum, Key, Keys, Place};

    /// Large and small runs: none is lost, and there are few at any time, though merges take several.
    #[test]
    fn runs_become_few_and_none_is_lost() {
        let (mut tiers, mut put_in, mut most) = (Tiers::<Keys>::default(), 0, 0);
        for epoch in 0..600u64 {
            // A prime number of steps between the keys, and as many as this epoch's kind has.
            let updates = [2000, 300, 40, 5000][epoch as usize / 4 % 4];
            let mut groups: Vec<u32> = (0..updates).map(|i| (i * 7919 + epoch as u32 * 31) % 10_007).collect();
            groups.sort_unstable();
            let mut run = Run::new(epoch, 0, 0);
            for group in groups {
                run.push(Key { group, place: Place::default() }, Accum { rows: 1, time: 7, parts: None });
                put_in += 1;
            }
            tiers.insert(Rc::new(run), epoch.saturating_sub(3));
            let rows = |run: &Rc<Run<Keys>>| (0..run.len()).map(|at| run.accum(at).rows).sum::<i64>();
            if epoch % 50 == 49 {
                assert_eq!(tiers.runs().map(rows).sum::<i64>(), put_in);
            }
            most = most.max(tiers.runs().count());
            assert!(tiers.0.iter().all(|tier| tier.waiting.len() < 2 * FAN));
        }
        assert!(tiers.0.len() > 4 && most < 4 * 2 * FAN, "{most} runs");
        // What is of one epoch by now has no epochs of its own.
        assert!(tiers.runs().map(|run| run.len()).sum::<usize>() < 12 * 10_007);
    }
}
