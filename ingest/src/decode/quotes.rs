//! Where the quotes of a text are, found in one pass over its bytes.
//!
//! The idea of such a pass is simdjson's (Langdale and Lemire, "Parsing gigabytes of JSON per second", 2019).

/// Bytes that are looked at together.
const BLOCK: usize = 64;

/// Of a longer text, 16 bits cannot tell the places.
pub(super) const MAX_TEXT: usize = u16::MAX as usize;

/// So many places more may be overwritten than a text has quotes, and so many bytes must stand behind it.
pub(super) const ROOM: usize = BLOCK;

/// Writes the places of the quotes of `all[start..end]`, in bytes from its start, to `places`, and returns whether the text
/// has a byte above 127. `None` when it has not as many as `expected`; or a backslash or control character, with which a
/// quote need not be the start or end of a string; or when it stands at the end of `all`, with less than [`ROOM`] behind it.
#[inline(always)]
pub(super) fn find(all: &[u8], start: usize, end: usize, expected: usize, places: &mut [u16]) -> Option<bool> {
    let look = |block: &[u8; BLOCK]| {
        let mut all = Masks { quotes: 0, odd: 0, high: 0 };
        for (i, bytes) in block.as_chunks().0.iter().enumerate() {
            let masks = Masks::of(bytes);
            all.quotes |= masks.quotes << (16 * i);
            all.odd |= masks.odd << (16 * i);
            all.high |= masks.high << (16 * i);
        }
        all
    };
    let write = |mut quotes: u64, base: u16, places: &mut [u16; BLOCK]| {
        // Eight in one go, although there may be fewer: how many there are cannot be foreseen.
        let eights = quotes.count_ones().div_ceil(8) as usize;
        for place in places.as_chunks_mut::<8>().0.iter_mut().take(eights).flatten() {
            *place = base.wrapping_add(quotes.trailing_zeros() as u16);
            quotes &= quotes.wrapping_sub(1);
        }
    };
    find_by(all, start, end, expected, places, look, write)
}

/// [`find`] with the instructions of AVX-512 that write down which bits of 64 are set.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[allow(unsafe_code, reason = "a block's places are found twice as fast")]
#[inline]
pub(super) fn find_avx512(all: &[u8], start: usize, end: usize, expected: usize, places: &mut [u16]) -> Option<bool> {
    use std::arch::x86_64::{
        _mm512_add_epi16, _mm512_castsi512_si256, _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask, _mm512_cvtepu8_epi16,
        _mm512_extracti64x4_epi64, _mm512_loadu_epi8, _mm512_maskz_compress_epi8, _mm512_movepi8_mask,
        _mm512_set1_epi8, _mm512_set1_epi16, _mm512_storeu_epi16,
    };
    const WITHIN: [u8; BLOCK] = {
        let mut within = [0; BLOCK];
        let mut i = 0;
        while i < BLOCK {
            within[i] = i as u8;
            i += 1;
        }
        within
    };
    // SAFETY: it reads 64 bytes, which are there.
    let load = |bytes: &[u8; BLOCK]| unsafe { _mm512_loadu_epi8(bytes.as_ptr().cast()) };
    let within = load(&WITHIN);
    let look = |block: &[u8; BLOCK]| {
        let bytes = load(block);
        Masks {
            quotes: _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b'"' as i8)),
            odd: _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b'\\' as i8))
                | _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(b' ' as i8)),
            high: _mm512_movepi8_mask(bytes),
        }
    };
    let write = |quotes: u64, base: u16, places: &mut [u16; BLOCK]| {
        let found = _mm512_maskz_compress_epi8(quotes, within);
        let base = _mm512_set1_epi16(base as i16);
        let halves = [_mm512_castsi512_si256(found), _mm512_extracti64x4_epi64::<1>(found)];
        let used = if quotes.count_ones() > 32 { 2 } else { 1 };
        for (half, places) in halves.into_iter().zip(places.as_chunks_mut::<32>().0).take(used) {
            let half = _mm512_add_epi16(_mm512_cvtepu8_epi16(half), base);
            // SAFETY: it writes 32 places of 16 bits, which are there.
            unsafe { _mm512_storeu_epi16(places.as_mut_ptr().cast(), half) };
        }
    };
    find_by(all, start, end, expected, places, look, write)
}

/// [`find`] by what looks at a block, and what writes down the places of its quotes from a base on.
#[inline(always)]
fn find_by(
    all: &[u8],
    start: usize,
    end: usize,
    expected: usize,
    places: &mut [u16],
    look: impl Fn(&[u8; BLOCK]) -> Masks,
    write: impl Fn(u64, u16, &mut [u16; BLOCK]),
) -> Option<bool> {
    let (mut count, mut odd, mut high) = (0, 0, 0);
    for at in (start..end).step_by(BLOCK) {
        let masks = look(all.get(at..).and_then(<[u8]>::first_chunk)?);
        let there = u64::MAX >> (BLOCK - (end - at).min(BLOCK));
        odd |= masks.odd & there;
        high |= masks.high & there;
        let quotes = masks.quotes & there;
        write(quotes, (at - start) as u16, places.get_mut(count..)?.first_chunk_mut()?);
        count += quotes.count_ones() as usize;
        if count > expected {
            return None;
        }
    }
    (count == expected && odd == 0).then_some(high != 0)
}

/// One bit for each of some bytes, 64 at most.
pub(super) struct Masks {
    pub(super) quotes: u64,
    /// Backslashes and control characters.
    pub(super) odd: u64,
    /// Above 127.
    pub(super) high: u64,
}

impl Masks {
    /// Of 16 bytes.
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "sixteen bytes at once make strings three times as fast to pass")]
    #[inline(always)]
    pub(super) fn of(chunk: &[u8; 16]) -> Masks {
        use std::arch::x86_64::{
            __m128i, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
        };
        let word = u128::from_le_bytes(*chunk);
        // SAFETY: these need SSE2, which every x86-64 processor has; no memory is touched through pointers.
        unsafe {
            // This compiles to one load.
            let bytes = _mm_set_epi64x((word >> 64) as i64, word as i64);
            let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
            let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
            let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
            let bits = |bytes: __m128i| u64::from(_mm_movemask_epi8(bytes) as u32);
            Masks { quotes: bits(quotes), odd: bits(_mm_or_si128(backslash, control)), high: bits(bytes) }
        }
    }

    /// Of 16 bytes.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub(super) fn of(chunk: &[u8; 16]) -> Masks {
        let mut masks = Masks { quotes: 0, odd: 0, high: 0 };
        for (i, &byte) in chunk.iter().enumerate() {
            masks.quotes |= u64::from(byte == b'"') << i;
            masks.odd |= u64::from(byte < 0x20 || byte == b'\\') << i;
            masks.high |= u64::from(byte > 127) << i;
        }
        masks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What [`find`] says, byte by byte.
    fn naive(text: &[u8], expected: usize) -> Option<(Vec<u16>, bool)> {
        let places: Vec<u16> = (0..text.len()).filter(|i| text[*i] == b'"').map(|i| i as u16).collect();
        let odd = text.iter().any(|b| *b < 0x20 || *b == b'\\');
        (places.len() == expected && !odd).then(|| (places, text.iter().any(|b| *b > 127)))
    }

    fn run(
        find: impl Fn(&[u8], usize, usize, usize, &mut [u16]) -> Option<bool>,
        all: &[u8],
        end: usize,
        expected: usize,
    ) -> Option<(Vec<u16>, bool)> {
        let mut places = vec![0; expected + ROOM];
        find(all, 3, end, expected, &mut places).map(|high| (places[..expected].to_vec(), high))
    }

    proptest! {
        #[test]
        fn all_ways_find_the_same_quotes(
            text in prop_oneof![9 => "[\"\"a-fé{}:]{0,200}", 1 => "[\"a\\\\\n]{0,90}", 1 => "[a-c]{60}\"{30,64}"],
            more in prop_oneof![9 => Just(0_usize), 1 => 0..3_usize],
        ) {
            let end = 3 + text.len();
            let expected = text.matches('"').count() + more;
            let all = [b"\"\\\"", text.as_bytes(), &[b'"'; 64]].concat();
            let right = naive(text.as_bytes(), expected);
            prop_assert_eq!(&run(find, &all, end, expected), &right);
            if !text.len().is_multiple_of(BLOCK) {
                prop_assert_eq!(run(find, &all[..end], end, expected), None);
            }
            #[cfg(target_arch = "x86_64")]
            if crate::decode::skim::has_avx512() {
                #[allow(unsafe_code, reason = "the processor was asked")]
                let find = |all: &[u8], start, end, expected, places: &mut [u16]| unsafe {
                    find_avx512(all, start, end, expected, places)
                };
                prop_assert_eq!(run(find, &all, end, expected), right);
            }
        }
    }
}
