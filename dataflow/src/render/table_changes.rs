//! A table's changes: their keys and rows packed, all in one piece of memory.
//!
//! An epoch can change a million rows. Nobody but who looks at a row's values makes values of it.

use crate::views::change::Bounds;
use serde::{Deserialize, Serialize};

/// What changed in a table at a key (and window), rows as packed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableChange<'a> {
    /// The packed key.
    pub key: &'a [u8],
    /// The window.
    pub window: Option<Bounds>,
    /// The value columns before; `None`: there was no row, or nobody [asks](Wanted) for it.
    pub old: Option<&'a [u8]>,
    /// The value columns after; `None`: there is no row any more.
    pub new: Option<&'a [u8]>,
    /// ROWTIME of the change.
    pub time: i64,
}

/// What those who listen to a table want to know of its changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Nobody listens.
    #[default]
    Nothing,
    /// The new rows.
    New,
    /// The old ones as well.
    OldAndNew,
}

/// Changes in the order in which they are told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TableChanges {
    heads: Vec<Head>,
    /// Of each change the key, the old row and the new row, those that there are.
    bytes: Vec<u8>,
}

/// A change without its bytes, which start where those of the one before end.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Head {
    key_end: usize,
    old_end: usize,
    new_end: usize,
    old: bool,
    new: bool,
    window: Option<Bounds>,
    time: i64,
}

impl TableChanges {
    /// None, with room for so many, whose keys and rows have so many bytes together.
    pub fn with_room(changes: usize, bytes: usize) -> Self {
        TableChanges { heads: Vec::with_capacity(changes), bytes: Vec::with_capacity(bytes) }
    }

    /// The bytes of all keys and rows together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Adds a copy of a change.
    pub fn push(&mut self, change: TableChange<'_>) {
        let copy = |row: Option<&[u8]>, out: &mut Vec<u8>| row.map(|row| out.extend_from_slice(row)).is_some();
        let TableChange { key, window, time, .. } = change;
        self.push_with(key, window, time, |out| copy(change.old, out), |out| copy(change.new, out));
    }

    /// Adds a change whose rows are written behind what is there. `old` and `new` say whether there is such a row.
    #[inline]
    pub fn push_with(
        &mut self,
        key: &[u8],
        window: Option<Bounds>,
        time: i64,
        old: impl FnOnce(&mut Vec<u8>) -> bool,
        new: impl FnOnce(&mut Vec<u8>) -> bool,
    ) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        let old = old(&mut self.bytes);
        let old_end = self.bytes.len();
        let new = new(&mut self.bytes);
        // Field by field, into its place: put together elsewhere, it would be read back before all of it is there.
        self.heads.push(Head::default());
        if let Some(head) = self.heads.last_mut() {
            (head.key_end, head.old_end, head.new_end) = (key_end, old_end, self.bytes.len());
            (head.old, head.new, head.window, head.time) = (old, new, window, time);
        }
    }

    /// One of them.
    #[inline]
    pub fn get(&self, at: usize) -> TableChange<'_> {
        let start = at.checked_sub(1).map_or(0, |before| self.heads[before].new_end);
        let Head { key_end, old_end, new_end, old, new, window, time } = self.heads[at];
        TableChange {
            key: &self.bytes[start..key_end],
            window,
            old: old.then(|| &self.bytes[key_end..old_end]),
            new: new.then(|| &self.bytes[old_end..new_end]),
            time,
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TableChange<'_>> + DoubleEndedIterator {
        (0..self.len()).map(|at| self.get(at))
    }

    /// The time of each.
    pub fn times(&self) -> Vec<i64> {
        self.heads.iter().map(|head| head.time).collect()
    }
}

impl<'a> Extend<TableChange<'a>> for TableChanges {
    fn extend<I: IntoIterator<Item = TableChange<'a>>>(&mut self, changes: I) {
        changes.into_iter().for_each(|change| self.push(change));
    }
}

impl<'a> FromIterator<TableChange<'a>> for TableChanges {
    fn from_iter<I: IntoIterator<Item = TableChange<'a>>>(changes: I) -> Self {
        let mut all = TableChanges::default();
        all.extend(changes);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_what_was_pushed() {
        let window = Some(Bounds { start: 1, end: 2 });
        let change = |key, old, new| TableChange { key, window, old, new, time: 7 };
        let all = [
            change(b"a".as_slice(), None, Some(b"new".as_slice())),
            change(b"", Some(b"old".as_slice()), None),
            change(b"b", Some(b""), Some(b"")),
            change(b"c", None, None),
        ];
        let mut changes = TableChanges::default();
        changes.extend(all);
        assert_eq!(changes.iter().collect::<Vec<_>>(), all);
        assert_eq!((changes.len(), changes.bytes(), changes.times()), (4, 9, vec![7; 4]));
        // Nobody asked for this old row.
        changes.push_with(
            b"d",
            None,
            8,
            |_| false,
            |out| {
                out.push(1);
                true
            },
        );
        let last = TableChange { key: b"d", window: None, old: None, new: Some(&[1]), time: 8 };
        assert_eq!(changes.get(4), last);
    }
}
