//! JSON lines: a file with a record a line, read once to its end.
//!
//! The file is one partition, cut into chunks of [`CHUNK`] bytes. A chunk has the lines that *start* in it, and is one
//! batch, whose number is the chunk's; so each worker finds its own chunks without reading the others'. A record's
//! offset is the byte where its line starts. A line is a record's value; then records have no key and one time, see
//! [`crate::decode::DecodeOptions`] for taking both from the value. Or it is a [whole record](super::lines).

use super::line_ends;
use super::lines::Layout;
use super::{Limit, Position, Share, Source, SourceError};
use crate::record::{Record, RecordBatch, Slice};
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of a chunk, where nobody says otherwise.
pub const CHUNK: u64 = 1 << 20;

/// More than this cannot be one batch, whose slices are 32 bits and whose text columns hold 2 GB.
const MAX_LINE: usize = 2 << 30;

/// Bytes of a piece.
const PIECE: u64 = 128 << 10;

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
    /// Bytes that are read at once: they are still in the processor's cache when its lines are looked for.
    piece: u64,
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
        let (piece, last) = (PIECE, Bytes::new());
        Ok(FileSource { path, file, length, chunk, piece, share, next, from, time: time_ms, partition, layout, last })
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
        // Its memory is set to something once, and read into then.
        let mut bytes = std::mem::take(&mut self.last).try_into_mut().unwrap_or_default();
        bytes.reserve(((end - start) as usize + 8192).saturating_sub(bytes.len()));
        // One byte more in front tells whether the chunk starts with a line, and some more bring both ends of the copy to the
        // same place within a cache line: then the kernel copies five times as fast.
        let before = start.saturating_sub(1);
        let origin = before - (before.wrapping_sub(bytes.as_ptr().addr() as u64) % CACHE_LINE).min(before);
        self.file.seek(SeekFrom::Start(origin)).map_err(|e| self.error(e))?;

        let (mut records, mut parts) = (Vec::with_capacity((end - start) as usize / 128), Vec::new());
        // Where the next line starts, as far as that is known.
        let mut line = (start == 0).then_some(0);
        let (mut filled, mut searched) = (0, (before - origin) as usize);
        // Piece by piece: what was just read is near.
        loop {
            let count = (end - origin - filled as u64).min(self.piece);
            if self.append(&mut bytes, &mut filled, count)? == 0 {
                break;
            }
            // A piece may end in front of the first line.
            for line_end in line_ends::find(&bytes[..filled], searched.min(filled)) {
                if let Some(at) = line {
                    self.push(&mut records, &mut parts, &bytes, at..line_end, origin)?;
                }
                line = Some(line_end + 1);
            }
            searched = searched.max(filled);
        }
        // The file may have become shorter.
        let end = end.min(origin + filled as u64);
        if let Some(at) = line.filter(|at| origin + (*at as u64) < end) {
            let line_end = self.line_end(&mut bytes, &mut filled, at, origin)?;
            self.push(&mut records, &mut parts, &bytes, at..line_end, origin)?;
        }
        self.last = bytes.freeze();
        let bytes = if self.layout.is_some() { parts.into() } else { self.last.slice(..filled) };
        Ok(RecordBatch { partition: self.partition, sequence: chunk, bytes, records, headers: Vec::new() })
    }

    /// Where the line ends that starts at `at`, and does not end in what has been read.
    fn line_end(&self, bytes: &mut BytesMut, filled: &mut usize, at: usize, origin: u64) -> Result<usize, SourceError> {
        let mut more = 4096;
        loop {
            let searched = *filled;
            if searched - at > MAX_LINE {
                return Err(SourceError::Line { path: self.path.clone(), offset: origin + at as u64 });
            }
            let left = self.length.saturating_sub(origin + searched as u64);
            if self.append(bytes, filled, left.min(more))? == 0 {
                return Ok(*filled);
            }
            if let Some(end) = memchr::memchr(b'\n', &bytes[searched..*filled]) {
                return Ok(searched + end);
            }
            more *= 2;
        }
    }

    /// Reads on from where the file stands, behind the bytes that are filled: how many, none at the file's end.
    fn append(&self, bytes: &mut BytesMut, filled: &mut usize, count: u64) -> Result<usize, SourceError> {
        let to = *filled + count as usize;
        if bytes.len() < to {
            bytes.resize(to, 0);
        }
        let read = loop {
            match (&self.file).read(&mut bytes[*filled..to]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read.map_err(|e| self.error(e))?,
            }
        };
        *filled += read;
        Ok(read)
    }

    /// Appends a line's record, if it is one. `parts`: keys and values, where a line is more than a value.
    fn push(
        &self,
        records: &mut Vec<Record>,
        parts: &mut Vec<u8>,
        bytes: &[u8],
        line: Range<usize>,
        origin: u64,
    ) -> Result<(), SourceError> {
        let offset = origin + line.start as u64;
        let text = bytes[line.clone()].trim_ascii_end();
        if text.is_empty() || offset < self.from {
            return Ok(());
        }
        let at = i64::try_from(offset).unwrap_or(i64::MAX);
        if let Some(layout) = self.layout {
            let error = |cause| SourceError::Record { path: self.path.clone(), offset, cause };
            records.push(layout.read(text.trim_ascii_start(), parts, self.time, at).map_err(error)?);
        } else if let (Ok(start), Ok(end)) = (u32::try_from(line.start), u32::try_from(line.start + text.len())) {
            records.push(Record { key: None, value: Some(Slice { start, end }), time: self.time, offset: at });
        }
        Ok(())
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
            chunk in 1_u64..200,
            piece in 1_u64..90,
            workers in 1_usize..4,
            skip in 0_usize..10,
        ) {
            let open = |path: &Path, share, chunk| FileSource { piece, ..open(path, share, chunk) };
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
    fn a_file_may_become_shorter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "first\nsecond\nthird\nfourth\n").unwrap();
        for (kept, expected) in [(26, 4), (20, 4), (19, 3), (13, 2), (12, 2), (5, 1), (0, 0)] {
            let mut source = open(&path, Share::ALL, 7);
            File::options().write(true).open(&path).unwrap().set_len(kept).unwrap();
            assert_eq!(rest(&mut source).len(), expected, "{kept}");
        }
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
