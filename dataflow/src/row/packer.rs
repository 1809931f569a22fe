//! Rows of columns as packed bytes, without a [`Value`](super::Value) between.
//!
//! What a grouping does with each row: a cheap hash, to find the row's group in a small cache; a comparison of the row
//! with a key that is packed already; and only where that fails, its own packed bytes. The columns' types are
//! resolved once for a batch. Rows whose cells fit into some words are told apart by these, without their keys ([`Apart`]).

use super::SqlType;
use super::packed::{self, NULL, VALUE, cell, push_text};
use super::picked;
use crate::prefetch::prefetch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, StringArray, UInt32Array};
use arrow_buffer::{NullBuffer, ScalarBuffer};
use arrow_select::take::take;

/// Columns whose rows can be appended to a buffer as packed bytes.
pub struct Packer {
    columns: Vec<PackedColumn>,
    nullable: bool,
    apart: Option<(Basis, Apart)>,
}

/// A row's cells in three words: fixed ones and at most one text.
pub type Short = [u64; 3];

/// What tells rows without a null apart, as long as they have one [`Basis`].
pub enum Apart {
    /// Their cells in one word; their hashes do as well.
    Words(Vec<u64>),
    /// Their cells in some words.
    Shorts(Vec<Short>),
}

/// The columns that rows were picked from. What tells rows of two packers apart can be compared if these are the same.
#[derive(Clone, Debug)]
pub struct Basis(Vec<StringArray>);

impl PartialEq for Basis {
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&StringArray, &StringArray)| {
            a.len() == b.len() && a.offsets().inner().ptr_eq(b.offsets().inner()) && a.values().ptr_eq(b.values())
        };
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(same)
    }
}

struct PackedColumn {
    cells: Cells,
    nulls: Option<NullBuffer>,
}

enum Cells {
    Int(ScalarBuffer<i32>),
    Bigint(ScalarBuffer<i64>),
    /// Text without a zero byte in it, which is packed as it is.
    Text(StringArray),
    /// The same [picked](super::picked), by number.
    Picked(ScalarBuffer<u32>, StringArray),
    Other(ArrayRef, SqlType),
}

/// Odd, with its bits spread.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

impl PackedColumn {
    fn new((column, ty): (ArrayRef, SqlType)) -> Self {
        let nulls = column.logical_nulls().filter(|n| n.null_count() > 0);
        let cells = match ty {
            SqlType::Int => column.as_primitive_opt::<Int32Type>().map(|c| Cells::Int(c.values().clone())),
            SqlType::Bigint => column.as_primitive_opt::<Int64Type>().map(|c| Cells::Bigint(c.values().clone())),
            SqlType::String => match picked::parts(&column) {
                Some((rows, text)) => {
                    text.as_string_opt().map(|text| Cells::Picked(rows.values().clone(), text.clone()))
                }
                None => column.as_string_opt().filter(|text| is_plain(text)).map(|text| Cells::Text(text.clone())),
            },
            _ => None,
        };
        PackedColumn { cells: cells.unwrap_or(Cells::Other(column, ty)), nulls }
    }

    #[inline]
    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|n| n.is_null(row))
    }

    #[inline]
    fn push(&self, out: &mut Vec<u8>, row: usize) {
        if self.is_null(row) {
            return out.push(NULL);
        }
        match &self.cells {
            // In one piece, with its first byte.
            Cells::Int(values) => {
                let mut cell = [VALUE; 5];
                cell[1..].copy_from_slice(&int(values[row]).to_be_bytes());
                out.extend_from_slice(&cell);
            }
            Cells::Bigint(values) => {
                let mut cell = [VALUE; 9];
                cell[1..].copy_from_slice(&bigint(values[row]).to_be_bytes());
                out.extend_from_slice(&cell);
            }
            Cells::Text(values) => push_plain(out, values.value(row)),
            Cells::Picked(rows, values) => push_plain(out, values.value(rows[row] as usize)),
            Cells::Other(column, SqlType::String) => {
                out.push(VALUE);
                push_text(out, column.as_string::<i32>().value(row).as_bytes());
            }
            Cells::Other(column, ty) => packed::push(out, &cell(column, ty, row)),
        }
    }

    /// The bytes behind this row's cell in a packed key, if the key has the same cell.
    #[inline]
    fn strip<'k>(&self, key: &'k [u8], row: usize) -> Option<&'k [u8]> {
        if self.is_null(row) {
            return key.strip_prefix(&[NULL]);
        }
        match &self.cells {
            // As numbers: bytes that have just been put together would be read back before they are there.
            Cells::Int(values) => {
                let ([VALUE, own @ ..], rest) = key.split_first_chunk::<5>()? else { return None };
                (u32::from_be_bytes(*own) == int(values[row])).then_some(rest)
            }
            Cells::Bigint(values) => {
                let ([VALUE, own @ ..], rest) = key.split_first_chunk::<9>()? else { return None };
                (u64::from_be_bytes(*own) == bigint(values[row])).then_some(rest)
            }
            Cells::Text(values) => strip_plain(key, values.value(row)),
            Cells::Picked(rows, values) => strip_plain(key, values.value(rows[row] as usize)),
            Cells::Other(..) => {
                let mut own = Vec::new();
                self.push(&mut own, row);
                key.strip_prefix(own.as_slice())
            }
        }
    }

    /// Text that is picked from more rows than there are is copied at once, which waits for memory less than row by row.
    fn near(self) -> Self {
        match self.cells {
            Cells::Picked(rows, values) if rows.len() < values.len() => {
                let rows = UInt32Array::new(rows, self.nulls.clone());
                let text = take(&values, &rows, None).ok().and_then(|text| text.as_string_opt().cloned());
                PackedColumn { cells: text.map_or(Cells::Picked(rows.values().clone(), values), Cells::Text), ..self }
            }
            cells => PackedColumn { cells, ..self },
        }
    }

    /// So many bits tell its cells apart; `None`: their length does not say.
    fn bits(&self) -> Option<u32> {
        match self.cells {
            Cells::Int(_) | Cells::Picked(..) => Some(32),
            Cells::Bigint(_) => Some(64),
            Cells::Text(_) | Cells::Other(..) => None,
        }
    }

    /// Puts the bits of each row's cell behind those that are there.
    fn shift_in(&self, rows: &mut [u64]) {
        match &self.cells {
            Cells::Int(values) => {
                rows.iter_mut().zip(values).for_each(|(row, v)| *row = *row << 32 | u64::from(*v as u32));
            }
            Cells::Picked(numbers, _) => {
                rows.iter_mut().zip(numbers).for_each(|(row, v)| *row = *row << 32 | u64::from(*v));
            }
            Cells::Bigint(values) => rows.iter_mut().zip(values).for_each(|(row, v)| *row = *v as u64),
            Cells::Text(_) | Cells::Other(..) => {}
        }
    }

    fn hash(&self, hashes: &mut [u64]) {
        match &self.cells {
            Cells::Int(values) => self.hash_each(hashes, |hash, row| spread(hash ^ values[row] as u64)),
            Cells::Bigint(values) => self.hash_each(hashes, |hash, row| spread(hash ^ values[row] as u64)),
            Cells::Text(values) => self.hash_each(hashes, |hash, row| mix_text(hash, values.value(row).as_bytes())),
            Cells::Picked(rows, _) => self.hash_each(hashes, |hash, row| spread(hash ^ u64::from(rows[row]))),
            Cells::Other(..) => {
                let mut own = Vec::new();
                self.hash_each(hashes, |hash, row| {
                    own.clear();
                    self.push(&mut own, row);
                    mix_text(hash, &own)
                });
            }
        }
    }

    #[inline]
    fn hash_each(&self, hashes: &mut [u64], mut of: impl FnMut(u64, usize) -> u64) {
        for (row, hash) in hashes.iter_mut().enumerate() {
            *hash = if self.is_null(row) { mix(*hash, NULL.into()) } else { of(*hash, row) };
        }
    }
}

/// What tells the rows of these columns apart: numbers and picks in one word, beside them a text that is not too long.
fn apart(columns: &[PackedColumn], rows: usize) -> Option<(Basis, Apart)> {
    let (mut words, mut bits, mut text) = (vec![0; rows], 0, None);
    let mut basis = Vec::new();
    for column in columns {
        match &column.cells {
            Cells::Text(_) if text.is_some() => return None,
            Cells::Text(values) => {
                text = Some(values);
                continue;
            }
            Cells::Picked(_, values) => basis.push(values.clone()),
            Cells::Int(_) | Cells::Bigint(_) | Cells::Other(..) => {}
        }
        bits += column.bits()?;
        column.shift_in(&mut words);
    }
    if bits > u64::BITS {
        return None;
    }
    let apart = match text {
        None => Apart::Words(words),
        Some(text) => Apart::Shorts(shorts(text, bits, words)?),
    };
    Some((Basis(basis), apart))
}

/// Texts from the first byte on, and so many bits of words at the end; `None` when a text is too long for that.
fn shorts(text: &StringArray, bits: u32, words: Vec<u64>) -> Option<Vec<Short>> {
    let (room, shift) = match bits {
        0 => (24, 0),
        1..=32 => (20, 32),
        _ => (16, 0),
    };
    let (ends, all) = (text.value_offsets(), text.value_data());
    if ends.windows(2).any(|ends| ends[1] - ends[0] > room) {
        return None;
    }
    let short = |(ends, word): (&[i32], u64)| {
        let (start, end) = (ends[0] as usize, ends[1] as usize);
        // What is behind the text is cut off.
        let mut short = match all.get(start..).and_then(<[u8]>::first_chunk::<24>) {
            Some(bytes) => words_of(bytes, end - start),
            None => {
                let mut bytes = [0; 24];
                bytes[..end - start].copy_from_slice(&all[start..end]);
                words_of(&bytes, end - start)
            }
        };
        short[2] |= word << shift;
        short
    };
    Some(ends.windows(2).zip(words).map(short).collect())
}

/// The first bytes as words, zero from `length` on.
#[inline]
fn words_of(bytes: &[u8; 24], length: usize) -> Short {
    let mut words = [0; 3];
    for (i, (word, chunk)) in words.iter_mut().zip(bytes.as_chunks::<8>().0).enumerate() {
        let used = length.saturating_sub(8 * i).min(8) as u32;
        *word = u64::from_le_bytes(*chunk) & u64::MAX.checked_shr(u64::BITS - 8 * used).unwrap_or(0);
    }
    words
}

/// No zero byte is in the text of any row: it is packed as it is.
pub(super) fn is_plain(column: &StringArray) -> bool {
    memchr::memchr(0, used_text(column)).is_none()
}

/// Appends [plain](is_plain) text.
#[inline]
fn push_plain(out: &mut Vec<u8>, text: &str) {
    out.push(VALUE);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(&[0, 0]);
}

/// What is behind this [plain](is_plain) text in a packed key.
#[inline]
fn strip_plain<'k>(key: &'k [u8], text: &str) -> Option<&'k [u8]> {
    let (own, rest) = key.split_at_checked(text.len() + 3)?;
    let [VALUE, own @ .., 0, 0] = own else { return None };
    same(own, text.as_bytes()).then_some(rest)
}

/// Whether two texts of one length are the same: most are short, and compared without a call.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    fn ends<const N: usize>(text: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
        text.first_chunk().zip(text.last_chunk())
    }
    match a.len() {
        0..4 => a.iter().eq(b),
        4..8 => ends::<4>(a) == ends::<4>(b),
        8..=16 => ends::<8>(a) == ends::<8>(b),
        _ => a == b,
    }
}

/// The text that the rows of a column have, which may be a slice of a longer one's.
pub(crate) fn used_text(column: &StringArray) -> &[u8] {
    let offsets = column.value_offsets();
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    column.value_data().get(first as usize..last as usize).unwrap_or_default()
}

/// A number that is in order as its bytes are.
#[inline]
fn int(v: i32) -> u32 {
    v as u32 ^ 1 << 31
}

#[inline]
fn bigint(v: i64) -> u64 {
    v as u64 ^ 1 << 63
}

/// Each number another one, with bits that depend on all of it.
#[inline]
fn spread(v: u64) -> u64 {
    let product = v.wrapping_mul(MIX);
    product ^ product >> 32
}

/// A hash of both.
#[inline]
pub(crate) fn mix(hash: u64, v: u64) -> u64 {
    let product = u128::from(hash ^ v ^ MIX) * u128::from(MIX);
    (product >> 64) as u64 ^ product as u64
}

/// Depends on all bits.
#[inline]
pub(crate) fn mix_short(short: &Short) -> u64 {
    short.iter().fold(0, |hash, word| mix(hash, *word))
}

/// Reads a text's length and at most 32 of its bytes: its groups may share a slot of a cache, never their rows.
#[inline]
fn mix_text(hash: u64, text: &[u8]) -> u64 {
    let word = |at: usize| text.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
    let n = text.len();
    let hash = hash ^ (n as u64).rotate_left(56);
    match n {
        0..8 => mix(hash, text.iter().fold(0, |word, b| word << 8 | u64::from(*b))),
        8..=16 => mix(mix(hash, word(0)), word(n - 8)),
        _ => mix(mix(mix(mix(hash, word(0)), word(8)), word(n - 16)), word(n - 8)),
    }
}

impl Packer {
    /// Over these columns, all of one length.
    pub fn new(columns: Vec<(ArrayRef, SqlType)>) -> Self {
        Self::of(columns.into_iter().map(PackedColumn::new).collect(), None)
    }

    /// Over these columns, perhaps none, to tell their so many rows apart.
    pub fn grouping(columns: Vec<(ArrayRef, SqlType)>, rows: usize) -> Self {
        let columns: Vec<PackedColumn> = columns.into_iter().map(PackedColumn::new).collect();
        let apart = apart(&columns, rows);
        Self::of(columns, apart)
    }

    fn of(columns: Vec<PackedColumn>, apart: Option<(Basis, Apart)>) -> Self {
        let nullable = columns.iter().any(|c| c.nulls.is_some());
        let by_row = columns.len() > 1 && apart.is_none();
        let columns = if by_row { columns.into_iter().map(PackedColumn::near).collect() } else { columns };
        Packer { columns, nullable, apart }
    }

    /// Appends one row.
    #[inline]
    pub fn push(&self, out: &mut Vec<u8>, row: usize) {
        self.columns.iter().for_each(|c| c.push(out, row));
    }

    /// Some rows will be [pushed](Packer::push): the starts of texts that they pick begin to come from memory.
    pub fn expect(&self, rows: impl Iterator<Item = usize> + Clone) {
        for column in &self.columns {
            let Cells::Picked(numbers, values) = &column.cells else { continue };
            let starts = || rows.clone().filter_map(|row| values.value_offsets().get(numbers[row] as usize));
            starts().for_each(prefetch);
            starts().filter_map(|start| values.value_data().get(*start as usize)).for_each(prefetch);
        }
    }

    /// True when this row has that packed key.
    #[inline]
    pub fn matches(&self, row: usize, key: &[u8]) -> bool {
        let mut key = key;
        for column in &self.columns {
            match column.strip(key, row) {
                Some(behind) => key = behind,
                None => return false,
            }
        }
        key.is_empty()
    }

    /// What tells its rows apart, if something does.
    #[inline]
    pub fn apart(&self) -> Option<&Apart> {
        self.apart.as_ref().map(|(_, apart)| apart)
    }

    /// As long as this is the same, [`Packer::apart`] can be compared.
    #[inline]
    pub fn basis(&self) -> Option<&Basis> {
        self.apart.as_ref().map(|(basis, _)| basis)
    }

    /// A hash of each row. Equal rows have equal hashes, as long as their [basis](Packer::basis) is the same; it is cheap, and
    /// only good enough for a cache.
    pub fn hashes(&self, rows: usize) -> Vec<u64> {
        match self.apart() {
            Some(Apart::Words(words)) => words.iter().map(|word| spread(*word)).collect(),
            Some(Apart::Shorts(shorts)) => shorts.iter().map(mix_short).collect(),
            None => {
                let mut hashes = vec![0; rows];
                self.columns.iter().for_each(|c| c.hash(&mut hashes));
                hashes
            }
        }
    }

    /// True when every column is null in this row.
    #[inline]
    pub fn all_null(&self, row: usize) -> bool {
        self.columns.iter().all(|c| c.is_null(row))
    }

    /// The rows without a null; `None`: all.
    pub fn rows_without_null(&self) -> Option<Vec<u32>> {
        let of_columns = self.columns.iter().map(|c| c.nulls.as_ref());
        let nulls = of_columns.fold(None, |all: Option<NullBuffer>, nulls| NullBuffer::union(all.as_ref(), nulls))?;
        Some(nulls.valid_indices().map(|row| u32::try_from(row).unwrap_or(u32::MAX)).collect())
    }

    /// True when any column is null in this row.
    #[inline]
    pub fn any_null(&self, row: usize) -> bool {
        self.nullable && self.columns.iter().any(|c| c.is_null(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Value;
    use crate::row::picked::Pickable;
    use arrow_array::{Int32Array, Int64Array};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn value(ty: &SqlType) -> BoxedStrategy<Value> {
        let some = match ty {
            SqlType::Int => (-3i32..3).prop_map(Value::Int).boxed(),
            SqlType::Bigint => any::<i64>().prop_map(Value::Bigint).boxed(),
            SqlType::String => "[ab]{0,20}|[a\0]{0,3}".prop_map(|s| Value::String(s.into())).boxed(),
            _ => any::<bool>().prop_map(Value::Boolean).boxed(),
        };
        prop_oneof![1 => Just(Value::Null), 4 => some].boxed()
    }

    fn types() -> Vec<SqlType> {
        vec![SqlType::Int, SqlType::String, SqlType::Bigint, SqlType::Boolean]
    }

    fn row() -> impl Strategy<Value = Vec<Value>> {
        types().iter().map(value).collect::<Vec<_>>()
    }

    proptest! {
        #[test]
        fn rows_match_their_own_packed_bytes_only(rows in prop::collection::vec(row(), 1..8)) {
            let columns = types().into_iter().enumerate();
            let columns = columns.map(|(i, ty)| (packed::column(&ty, rows.iter().map(|r| &r[i])), ty));
            let packer = Packer::grouping(columns.collect(), rows.len());
            let hashes = packer.hashes(rows.len());
            for (a, left) in rows.iter().enumerate() {
                let mut key = Vec::new();
                packer.push(&mut key, a);
                let mut expected = Vec::new();
                packed::push_all(&mut expected, left);
                prop_assert_eq!(&key, &expected);
                for (b, right) in rows.iter().enumerate() {
                    prop_assert_eq!(packer.matches(b, &key), left == right);
                    prop_assert!(left != right || hashes[a] == hashes[b]);
                }
                key.push(0);
                prop_assert!(!packer.matches(a, &key));
                prop_assert_eq!(packer.any_null(a), left.contains(&Value::Null));
                let whole = packer.rows_without_null();
                prop_assert_eq!(whole.is_none_or(|rows| rows.contains(&(a as u32))), !packer.any_null(a));
            }
        }

        /// Beside a number, text that is picked out of other rows is packed as if it stood in each row. What tells rows apart
        /// is the same where their keys are.
        #[test]
        fn picked_text_is_packed_as_its_own_is(
            texts in prop::collection::vec(prop::option::of("[ab\\PC]{0,9}|[ab]{15,17}|[ab]{19,25}"), 1..6),
            rows in prop::collection::vec((prop::option::of(0..6_u32), any::<i32>(), any::<bool>()), 1..12),
            beside in 0..4,
        ) {
            let last = u32::try_from(texts.len()).unwrap() - 1;
            let numbers: UInt32Array = rows.iter().map(|(at, ..)| at.map(|at| at.min(last))).collect();
            let values: ArrayRef = Arc::new(StringArray::from(texts));
            let picked = Pickable::new(Arc::clone(&values)).pick(&numbers).unwrap();
            let flat = picked::flat(Arc::clone(&picked));
            prop_assert!(flat.as_string_opt::<i32>().is_some());
            let columns = |text: &ArrayRef| {
                let number = rows.iter().map(|(_, number, small)| if *small { number % 2 } else { *number });
                let number: (ArrayRef, _) = match beside {
                    0 => return vec![(Arc::clone(text), SqlType::String)],
                    1 => (Arc::new(Int32Array::from_iter_values(number)), SqlType::Int),
                    2 => (Arc::new(Int64Array::from_iter_values(number.map(i64::from))), SqlType::Bigint),
                    _ => (Arc::clone(text), SqlType::String),
                };
                vec![(Arc::clone(text), SqlType::String), number]
            };
            let by_number = [Packer::grouping(columns(&picked), rows.len()), Packer::new(columns(&picked))];
            let plain = [Packer::grouping(columns(&flat), rows.len()), Packer::new(columns(&flat))];
            let long = flat.as_string::<i32>().iter().flatten().map(str::len).max().unwrap_or(0);
            let room = [24, 20, 16, 0][beside as usize];
            prop_assert_eq!(plain[0].apart().is_some(), beside < 3 && long <= room);
            prop_assert_eq!(matches!(by_number[0].apart(), Some(Apart::Words(_))), beside != 2);
            for packer in by_number.iter().chain(&plain) {
                let hashes = packer.hashes(rows.len());
                for a in 0..rows.len() {
                    let (mut key, mut expected) = (Vec::new(), Vec::new());
                    packer.push(&mut key, a);
                    plain[1].push(&mut expected, a);
                    prop_assert_eq!(&key, &expected);
                    prop_assert_eq!(packer.any_null(a), plain[1].any_null(a));
                    for b in 0..rows.len() {
                        let same = plain[1].matches(b, &key);
                        prop_assert_eq!(packer.matches(b, &key), same);
                        if packer.any_null(a) || packer.any_null(b) {
                            continue;
                        }
                        match packer.apart() {
                            // Two rows of the table may hold the same text.
                            Some(Apart::Words(words)) => {
                                prop_assert!(same || words[a] != words[b]);
                                prop_assert!(!same || words[a] == words[b] || numbers.value(a) != numbers.value(b));
                                prop_assert_eq!(hashes[a] == hashes[b], words[a] == words[b]);
                            }
                            Some(Apart::Shorts(shorts)) => {
                                prop_assert_eq!(shorts[a] == shorts[b], same);
                                prop_assert!(!same || hashes[a] == hashes[b]);
                            }
                            // Hashes of picks are of their rows in the table.
                            None => prop_assert!(!same || hashes[a] == hashes[b] || numbers.value(a) != numbers.value(b)),
                        }
                    }
                }
            }
        }

        /// Rows of several batches, which are picked from the same columns, are told apart as those of one are.
        #[test]
        fn rows_of_batches_are_told_apart(
            batches in prop::collection::vec(prop::collection::vec((0..3_u32, 0..3_u32, 0..3_u8), 1..3), 2..5),
            with_text in any::<bool>(),
        ) {
            let tables = ["a", "b"].map(|of| StringArray::from_iter_values((0..3).map(|row| format!("{of}{row}"))));
            let tables = tables.map(|table| Pickable::new(Arc::new(table)));
            let mut seen = Vec::new();
            for batch in &batches {
                let picks = [UInt32Array::from_iter_values(batch.iter().map(|row| row.0)),
                    UInt32Array::from_iter_values(batch.iter().map(|row| row.1))];
                let picked = tables.iter().zip(&picks).map(|(table, picks)| (table.pick(picks).unwrap(), SqlType::String));
                let texts = StringArray::from_iter_values(batch.iter().map(|row| "\u{1}".repeat(row.2.into())));
                let text: (ArrayRef, _) = (Arc::new(texts), SqlType::String);
                let packer = Packer::grouping(picked.chain(Some(text).filter(|_| with_text)).collect(), batch.len());
                for (at, row) in batch.iter().enumerate() {
                    let words = match packer.apart() {
                        Some(Apart::Words(words)) => [words[at], 0, 0],
                        Some(Apart::Shorts(shorts)) => shorts[at],
                        None => panic!("nothing tells them apart"),
                    };
                    seen.push((packer.basis().cloned(), words, (row.0, row.1, if with_text { row.2 } else { 0 })));
                }
            }
            for (a, b) in seen.iter().flat_map(|a| seen.iter().map(move |b| (a, b))) {
                prop_assert!(a.0 == b.0 && (a.1 == b.1) == (a.2 == b.2));
            }
        }

        #[test]
        fn hashes_of_numbers_tell_them_apart(numbers in prop::collection::vec(prop_oneof![-3i64..3, any::<i64>()], 2..9)) {
            let values: Vec<Value> = numbers.iter().map(|n| Value::Bigint(*n)).collect();
            let column = packed::column(&SqlType::Bigint, values.iter());
            let packer = Packer::grouping(vec![(column, SqlType::Bigint)], values.len());
            prop_assert!(matches!(packer.apart(), Some(Apart::Words(_))));
            let hashes = packer.hashes(numbers.len());
            let hashed = || numbers.iter().zip(&hashes);
            for (a, hash) in hashed() {
                hashed().for_each(|(b, other)| assert_eq!(a == b, hash == other));
            }
        }
    }
}
