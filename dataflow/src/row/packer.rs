//! Rows of columns as packed bytes, without a [`Value`](super::Value) between.
//!
//! What a grouping does with each row: a cheap hash, to find the row's group in a small cache; a comparison of the row
//! with a key that is packed already; and only where that fails, its own packed bytes. The columns' types are
//! resolved once for a batch.

use super::SqlType;
use super::packed::{self, NULL, VALUE, cell, push_text};
use super::picked;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_buffer::{NullBuffer, ScalarBuffer};

/// Columns whose rows can be appended to a buffer as packed bytes.
pub struct Packer {
    columns: Vec<PackedColumn>,
    nullable: bool,
    /// See [`Packer::exact`].
    exact: Option<Basis>,
}

/// The columns that a packer's exact hashes tell the rows of. Hashes of two packers can be compared if these are the same.
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
            Cells::Int(values) => {
                out.push(VALUE);
                out.extend_from_slice(&int(values[row]).to_be_bytes());
            }
            Cells::Bigint(values) => {
                out.push(VALUE);
                out.extend_from_slice(&bigint(values[row]).to_be_bytes());
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

#[inline]
fn mix(hash: u64, v: u64) -> u64 {
    let product = u128::from(hash ^ v ^ MIX) * u128::from(MIX);
    (product >> 64) as u64 ^ product as u64
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
    /// Over these columns, all of one length. Where they are several, one that is picked from more rows than it has is
    /// copied at once, which waits for memory less than row by row.
    pub fn new(columns: Vec<(ArrayRef, SqlType)>) -> Self {
        let several = columns.len() > 1;
        let far = |column: &ArrayRef| picked::parts(column).is_some_and(|(rows, values)| rows.len() < values.len());
        let near = |column: ArrayRef| if several && far(&column) { picked::flat(column) } else { column };
        let columns: Vec<PackedColumn> =
            columns.into_iter().map(|(column, ty)| PackedColumn::new((near(column), ty))).collect();
        let bits = columns.iter().map(PackedColumn::bits).try_fold(0, |sum, bits| Some(sum + bits?));
        let picked = columns.iter().filter_map(|c| match &c.cells {
            Cells::Picked(_, values) => Some(values.clone()),
            Cells::Int(_) | Cells::Bigint(_) | Cells::Text(_) | Cells::Other(..) => None,
        });
        let exact = bits.filter(|bits| *bits <= u64::BITS).map(|_| Basis(picked.collect()));
        Packer { nullable: columns.iter().any(|c| c.nulls.is_some()), exact, columns }
    }

    /// Appends one row.
    #[inline]
    pub fn push(&self, out: &mut Vec<u8>, row: usize) {
        self.columns.iter().for_each(|c| c.push(out, row));
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

    /// Given where rows without a null that differ have [hashes](Packer::hashes) that differ.
    #[inline]
    pub fn exact(&self) -> Option<&Basis> {
        self.exact.as_ref()
    }

    /// A hash of each row. Equal rows have equal hashes, as long as they were picked from the same columns by the same numbers;
    /// it is cheap, and only good enough for a cache.
    pub fn hashes(&self, rows: usize) -> Vec<u64> {
        let mut hashes = vec![0; rows];
        match self.exact {
            Some(_) => {
                self.columns.iter().for_each(|c| c.shift_in(&mut hashes));
                hashes.iter_mut().for_each(|hash| *hash = spread(*hash));
            }
            None => self.columns.iter().for_each(|c| c.hash(&mut hashes)),
        }
        hashes
    }

    /// True when every column is null in this row.
    #[inline]
    pub fn all_null(&self, row: usize) -> bool {
        self.columns.iter().all(|c| c.is_null(row))
    }

    /// Some row has a null.
    pub fn nullable(&self) -> bool {
        self.nullable
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
    use arrow_array::{Int32Array, UInt32Array};
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
            let packer = Packer::new(columns.collect());
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
            }
        }

        /// Beside a number, text that is picked out of other rows is packed as if it stood in each row.
        #[test]
        fn picked_text_is_packed_as_its_own_is(
            texts in prop::collection::vec(prop::option::of("[ab\\PC]{0,9}"), 1..6),
            rows in prop::collection::vec((prop::option::of(0..6_u32), any::<i32>()), 1..12),
            alone in any::<bool>(),
        ) {
            let last = u32::try_from(texts.len()).unwrap() - 1;
            let numbers: UInt32Array = rows.iter().map(|(at, _)| at.map(|at| at.min(last))).collect();
            let values: ArrayRef = Arc::new(StringArray::from(texts));
            let picked = Pickable::new(Arc::clone(&values)).pick(&numbers).unwrap();
            let flat = picked::flat(Arc::clone(&picked));
            prop_assert!(flat.as_string_opt::<i32>().is_some());
            let key = |text: &ArrayRef| {
                let number: ArrayRef = Arc::new(Int32Array::from_iter_values(rows.iter().map(|(_, number)| *number)));
                let columns = vec![(Arc::clone(text), SqlType::String), (number, SqlType::Int)];
                Packer::new(columns.into_iter().take(if alone { 1 } else { 2 }).collect())
            };
            let (by_number, plain) = (key(&picked), key(&flat));
            let near = alone || values.len() <= rows.len();
            prop_assert_eq!((by_number.exact().is_some(), plain.exact()), (near, None));
            let hashes = by_number.hashes(rows.len());
            let number = |row: usize| numbers.is_valid(row).then(|| (numbers.value(row), (!alone).then_some(rows[row].1)));
            for a in 0..rows.len() {
                let (mut key, mut expected) = (Vec::new(), Vec::new());
                by_number.push(&mut key, a);
                plain.push(&mut expected, a);
                prop_assert_eq!(&key, &expected);
                prop_assert_eq!(by_number.any_null(a), plain.any_null(a));
                for b in 0..rows.len() {
                    prop_assert_eq!(by_number.matches(b, &key), plain.matches(b, &key));
                    if near && !by_number.any_null(a) && !by_number.any_null(b) {
                        prop_assert_eq!(hashes[a] == hashes[b], number(a) == number(b));
                    }
                }
            }
        }

        #[test]
        fn hashes_of_numbers_tell_them_apart(numbers in prop::collection::vec(prop_oneof![-3i64..3, any::<i64>()], 2..9)) {
            let values: Vec<Value> = numbers.iter().map(|n| Value::Bigint(*n)).collect();
            let packer = Packer::new(vec![(packed::column(&SqlType::Bigint, values.iter()), SqlType::Bigint)]);
            prop_assert!(packer.exact().is_some());
            let hashes = packer.hashes(numbers.len());
            let hashed = || numbers.iter().zip(&hashes);
            for (a, hash) in hashed() {
                hashed().for_each(|(b, other)| assert_eq!(a == b, hash == other));
            }
        }
    }
}
