//! Several files as the partitions of one topic.

use super::file::FileSource;
use super::{Limit, Position, Source, SourceError};
use crate::record::RecordBatch;

/// Files of different partitions, which take turns.
pub struct Partitions {
    files: Vec<FileSource>,
    /// Whose turn it is.
    turn: usize,
}

impl Partitions {
    /// Of files that were given different partitions.
    pub fn new(files: Vec<FileSource>) -> Partitions {
        Partitions { files, turn: 0 }
    }
}

impl Source for Partitions {
    fn poll(&mut self, limit: Limit) -> Result<Option<RecordBatch>, SourceError> {
        for _ in 0..self.files.len() {
            let turn = self.turn;
            self.turn = (turn + 1) % self.files.len();
            if let Some(batch) = self.files[turn].poll(limit)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    fn positions(&self) -> Vec<Position> {
        self.files.iter().flat_map(Source::positions).collect()
    }

    fn seek(&mut self, position: Position) {
        self.files.iter_mut().for_each(|file| file.seek(position));
    }

    fn at_end(&self) -> bool {
        self.files.iter().all(Source::at_end)
    }
}
