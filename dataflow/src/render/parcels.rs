//! Partial accumulators on their way to the worker that keeps their groups.
//!
//! Groups are numbered at once, so that their keys are not copied; to another worker a group is told by the number that it
//! has here, and with its key only the first time ([`Groups`]). They are looked up some hundred at a time.

use crate::arrange::groups::Group;
use crate::arrange::narrow::in_order;
use crate::arrange::{Accum, Accums, Groups, KeyList, PackedKeys, Place, Places, dictionary};
use crate::row::packer::{Apart, Packer, Short};
use serde::{Deserialize, Serialize};

/// Partial accumulators for one worker, in the order in which they were first touched. `G` names their groups: once it has
/// [arrived](Parcel::arrive), by the numbers that they have where they are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parcel<G = Names> {
    /// The worker that keeps these groups.
    pub target: u64,
    /// Sessions: where the rows come from, for rows that may be late must be applied in order.
    pub order: (u32, u64),
    /// The greatest time of the batches of these rows.
    pub stream_time: i64,
    /// The groups.
    pub groups: G,
    /// Of each its place; all the same where there are no panes.
    pub places: Places,
    /// What is added.
    pub accums: Accums,
    /// Sessions only: of each entry its first row's time, and the time before which sessions no longer counted when it
    /// came (`i64::MIN` when that cannot matter).
    pub sessions: Vec<(i64, i64)>,
}

/// How groups are called on their way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Names {
    /// By the numbers that they have where they are kept.
    Numbers(Vec<u32>),
    /// By the numbers that they have at the worker which made the parcel: see [`Groups::told`].
    Told {
        /// That worker.
        by: u32,
        /// The numbers.
        numbers: Vec<u32>,
        /// Numbers that are told for the first time, and the keys that they stand for.
        new: (Vec<u32>, PackedKeys),
    },
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

    /// Has come in an epoch to the worker that keeps its groups, whose groups these are. Parcels of a worker have to arrive in
    /// the order in which it made them, whatever their epochs.
    pub fn arrive(self, known: &mut Groups, epoch: u64) -> Parcel<Vec<u32>> {
        let Parcel { target, order, stream_time, groups, places, accums, sessions } = self;
        let groups = match groups {
            Names::Numbers(numbers) => numbers,
            Names::Told { by, mut numbers, new } => {
                known.told(by, new, epoch, &mut numbers);
                numbers
            }
            Names::Keys(keys) => {
                let (hashes, mut numbers): (Vec<u64>, _) = (keys.iter().map(dictionary::hash).collect(), Vec::new());
                known.own_mut().numbers(&keys, &hashes, epoch, &mut numbers);
                numbers
            }
        };
        Parcel { target, order, stream_time, groups, places, accums, sessions }
    }
}

/// The worker that keeps a group.
pub fn owner(group: &[u8], peers: u64) -> u64 {
    dictionary::owner(dictionary::hash(group), peers)
}

/// Entries of groups, a group perhaps more than once: what becomes parcels.
#[derive(Default)]
pub(super) struct Entries {
    epoch: u64,
    /// The worker that keeps each; empty when there is one worker.
    owners: Vec<u32>,
    /// Of each group the number that it has here for its owner, or while it has none its place among the owner's `new` with
    /// [`PENDING`] set.
    numbers: Vec<u32>,
    asked: Asked,
    /// Of each entry, as far as rows of short keys were pushed.
    shorts: Vec<Short>,
    /// By owner.
    new: Vec<New>,
    /// Room for a key.
    key: Vec<u8>,
    places: Places,
    pub(super) accums: Accums,
    /// Of sessions: see [`Parcel::sessions`].
    pub(super) sessions: Vec<(i64, i64)>,
    /// The greatest time of the batches whose rows these are: of no batch of a later epoch, which may have been judged
    /// before these go out.
    pub(super) stream_time: Option<i64>,
}

/// Entries whose groups may be known by what [tells their rows apart](Packer::apart).
#[derive(Default)]
struct Asked {
    entries: Vec<usize>,
    rows: Vec<usize>,
    found: Vec<Option<Group>>,
}

/// Entries whose groups have no numbers yet.
#[derive(Default)]
struct New {
    entries: Vec<usize>,
    keys: PackedKeys,
    hashes: Vec<u64>,
    rows: Vec<usize>,
    numbers: Vec<u32>,
}

/// No group has a number that large.
const PENDING: u32 = 1 << 31;

/// So many groups are looked up together.
const TOGETHER: usize = 256;

impl Entries {
    /// Of this epoch, with room for a little more than the last one had.
    pub(super) fn new(epoch: u64, last: usize) -> Self {
        let room = last + last / 8;
        Entries {
            epoch,
            numbers: Vec::with_capacity(room),
            places: Places::with_room(room),
            accums: Accums::with_room(room),
            ..Entries::default()
        }
    }

    /// An entry's place in its group.
    #[inline]
    pub(super) fn place(&self, entry: usize) -> Place {
        self.places.get(entry)
    }

    /// Whether an entry is of this row's group. The entry's row had keys of the same [basis](Packer::basis), and the same
    /// hash.
    #[inline]
    pub(super) fn is_of(&self, entry: usize, groups: &Groups, keys: &Packer, row: usize) -> bool {
        match keys.apart() {
            Some(Apart::Words(_)) => return true,
            Some(Apart::Shorts(shorts)) => return self.shorts[entry] == shorts[row],
            None => {}
        }
        let (owner, number) = (self.owners.get(entry).copied().unwrap_or(0), self.numbers[entry]);
        let key = match number & PENDING {
            0 => groups.key((owner, number)),
            _ => self.new[owner as usize].keys.get((number & !PENDING) as usize),
        };
        keys.matches(row, key)
    }

    /// A new entry for a row's group, which has to be [filled](Entries::fill).
    pub(super) fn push(&mut self, groups: &mut Groups, keys: &Packer, row: usize) -> usize {
        let entry = self.numbers.len();
        self.numbers.push(PENDING);
        if groups.peers() > 1 {
            self.owners.push(0);
        }
        if let Some(apart) = keys.apart() {
            if let Apart::Shorts(shorts) = apart {
                if self.shorts.is_empty() {
                    self.shorts.reserve(self.numbers.capacity());
                }
                self.shorts.resize(entry, Short::default());
                self.shorts.push(shorts[row]);
            }
            groups.expect(keys, row);
            self.asked.entries.push(entry);
            self.asked.rows.push(row);
            if self.asked.rows.len() >= TOGETHER {
                self.ask(groups, keys);
            }
        } else {
            self.push_key(groups, keys, row, entry);
        }
        entry
    }

    /// The new entries are of this place and hold this.
    #[inline]
    pub(super) fn fill(&mut self, place: Place, accum: &Accum) {
        let new = self.numbers.len() - self.places.len();
        self.places.extend(place, new);
        self.accums.extend(accum, new);
    }

    fn ask(&mut self, groups: &mut Groups, keys: &Packer) {
        let Asked { mut entries, mut rows, mut found } = std::mem::take(&mut self.asked);
        groups.known(keys, &rows, self.epoch, &mut found);
        keys.expect(rows.iter().zip(&found).filter(|(_, group)| group.is_none()).map(|(row, _)| *row));
        for ((entry, row), group) in entries.drain(..).zip(rows.drain(..)).zip(found.drain(..)) {
            match group {
                Some(group) => self.name(entry, group),
                None => self.push_key(groups, keys, row, entry),
            }
        }
        self.asked = Asked { entries, rows, found };
    }

    /// From now on an entry is of this group.
    fn name(&mut self, entry: usize, (owner, number): Group) {
        self.numbers[entry] = number;
        if let Some(of_entry) = self.owners.get_mut(entry) {
            *of_entry = owner;
        }
    }

    fn push_key(&mut self, groups: &mut Groups, keys: &Packer, row: usize, entry: usize) {
        self.key.clear();
        keys.push(&mut self.key, row);
        let hash = dictionary::hash(&self.key);
        let owner = groups.owner(hash);
        self.new.resize_with(groups.peers(), New::default);
        if self.new[owner as usize].hashes.len() >= TOGETHER {
            self.number_new(groups, keys, owner);
        }
        let new = &mut self.new[owner as usize];
        let at = u32::try_from(new.hashes.len()).unwrap_or(0);
        new.keys.push(&self.key);
        new.entries.push(entry);
        new.hashes.push(hash);
        new.rows.push(row);
        self.name(entry, (owner, at | PENDING));
    }

    /// Gives the new entries their numbers: before rows of other keys are pushed.
    pub(super) fn number(&mut self, groups: &mut Groups, keys: &Packer) {
        self.ask(groups, keys);
        (0..).take(self.new.len()).for_each(|owner| self.number_new(groups, keys, owner));
    }

    fn number_new(&mut self, groups: &mut Groups, keys: &Packer, owner: u32) {
        let mut new = std::mem::take(&mut self.new[owner as usize]);
        groups.numbers(owner, &new.keys, &new.hashes, self.epoch, &mut new.numbers);
        for ((entry, row), number) in new.entries.drain(..).zip(new.rows.drain(..)).zip(new.numbers.drain(..)) {
            self.name(entry, (owner, number));
            groups.set_known(keys, row, (owner, number), self.epoch);
        }
        new.keys.clear();
        new.hashes.clear();
        self.new[owner as usize] = new;
    }

    /// A parcel for each worker, once all entries have [numbers](Entries::number).
    pub(super) fn parcels(self, groups: &mut Groups, order: (u32, u64)) -> Vec<Parcel> {
        debug_assert_eq!(self.numbers.len(), self.places.len(), "entries are filled");
        let Entries { owners, numbers, places, mut accums, sessions, stream_time, .. } = self;
        let stream_time = stream_time.unwrap_or(i64::MIN);
        if groups.peers() == 1 {
            let groups = Names::Numbers(numbers);
            return vec![Parcel { groups, places, accums, sessions, ..Parcel::new(0, order, stream_time) }];
        }
        let by = groups.worker();
        // Groups are spread evenly: a little more than each one's share.
        let room = if numbers.is_empty() { 0 } else { numbers.len() / groups.peers() * 9 / 8 + 16 };
        let mut entries: Vec<Vec<u32>> = (0..groups.peers()).map(|_| Vec::with_capacity(room)).collect();
        for (at, owner) in (0..).zip(&owners) {
            entries[*owner as usize].push(at);
        }
        let parcel = |(to, of_owner): (u32, Vec<u32>)| {
            let numbers = in_order(&numbers, &of_owner);
            let groups = match to == by {
                true => Names::Numbers(numbers),
                false => Names::Told { by, numbers, new: groups.untold(to) },
            };
            let (places, accums) = (places.in_order(&of_owner), accums.in_order(&of_owner));
            let sessions = in_order(&sessions, &of_owner);
            Parcel { groups, places, accums, sessions, ..Parcel::new(to.into(), order, stream_time) }
        };
        (0..).zip(entries).map(parcel).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::picked::Pickable;
    use crate::row::{SqlType, Value, packed};
    use arrow_array::{Array, ArrayRef, Int32Array, StringArray, UInt32Array};
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Rows of these numbers, as a number, as short or long text, as text that is picked, or as nothing at all: the keys, and
    /// each row's packed.
    fn rows(numbers: &[u8], form: u8, texts: &ArrayRef) -> (Packer, Vec<Vec<u8>>) {
        // Long ones now and then.
        let long = if form == 2 && numbers.len() > 6 { 30 } else { 1 };
        let text = |number: &u8| format!("{:0long$}", number / 2);
        let (column, ty): (ArrayRef, _) = match form {
            0 => (Arc::new(Int32Array::from_iter_values(numbers.iter().map(|n| i32::from(*n)))), SqlType::Int),
            1 | 2 => (Arc::new(StringArray::from_iter_values(numbers.iter().map(text))), SqlType::String),
            _ => {
                let picks = UInt32Array::from_iter_values(numbers.iter().map(|n| u32::from(*n)));
                (Pickable::new(Arc::clone(texts)).pick(&picks).unwrap(), SqlType::String)
            }
        };
        let value = |number: &u8| match form {
            0 => Value::Int(i32::from(*number)),
            _ => Value::String(text(number).into()),
        };
        let key = |number| {
            let mut key = Vec::new();
            packed::push_all(&mut key, &[value(number)][..usize::from(form < 4)]);
            key
        };
        let columns = if form < 4 { vec![(column, ty)] } else { Vec::new() };
        (Packer::grouping(columns, numbers.len()), numbers.iter().map(key).collect())
    }

    proptest! {
        /// Workers that tell each other of groups, in epochs whose parcels go out in either order and of which each worker
        /// keeps some: every update comes to its group, and the group stays while something is kept of it.
        #[test]
        fn groups_are_told_from_worker_to_worker(
            peers in 1..4usize,
            form in 0..5u8,
            epochs in prop::collection::vec(
                (any::<bool>(), 0..3u64, prop::collection::vec(prop::collection::vec(0..24u8, 0..12), 6)), 1..8),
        ) {
            let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..24).map(|text| format!("{}", text / 2))));
            prop_assert_eq!(texts.len(), 24);
            let mut workers: Vec<Groups> = (0..peers).map(|worker| Groups::new(worker, peers)).collect();
            // By worker: epoch, number and key of what is kept.
            let mut kept: Vec<Vec<(u64, u32, Vec<u8>)>> = vec![Vec::new(); peers];
            for (turn, (backwards, lag, batches)) in (0..).zip(&epochs) {
                let open = [2 * turn, 2 * turn + 1];
                let mut arrived = vec![Vec::new(); peers];
                for (worker, groups) in workers.iter_mut().enumerate() {
                    let mut made: Vec<(u64, Entries, Vec<Vec<u8>>)> = Vec::new();
                    for (i, epoch) in open.into_iter().enumerate() {
                        let (keys, packed) = rows(&batches[2 * worker + i], form, &texts);
                        let mut entries = Entries::new(epoch, 0);
                        groups.turn_to(&keys, epoch);
                        for row in 0..packed.len() {
                            entries.push(groups, &keys, row);
                            entries.fill(Place::default(), &Accum::empty(&[]));
                            let by_hash = matches!(keys.apart(), Some(Apart::Words(_)));
                            for entry in (0..=row).filter(|_| !by_hash) {
                                prop_assert_eq!(entries.is_of(entry, groups, &keys, row), packed[entry] == packed[row]);
                            }
                        }
                        entries.number(groups, &keys);
                        made.push((epoch, entries, packed));
                    }
                    if *backwards {
                        made.reverse();
                    }
                    for (epoch, entries, packed) in made {
                        for parcel in entries.parcels(groups, (0, 0)) {
                            let to = parcel.target;
                            let keys = packed.iter().filter(|key| owner(key, peers as u64) == to).cloned().collect();
                            arrived[to as usize].push((epoch, parcel, keys));
                        }
                    }
                }
                for ((groups, arrived), kept) in workers.iter_mut().zip(arrived).zip(&mut kept) {
                    for (epoch, parcel, keys) in arrived {
                        let (keys, parcel): (Vec<Vec<u8>>, Parcel) = (keys, parcel);
                        let numbers = parcel.arrive(groups, epoch).groups;
                        prop_assert_eq!(numbers.len(), keys.len());
                        kept.extend(numbers.into_iter().zip(keys).map(|(number, key)| (epoch, number, key)));
                    }
                    let before = (2 * turn + 1).saturating_sub(2 * lag);
                    groups.forget(before, 2 * turn + 1);
                    kept.retain(|(epoch, ..)| *epoch >= before);
                    for (_, number, key) in kept {
                        prop_assert_eq!(groups.own().key(*number), key.as_slice());
                        prop_assert_eq!(groups.own().find(key), Some(*number));
                    }
                }
            }
        }
    }
}
