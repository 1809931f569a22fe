//! Many objects at once that look like one that was read.
//!
//! An object of a known layout whose values are of known kinds is told by its quotes: their places say where each value
//! lies, so that the bytes between values are compared, and columns are built, for one value of many objects after the
//! other, in loops that have nothing to decide. Only values that are no strings are passed one by one.

use super::number::is_short_whole;
use super::quotes::{self, MAX_TEXT, ROOM};
use super::scan::{Kind, Scan, Token};
use std::ops::Range;

/// Reads objects of one layout.
#[derive(Default)]
pub(super) struct Skim {
    /// One in front of each value and one behind the last. Empty when nothing can be expected.
    pieces: Vec<Piece>,
    /// Of the objects that were read: where each starts.
    starts: Vec<usize>,
    /// The places of each one's quotes and its length, in bytes from its start.
    places: Vec<u16>,
    /// For each value [`MOST`] tokens, of those values that are no strings.
    tokens: Vec<Token>,
    /// How many objects are tried at once: few after some that did not fit.
    reach: usize,
}

/// The bytes between two values, the quotes around these included, and where the value behind them ends.
#[derive(Default)]
struct Piece {
    /// The bytes, and zeros behind them.
    bytes: [u64; PIECE / 8],
    /// Ones for the bytes.
    mask: [u64; PIECE / 8],
    length: usize,
    /// The value is a string, and the piece ends with its first quote.
    text: bool,
    /// The number of the quote that ends the value, or that is the next behind it, or that the object's end has.
    quote: usize,
    /// How far behind the value that is.
    ahead: usize,
}

/// Bytes of a piece: most are shorter, and all of them are compared at once.
const PIECE: usize = 32;

/// Objects that are read at once.
const MOST: usize = 64;

impl Skim {
    /// Objects like this one are expected from now on: the segments in front of its values and behind the last, and the
    /// values.
    #[cold]
    pub(super) fn expect<'a>(&mut self, segments: impl Iterator<Item = &'a [u8]>, values: &[Token]) {
        self.clear();
        self.reach = MOST;
        if values.iter().any(|v| matches!(v.kind, Kind::Escaped | Kind::Array | Kind::Object)) {
            return;
        }
        let quote = |there: bool| there.then_some(b'"');
        let (mut quotes, mut behind_text) = (0, false);
        for (i, segment) in segments.enumerate() {
            let text = values.get(i).is_some_and(|v| v.kind == Kind::Text);
            let bytes: Vec<u8> =
                quote(behind_text).into_iter().chain(segment.iter().copied()).chain(quote(text)).collect();
            behind_text = text;
            if bytes.len() > PIECE || bytes.contains(&b'\\') {
                return self.clear();
            }
            if let Some(before) = self.pieces.last_mut() {
                before.ahead = bytes.iter().position(|b| *b == b'"').unwrap_or(bytes.len());
            }
            quotes += bytes.iter().filter(|b| **b == b'"').count();
            self.pieces.push(Piece::new(&bytes, text, quotes));
        }
        let last = Token::new(Kind::Null, 0, 0);
        self.tokens.resize(self.pieces.len() * MOST, last);
        self.places.resize((quotes + 1) * MOST + ROOM, 0);
        self.starts.resize(MOST, 0);
    }

    /// Nothing is expected.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
    }

    /// Whether anything is.
    pub(super) fn expects(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Reads some of the objects at these places of all bytes, up to the first that is not as expected: how many, and whether
    /// there was such a one. Of those near the end of all bytes none is read.
    #[allow(unsafe_code, reason = "a third of the time is saved")]
    pub(super) fn read(&mut self, all: &[u8], texts: impl Iterator<Item = Range<usize>>) -> (usize, bool) {
        // SAFETY: the processor was asked for the instructions.
        #[cfg(target_arch = "x86_64")]
        unsafe {
            if has_avx512() {
                return self.read_avx512(all, texts);
            } else if has_avx2() {
                return self.read_avx2(all, texts);
            }
        }
        self.read_by(all, texts, quotes::find)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
    fn read_avx512(&mut self, all: &[u8], texts: impl Iterator<Item = Range<usize>>) -> (usize, bool) {
        self.read_by(all, texts, |all, start, end, expected, places| {
            quotes::find_avx512(all, start, end, expected, places)
        })
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    fn read_avx2(&mut self, all: &[u8], texts: impl Iterator<Item = Range<usize>>) -> (usize, bool) {
        self.read_by(all, texts, quotes::find)
    }

    /// [`Skim::read`] with what finds quotes.
    #[inline(always)]
    fn read_by(
        &mut self,
        all: &[u8],
        texts: impl Iterator<Item = Range<usize>>,
        find: impl Fn(&[u8], usize, usize, usize, &mut [u16]) -> Option<bool>,
    ) -> (usize, bool) {
        let Some(last) = self.pieces.last() else {
            return (0, true);
        };
        let row = last.row();
        let (mut tried, mut count) = (0, 0);
        for (text, start) in texts.zip(&mut self.starts).take(self.reach) {
            if text.end + ROOM > all.len() {
                break;
            }
            tried += 1;
            if text.len() > MAX_TEXT {
                break;
            }
            let places = &mut self.places[count * row..];
            let Some(high) = find(all, text.start, text.end, last.quote, places) else {
                break;
            };
            if high && std::str::from_utf8(&all[text.clone()]).is_err() {
                break;
            }
            places[last.quote] = text.len() as u16;
            *start = text.start;
            count += 1;
        }
        let fit = self.compare(all, count);
        self.reach = if fit == tried { (2 * self.reach).min(MOST) } else { fit.max(1) };
        (fit, fit < tried)
    }

    /// Of the objects that were read last only so many are of use: the next time as many are tried.
    pub(super) fn refuse(&mut self, fit: usize) {
        self.reach = fit.max(1);
    }

    /// Compares the bytes between the values of so many objects, and passes the values that are no strings: how many, from
    /// the first on, are as expected.
    #[inline(always)]
    fn compare(&mut self, all: &[u8], count: usize) -> usize {
        let Some((last, pieces)) = self.pieces.split_last() else {
            return 0;
        };
        let row = last.row();
        let starts = &self.starts[..count];
        let mut ends = [0; MOST];
        let mut differ = [[0; PIECE / 8]; MOST];
        ends[..count].copy_from_slice(starts);
        for (piece, tokens) in pieces.iter().zip(self.tokens.as_chunks_mut::<MOST>().0) {
            let quotes = self.places.iter().skip(piece.quote).step_by(row);
            let objects = starts.iter().zip(quotes).zip(&mut ends).zip(&mut differ);
            if piece.text {
                for (((start, quote), end), differ) in objects {
                    piece.compare(all, *end, differ);
                    *end = start + usize::from(*quote);
                }
                continue;
            }
            for ((((start, quote), end), differ), token) in objects.zip(tokens) {
                piece.compare(all, *end, differ);
                // Where something differs, a place may lie before the object's start.
                let from = end.wrapping_add(piece.length);
                *end = (start + usize::from(*quote)).wrapping_sub(piece.ahead);
                if is_short_whole(all, from, *end) {
                    *token = Token::new(Kind::Integer, from, *end);
                    continue;
                }
                match Scan::new(all, from, all.len()).value() {
                    Ok(found) if found.end() == *end => *token = found,
                    _ => differ[0] = 1,
                }
            }
        }
        for (((start, places), end), differ) in starts.iter().zip(self.places.chunks(row)).zip(&ends).zip(&mut differ) {
            last.compare(all, *end, differ);
            differ[0] |= u64::from(end.wrapping_add(last.length) != start + usize::from(places[last.quote]));
        }
        differ[..count].iter().position(|differ| *differ != [0; PIECE / 8]).unwrap_or(count)
    }

    /// A value of the objects that were read last, for each of the first `count` of them.
    #[inline(always)]
    pub(super) fn values(&self, value: usize, count: usize) -> Values<'_> {
        let piece = &self.pieces[value];
        let row = self.pieces.last().map_or(1, Piece::row);
        let starts = &self.starts[..count];
        if piece.text {
            Values::Texts { starts, places: &self.places[piece.quote - 1..], row }
        } else {
            Values::Others(&self.tokens[value * MOST..][..count])
        }
    }
}

/// The processor has what [`Skim::read_avx2`] is made of.
#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
}

/// The processor has what [`Skim::read_avx512`] is made of.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vbmi2")
}

/// Where one value lies in each of some objects.
pub(super) enum Values<'a> {
    /// Strings: between two quotes, which are the first two of each row.
    Texts {
        starts: &'a [usize],
        places: &'a [u16],
        row: usize,
    },
    Others(&'a [Token]),
}

impl Values<'_> {
    /// One of them.
    #[inline(always)]
    pub(super) fn get(&self, object: usize) -> Token {
        match *self {
            Values::Texts { starts, places, row } => {
                let [open, close] = [0, 1].map(|i| starts[object] + usize::from(places[object * row + i]));
                Token::new(Kind::Text, open + 1, close)
            }
            Values::Others(tokens) => tokens[object],
        }
    }
}

impl Piece {
    fn new(bytes: &[u8], text: bool, quote: usize) -> Piece {
        let mut piece = Piece { length: bytes.len(), text, quote, ..Piece::default() };
        for (i, byte) in bytes.iter().enumerate() {
            piece.bytes[i / 8] |= u64::from(*byte) << (8 * (i % 8));
            piece.mask[i / 8] |= 0xff << (8 * (i % 8));
        }
        piece
    }

    /// Of the last one: how many places an object has, those of its quotes and its length.
    fn row(&self) -> usize {
        self.quote + 1
    }

    /// Sets bits when other bytes are at this place.
    #[inline(always)]
    fn compare(&self, all: &[u8], at: usize, differ: &mut [u64; PIECE / 8]) {
        let Some(bytes) = all.get(at..).and_then(<[u8]>::first_chunk::<PIECE>) else {
            differ[0] = 1;
            return;
        };
        let words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        for (differ, ((word, bytes), mask)) in differ.iter_mut().zip(words.zip(&self.bytes).zip(&self.mask)) {
            *differ |= (word ^ bytes) & mask;
        }
    }
}
