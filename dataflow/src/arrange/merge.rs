//! Some runs that become one, a little at a time.
//!
//! The runs are the leaves of a tree, each of whose nodes brings the updates of both runs (or nodes) below it in order, some
//! at a time and without a branch that depends on which is next: that could not be foreseen. So every update passes the
//! logarithm of the number of runs, and its columns are copied once.

use super::Run;
use super::keys::KeyList;
use crate::safepoint;
use std::rc::Rc;

/// See the module's head.
pub struct Merge<K: KeyList> {
    runs: Vec<Rc<Run<K>>>,
    /// The first is not used, the second the root; those below the `i`-th are the `2 i`-th and the one after. The last half are
    /// the leaves, some of them without a run.
    nodes: Vec<Node<K::Head>>,
    since: u64,
    out: Run<K>,
    last: Option<Next<K::Head>>,
    /// What is put out together: runs and places.
    indices: Vec<(usize, usize)>,
    /// Updates of keys that are put out already with their epochs: where they are, runs and places.
    same: Vec<(usize, usize, usize)>,
}

/// The next updates, from `at` on.
struct Node<H> {
    next: Vec<Next<H>>,
    at: usize,
    /// Of a leaf how many of its run's were here.
    read: usize,
}

/// An update that is next, by its key's head, its run and its place.
#[derive(Clone, Copy)]
struct Next<H> {
    head: H,
    run: u32,
    at: usize,
}

impl<H> Node<H> {
    fn is_empty(&self) -> bool {
        self.at == self.next.len()
    }
}

/// So many updates are taken together: they stay in the processor's near caches.
const TOGETHER: usize = 256;

impl<K: KeyList> Merge<K> {
    /// Of these runs, in any order. Epochs before `since` are not told apart any more.
    pub fn new(runs: Vec<Rc<Run<K>>>, since: u64) -> Self {
        let updates = runs.iter().map(|run| run.len()).sum();
        let out = Run::new(since, updates, runs.iter().map(|run| run.key_bytes()).sum());
        let node = || Node { next: Vec::new(), at: 0, read: 0 };
        let nodes = (0..2 * runs.len().next_power_of_two()).map(|_| node()).collect();
        Merge { runs, nodes, since, out, last: None, indices: Vec::new(), same: Vec::new() }
    }

    /// The runs.
    pub fn runs(&self) -> &[Rc<Run<K>>] {
        &self.runs
    }

    /// Takes so many updates, about. True when there are no more. There are [safepoints](crate::safepoint) on the way.
    pub fn work(&mut self, mut updates: usize) -> bool {
        while updates > 0 {
            fill(&self.runs, &mut self.nodes, 1);
            if self.nodes[1].is_empty() {
                return true;
            }
            updates = updates.saturating_sub(self.nodes[1].next.len());
            self.put_out();
            safepoint::reached();
        }
        false
    }

    /// Puts out what the root has.
    fn put_out(&mut self) {
        let before = self.out.len();
        let (runs, since) = (&self.runs, self.since);
        for next in self.nodes[1].next.drain(..) {
            let (run, at) = (next.run as usize, next.at);
            let same = self.last.is_some_and(|last| {
                let (last_run, last_at) = (&runs[last.run as usize], last.at);
                last.head == next.head
                    && K::behind_head(last_run.key(last_at), runs[run].key(at)).is_eq()
                    && last_run.epoch(last_at).max(since) == runs[run].epoch(at).max(since)
            });
            if same {
                self.same.push((before + self.indices.len() - 1, run, at));
            } else {
                self.indices.push((run, at));
            }
            self.last = Some(next);
        }
        self.nodes[1].at = 0;
        self.out.interleave(runs, &self.indices, since);
        self.indices.clear();
        self.same.drain(..).for_each(|(to, run, at)| self.out.add_to(to, &runs[run], at));
    }

    /// What they have become.
    pub fn finish(mut self) -> Run<K> {
        self.out.shrink();
        self.out
    }
}

/// Sees to it that a node has its next updates, if there are any.
fn fill<K: KeyList>(runs: &[Rc<Run<K>>], nodes: &mut [Node<K::Head>], node: usize) {
    if !nodes[node].is_empty() {
        return;
    }
    let mut next = std::mem::take(&mut nodes[node].next);
    next.clear();
    if let Some(run) = node.checked_sub(nodes.len() / 2) {
        let leaf = &mut nodes[node];
        if let Some(keys) = runs.get(run) {
            let from = leaf.read;
            leaf.read = keys.len().min(from + TOGETHER);
            let run = u32::try_from(run).unwrap_or(0);
            next.extend((from..leaf.read).map(|at| Next { head: K::head(keys.key(at)), run, at }));
        }
    } else {
        while next.len() < TOGETHER {
            fill(runs, nodes, 2 * node);
            fill(runs, nodes, 2 * node + 1);
            let Ok([left, right]) = nodes.get_disjoint_mut([2 * node, 2 * node + 1]) else { break };
            if left.is_empty() || right.is_empty() {
                let rest = if left.is_empty() { right } else { left };
                let to = rest.next.len().min(rest.at + TOGETHER - next.len());
                next.extend_from_slice(&rest.next[rest.at..to]);
                if rest.at == to {
                    break;
                }
                rest.at = to;
                continue;
            }
            let (mut a, mut b) = (left.at, right.at);
            while a < left.next.len() && b < right.next.len() && next.len() < TOGETHER {
                let (earlier, later) = (left.next[a], right.next[b]);
                let behind = || {
                    let key = |next: Next<K::Head>| runs[next.run as usize].key(next.at);
                    K::behind_head(key(later), key(earlier)).is_lt()
                };
                let is_later = later.head < earlier.head || later.head == earlier.head && behind();
                next.push(if is_later { later } else { earlier });
                (a, b) = (a + usize::from(!is_later), b + usize::from(is_later));
            }
            (left.at, right.at) = (a, b);
        }
    }
    (nodes[node].next, nodes[node].at) = (next, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrange::{Accum, Key, Keys, PackedKeys, Part, Place};
    use differential_dataflow::difference::Semigroup;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Updates of a run: those of each epoch, by key, and what each adds.
    type Epochs = Vec<BTreeMap<(u8, bool), i8>>;

    /// Some updates are of a session that is no more, some have parts.
    fn accum(n: i8) -> Accum {
        match n {
            0 => Accum::dead(),
            1..9 => Accum { rows: n.into(), time: 7, parts: None },
            _ => Accum { rows: 1, time: i64::from(n) << 40, parts: Some([Part::Whole(n.into())].into()) },
        }
    }

    /// So many epochs at a time with what they have become so far, with little work at a time.
    fn merged<K: KeyList>(
        epochs: &Epochs,
        together: usize,
        sinces: &[u64],
        key: impl Fn((u8, bool), &mut dyn FnMut(K::Key<'_>)),
    ) -> Run<K> {
        let mut all = Run::<K>::new(0, 0, 0);
        let made = |(epoch, updates): (u64, &BTreeMap<(u8, bool), i8>)| {
            let mut run = Run::new(epoch, 0, 0);
            updates.iter().for_each(|(of, n)| key(*of, &mut |key| run.push(key, accum(*n))));
            Rc::new(run)
        };
        let made: Vec<Rc<Run<K>>> = (0..).zip(epochs).map(made).collect();
        for (runs, since) in made.chunks(together).zip(sinces.chunks(together)) {
            let runs = std::iter::once(Rc::new(all)).chain(runs.iter().cloned()).collect();
            let mut merge = Merge::new(runs, since.last().copied().unwrap_or(0));
            while !merge.work(3) {}
            all = merge.finish();
        }
        all
    }

    fn shown<K: KeyList, O: Ord>(run: &Run<K>, key: impl Fn(K::Key<'_>) -> O) -> BTreeMap<O, Vec<(u64, Accum)>> {
        let mut shown: BTreeMap<O, Vec<(u64, Accum)>> = BTreeMap::new();
        for at in 0..run.len() {
            shown.entry(key(run.key(at))).or_default().push((run.epoch(at), run.accum(at)));
        }
        shown
    }

    proptest! {
        /// Against a map, as of epochs that are still told apart.
        #[test]
        fn what_is_merged_adds_up(
            epochs in prop::collection::vec(
                prop::collection::btree_map((0..200u8, any::<bool>()), 0..12i8, 0..400), 1..12),
            together in 1..12usize,
            lag in 0..4u64,
            starts in any::<bool>(),
        ) {
            let sinces: Vec<u64> = (0..epochs.len() as u64).map(|epoch| epoch.saturating_sub(lag)).collect();
            let since = sinces.last().copied().unwrap_or(0);
            let mut model: BTreeMap<(u8, bool), BTreeMap<u64, Accum>> = BTreeMap::new();
            for (epoch, updates) in (0..).zip(&epochs) {
                for (of, n) in updates {
                    let at = model.entry(*of).or_default();
                    at.entry(since.max(epoch)).and_modify(|sum| sum.plus_equals(&accum(*n))).or_insert_with(|| accum(*n));
                }
            }
            let model: BTreeMap<_, Vec<_>> = model.into_iter().map(|(of, at)| (of, at.into_iter().collect())).collect();
            // Epochs that came under the last `since` only now may still stand apart.
            let add_up = |shown: BTreeMap<(u8, bool), Vec<(u64, Accum)>>| {
                let add_up = |updates: Vec<(u64, Accum)>| {
                    let mut at: BTreeMap<u64, Accum> = BTreeMap::new();
                    for (epoch, accum) in updates {
                        at.entry(epoch.max(since)).and_modify(|sum| sum.plus_equals(&accum)).or_insert(accum);
                    }
                    at.into_iter().collect::<Vec<_>>()
                };
                shown.into_iter().map(|(of, updates)| (of, add_up(updates))).collect::<BTreeMap<_, _>>()
            };
            let place = |(n, marked): (u8, bool)| Place {
                at: if starts { i64::from(n % 2) } else { 0 },
                mark: u32::from(marked),
            };
            let numbered = merged::<Keys>(&epochs, together, &sinces, |of, push| push(Key { group: of.0.into(), place: place(of) }));
            prop_assert!((1..numbered.len()).all(|at| numbered.key(at - 1) <= numbered.key(at)));
            let of = |key: Key| (key.group as u8, key.place.mark == 1);
            prop_assert_eq!(add_up(shown(&numbered, of)), model.clone());
            let packed = merged::<PackedKeys>(&epochs, together, &sinces, |of, push| push(&[of.0, u8::from(of.1)]));
            prop_assert_eq!(add_up(shown(&packed, |key| (key[0], key[1] == 1))), model);
        }
    }
}
