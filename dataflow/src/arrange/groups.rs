//! The groups of a table, wherever they are kept.
//!
//! A worker has numbers for the groups that it keeps, and others for those that it meets and another worker keeps: it tells
//! that worker the key once, and the number from then on. Either worker forgets a number alone when it needs it no more; a
//! number that is given anew is told with its new key, and until then the group stays where it is kept.

use super::Dictionary;
use super::dictionary::{hash, owner};
use super::exact::Exact;
use super::keys::{KeyList, PackedKeys};
use crate::row::packer::{Apart, Packer, Short};

/// See the module's head.
pub struct Groups {
    worker: u32,
    /// One a worker: what it keeps. This one's own among them.
    kept: Vec<Dictionary>,
    /// The own groups that each worker calls by its numbers.
    told: Vec<Vec<u32>>,
    known: Known,
    /// The epoch in which groups were looked through last for those that nobody needs.
    looked: u64,
}

/// Groups by what tells their rows apart, as [codes](Groups::code).
enum Known {
    Nothing,
    Words(Exact<u64>),
    Shorts(Exact<Short>),
}

/// A group: the worker that keeps it, and the number that it has for that worker here.
pub type Group = (u32, u32);

/// The group of this [code](Groups::code), whose last bits stand for its owner.
#[inline]
fn of_code(code: u32, owner_bits: u32) -> Group {
    (code & ((1 << owner_bits) - 1), code >> owner_bits)
}

/// No group of the worker that told it has this number.
const NONE: u32 = u32::MAX;

impl Groups {
    /// Those of this worker of so many.
    pub fn new(worker: usize, peers: usize) -> Self {
        let kept = |kept_by| if kept_by == worker { Dictionary::default() } else { Dictionary::noting() };
        Groups {
            worker: u32::try_from(worker).unwrap_or(0),
            kept: (0..peers).map(kept).collect(),
            told: vec![Vec::new(); peers],
            known: Known::Nothing,
            looked: 0,
        }
    }

    /// The number of workers.
    #[inline]
    pub fn peers(&self) -> usize {
        self.kept.len()
    }

    /// This worker.
    #[inline]
    pub fn worker(&self) -> u32 {
        self.worker
    }

    /// The groups that this worker keeps.
    pub fn own(&self) -> &Dictionary {
        &self.kept[self.worker as usize]
    }

    /// The groups that this worker keeps.
    pub fn own_mut(&mut self) -> &mut Dictionary {
        &mut self.kept[self.worker as usize]
    }

    /// The worker that keeps a group whose key has this [`hash`].
    #[inline]
    pub fn owner(&self, hash: u64) -> u32 {
        owner(hash, self.kept.len() as u64) as u32
    }

    /// The packed key of a group.
    #[inline]
    pub fn key(&self, (owner, number): Group) -> &[u8] {
        self.kept[owner as usize].key(number)
    }

    /// [`Dictionary::numbers`] of groups that one worker keeps.
    pub fn numbers(&mut self, owner: u32, keys: &PackedKeys, hashes: &[u64], epoch: u64, out: &mut Vec<u32>) {
        self.kept[owner as usize].numbers(keys, hashes, epoch, out);
    }

    /// Is asked for rows of these keys from now on, in an epoch.
    pub fn turn_to(&mut self, keys: &Packer, epoch: u64) {
        let Some((basis, apart)) = keys.basis().zip(keys.apart()) else { return };
        let is_for = match (&self.known, apart) {
            (Known::Words(exact), Apart::Words(_)) => exact.is_for(basis, epoch),
            (Known::Shorts(exact), Apart::Shorts(_)) => exact.is_for(basis, epoch),
            _ => false,
        };
        if !is_for {
            self.keep_known();
            self.known = match apart {
                Apart::Words(_) => Known::Words(Exact::new(basis.clone(), epoch)),
                Apart::Shorts(_) => Known::Shorts(Exact::new(basis.clone(), epoch)),
            };
        }
    }

    /// A row's group will be [asked for](Groups::known): its place begins to come from memory.
    #[inline]
    pub fn expect(&self, keys: &Packer, row: usize) {
        match (&self.known, keys.apart()) {
            (Known::Words(exact), Some(Apart::Words(words))) => exact.expect(&words[row]),
            (Known::Shorts(exact), Some(Apart::Shorts(shorts))) => exact.expect(&shorts[row]),
            _ => {}
        }
    }

    /// Appends the groups of some rows of the keys that it was [turned to](Groups::turn_to), in an epoch, to `out`: those that
    /// were [set](Groups::set_known).
    pub fn known(&mut self, keys: &Packer, rows: &[usize], epoch: u64, out: &mut Vec<Option<Group>>) {
        let bits = self.owner_bits();
        let mut push = |code: Option<u32>| out.push(code.map(|code| of_code(code, bits)));
        match (&mut self.known, keys.apart()) {
            (Known::Words(exact), Some(Apart::Words(words))) => {
                rows.iter().for_each(|row| push(exact.get(&words[*row], epoch)));
            }
            (Known::Shorts(exact), Some(Apart::Shorts(shorts))) => {
                rows.iter().for_each(|row| push(exact.get(&shorts[*row], epoch)));
            }
            _ => rows.iter().for_each(|_| push(None)),
        }
    }

    /// From now on rows that cannot be told from this one are of this group, which has its number in this epoch.
    pub fn set_known(&mut self, keys: &Packer, row: usize, group: Group, epoch: u64) {
        let Some(code) = self.code(group) else { return };
        let gone = match (&mut self.known, keys.apart()) {
            (Known::Words(exact), Some(Apart::Words(words))) => exact.set(words[row], code, epoch),
            (Known::Shorts(exact), Some(Apart::Shorts(shorts))) => exact.set(shorts[row], code, epoch),
            _ => None,
        };
        if let Some((code, used)) = gone {
            let (owner, number) = self.group(code);
            self.kept[owner as usize].keep(number, used);
        }
    }

    /// A group as one number, where 32 bits are enough.
    fn code(&self, (owner, number): Group) -> Option<u32> {
        u32::try_from(u64::from(number) << self.owner_bits() | u64::from(owner)).ok()
    }

    fn group(&self, code: u32) -> Group {
        of_code(code, self.owner_bits())
    }

    fn owner_bits(&self) -> u32 {
        usize::BITS - (self.kept.len() - 1).leading_zeros()
    }

    /// The numbers that were given since they were told last to the worker that keeps the groups, with the groups' keys.
    pub fn untold(&mut self, owner: u32) -> (Vec<u32>, PackedKeys) {
        let kept = &mut self.kept[owner as usize];
        let numbers = kept.given();
        let mut keys = PackedKeys::default();
        numbers.iter().for_each(|number| keys.push(kept.key(*number)));
        (numbers, keys)
    }

    /// Is told in an epoch by another worker of own groups: makes of the numbers which that worker has for them those that they
    /// have here. `new`: what that worker had [untold](Groups::untold).
    pub fn told(&mut self, by: u32, (numbers, keys): (Vec<u32>, PackedKeys), epoch: u64, called: &mut [u32]) {
        let (own, told) = (&mut self.kept[self.worker as usize], &mut self.told[by as usize]);
        let hashes: Vec<u64> = keys.iter().map(hash).collect();
        let mut here = Vec::with_capacity(hashes.len());
        own.numbers(&keys, &hashes, epoch, &mut here);
        for (number, here) in numbers.into_iter().zip(here) {
            if told.len() <= number as usize {
                told.resize(number as usize + 1, NONE);
            }
            let before = std::mem::replace(&mut told[number as usize], here);
            // What came under its number may not have been put in yet.
            if before != NONE {
                own.keep(before, epoch);
            }
        }
        called.iter_mut().for_each(|number| *number = told.get(*number as usize).copied().unwrap_or(NONE));
    }

    /// Notes with the groups when they were asked for by what tells their rows apart.
    fn keep_known(&mut self) {
        let known = std::mem::replace(&mut self.known, Known::Nothing);
        let keep = |(code, used): (u32, u64)| {
            let (owner, number) = self.group(code);
            self.kept[owner as usize].keep(number, used);
        };
        match &known {
            Known::Nothing => {}
            Known::Words(exact) => exact.groups().for_each(keep),
            Known::Shorts(exact) => exact.groups().for_each(keep),
        }
        self.known = known;
    }

    /// In an epoch, forgets the groups that nobody asked for from one `before` on, and that no other worker has a number for. As
    /// all groups are looked at, it waits until half as many epochs have passed as groups are kept for.
    pub fn forget(&mut self, before: u64, epoch: u64) {
        if epoch.saturating_sub(self.looked) < epoch.saturating_sub(before) / 2 {
            return;
        }
        self.looked = epoch;
        self.keep_known();
        let own = &mut self.kept[self.worker as usize];
        self.told.iter().flatten().filter(|number| **number != NONE).for_each(|number| own.keep(*number, before));
        let forgot = self.kept.iter_mut().fold(false, |forgot, kept| kept.forget(before) | forgot);
        match &mut self.known {
            Known::Words(exact) if forgot => exact.forget(before),
            Known::Shorts(exact) if forgot => exact.forget(before),
            _ => {}
        }
    }
}
