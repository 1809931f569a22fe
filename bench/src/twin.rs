//! What the tables must hold, computed plainly: all clicks at once, sorted, no engine.
//!
//! A table's contents are told by a [`Digest`]: how many rows, and sums of their hashes. It is the same in any order,
//! so that each worker's part can be added to the others'.

use crate::clicks::{self, Click, Load, STATUSES};
use crate::tables::{Column, Filter, Table, Window};
use serde::{Deserialize, Serialize};
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::AddAssign;
use weir_dataflow::row::Value;
use weir_dataflow::views::change::Row;

/// A table's rows, whatever their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    /// How many.
    pub(crate) rows: u64,
    /// What they count together.
    pub(crate) counted: u64,
    sum: u64,
}

impl AddAssign for Digest {
    fn add_assign(&mut self, other: Digest) {
        self.rows += other.rows;
        self.counted += other.counted;
        self.sum = self.sum.wrapping_add(other.sum);
    }
}

/// A cell as it is hashed.
#[derive(Hash)]
enum Cell<'a> {
    Number(i64),
    Text(&'a str),
    Other,
}

impl Digest {
    /// Takes in a row of a view.
    pub(crate) fn add(&mut self, row: &Row) {
        fn cell(value: &Value) -> Cell<'_> {
            match value {
                Value::Int(n) => Cell::Number(i64::from(*n)),
                Value::Bigint(n) => Cell::Number(*n),
                Value::String(text) => Cell::Text(text),
                _ => Cell::Other,
            }
        }
        let value = row.value.as_deref().unwrap_or_default();
        let bounds = row.window.map_or((i64::MIN, i64::MIN), |w| (w.start, w.end));
        let counted = if let Some(Value::Bigint(n)) = value.last() { *n } else { 0 };
        self.add_cells(row.key.iter().map(cell), bounds, value.iter().map(cell), counted);
    }

    fn add_cells<'a>(
        &mut self,
        key: impl Iterator<Item = Cell<'a>>,
        bounds: (i64, i64),
        value: impl Iterator<Item = Cell<'a>>,
        counted: i64,
    ) {
        let mut hasher = foldhash::quality::FixedState::with_seed(3).build_hasher();
        key.for_each(|cell| cell.hash(&mut hasher));
        bounds.hash(&mut hasher);
        value.for_each(|cell| cell.hash(&mut hasher));
        self.rows += 1;
        self.counted = self.counted.wrapping_add(counted.unsigned_abs());
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// What `table` holds after all clicks of a load. `retention`: after how many seconds windows are gone.
pub(crate) fn digest(load: &Load, table: &Table, retention: Option<u64>) -> Digest {
    let mut clicks: Vec<(u64, i64)> = load
        .clicks()
        .filter(|click| table.filters.iter().all(|f| f.passes(click)))
        .filter_map(|click| Some((key(load, table, &click)?, click.time)))
        .collect();
    let latest = clicks.iter().map(|(_, time)| *time).max().unwrap_or(0);
    let horizon = retention.map_or(i64::MIN, |s| latest - i64::try_from(s * 1000).unwrap_or(i64::MAX));
    clicks.sort_unstable();
    let mut out = Rows { table, horizon, digest: Digest::default() };
    for group in clicks.chunk_by(|a, b| a.0 == b.0) {
        let cells = cells(table, group[0].0);
        match table.window {
            Window::Tumbling(size) => {
                for window in group.chunk_by(|a, b| a.1 / (1000 * size) == b.1 / (1000 * size)) {
                    let start = window[0].1 / (1000 * size) * 1000 * size;
                    out.add(&cells, (start, start + 1000 * size), window.len());
                }
            }
            Window::Hopping(size, advance) => {
                hops(group, 1000 * size, 1000 * advance, |bounds, n| out.add(&cells, bounds, n))
            }
            Window::Session(gap) => {
                for session in group.chunk_by(|a, b| b.1 - a.1 <= 1000 * gap) {
                    out.add(&cells, (session[0].1, session[session.len() - 1].1), session.len());
                }
            }
        }
    }
    out.digest
}

/// Each window that holds one of these clicks, which are in order of time.
fn hops(clicks: &[(u64, i64)], size: i64, advance: i64, mut each: impl FnMut((i64, i64), usize)) {
    let (mut from, mut to) = (0, 0);
    let mut start = i64::MIN;
    while from < clicks.len() {
        // The first window that holds the first click that is left.
        let first = (clicks[from].1 - size).div_euclid(advance) * advance + advance;
        start = (start + advance).max(first).max(0);
        from += clicks[from..].iter().take_while(|c| c.1 < start).count();
        to = to.max(from);
        to += clicks[to..].iter().take_while(|c| c.1 < start + size).count();
        if to > from {
            each((start, start + size), to - from);
        }
    }
}

struct Rows<'a> {
    table: &'a Table,
    horizon: i64,
    digest: Digest,
}

impl Rows<'_> {
    fn add(&mut self, key: &[OwnedCell], (start, end): (i64, i64), count: usize) {
        let session = matches!(self.table.window, Window::Session(_));
        let kept = if session { end } else { start } >= self.horizon;
        let count = count as u64;
        if kept && count > self.table.more_than {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            let numbers = [Cell::Number(start), Cell::Number(count)];
            let cells = || key.iter().map(OwnedCell::cell);
            self.digest.add_cells(cells(), (start, end), cells().chain(numbers), count);
        }
    }
}

enum OwnedCell {
    Number(i64),
    Text(String),
}

impl OwnedCell {
    fn cell(&self) -> Cell<'_> {
        match self {
            OwnedCell::Number(n) => Cell::Number(*n),
            OwnedCell::Text(text) => Cell::Text(text),
        }
    }
}

impl Filter {
    fn passes(self, click: &Click) -> bool {
        match self {
            Filter::Page => click.is_page(),
            Filter::Error => STATUSES[click.status] > 400,
            Filter::NotBytes(bytes) => click.bytes != bytes,
        }
    }
}

/// Bits of a key: user or name, address, city, status.
const IP: u32 = 8;
const CITY: u32 = 4;
const NAME: u32 = 32;

/// A click's group as a number; none where a column is null.
fn key(load: &Load, table: &Table, click: &Click) -> Option<u64> {
    table.group.iter().try_fold(0, |key, column| {
        Some(
            key | match column {
                Column::User => u64::from(click.user.cast_unsigned()) << NAME,
                Column::Username => u64::from(load.name_of(click.user)?) << NAME,
                Column::Ip => u64::from(click.ip) << IP,
                Column::City => load.name_of(click.user).map(|_| (load.city_of(click.user) as u64) << CITY)?,
                Column::Status => click.status as u64,
                Column::Code | Column::Definition => clicks::definition(click.status).map(|_| click.status as u64)?,
            },
        )
    })
}

/// The cells of a group's number.
fn cells(table: &Table, key: u64) -> Vec<OwnedCell> {
    let (high, low) = ((key >> NAME) as u32, key as u32);
    let status = (low & 15) as usize;
    let cell = |column: &Column| match column {
        Column::User => OwnedCell::Number(i64::from(high.cast_signed())),
        Column::Username => OwnedCell::Text(Load::name(high)),
        Column::Ip => OwnedCell::Text(clicks::address(low >> IP)),
        Column::City => OwnedCell::Text(clicks::city((low >> CITY & 15) as usize).into()),
        Column::Status | Column::Code => OwnedCell::Number(STATUSES[status]),
        Column::Definition => OwnedCell::Text(clicks::definition(status).unwrap_or_default().into()),
    };
    table.group.iter().map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hopping_windows_are_those_that_hold_a_click() {
        let clicks: Vec<(u64, i64)> = [3_000, 61_000, 61_500, 400_000].map(|t| (0, t)).to_vec();
        let mut found = Vec::new();
        hops(&clicks, 60_000, 20_000, |(start, end), n| found.push((start / 1000, end / 1000, n)));
        let mut expected = Vec::new();
        for start in (0..500).step_by(20) {
            let n = clicks.iter().filter(|(_, t)| (start * 1000..(start + 60) * 1000).contains(t)).count();
            expected.extend((n > 0).then_some((start, start + 60, n)));
        }
        assert_eq!(found, expected);
    }
}
