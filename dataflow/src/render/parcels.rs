//! Partial accumulators on their way to the worker that keeps their groups.
//!
//! A worker's own groups are numbered at once, so that their keys are not copied; to another worker they are told by their
//! keys. Groups are looked up some hundred at a time.

use crate::arrange::{Accum, Accums, Dictionary, KeyList, PackedKeys, Place, Places, dictionary};
use crate::row::packer::Packer;
use serde::{Deserialize, Serialize};

/// Partial accumulators for one worker, in the order in which they were first touched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parcel {
    /// The worker that keeps these groups.
    pub target: u64,
    /// Sessions: where the rows come from, for rows that may be late must be applied in order.
    pub order: (u32, u64),
    /// The greatest time of the batches of these rows.
    pub stream_time: i64,
    /// The groups.
    pub groups: Names,
    /// Of each its place, where there are panes.
    pub places: Places,
    /// What is added.
    pub accums: Accums,
    /// Sessions only: of each entry its first row's time, and the time before which sessions no longer counted when it
    /// came (`i64::MIN` when that cannot matter).
    pub sessions: Vec<(i64, i64)>,
}

/// How groups are called.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Names {
    /// By their numbers: groups of the worker that made the parcel.
    Numbers(Vec<u32>),
    /// By their packed keys.
    Keys(PackedKeys),
}

impl Parcel {
    /// An empty one.
    pub fn new(target: u64, order: (u32, u64), stream_time: i64) -> Self {
        Parcel {
            target,
            order,
            stream_time,
            groups: Names::Keys(PackedKeys::default()),
            places: Places::default(),
            accums: Accums::default(),
            sessions: Vec::new(),
        }
    }
}

/// The worker that keeps a group.
pub fn owner(group: &[u8], peers: u64) -> u64 {
    dictionary::hash(group) % peers.max(1)
}

/// This worker among all, in an epoch.
pub(super) struct Own<'a> {
    pub(super) worker: u32,
    pub(super) peers: u64,
    pub(super) epoch: u64,
    pub(super) groups: &'a mut Dictionary,
}

/// Entries of groups, a group perhaps more than once: what becomes parcels.
#[derive(Default)]
pub(super) struct Entries {
    /// The worker that keeps each; empty when there is one worker.
    owners: Vec<u32>,
    /// Of a group of this worker's own its number, or while it has none its place among `new` with [`PENDING`] set; of
    /// another worker its place among those of `others`.
    numbers: Vec<u32>,
    /// By worker.
    others: Vec<PackedKeys>,
    new: New,
    places: Places,
    pub(super) accums: Accums,
    /// Of sessions: see [`Parcel::sessions`].
    pub(super) sessions: Vec<(i64, i64)>,
    /// The greatest time of the batches whose rows these are: of no batch of a later epoch, which may have been judged
    /// before these go out.
    pub(super) stream_time: Option<i64>,
}

/// Entries whose groups have no numbers yet.
#[derive(Default)]
struct New {
    entries: Vec<usize>,
    keys: PackedKeys,
    hashes: Vec<u64>,
    /// What they were [picked](Packer::picked) by.
    picked: Vec<Option<u32>>,
    numbers: Vec<u32>,
}

/// No group has a number that large.
const PENDING: u32 = 1 << 31;

/// So many groups are looked up together.
const TOGETHER: usize = 256;

impl Entries {
    /// Room for so many.
    pub(super) fn with_room(entries: usize) -> Self {
        Entries {
            numbers: Vec::with_capacity(entries),
            places: Places::with_room(entries),
            accums: Accums::with_room(entries),
            ..Entries::default()
        }
    }

    /// An entry's place in its group.
    #[inline]
    pub(super) fn place(&self, entry: usize) -> Place {
        self.places.get(entry)
    }

    /// Whether an entry is of this row's group.
    #[inline]
    pub(super) fn is_of(&self, entry: usize, own: &Own<'_>, keys: &Packer, row: usize) -> bool {
        let number = self.numbers[entry];
        let key = match self.owners.get(entry) {
            Some(&owner) if owner != own.worker => self.others[owner as usize].get(number as usize),
            _ if number & PENDING == 0 => own.groups.key(number),
            _ => self.new.keys.get((number & !PENDING) as usize),
        };
        keys.matches(row, key)
    }

    /// A new entry for this place in a row's group.
    pub(super) fn push(&mut self, own: &mut Own<'_>, keys: &Packer, row: usize, place: Place, accum: Accum) -> usize {
        let picked = keys.picked(row);
        if let Some(number) = picked.and_then(|row| own.groups.of_row(row, own.epoch)) {
            self.numbers.push(number);
            if own.peers > 1 {
                self.owners.push(own.worker);
            }
        } else {
            self.push_key(own, keys, row, picked);
        }
        self.places.push(place);
        self.accums.push(accum);
        self.accums.len() - 1
    }

    fn push_key(&mut self, own: &mut Own<'_>, keys: &Packer, row: usize, picked: Option<u32>) {
        if self.new.hashes.len() >= TOGETHER {
            self.number(own);
        }
        let at = |keys: &PackedKeys| u32::try_from(keys.len() - 1).unwrap_or(u32::MAX);
        self.new.keys.push_with(|bytes| keys.push(bytes, row));
        let key = self.new.keys.get(self.new.hashes.len());
        let hash = dictionary::hash(key);
        let owner = if own.peers == 1 { own.worker } else { u32::try_from(hash % own.peers).unwrap_or(0) };
        if own.peers > 1 {
            self.owners.push(owner);
        }
        if owner == own.worker {
            self.new.entries.push(self.numbers.len());
            self.new.hashes.push(hash);
            self.new.picked.push(picked);
            self.numbers.push(at(&self.new.keys) | PENDING);
        } else {
            self.others.resize_with(own.peers as usize, PackedKeys::default);
            let others = &mut self.others[owner as usize];
            others.push(key);
            self.numbers.push(at(others));
            self.new.keys.pop();
        }
    }

    /// Gives the new entries their numbers: before rows of other keys are pushed.
    pub(super) fn number(&mut self, own: &mut Own<'_>) {
        let New { entries, keys, hashes, picked, numbers } = &mut self.new;
        own.groups.numbers(keys, hashes, own.epoch, numbers);
        for ((entry, picked), number) in entries.drain(..).zip(picked.drain(..)).zip(numbers.drain(..)) {
            self.numbers[entry] = number;
            if let Some(row) = picked {
                own.groups.set_row(row, number, own.epoch);
            }
        }
        keys.clear();
        hashes.clear();
    }

    /// A parcel for each worker, once all entries have [numbers](Entries::number).
    pub(super) fn parcels(self, worker: u32, peers: u64, order: (u32, u64)) -> Vec<Parcel> {
        let Entries { owners, numbers, others, places, mut accums, sessions, stream_time, .. } = self;
        let stream_time = stream_time.unwrap_or(i64::MIN);
        if peers == 1 {
            let groups = Names::Numbers(numbers);
            return vec![Parcel { groups, places, accums, sessions, ..Parcel::new(0, order, stream_time) }];
        }
        let mut parcels: Vec<Parcel> = (0..peers).map(|target| Parcel::new(target, order, stream_time)).collect();
        let own = owners.iter().zip(numbers).filter(|(owner, _)| **owner == worker).map(|(_, number)| number);
        parcels.iter_mut().zip(others).for_each(|(parcel, keys)| parcel.groups = Names::Keys(keys));
        if let Some(parcel) = parcels.get_mut(worker as usize) {
            parcel.groups = Names::Numbers(own.collect());
        }
        for (i, owner) in owners.iter().enumerate() {
            let parcel = &mut parcels[*owner as usize];
            parcel.places.push(places.get(i));
            parcel.accums.push_taken(&mut accums, i);
            parcel.sessions.extend(sessions.get(i));
        }
        parcels
    }
}
