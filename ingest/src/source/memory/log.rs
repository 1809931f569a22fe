//! One partition: records in segments, forgotten a segment at a time.

use super::{Cleanup, Limit, NewRecord, Position};
use crate::record::{Record, RecordBatch, Slice};
use bytes::Bytes;
use hashbrown::HashSet;
use std::collections::VecDeque;

/// A partition's records, in order of their offsets.
pub(super) struct Log {
    cleanup: Cleanup,
    segments: VecDeque<Segment>,
    bytes: u64,
    next: i64,
    /// The log is compacted when it has this many bytes.
    compact_at: u64,
    /// Where the last compaction ended: tombstones before it have been there for all readers to see.
    compacted_to: i64,
}

#[derive(Default)]
struct Segment {
    bytes: Vec<u8>,
    records: Vec<Record>,
    headers: Vec<(u32, String, Option<Bytes>)>,
}

/// A segment is full at this size, or at a sixteenth of what the topic keeps.
const SEGMENT: u64 = 1 << 20;

/// No compaction below this size.
const COMPACT: u64 = 4 << 20;

/// What a record costs beside its bytes.
const OVERHEAD: u64 = size_of::<Record>() as u64;

impl Log {
    pub(super) fn new(cleanup: Cleanup) -> Self {
        Log { cleanup, segments: VecDeque::new(), bytes: 0, next: 0, compact_at: COMPACT, compacted_to: 0 }
    }

    /// Offset of the first record that is left, or of the next when none is.
    pub(super) fn first(&self) -> i64 {
        self.segments.iter().find_map(|s| s.records.first()).map_or(self.next, |r| r.offset)
    }

    /// Offset of the next record.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Appends a record and returns its offset.
    pub(super) fn append(&mut self, record: &NewRecord<'_>) -> i64 {
        let offset = self.next;
        self.next += 1;
        let segment_bytes = match self.cleanup {
            Cleanup::Delete(max) | Cleanup::CompactAndDelete(max) => (max / 16).clamp(1, SEGMENT),
            Cleanup::Compact => SEGMENT,
        };
        if self.segments.back().is_none_or(|s| s.size() >= segment_bytes) {
            self.segments.push_back(Segment::default());
        }
        if let Some(segment) = self.segments.back_mut() {
            let before = segment.size();
            segment.push(record.key, record.value, record.time, offset, record.headers.iter());
            self.bytes += segment.size() - before;
        }
        self.clean();
        offset
    }

    fn clean(&mut self) {
        let compacts = !matches!(self.cleanup, Cleanup::Delete(_));
        if compacts && self.bytes >= self.compact_at {
            self.compact();
        }
        if let Cleanup::Delete(max) | Cleanup::CompactAndDelete(max) = self.cleanup {
            while self.bytes > max && self.segments.len() > 1 {
                self.bytes -= self.segments.pop_front().map_or(0, |s| s.size());
            }
        }
    }

    /// Keeps the last record of each key. A tombstone goes at the second compaction that meets it.
    fn compact(&mut self) {
        let mut keep: Vec<(usize, usize)> = Vec::new();
        let mut seen: HashSet<&[u8]> = HashSet::new();
        for (s, segment) in self.segments.iter().enumerate().rev() {
            for (r, record) in segment.records.iter().enumerate().rev() {
                let last = record.key.is_some_and(|k| seen.insert(segment.slice(k)));
                if last && (record.value.is_some() || record.offset >= self.compacted_to) {
                    keep.push((s, r));
                }
            }
        }
        let mut segments: VecDeque<Segment> = VecDeque::new();
        for (s, r) in keep.into_iter().rev() {
            let (old, record) = (&self.segments[s], &self.segments[s].records[r]);
            if segments.back().is_none_or(|s| s.size() >= SEGMENT) {
                segments.push_back(Segment::default());
            }
            if let Some(segment) = segments.back_mut() {
                let slice = |s: Option<Slice>| s.map(|s| old.slice(s));
                let headers: Vec<_> = old.headers_of(r).map(|(_, n, v)| (n.clone(), v.clone())).collect();
                segment.push(slice(record.key), slice(record.value), record.time, record.offset, headers.iter());
            }
        }
        drop(seen);
        self.segments = segments;
        self.bytes = self.segments.iter().map(Segment::size).sum();
        self.compacted_to = self.next;
        // At least as much again before the next, so that compaction costs a constant a record.
        self.compact_at = (2 * self.bytes).max(COMPACT);
    }

    /// Records from a position on, and the position behind them; `None` when there is none.
    pub(super) fn read(&self, from: Position, limit: Limit) -> Option<(RecordBatch, Position)> {
        let ends_before = |s: &Segment| s.records.last().is_none_or(|r| r.offset < from.offset);
        let first = self.segments.partition_point(ends_before);
        let mut out = Segment::default();
        'segments: for segment in self.segments.iter().skip(first) {
            let skip = segment.records.partition_point(|r| r.offset < from.offset);
            for (r, record) in segment.records.iter().enumerate().skip(skip) {
                let slice = |s: Option<Slice>| s.map(|s| segment.slice(s));
                let (key, value) = (slice(record.key), slice(record.value));
                let size = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
                let full = out.records.len() >= limit.records || out.bytes.len() + size > limit.bytes;
                if full && !out.records.is_empty() {
                    break 'segments;
                }
                out.push(key, value, record.time, record.offset, [].iter());
                let number = out.records.len() as u32 - 1;
                out.headers.extend(segment.headers_of(r).map(|(_, n, v)| (number, n.clone(), v.clone())));
            }
        }
        let next = Position { offset: out.records.last()?.offset + 1, sequence: from.sequence + 1, ..from };
        let Segment { bytes, records, headers } = out;
        let bytes = Bytes::from(bytes);
        Some((RecordBatch { partition: from.partition, sequence: from.sequence, bytes, records, headers }, next))
    }
}

impl Segment {
    fn size(&self) -> u64 {
        self.bytes.len() as u64 + OVERHEAD * self.records.len() as u64
    }

    fn slice(&self, slice: Slice) -> &[u8] {
        self.bytes.get(slice.range()).unwrap_or_default()
    }

    fn push<'a>(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        time: i64,
        offset: i64,
        headers: impl Iterator<Item = &'a (String, Option<Bytes>)>,
    ) {
        let number = self.records.len() as u32;
        let mut add = |part: &[u8]| {
            let start = self.bytes.len() as u32;
            self.bytes.extend_from_slice(part);
            Slice { start, end: self.bytes.len() as u32 }
        };
        let (key, value) = (key.map(&mut add), value.map(&mut add));
        self.records.push(Record { key, value, time, offset });
        self.headers.extend(headers.map(|(name, value)| (number, name.clone(), value.clone())));
    }

    /// The headers of the segment's `number`-th record.
    fn headers_of(&self, number: usize) -> impl Iterator<Item = &(u32, String, Option<Bytes>)> {
        let from = self.headers.partition_point(|h| (h.0 as usize) < number);
        self.headers[from..].iter().take_while(move |h| h.0 as usize == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(cleanup: Cleanup, records: impl Iterator<Item = (u32, Option<Vec<u8>>)>) -> Log {
        let mut log = Log::new(cleanup);
        for (key, value) in records {
            let key = key.to_be_bytes();
            log.append(&NewRecord { key: Some(&key), value: value.as_deref(), ..NewRecord::default() });
        }
        log
    }

    fn all(log: &Log) -> Vec<(i64, Vec<u8>, Option<Vec<u8>>)> {
        let mut at = Position { partition: 0, offset: 0, sequence: 0 };
        let mut out = Vec::new();
        while let Some((batch, next)) = log.read(at, Limit { records: 100, bytes: 10_000 }) {
            assert!(batch.records.len() <= 100 && batch.sequence == at.sequence);
            let bytes = |s: Option<Slice>| s.map(|s| batch.slice(s).to_vec());
            out.extend(batch.records.iter().map(|r| (r.offset, bytes(r.key).unwrap_or_default(), bytes(r.value))));
            at = next;
        }
        out
    }

    #[test]
    fn the_most_recent_bytes_are_kept() {
        let log = log(Cleanup::Delete(100_000), (0..10_000).map(|i| (i, Some(vec![1; 100]))));
        assert!(log.bytes() <= 100_000 && log.bytes() > 80_000, "{}", log.bytes());
        let offsets: Vec<i64> = all(&log).into_iter().map(|r| r.0).collect();
        assert_eq!(offsets, (log.first()..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn compaction_keeps_the_last_record_of_each_key() {
        // Key 7 is deleted early on, key 8 at the end.
        let value = |i: u32| (i != 7 && i != 19_908).then(|| i.to_be_bytes().repeat(100));
        let log = log(Cleanup::Compact, (0..20_000).map(|i| (if i == 7 { 1000 } else { i % 100 }, value(i))));
        assert!(log.bytes() < 9 << 20, "{}", log.bytes());
        let mut last = std::collections::BTreeMap::new();
        for (_, key, value) in all(&log) {
            last.insert(key, value);
        }
        let expected = (0..100_u32).map(|k| (k, 19_900 + k)).map(|(k, i)| (k.to_be_bytes().to_vec(), value(i)));
        assert_eq!(last.into_iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}
