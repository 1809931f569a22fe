//! The fields of JSON objects that mostly look like the one before.
//!
//! Records of a topic are written by one program, so their keys come in one order with the same bytes between the
//! values: `{"ip":` … `,"userid":` … `}`. An [`ObjectReader`] keeps these bytes as its *layout* and follows it: compare
//! the bytes, pass the value, compare the next. No key is looked up. Where a record differs, it is read once more, key
//! by key, and its layout is kept for the next. Of some that are alike, many are read together ([`Skim`]).
//!
//! Which field a column takes depends on the keys alone (ksqlDB: the key of the column's very name, else the last one
//! whose upper case is the name; of equal keys the last value), so it is part of the layout.

use super::node::text_of;
use super::scan::{Malformed, Scan, Token};
use super::skim::{Skim, Values};
use hashbrown::HashMap;
use std::ops::Range;

/// Reads objects for a fixed list of names.
pub(super) struct ObjectReader {
    names: HashMap<String, u32>,
    /// Keys that were seen, unescaped, and what they mean.
    known: HashMap<Box<str>, Meaning>,
    layout: Layout,
    skim: Skim,
    /// How many objects of the layout were read one by one since its like were last sought in vain.
    alone: u32,
    /// The values of the last object, in its order.
    tokens: Vec<Token>,
    /// While a layout is read: for each name the number of the value whose key is the name itself.
    exact: Vec<u32>,
}

/// The names that a key can stand for.
#[derive(Clone, Copy)]
struct Meaning {
    /// The name that is the key.
    exact: Option<u32>,
    /// The name that is the key in upper case, when the key is not.
    folded: Option<u32>,
}

#[derive(Default)]
struct Layout {
    /// All bytes that are not values, one segment after the other.
    bytes: Vec<u8>,
    /// Where the segment before each value ends, then the one behind the last value.
    ends: Vec<u32>,
    /// For each name the number of its value, [`MISSING`] when it has none.
    places: Vec<u32>,
    /// It can be followed; false at first and after objects that are too odd to expect them again.
    known: bool,
}

const MISSING: u32 = u32::MAX;

/// Layouts with more bytes than this are not kept.
const MAX_LAYOUT: usize = 64 << 10;

/// So many objects of one layout are read one by one before others are expected to be like the last of them, or again like
/// the one before.
const ALONE: u32 = 32;

/// With fewer than these in a row, none are sought for a while.
const FEW: usize = 4;

/// More distinct keys than this are a sign of keys that are data, and not kept.
const MAX_KNOWN: usize = 4096;

impl ObjectReader {
    /// For these names; a field's position in the list is its number.
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let names: HashMap<String, u32> = names.into_iter().zip(0..).collect();
        ObjectReader {
            names,
            known: HashMap::new(),
            layout: Layout::default(),
            skim: Skim::default(),
            alone: 0,
            tokens: Vec::new(),
            exact: Vec::new(),
        }
    }

    /// Reads one object, which is all of the text, space around it apart.
    ///
    /// # Errors
    /// When the text is no JSON. When it is JSON but no object, the value is returned.
    #[inline(always)]
    pub(super) fn read(&mut self, scan: &mut Scan<'_>) -> Result<Option<Token>, Malformed> {
        self.alone = self.alone.saturating_add(1);
        if self.layout.known && self.follow(scan) {
            return scan.check_utf8().map(|()| None);
        }
        scan.rewind();
        self.skim.clear();
        self.alone = 0;
        self.explore(scan)
    }

    /// Reads objects at these places of all bytes, up to the first that is not like one that was read before: how many.
    pub(super) fn read_alike(&mut self, all: &[u8], texts: impl Iterator<Item = Range<usize>>) -> usize {
        if !self.layout.known || self.alone < ALONE {
            return 0;
        }
        if !self.skim.expects() {
            self.skim.expect(self.layout.segments(), &self.tokens);
        }
        let (fit, other) = self.skim.read(all, texts);
        if other && fit < FEW {
            self.alone = 0;
        }
        if other && fit == 0 {
            self.skim.clear();
        }
        fit
    }

    /// Of the objects that were read together last, only so many have values that can be taken as they are.
    pub(super) fn refuse_alike(&mut self, fit: usize) {
        self.skim.refuse(fit);
        if fit < FEW {
            self.alone = 0;
        }
    }

    /// The value for a name, by its number, of the first `count` objects that were read together last.
    #[inline(always)]
    pub(super) fn get_alike(&self, number: usize, count: usize) -> Option<Values<'_>> {
        let place = self.layout.places.get(number).filter(|p| **p != MISSING)?;
        Some(self.skim.values(*place as usize, count))
    }

    /// The value for a name, by its number, of the object that was read last.
    #[inline(always)]
    pub(super) fn get(&self, number: usize) -> Option<Token> {
        let place = self.layout.places.get(number)?;
        self.tokens.get(*place as usize).copied()
    }

    /// Reads an object of the known layout; false when it is of another one or malformed.
    #[inline(always)]
    fn follow(&mut self, scan: &mut Scan<'_>) -> bool {
        let Layout { bytes, ends, .. } = &self.layout;
        let mut from = 0;
        let Some((last, ends)) = ends.split_last() else {
            return false;
        };
        for (end, slot) in ends.iter().zip(&mut self.tokens) {
            let end = *end as usize;
            if !scan.expect(&bytes[from..end]) {
                return false;
            }
            from = end;
            match scan.value() {
                Ok(token) => *slot = token,
                Err(_) => return false,
            }
        }
        scan.expect(&bytes[from..*last as usize]) && scan.ended()
    }

    /// Reads an object of any layout and keeps its layout.
    #[cold]
    fn explore(&mut self, scan: &mut Scan<'_>) -> Result<Option<Token>, Malformed> {
        self.layout.known = false;
        self.layout.bytes.clear();
        self.layout.ends.clear();
        self.tokens.clear();
        let all = scan.all();
        let mut from = scan.at();
        self.layout.places.clear();
        self.layout.places.resize(self.names.len(), MISSING);
        self.exact.clear();
        self.exact.resize(self.names.len(), MISSING);

        scan.space();
        if scan.peek() != b'{' {
            let token = scan.value()?;
            scan.finish()?;
            return Ok(Some(token));
        }
        scan.step();
        scan.space();
        if !scan.take(b'}') {
            loop {
                let key = text_of(all, scan.key()?);
                self.layout.add(&all[from..scan.at()]);
                let token = scan.value()?;
                from = scan.at();
                let place = self.tokens.len() as u32;
                self.tokens.push(token);
                let meaning = self.meaning(&key);
                if let Some(number) = meaning.folded {
                    self.layout.places[number as usize] = place;
                }
                if let Some(number) = meaning.exact {
                    self.exact[number as usize] = place;
                }
                scan.space();
                if scan.take(b'}') {
                    break;
                }
                scan.comma()?;
            }
        }
        scan.finish()?;
        self.layout.add(&all[from..scan.at()]);
        self.layout.known = self.layout.bytes.len() <= MAX_LAYOUT;

        for (place, exact) in self.layout.places.iter_mut().zip(&self.exact) {
            if *exact != MISSING {
                *place = *exact;
            }
        }
        Ok(None)
    }

    /// What a key stands for.
    fn meaning(&mut self, key: &str) -> Meaning {
        if let Some(meaning) = self.known.get(key) {
            return *meaning;
        }
        let exact = self.names.get(key).copied();
        let folded = self.names.get(&key.to_uppercase()).copied().filter(|n| Some(*n) != exact);
        let meaning = Meaning { exact, folded };
        if self.known.len() < MAX_KNOWN && key.len() < 1024 {
            self.known.insert(key.into(), meaning);
        }
        meaning
    }
}

impl Layout {
    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(from, to)| &self.bytes[*from as usize..*to as usize])
    }

    /// Adds a segment; once there are too many bytes the layout is of no use.
    fn add(&mut self, segment: &[u8]) {
        if self.bytes.len() <= MAX_LAYOUT {
            self.bytes.extend_from_slice(segment);
            self.ends.push(self.bytes.len() as u32);
        }
    }
}

/// Reads a text that is one value of any kind.
///
/// # Errors
/// When the text is no JSON.
pub(super) fn read_bare(scan: &mut Scan<'_>) -> Result<Token, Malformed> {
    scan.space();
    let token = scan.value()?;
    scan.finish()?;
    Ok(token)
}
