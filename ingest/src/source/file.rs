//! JSON lines: a file with a record a line, read once to its end.
//!
//! The file is one partition, cut into chunks of [`CHUNK`] bytes. A chunk has the lines that *start* in it, and is one
//! batch, whose number is the chunk's; so each worker finds its own chunks without reading the others'. A record's
//! offset is the byte where its line starts. A line is a record's value; then records have no key and one time, see
//! [`crate::decode::DecodeOptions`] for taking both from the value. Or it is a [whole record](super::lines).

use super::lines::Layout;
use super::{Limit, Position, Share, Source, SourceError};
use crate::record::{Record, RecordBatch, Slice};
use bytes::Bytes;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of a chunk, where nobody says otherwise.
pub const CHUNK: u64 = 1 << 20;

/// More than this cannot be one batch, whose slices are 32 bits and whose text columns hold 2 GB.
const MAX_LINE: usize = 2 << 30;

/// Bytes of a line of the processor's cache.
const CACHE_LINE: u64 = 64;

/// A worker's chunks of a file.
pub struct FileSource {
    path: PathBuf,
    file: File,
    /// Bytes, as of opening.
    length: u64,
    /// Bytes of a chunk.
    chunk: u64,
    share: Share,
    /// The next chunk, one of this worker's.
    next: u64,
    /// Lines before this byte are left out.
    from: u64,
    time: i64,
    partition: u32,
    /// What a line is; `None`: a record's value.
    layout: Option<Layout>,
    /// The bytes of the chunk before. Nobody uses them any more by the time of the next one, which is read into them:
    /// memory that is in the processor's cache.
    last: Bytes,
}

impl FileSource {
    /// Opens a file, to be cut into chunks of so many bytes (at least 1). Its records have the time `time_ms` unless the
    /// decoder takes another from their values.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, share: Share, time_ms: i64, chunk: u64) -> Result<Self, SourceError> {
        let error = |cause| SourceError::File { path: path.to_owned(), cause };
        let file = File::open(path).map_err(error)?;
        let metadata = file.metadata().map_err(error)?;
        if metadata.is_dir() {
            return Err(error(std::io::ErrorKind::IsADirectory.into()));
        }
        let next = share.worker as u64;
        let (path, length) = (path.to_owned(), metadata.len());
        let (chunk, from, partition, layout) = (chunk.max(1), 0, 0, None);
        let last = Bytes::new();
        Ok(FileSource { path, file, length, chunk, share, next, from, time: time_ms, partition, layout, last })
    }

    /// The same as another partition of its topic than 0.
    pub fn as_partition(self, partition: u32) -> Self {
        FileSource { partition, ..self }
    }

    /// The same with lines that are whole records.
    pub fn of_records(self, layout: Layout) -> Self {
        FileSource { layout: Some(layout), ..self }
    }

    /// Bytes in the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    fn read(&mut self, chunk: u64) -> Result<RecordBatch, SourceError> {
        let start = chunk * self.chunk;
        let end = (start + self.chunk).min(self.length);
        self.last.truncate(0);
        let mut bytes = Vec::from(std::mem::take(&mut self.last));
        bytes.reserve((end - start) as usize + 8192);
        // One byte more in front tells whether the chunk starts with a line, and some more bring both ends of the copy to the
        // same place within a cache line: then the kernel copies five times as fast.
        let before = start.saturating_sub(1);
        let origin = before - (before.wrapping_sub(bytes.as_ptr().addr() as u64) % CACHE_LINE).min(before);
        self.file.seek(SeekFrom::Start(origin)).map_err(|e| self.error(e))?;
        self.append(&mut bytes, end - origin)?;
        // It may have become shorter.
        let end = end.min(origin + bytes.len() as u64);

        let mut line = match start {
            0 => Some(0),
            _ => {
                let before = ((before - origin) as usize).min(bytes.len());
                memchr::memchr(b'\n', &bytes[before..]).map(|at| before + at + 1)
            }
        };
        let mut records = Vec::with_capacity(bytes.len() / 128);
        // Keys and values, where a line is more than a value.
        let mut parts = Vec::new();
        while let Some(at) = line.filter(|at| origin + (*at as u64) < end) {
            let line_end = self.line_end(&mut bytes, at, origin)?;
            match self.layout {
                None => self.push(&mut records, &bytes, at..line_end, origin),
                Some(layout) => {
                    let offset = origin + at as u64;
                    let line = bytes[at..line_end].trim_ascii();
                    if !line.is_empty() && offset >= self.from {
                        let record =
                            layout.read(line, &mut parts, self.time, i64::try_from(offset).unwrap_or(i64::MAX));
                        let error = |cause| SourceError::Record { path: self.path.clone(), offset, cause };
                        records.push(record.map_err(error)?);
                    }
                }
            }
            line = (line_end < bytes.len()).then_some(line_end + 1);
        }
        self.last = bytes.into();
        let bytes = if self.layout.is_some() { parts.into() } else { self.last.clone() };
        Ok(RecordBatch { partition: self.partition, sequence: chunk, bytes, records, headers: Vec::new() })
    }

    /// Where the line ends that starts at `at`; reads on when that is behind the chunk.
    fn line_end(&mut self, bytes: &mut Vec<u8>, at: usize, origin: u64) -> Result<usize, SourceError> {
        let mut searched = at;
        let mut more = 4096;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &bytes[searched..]) {
                return Ok(searched + end);
            }
            searched = bytes.len();
            if searched - at > MAX_LINE {
                return Err(SourceError::Line { path: self.path.clone(), offset: origin + at as u64 });
            }
            let left = self.length.saturating_sub(origin + searched as u64);
            if left == 0 || self.append(bytes, left.min(more))? == 0 {
                return Ok(bytes.len());
            }
            more *= 2;
        }
    }

    /// Reads on from where the file stands.
    fn append(&mut self, bytes: &mut Vec<u8>, count: u64) -> Result<usize, SourceError> {
        (&self.file).take(count).read_to_end(bytes).map_err(|e| self.error(e))
    }

    fn push(&self, records: &mut Vec<Record>, bytes: &[u8], line: std::ops::Range<usize>, origin: u64) {
        let offset = origin + line.start as u64;
        let text = bytes[line.clone()].trim_ascii_end();
        if text.is_empty() || offset < self.from {
            return;
        }
        let (Ok(start), Ok(end)) = (u32::try_from(line.start), u32::try_from(line.start + text.len())) else {
            return;
        };
        records.push(Record {
            key: None,
            value: Some(Slice { start, end }),
            time: self.time,
            offset: i64::try_from(offset).unwrap_or(i64::MAX),
        });
    }

    fn error(&self, cause: std::io::Error) -> SourceError {
        SourceError::File { path: self.path.clone(), cause }
    }
}

impl Source for FileSource {
    /// One chunk, whatever the limit: chunks are the same in every run.
    fn poll(&mut self, _limit: Limit) -> Result<Option<RecordBatch>, SourceError> {
        if self.at_end() {
            return Ok(None);
        }
        let batch = self.read(self.next)?;
        self.next += self.share.workers.max(1) as u64;
        Ok(Some(batch))
    }

    fn positions(&self) -> Vec<Position> {
        let offset = i64::try_from((self.next * self.chunk).max(self.from)).unwrap_or(i64::MAX);
        vec![Position { partition: self.partition, offset, sequence: self.next }]
    }

    fn seek(&mut self, position: Position) {
        if position.partition != self.partition {
            return;
        }
        self.from = u64::try_from(position.offset).unwrap_or(0);
        let workers = self.share.workers.max(1) as u64;
        let first = self.from / self.chunk;
        // The first of this worker's chunks from there on.
        self.next = first + (self.share.worker as u64 + workers - first % workers) % workers;
    }

    fn at_end(&self) -> bool {
        self.next * self.chunk >= self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(path: &Path, share: Share, chunk: u64) -> FileSource {
        FileSource::open(path, share, 5, chunk).unwrap()
    }

    /// All records of one worker as (sequence, offset, text).
    fn rest(source: &mut FileSource) -> Vec<(u64, i64, String)> {
        let mut out = Vec::new();
        while let Some(batch) = source.poll(Limit::default()).unwrap() {
            let text = |r: &Record| String::from_utf8(batch.slice(r.value.unwrap()).to_vec()).unwrap();
            out.extend(batch.records.iter().map(|r| (batch.sequence, r.offset, text(r))));
        }
        assert!(source.at_end());
        out
    }

    proptest! {
        #[test]
        fn workers_share_the_lines_of_a_file(
            lines in prop::collection::vec("[a-z]{0,40}\r?", 0..40),
            last in any::<bool>(),
            chunk in 1_u64..50,
            workers in 1_usize..4,
            skip in 0_usize..10,
        ) {
            let text = lines.join("\n") + if last { "\n" } else { "" };
            let mut offset = 0;
            let mut expected = Vec::new();
            for line in text.split('\n') {
                let trimmed = line.trim_end();
                if !trimmed.is_empty() {
                    expected.push((offset as u64 / chunk, offset as i64, trimmed.to_owned()));
                }
                offset += line.len() + 1;
            }
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f");
            std::fs::write(&path, &text).unwrap();

            let mut all = Vec::new();
            for worker in 0..workers {
                let share = Share { worker, workers };
                let mut source = open(&path, share, chunk);
                let mut seen = Vec::new();
                for _ in 0..skip {
                    let Some(batch) = source.poll(Limit::default()).unwrap() else { break };
                    prop_assert!(share.has(batch.sequence));
                    seen.push(batch.records.len());
                }
                let mut resumed = open(&path, share, chunk);
                resumed.seek(source.positions()[0]);
                let tail = rest(&mut source);
                prop_assert_eq!(&rest(&mut resumed), &tail);
                let mine = rest(&mut open(&path, share, chunk));
                prop_assert_eq!(&mine[seen.iter().sum()..], &tail[..]);
                all.extend(mine);
            }
            all.sort();
            prop_assert_eq!(all, expected);
        }
    }

    #[test]
    fn a_line_longer_than_many_chunks_is_one_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let long = "x".repeat(5 << 20);
        std::fs::write(&path, format!("a\n{long}\nb")).unwrap();
        let lines: Vec<usize> = rest(&mut open(&path, Share::ALL, CHUNK)).into_iter().map(|r| r.2.len()).collect();
        assert_eq!(lines, [1, 5 << 20, 1]);
    }

    #[test]
    fn lines_may_be_whole_records() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "{\"key\":\"a\",\"value\":{\"x\":1.50},\"timestamp\":7}\n\n{\"key\":\"b\"}\n").unwrap();
        for chunk in [1, 10, CHUNK] {
            let mut source = open(&path, Share::ALL, chunk).as_partition(3).of_records(Layout::default());
            let mut seen = Vec::new();
            while let Some(batch) = source.poll(Limit::default()).unwrap() {
                assert_eq!(batch.partition, 3);
                let part = |s: Option<Slice>| s.map(|s| String::from_utf8(batch.slice(s).to_vec()).unwrap());
                seen.extend(batch.records.iter().map(|r| (part(r.key), part(r.value), r.time, r.offset)));
            }
            let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
            assert_eq!(seen, [(a, Some("{\"x\":1.50}".to_owned()), 7, 0), (b, None, 5, 46)]);
        }
        std::fs::write(&path, "{\"key\":\"a\"}\n{\"valeu\":1}\n").unwrap();
        let mut source = open(&path, Share::ALL, CHUNK).of_records(Layout::default());
        let error = source.poll(Limit::default()).unwrap_err().to_string();
        assert!(error.contains("at byte 12") && error.contains("valeu"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = FileSource::open(Path::new("no/such"), Share::ALL, 0, CHUNK).err().unwrap().to_string();
        assert!(error.starts_with("cannot read 'no/such': "), "{error}");
    }
}
