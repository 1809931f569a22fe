//! What a script's views hold in the end, recomputed from all records with plain loops.

use super::expr::{Row, Type, Value};
use super::pairs;
use super::script::{Call, Made, Meaning, Relation, Script, Topic, View, Window, WindowKind};
use std::collections::BTreeMap;

/// What a replay should come to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// By view: its rows as text, in order.
    pub(crate) rows: BTreeMap<String, Vec<String>>,
    /// Records of sources that some view reads which did not fit.
    pub(crate) rejected: u64,
    /// Rows that were late for all their windows.
    pub(crate) late: u64,
}

/// A row of a stream.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) partition: usize,
    pub(super) time: i64,
    pub(super) cells: Vec<Value>,
    pub(super) tombstone: bool,
}

/// What a stream or table holds; tables by key.
pub(super) enum Contents {
    Stream(Vec<Event>),
    Table(BTreeMap<String, Event>),
    Windowed(Vec<(Event, (i64, i64))>),
}

/// A record that goes into a group.
struct Member {
    row: Row,
    keys: Vec<Value>,
    partition: usize,
}

/// Evaluates all views.
pub(crate) fn evaluate(script: &Script) -> Outcome {
    let mut outcome = Outcome::default();
    let mut all: BTreeMap<&str, Contents> = BTreeMap::new();
    for relation in &script.relations {
        let contents = match &relation.made {
            Made::Declared(topic) => {
                let used =
                    script.relations.iter().filter_map(Relation::view).any(|v| v.reads().any(|n| *n == relation.name));
                // A table's record without a key is none.
                let wrong = |meaning: &Meaning| match meaning {
                    Meaning::Rejected => true,
                    Meaning::Row(key, ..) => relation.table && key.iter().any(Value::is_null),
                };
                let rejects = topic.partitions.iter().flatten().filter(|r| wrong(&r.meaning));
                outcome.rejected += if used { rejects.count() as u64 } else { 0 };
                declared(relation, topic)
            }
            Made::View(view) => {
                let contents = evaluate_view(relation, view, &all, &mut outcome.late);
                outcome.rows.insert(relation.name.clone(), text(relation, &contents));
                contents
            }
        };
        all.insert(&relation.name, contents);
    }
    outcome
}

fn declared(relation: &Relation, topic: &Topic) -> Contents {
    let values = relation.columns.len() - relation.keys();
    let mut events = Vec::new();
    for (partition, records) in topic.partitions.iter().enumerate() {
        for record in records {
            let Meaning::Row(key, value, time) = &record.meaning else { continue };
            let tombstone = value.is_none();
            let value = value.clone().unwrap_or_else(|| vec![Value::Null; values]);
            let cells: Vec<Value> = key.iter().cloned().chain(value).collect();
            let time = topic.timestamp.map_or(*time, |c| if let Value::Whole(t) = cells[c] { t } else { *time });
            events.push(Event { partition, time, cells, tombstone });
        }
    }
    if !relation.table {
        return Contents::Stream(events);
    }
    let mut table = BTreeMap::new();
    for event in events {
        let keys = &event.cells[..relation.keys()];
        if keys.iter().any(Value::is_null) {
            continue;
        }
        let key = spelled(keys);
        if event.tombstone {
            table.remove(&key);
        } else {
            table.insert(key, event);
        }
    }
    Contents::Table(table)
}

pub(super) fn spelled(cells: &[Value]) -> String {
    cells.iter().map(|c| format!("{c}|")).collect()
}

fn evaluate_view(relation: &Relation, view: &View, all: &BTreeMap<&str, Contents>, late: &mut u64) -> Contents {
    let input = match all.get(view.from.as_str()) {
        Some(Contents::Stream(events)) => events.clone(),
        Some(Contents::Table(rows)) => rows.values().cloned().collect(),
        _ => Vec::new(),
    };
    let of_table = matches!(all.get(view.from.as_str()), Some(Contents::Table(_)));
    let plain = view.pair.is_none() && view.joins.is_empty() && view.filter.is_none() && view.group.is_none();
    let input = match &view.pair {
        Some(pair) => pairs::rows(pair, all.get(view.from.as_str()), all.get(pair.right.as_str()), late),
        None => input
            .into_iter()
            .map(|e| (Row { cells: e.cells, time: e.time, ..Row::default() }, e.partition, e.tombstone))
            .collect(),
    };
    let mut rows = Vec::new();
    for (mut row, partition, tombstone) in input {
        if tombstone && !plain {
            continue;
        }
        let joined = view.joins.iter().all(|join| {
            let Some(Contents::Table(table)) = all.get(join.table.as_str()) else { return false };
            let key = join.left.value(&row);
            let found = if key.is_null() { None } else { table.get(&spelled(&[key])) };
            match found {
                Some(found) => row.cells.extend_from_slice(&found.cells[1..]),
                None => row.cells.extend(vec![Value::Null; join.width]),
            }
            found.is_some() || !join.inner
        });
        if joined && view.filter.as_ref().is_none_or(|f| f.holds(&row)) {
            rows.push((row, partition, tombstone));
        }
    }
    if let Some(group) = &view.group {
        let mut members = Vec::new();
        for (row, partition, _) in rows {
            let keys: Vec<Value> = group.by.iter().map(|e| e.value(&row)).collect();
            if !keys.iter().any(Value::is_null) {
                members.push(Member { row, keys, partition });
            }
        }
        return grouped(view, &members, late);
    }
    let events = rows.into_iter().map(|(row, partition, tombstone)| {
        let cells = (view.items.iter().zip(&relation.columns))
            .map(|(e, c)| if tombstone && !c.key { Value::Null } else { e.value(&row) });
        Event { partition, time: row.time, cells: cells.collect(), tombstone }
    });
    if of_table {
        Contents::Table(events.map(|e| (spelled(&e.cells[..relation.keys()]), e)).collect())
    } else {
        Contents::Stream(events.collect())
    }
}

fn grouped(view: &View, members: &[Member], late: &mut u64) -> Contents {
    let Some(group) = &view.group else { return Contents::Windowed(Vec::new()) };
    // A group's key and window, and its members.
    let mut groups: BTreeMap<(String, (i64, i64)), Vec<&Member>> = BTreeMap::new();
    match group.window {
        None => members.iter().for_each(|m| groups.entry((spelled(&m.keys), (0, 0))).or_default().push(m)),
        Some(window) => match window.kind {
            WindowKind::Session(gap) => sessions(&mut groups, members, window, gap, late),
            WindowKind::Tumbling(size) => hops(&mut groups, members, window, (size, size), late),
            WindowKind::Hopping(size, advance) => hops(&mut groups, members, window, (size, advance), late),
        },
    }
    let end = members.iter().map(|m| m.row.time).max().unwrap_or(0);
    let (mut table, mut windowed) = (BTreeMap::new(), Vec::new());
    for ((key, bounds), members) in groups {
        if let Some(window) = group.window {
            let last = if matches!(window.kind, WindowKind::Session(_)) { bounds.1 } else { bounds.0 };
            if last < end - window.retention() {
                continue;
            }
        }
        let row = Row {
            cells: members.first().map(|m| m.keys.clone()).unwrap_or_default(),
            aggregates: group.calls.iter().map(|c| aggregate(c, &members)).collect(),
            window: group.window.map(|_| bounds),
            time: members.iter().map(|m| m.row.time).max().unwrap_or(0),
            ..Row::default()
        };
        if group.having.as_ref().is_some_and(|h| !h.holds(&row)) {
            continue;
        }
        let cells = view.items.iter().map(|e| e.value(&row)).collect();
        let event = Event { partition: 0, time: row.time, cells, tombstone: false };
        if group.window.is_some() {
            windowed.push((event, bounds));
        } else {
            table.insert(key, event);
        }
    }
    if group.window.is_some() { Contents::Windowed(windowed) } else { Contents::Table(table) }
}

/// Every window that starts at a multiple of the advance, holds the record, and has not closed before it.
fn hops<'a>(
    groups: &mut BTreeMap<(String, (i64, i64)), Vec<&'a Member>>,
    members: &'a [Member],
    window: Window,
    (size, advance): (i64, i64),
    late: &mut u64,
) {
    let mut stream_times: BTreeMap<usize, i64> = BTreeMap::new();
    for member in members {
        let time = member.row.time;
        let stream_time = stream_times.entry(member.partition).or_insert(time);
        *stream_time = time.max(*stream_time);
        let mut taken = false;
        for start in (0..=time / advance).map(|k| k * advance) {
            if start + size > time && start + size > *stream_time - window.grace() {
                taken = true;
                groups.entry((spelled(&member.keys), (start, start + size))).or_default().push(member);
            }
        }
        *late += u64::from(!taken);
    }
}

/// Each record is merged with all sessions of its key that it touches and that have not expired.
fn sessions<'a>(
    groups: &mut BTreeMap<(String, (i64, i64)), Vec<&'a Member>>,
    members: &'a [Member],
    window: Window,
    gap: i64,
    late: &mut u64,
) {
    let mut stream_times: BTreeMap<usize, i64> = BTreeMap::new();
    let mut open: Vec<(String, i64, i64, Vec<&'a Member>)> = Vec::new();
    for member in members {
        let (time, key) = (member.row.time, spelled(&member.keys));
        let stream_time = stream_times.entry(member.partition).or_insert(time);
        *stream_time = time.max(*stream_time);
        let close = *stream_time - window.grace() - gap;
        let touches =
            |s: &(String, i64, i64, Vec<&Member>)| s.0 == key && s.2 >= time - gap && s.1 <= time + gap && s.2 >= close;
        let (met, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(touches);
        open = rest;
        let start = met.iter().map(|s| s.1).min().unwrap_or(time).min(time);
        let end = met.iter().map(|s| s.2).max().unwrap_or(time).max(time);
        if end < close {
            *late += 1;
            open.extend(met);
        } else {
            let members = met.into_iter().flat_map(|s| s.3).chain([member]).collect();
            open.push((key, start, end, members));
        }
    }
    groups.extend(open.into_iter().map(|(key, start, end, members)| ((key, (start, end)), members)));
}

fn aggregate(call: &Call, members: &[&Member]) -> Value {
    let Some(arg) = &call.arg else { return Value::Whole(members.len() as i64) };
    let values: Vec<Value> = members.iter().map(|m| arg.value(&m.row)).filter(|v| !v.is_null()).collect();
    let least = |a: &Value, b: &Value| if b.number() < a.number() { b.clone() } else { a.clone() };
    let greatest = |a: &Value, b: &Value| if b.number() > a.number() { b.clone() } else { a.clone() };
    let whole = || values.iter().map(|v| if let Value::Whole(v) = v { i128::from(*v) } else { 0 }).sum::<i128>();
    let double = || exact_sum(values.iter().map(Value::number));
    match call.name {
        "COUNT" => Value::Whole(values.len() as i64),
        "SUM" => match call.ty {
            Type::Double => Value::Double(double()),
            Type::Int => Value::Whole(i64::from(whole() as i32)),
            _ => Value::Whole(whole() as i64),
        },
        "AVG" if values.is_empty() => Value::Double(0.0),
        "AVG" if arg.ty == Type::Double => Value::Double(double() / values.len() as f64),
        "AVG" => Value::Double(whole() as f64 / values.len() as f64),
        "MIN" => values.into_iter().reduce(|a, b| least(&a, &b)).unwrap_or(Value::Null),
        _ => values.into_iter().reduce(|a, b| greatest(&a, &b)).unwrap_or(Value::Null),
    }
}

/// The sum, rounded once: partial sums that do not overlap (Shewchuk), added up from the greatest.
fn exact_sum(values: impl Iterator<Item = f64>) -> f64 {
    let mut partials: Vec<f64> = Vec::new();
    for mut x in values {
        let mut kept = Vec::new();
        for mut y in partials {
            if x.abs() < y.abs() {
                (x, y) = (y, x);
            }
            let high = x + y;
            let low = y - (high - x);
            if low != 0.0 {
                kept.push(low);
            }
            x = high;
        }
        kept.push(x);
        partials = kept;
    }
    let mut sum = partials.pop().unwrap_or(0.0);
    let mut low = 0.0;
    while let Some(y) = partials.pop() {
        let x = sum;
        sum = x + y;
        low = y - (sum - x);
        if low != 0.0 {
            break;
        }
    }
    // Halfway between two doubles, what is left decides.
    if let Some(next) = partials.last()
        && (low < 0.0) == (*next < 0.0)
        && sum + low * 2.0 - sum == low * 2.0
    {
        sum += low * 2.0;
    }
    sum
}

/// The rows as text, in order.
fn text(relation: &Relation, contents: &Contents) -> Vec<String> {
    let row = |event: &Event, window: Option<(i64, i64)>| {
        let cells = relation.columns.iter().zip(&event.cells).map(|(c, v)| (c.name.as_str(), v.to_string()));
        let bounds =
            window.into_iter().flat_map(|(s, e)| [("WINDOWSTART", s.to_string()), ("WINDOWEND", e.to_string())]);
        super::row_text(cells.chain(bounds))
    };
    let mut rows: Vec<String> = match contents {
        Contents::Stream(events) => events.iter().map(|e| row(e, None)).collect(),
        Contents::Table(table) => table.values().map(|e| row(e, None)).collect(),
        Contents::Windowed(rows) => rows.iter().map(|(e, w)| row(e, Some(*w))).collect(),
    };
    rows.sort();
    rows
}
