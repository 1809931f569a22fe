//! Two streams or two tables joined: by definition, over all that ever came.

use super::expr::{Row, Value};
use super::naive::{Contents, Event, spelled};
use super::script::{How, Pair};
use std::collections::BTreeMap;

/// The joined rows with their partitions; none is a tombstone.
pub(super) fn rows(
    pair: &Pair,
    left: Option<&Contents>,
    right: Option<&Contents>,
    late: &mut u64,
) -> Vec<(Row, usize, bool)> {
    let joined = match (left, right, pair.how) {
        (Some(Contents::Stream(left)), Some(Contents::Stream(right)), How::Within { before, after, grace }) => {
            within(pair, [left, right], (before, after, grace), late)
        }
        (Some(Contents::Table(left)), Some(Contents::Table(right)), _) => tables(pair, left, right),
        _ => Vec::new(),
    };
    joined.into_iter().map(|(row, partition)| (row, partition, false)).collect()
}

/// A row of both sides, one of them perhaps nothing.
fn joined(pair: &Pair, key: Value, sides: [Option<&Event>; 2]) -> Row {
    let mut row = Row { key, time: i64::MIN, ..Row::default() };
    for (side, width) in sides.into_iter().zip(pair.widths) {
        match side {
            Some(event) => {
                row.cells.extend_from_slice(&event.cells);
                row.time = row.time.max(event.time);
            }
            None => row.cells.extend(vec![Value::Null; width]),
        }
    }
    row
}

fn tables(pair: &Pair, left: &BTreeMap<String, Event>, right: &BTreeMap<String, Event>) -> Vec<(Row, usize)> {
    let mut out = Vec::new();
    for (key, event) in left {
        let on = &event.cells[pair.on[0].0];
        let found = if on.is_null() { None } else { right.get(&spelled(std::slice::from_ref(on))) };
        debug_assert!(matches!(pair.how, How::Foreign) || *key == spelled(std::slice::from_ref(on)));
        if found.is_some() || pair.outer.keeps(0) {
            out.push((joined(pair, event.cells[0].clone(), [Some(event), found]), 0));
        }
    }
    if pair.outer.keeps(1) {
        let alone = right.iter().filter(|(key, _)| !left.contains_key(*key));
        out.extend(alone.map(|(_, event)| (joined(pair, event.cells[0].clone(), [None, Some(event)]), 0)));
    }
    out
}

/// A stream's row and the greatest time of rows with a key in its partition, up to and with it.
#[derive(Clone, Copy)]
struct Coming<'a> {
    clock: i64,
    side: usize,
    event: &'a Event,
    key: &'a Value,
}

/// A row that has found nothing yet.
struct Open<'a> {
    closes: i64,
    row: Coming<'a>,
}

/// Rows are taken in the order of their clocks, then left before right, then partition and offset. Each finds those of the
/// other side that came before it, are kept still, and lie near it.
fn within(
    pair: &Pair,
    sides: [&Vec<Event>; 2],
    (before, after, grace): (i64, i64, Option<i64>),
    late: &mut u64,
) -> Vec<(Row, usize)> {
    let retention = before + after + grace.unwrap_or((86_400_000 - 2 * before).max(0));
    let mut last: BTreeMap<(usize, usize), i64> = BTreeMap::new();
    let mut rows: Vec<Coming> = Vec::new();
    for (side, events) in sides.into_iter().enumerate() {
        for event in events.iter().filter(|e| !e.tombstone) {
            let key = &event.cells[pair.on[side].0];
            let clock = last.entry((side, event.partition)).or_insert(i64::MIN);
            if !key.is_null() {
                *clock = event.time.max(*clock);
            }
            rows.push(Coming { clock: *clock, side, event, key });
        }
    }
    // In a partition they lie in order of their offsets.
    rows.sort_by_key(|r| (r.clock, r.side, r.event.partition));
    let alone = |row: &Coming| {
        let sides = if row.side == 0 { [Some(row.event), None] } else { [None, Some(row.event)] };
        (joined(pair, row.key.clone(), sides), row.event.partition)
    };
    let mut out = Vec::new();
    let mut kept: Vec<Coming> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for row in rows {
        let Coming { clock, side, event, key } = row;
        if key.is_null() {
            if pair.outer.keeps(side) {
                out.push(alone(&row));
            }
            continue;
        }
        // How far a partition of a side has come, of what has been taken.
        let reached = |side, partition| last.get(&(side, partition)).copied().unwrap_or(i64::MIN).min(clock);
        let now = clock.max(reached(1 - side, event.partition));
        open.sort_by(|a, b| {
            let place = |o: &Open| (o.closes, o.row.event.time, 1 - o.row.side);
            let keys = a.row.key.compare(b.row.key).unwrap_or(std::cmp::Ordering::Equal);
            place(a).cmp(&place(b)).then(keys)
        });
        open.retain(|o| {
            let over = o.closes < now;
            out.extend(over.then(|| alone(&o.row)));
            !over
        });
        let (back, ahead) = if side == 0 { (before, after) } else { (after, before) };
        let meets = |other: &&Coming| {
            let near = other.event.time >= event.time - back && other.event.time <= event.time + ahead;
            other.side != side
                && other.key == key
                && near
                && other.event.time > reached(other.side, other.event.partition).saturating_sub(retention)
        };
        let mut found: Vec<&Coming> = kept.iter().filter(meets).collect();
        found.sort_by_key(|f| f.event.time);
        for other in &found {
            let sides = if side == 0 { [Some(event), Some(other.event)] } else { [Some(other.event), Some(event)] };
            out.push((joined(pair, key.clone(), sides), event.partition));
            open.retain(|o| o.row.side == side || o.row.key != key || o.row.event.time != other.event.time);
        }
        if found.is_empty() && pair.outer.keeps(side) {
            match grace {
                Some(grace) if event.time + ahead >= now => {
                    open.push(Open { closes: event.time + ahead + grace, row });
                }
                _ => out.push(alone(&row)),
            }
        }
        if event.time > clock.saturating_sub(retention) {
            kept.push(row);
        } else {
            *late += 1;
        }
    }
    out
}
