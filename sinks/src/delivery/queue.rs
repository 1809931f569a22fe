//! What waits to be delivered: in memory up to a bound, beyond it in files, out again in the order it came.
//!
//! ```text
//! push ──▶ back (memory) ──spill──▶ segments (files, oldest first) ──▶ front (memory) ──▶ pop
//! ```
//!
//! As long as everything fits, nothing is written: `pop` takes from `back` when there is nothing before it. A
//! segment is a temporary file without a name, so a crash leaves nothing behind; it is given back as soon as it
//! was read to its end.

use crate::Chunk;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use weir_dataflow::row::Value;
use weir_dataflow::views::change::Row;

/// How much of the queue may be in memory, and where the rest goes.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Rows in memory.
    pub rows: usize,
    /// Their size in memory, estimated, in bytes.
    pub bytes: usize,
    /// The directory of the spill files.
    pub directory: PathBuf,
    /// Size in bytes at which a new spill file is begun.
    pub segment: u64,
}

/// A queue of chunks. Rows are never dropped; an IO error means that the rows on disk cannot be had any more.
pub(super) struct Queue {
    bounds: Bounds,
    front: VecDeque<Waiting>,
    segments: VecDeque<Segment>,
    back: VecDeque<Waiting>,
    /// Rows and bytes of `front` and `back`.
    memory: Size,
    /// Rows in the queue, wherever they are.
    rows: usize,
}

struct Waiting {
    chunk: Chunk,
    size: Size,
}

#[derive(Clone, Copy, Default)]
struct Size {
    rows: usize,
    bytes: usize,
}

impl Queue {
    pub(super) fn new(bounds: Bounds) -> Self {
        Queue {
            bounds,
            front: VecDeque::new(),
            segments: VecDeque::new(),
            back: VecDeque::new(),
            memory: Size::default(),
            rows: 0,
        }
    }

    /// Rows in the queue.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// True when it holds no chunk, not even one without rows.
    pub(super) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.segments.is_empty() && self.back.is_empty()
    }

    /// Bytes in files.
    pub(super) fn spilled_bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.written - s.read).sum()
    }

    /// Puts a chunk at the end, in memory. [`Queue::settle`] brings the queue within its bounds again.
    pub(super) fn push(&mut self, chunk: Chunk) {
        if chunk.rows.is_empty()
            && let Some(last) = self.back.back_mut()
            && last.chunk.rows.is_empty()
        {
            last.chunk.upper = chunk.upper;
            return;
        }
        let size = Size::of(&chunk);
        self.rows += size.rows;
        self.memory.add(size);
        self.back.push_back(Waiting { chunk, size });
    }

    /// True when [`Queue::settle`] has to write.
    pub(super) fn is_over(&self) -> bool {
        self.memory.rows > self.bounds.rows || self.memory.bytes > self.bounds.bytes
    }

    /// True when [`Queue::pop`] has to read.
    pub(super) fn is_spilled(&self) -> bool {
        self.front.is_empty() && !self.segments.is_empty()
    }

    /// Writes to files what is over the bounds.
    ///
    /// # Errors
    /// When a file cannot be made or written.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        if !self.is_over() {
            return Ok(());
        }
        while let Some(next) = self.back.front() {
            if self.segments.back().is_none_or(|s| s.written >= self.bounds.segment) {
                if let Some(full) = self.segments.back_mut() {
                    full.writer.flush()?;
                }
                self.segments.push_back(Segment::new(&self.bounds.directory)?);
            }
            if let Some(segment) = self.segments.back_mut() {
                segment.write(&next.chunk)?;
            }
            self.memory.subtract(next.size);
            self.back.pop_front();
        }
        match self.segments.back_mut() {
            Some(segment) => segment.writer.flush(),
            None => Ok(()),
        }
    }

    /// The next chunk.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn pop(&mut self) -> io::Result<Option<Chunk>> {
        if self.is_spilled() {
            self.load()?;
        }
        let Some(next) = self.front.pop_front().or_else(|| self.back.pop_front()) else { return Ok(None) };
        self.memory.subtract(next.size);
        self.rows -= next.size.rows;
        Ok(Some(next.chunk))
    }

    /// Reads one chunk of the oldest segment.
    fn load(&mut self) -> io::Result<()> {
        while let Some(segment) = self.segments.front_mut() {
            match segment.read()? {
                Some(chunk) => {
                    let size = Size::of(&chunk);
                    self.memory.add(size);
                    self.front.push_back(Waiting { chunk, size });
                    if segment.read == segment.written {
                        self.segments.pop_front();
                    }
                    return Ok(());
                }
                None => drop(self.segments.pop_front()),
            }
        }
        Ok(())
    }
}

impl Size {
    fn of(chunk: &Chunk) -> Self {
        Size { rows: chunk.rows.len(), bytes: 128 + chunk.rows.iter().map(weight).sum::<usize>() }
    }

    fn add(&mut self, other: Size) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }

    fn subtract(&mut self, other: Size) {
        self.rows -= other.rows;
        self.bytes -= other.bytes;
    }
}

/// A file of chunks, each behind its length in eight bytes. Written at its end and read from its start through two
/// handles of their own.
struct Segment {
    writer: BufWriter<File>,
    reader: BufReader<File>,
    /// Bytes written.
    written: u64,
    /// Bytes read.
    read: u64,
}

impl Segment {
    fn new(directory: &std::path::Path) -> io::Result<Self> {
        // Two handles with positions of their own need the file's name for a moment.
        let file = tempfile::NamedTempFile::with_prefix_in("weir-spill-", directory)?;
        let reader = BufReader::new(file.reopen()?);
        Ok(Segment { writer: BufWriter::with_capacity(1 << 16, file.into_file()), reader, written: 0, read: 0 })
    }

    fn write(&mut self, chunk: &Chunk) -> io::Result<()> {
        let bytes = bincode::serialize(chunk).map_err(io::Error::other)?;
        self.writer.write_all(&(bytes.len() as u64).to_le_bytes())?;
        self.writer.write_all(&bytes)?;
        self.written += 8 + bytes.len() as u64;
        Ok(())
    }

    fn read(&mut self) -> io::Result<Option<Chunk>> {
        if self.read == self.written {
            return Ok(None);
        }
        let mut length = [0; 8];
        self.reader.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        let mut bytes = Vec::new();
        let got = (&mut self.reader).take(length).read_to_end(&mut bytes)? as u64;
        if got < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read += 8 + length;
        bincode::deserialize(&bytes).map(Some).map_err(io::Error::other)
    }
}

/// A row's size in memory, roughly, in bytes.
pub(super) fn weight(row: &Row) -> usize {
    let cells = row.key.iter().chain(row.value.iter().flatten());
    64 + cells.map(value_weight).sum::<usize>()
}

fn value_weight(value: &Value) -> usize {
    let behind = match value {
        Value::String(text) => 16 + text.len(),
        Value::Bytes(bytes) => 16 + bytes.len(),
        Value::Array(items) | Value::Struct(items) => 16 + items.iter().map(value_weight).sum::<usize>(),
        Value::Map(entries) => 16 + entries.iter().map(|(k, v)| value_weight(k) + value_weight(v)).sum::<usize>(),
        Value::Null
        | Value::Boolean(_)
        | Value::Int(_)
        | Value::Bigint(_)
        | Value::Double(_)
        | Value::Decimal(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Timestamp(_) => 0,
    };
    size_of::<Value>() + behind
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk(epoch: u64, rows: usize) -> Chunk {
        let row = |i: usize| Row {
            key: vec![Value::Bigint(i as i64), Value::String(format!("key {epoch}").into())],
            window: None,
            value: (!i.is_multiple_of(3)).then(|| vec![Value::Double(0.5), Value::Null]),
            time: i as i64,
        };
        Chunk { lower: epoch, upper: epoch + 1, first_row: 0, last: true, rows: (0..rows).map(row).collect() }
    }

    fn queue(rows: usize, segment: u64) -> Queue {
        Queue::new(Bounds { rows, bytes: 1 << 20, directory: std::env::temp_dir(), segment })
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(steps in prop::collection::vec(prop_oneof![(1usize..40).prop_map(Some), Just(None)], 0..120)) {
            let mut queue = queue(50, 500);
            let mut twin = VecDeque::new();
            for (i, step) in steps.into_iter().enumerate() {
                match step {
                    Some(rows) => {
                        queue.push(chunk(i as u64, rows));
                        twin.push_back(chunk(i as u64, rows));
                        queue.settle().unwrap();
                    }
                    None => prop_assert_eq!(queue.pop().unwrap(), twin.pop_front()),
                }
                prop_assert!(queue.memory.rows <= 50 + 40);
                prop_assert_eq!(queue.rows(), twin.iter().map(|c| c.rows.len()).sum::<usize>());
            }
            while let Some(expected) = twin.pop_front() {
                prop_assert_eq!(queue.pop().unwrap(), Some(expected));
            }
            prop_assert_eq!(queue.pop().unwrap(), None);
            prop_assert_eq!(queue.spilled_bytes(), 0);
            prop_assert_eq!(queue.memory.bytes, 0);
        }
    }

    #[test]
    fn large_rows_spill_by_their_size() {
        let mut queue = queue(1000, 1 << 20);
        for i in 0..8 {
            let mut chunk = chunk(i, 1);
            chunk.rows[0].key = vec![Value::String("x".repeat(1 << 18).into())];
            queue.push(chunk);
            queue.settle().unwrap();
        }
        assert!(queue.spilled_bytes() > 1 << 20);
        assert!(queue.memory.bytes <= 1 << 20);
        assert_eq!((0..8).map(|_| queue.pop().unwrap().unwrap().lower).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn epochs_without_rows_do_not_pile_up() {
        let mut queue = queue(10, 1 << 20);
        (0..1000).for_each(|epoch| queue.push(chunk(epoch, 0)));
        assert_eq!(queue.pop().unwrap().map(|c| (c.lower, c.upper)), Some((0, 1000)));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let bounds = Bounds { rows: 0, bytes: 0, directory: "/nowhere/at/all".into(), segment: 1 };
        let mut queue = Queue::new(bounds);
        queue.push(chunk(0, 1));
        assert!(queue.settle().is_err());
    }
}
