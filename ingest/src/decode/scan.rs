//! JSON as tokens over the bytes of a batch: where a value starts and ends, and of which kind it is. Nothing is
//! copied or unescaped; everything that is passed over is checked to be well-formed.

use super::number::{above_nine, digits};
use super::quotes::Masks;

/// What stands at a [`Token`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string without escapes; the token lies between the quotes.
    Text,
    /// A string with escapes; the token lies between the quotes.
    Escaped,
    /// A number of a sign and digits only.
    Integer,
    /// A number with a fraction or an exponent.
    Fraction,
    True,
    False,
    Null,
    /// The token lies around the brackets.
    Array,
    /// The token lies around the braces.
    Object,
}

/// A value, by its place in the batch's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Start and end in one word: with three fields, processors would pass a token through memory, and wait for it there.
    place: u64,
}

impl Token {
    /// At `start..end` of all bytes.
    #[inline(always)]
    pub(super) fn new(kind: Kind, start: usize, end: usize) -> Token {
        Token { kind, place: start as u64 | (end as u64) << 32 }
    }

    #[inline(always)]
    pub(super) fn start(self) -> usize {
        self.place as u32 as usize
    }

    #[inline(always)]
    pub(super) fn end(self) -> usize {
        (self.place >> 32) as usize
    }

    pub(super) fn bytes(self, all: &[u8]) -> &[u8] {
        all.get(self.start()..self.end()).unwrap_or_default()
    }
}

/// Why a text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) what: &'static str,
    /// Bytes from the start of the text.
    pub(super) at: usize,
}

/// Nesting beyond this is refused, as ksqlDB's parser does, so that a text cannot exhaust the stack.
const MAX_DEPTH: u16 = 1000;

/// A reader of one text, which lies in `all[start..end]`. Bytes behind the text may be looked at, never used.
pub(super) struct Scan<'a> {
    all: &'a [u8],
    start: usize,
    end: usize,
    at: usize,
    /// Not zero when a byte above 127 was passed, in the text or a little behind it.
    high: u64,
    depth: u16,
}

impl<'a> Scan<'a> {
    pub(super) fn new(all: &'a [u8], start: usize, end: usize) -> Self {
        let end = end.min(all.len());
        Scan { all, start, end, at: start.min(end), high: 0, depth: 0 }
    }

    /// The bytes that tokens point into.
    pub(super) fn all(&self) -> &'a [u8] {
        self.all
    }

    /// Where it stands.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes back to the start.
    pub(super) fn rewind(&mut self) {
        self.at = self.start;
        self.depth = 0;
    }

    /// The byte at `at`; 0, which is nowhere allowed outside of a string, behind the end.
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        if at < self.end { self.all[at] } else { 0 }
    }

    /// The next byte, 0 at the end.
    #[inline(always)]
    pub(super) fn peek(&self) -> u8 {
        self.byte(self.at)
    }

    /// Passes one byte.
    pub(super) fn step(&mut self) {
        self.at += 1;
    }

    /// Passes one byte if it is this one.
    #[inline(always)]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let same = self.peek() == byte;
        self.at += usize::from(same);
        same
    }

    /// Passes these very bytes, if they come next.
    #[inline(always)]
    pub(super) fn expect(&mut self, bytes: &[u8]) -> bool {
        let to = self.at + bytes.len();
        let same = to <= self.end && same_bytes(&self.all[self.at..to], bytes);
        if same {
            self.at = to;
        }
        same
    }

    /// Passes white space.
    #[inline(always)]
    pub(super) fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// True when nothing is left.
    pub(super) fn ended(&self) -> bool {
        self.at == self.end
    }

    pub(super) fn malformed(&self, what: &'static str) -> Malformed {
        self.malformed_at(self.at, what)
    }

    fn malformed_at(&self, at: usize, what: &'static str) -> Malformed {
        let what = if at >= self.end { "the text ends too early" } else { what };
        Malformed { what, at: at.min(self.end) - self.start }
    }

    /// Checks that nothing but space is left and that the text is UTF-8.
    pub(super) fn finish(&mut self) -> Result<(), Malformed> {
        self.space();
        if !self.ended() {
            return Err(self.malformed("something follows the JSON value"));
        }
        self.check_utf8()
    }

    /// Checks that the text is UTF-8. Only strings can hold other bytes than ASCII, so it is enough to look when
    /// they did.
    #[inline(always)]
    pub(super) fn check_utf8(&self) -> Result<(), Malformed> {
        if self.high == 0 {
            return Ok(());
        }
        match std::str::from_utf8(&self.all[self.start..self.end]) {
            Ok(_) => Ok(()),
            Err(e) => Err(Malformed { what: "the text is not UTF-8", at: e.valid_up_to() }),
        }
    }

    /// Passes a value of any kind.
    #[inline(always)]
    pub(super) fn value(&mut self) -> Result<Token, Malformed> {
        match self.peek() {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.other(),
        }
    }

    fn other(&mut self) -> Result<Token, Malformed> {
        let (word, kind) = match self.peek() {
            b'{' => return self.nested(Kind::Object),
            b'[' => return self.nested(Kind::Array),
            b't' => (&b"true"[..], Kind::True),
            b'f' => (&b"false"[..], Kind::False),
            b'n' => (&b"null"[..], Kind::Null),
            _ => return Err(self.malformed("a value was expected")),
        };
        let start = self.at;
        if self.expect(word) { Ok(self.token(kind, start)) } else { Err(self.malformed("a value was expected")) }
    }

    /// From `start` to where it stands.
    #[inline(always)]
    fn token(&self, kind: Kind, start: usize) -> Token {
        Token::new(kind, start, self.at)
    }

    /// Passes a string, which starts here.
    #[inline(always)]
    pub(super) fn string(&mut self) -> Result<Token, Malformed> {
        if self.peek() != b'"' {
            return Err(self.malformed("a string was expected"));
        }
        let start = self.at + 1;
        let at = self.special(start);
        if self.byte(at) == b'"' {
            self.at = at + 1;
            return Ok(Token::new(Kind::Text, start, at));
        }
        self.string_with_escapes(start, at)
    }

    /// The rest of a string from its first byte that is special.
    #[cold]
    fn string_with_escapes(&mut self, start: usize, mut at: usize) -> Result<Token, Malformed> {
        let mut kind = Kind::Text;
        loop {
            if at >= self.end {
                return Err(self.malformed_at(at, ""));
            }
            match self.byte(at) {
                b'"' => break,
                b'\\' => {
                    kind = Kind::Escaped;
                    at += match self.byte(at + 1) {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
                        b'u' if (2..6).all(|i| self.byte(at + i).is_ascii_hexdigit()) => 6,
                        _ => return Err(self.malformed_at(at, "an unknown escape in a string")),
                    };
                }
                _ => return Err(self.malformed_at(at, "a control character in a string")),
            }
            at = self.special(at);
        }
        self.at = at + 1;
        Ok(Token::new(kind, start, at))
    }

    /// Position of the next quote, backslash or control character, at `end` or behind it when there is none.
    #[inline(always)]
    fn special(&mut self, mut at: usize) -> usize {
        while at < self.end {
            let Some(chunk) = self.all[at..].first_chunk::<16>() else {
                break;
            };
            let masks = Masks::of(chunk);
            self.high |= masks.high;
            let special = masks.quotes | masks.odd;
            if special != 0 {
                return at + special.trailing_zeros() as usize;
            }
            at += 16;
        }
        while at < self.end {
            let byte = self.all[at];
            self.high |= u64::from(byte & 0x80);
            if byte < 0x20 || byte == b'"' || byte == b'\\' {
                break;
            }
            at += 1;
        }
        at
    }

    /// Passes a number, which starts here.
    #[inline(always)]
    fn number(&mut self) -> Result<Token, Malformed> {
        let start = self.at;
        let mut at = start + usize::from(self.peek() == b'-');
        match self.byte(at) {
            b'0' => at += 1,
            b'1'..=b'9' => at = self.digits(at),
            _ => return Err(self.malformed_at(at, "a digit was expected")),
        }
        self.at = at;
        if matches!(self.byte(at), b'.' | b'e' | b'E') {
            self.fraction(start)
        } else {
            Ok(self.token(Kind::Integer, start))
        }
    }

    /// The rest of a number behind its whole part.
    fn fraction(&mut self, start: usize) -> Result<Token, Malformed> {
        let mut at = self.at;
        if self.byte(at) == b'.' {
            at = self.some_digits(at + 1)?;
        }
        if matches!(self.byte(at), b'e' | b'E') {
            at += 1;
            at += usize::from(matches!(self.byte(at), b'+' | b'-'));
            let exponent = at;
            at = self.some_digits(at)?;
            // Java has no number with an exponent of more than 32 bits.
            let value = self.all[exponent..at]
                .iter()
                .fold(0_u32, |v, d| v.saturating_mul(10).saturating_add(u32::from(d.wrapping_sub(b'0'))));
            if i32::try_from(value).is_err() {
                return Err(self.malformed_at(exponent, "an exponent beyond all bounds"));
            }
        }
        self.at = at;
        Ok(self.token(Kind::Fraction, start))
    }

    fn some_digits(&self, at: usize) -> Result<usize, Malformed> {
        match self.digits(at) {
            to if to > at => Ok(to),
            _ => Err(self.malformed_at(at, "a digit was expected")),
        }
    }

    /// The place behind the digits that start here.
    #[inline(always)]
    fn digits(&self, mut at: usize) -> usize {
        while at < self.end
            && let Some(chunk) = self.all[at..].first_chunk()
        {
            let others = above_nine(digits(u64::from_le_bytes(*chunk)));
            if others != 0 {
                return (at + others.trailing_zeros() as usize / 8).min(self.end);
            }
            at += 8;
        }
        at = at.min(self.end);
        while self.byte(at).is_ascii_digit() {
            at += 1;
        }
        at
    }

    /// Passes an array or object, which starts here.
    fn nested(&mut self, kind: Kind) -> Result<Token, Malformed> {
        if self.depth == MAX_DEPTH {
            return Err(self.malformed("it is nested too deep"));
        }
        self.depth += 1;
        let start = self.at;
        let close = if kind == Kind::Object { b'}' } else { b']' };
        self.at += 1;
        self.space();
        if !self.take(close) {
            loop {
                if kind == Kind::Object {
                    self.key()?;
                }
                self.value()?;
                self.space();
                if self.take(close) {
                    break;
                }
                self.comma()?;
            }
        }
        self.depth -= 1;
        Ok(self.token(kind, start))
    }

    /// Passes an object's key, the colon and the space behind it.
    pub(super) fn key(&mut self) -> Result<Token, Malformed> {
        let key = self.string()?;
        self.space();
        if !self.take(b':') {
            return Err(self.malformed("a colon was expected"));
        }
        self.space();
        Ok(key)
    }

    /// Passes a comma and the space behind it.
    pub(super) fn comma(&mut self) -> Result<(), Malformed> {
        if !self.take(b',') {
            return Err(self.malformed("a comma or the end of the array or object was expected"));
        }
        self.space();
        Ok(())
    }
}

/// Whether two slices of one length are the same, without a call for so few bytes.
#[inline(always)]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    let word = |s: &[u8], at: usize| s[at..].first_chunk::<8>().map(|c| u64::from_le_bytes(*c));
    let n = a.len();
    match n {
        0..4 => return a.iter().eq(b),
        4..8 => return a.first_chunk::<4>() == b.first_chunk() && a.last_chunk::<4>() == b.last_chunk(),
        8..=32 => {}
        _ => return a == b,
    }
    let mut at = 0;
    let mut differ = false;
    while at + 8 < n {
        differ |= word(a, at) != word(b, at);
        at += 8;
    }
    !differ && word(a, n - 8) == word(b, n - 8)
}
