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
    let (mut count, mut odd, mut high) = (0, 0, 0);
    for at in (start..end).step_by(BLOCK) {
        let block = all.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>)?;
        let there = u64::MAX >> (BLOCK - (end - at).min(BLOCK));
        let mut quotes = 0;
        for (i, bytes) in block.as_chunks().0.iter().enumerate() {
            let masks = Masks::of(bytes);
            quotes |= u64::from(masks.quotes) << (16 * i);
            odd |= u64::from(masks.odd) << (16 * i) & there;
            high |= u64::from(masks.high) << (16 * i) & there;
        }
        quotes &= there;
        let found = quotes.count_ones() as usize;
        // Eight in one go, although there may be fewer: how many there are cannot be foreseen.
        for eight in places.get_mut(count..)?.as_chunks_mut::<8>().0.iter_mut().take(found.div_ceil(8)) {
            for place in eight {
                *place = ((at - start) as u16).wrapping_add(quotes.trailing_zeros() as u16);
                quotes &= quotes.wrapping_sub(1);
            }
        }
        count += found;
        if count > expected {
            return None;
        }
    }
    (count == expected && odd == 0).then_some(high != 0)
}

/// [`find`] with the instructions of AVX-512 that write down which bits of 64 are set.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2,bmi1,bmi2,lzcnt,popcnt")]
#[allow(unsafe_code, reason = "a block's places are found twice as fast")]
#[inline]
pub(super) fn find_avx512(all: &[u8], start: usize, end: usize, expected: usize, places: &mut [u16]) -> Option<bool> {
    use std::arch::x86_64::{
        _mm512_add_epi16, _mm512_castsi512_si256, _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask, _mm512_cvtepu8_epi16,
        _mm512_loadu_epi8, _mm512_maskz_compress_epi8, _mm512_movepi8_mask, _mm512_set1_epi8, _mm512_set1_epi16,
        _mm512_storeu_epi16,
    };
    const WITHIN: [i8; BLOCK] = {
        let mut within = [0; BLOCK];
        let mut i = 0;
        while i < BLOCK {
            within[i] = i as i8;
            i += 1;
        }
        within
    };
    // SAFETY: it reads 64 bytes, which are there.
    let load = |bytes: &[i8; BLOCK]| unsafe { _mm512_loadu_epi8(bytes.as_ptr()) };
    let within = load(&WITHIN);
    let (mut count, mut odd, mut high) = (0, 0, 0);
    for at in (start..end).step_by(BLOCK) {
        let block = all.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>)?;
        let there = u64::MAX >> (BLOCK - (end - at).min(BLOCK));
        // SAFETY: it reads 64 bytes, which are there.
        let bytes = unsafe { _mm512_loadu_epi8(block.as_ptr().cast()) };
        let quotes = there & _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b'"' as i8));
        odd |= there & _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b'\\' as i8));
        odd |= there & _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(b' ' as i8));
        high |= there & _mm512_movepi8_mask(bytes);
        let found = _mm512_castsi512_si256(_mm512_maskz_compress_epi8(quotes, within));
        let found = _mm512_add_epi16(_mm512_cvtepu8_epi16(found), _mm512_set1_epi16((at - start) as i16));
        let out: &mut [u16; BLOCK / 2] = places.get_mut(count..)?.first_chunk_mut()?;
        // SAFETY: it writes 32 places of 16 bits, which are there.
        unsafe { _mm512_storeu_epi16(out.as_mut_ptr().cast(), found) };
        let quotes = quotes.count_ones() as usize;
        // Those beyond were not written.
        odd |= u64::from(quotes > BLOCK / 2);
        count += quotes;
        if count > expected {
            return None;
        }
    }
    (count == expected && odd == 0).then_some(high != 0)
}

/// One bit for each of 16 bytes.
pub(super) struct Masks {
    pub(super) quotes: u32,
    /// Backslashes and control characters.
    pub(super) odd: u32,
    /// Above 127.
    pub(super) high: u32,
}

impl Masks {
    #[cfg(target_arch = "x86_64")]
    #[allow(unsafe_code, reason = "sixteen bytes at once make strings three times as fast to pass")]
    #[inline(always)]
    pub(super) fn of(chunk: &[u8; 16]) -> Masks {
        use std::arch::x86_64::{
            _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8,
        };
        let word = u128::from_le_bytes(*chunk);
        // SAFETY: these need SSE2, which every x86-64 processor has; no memory is touched through pointers.
        unsafe {
            // This compiles to one load.
            let bytes = _mm_set_epi64x((word >> 64) as i64, word as i64);
            let quotes = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
            let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
            let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
            Masks {
                quotes: _mm_movemask_epi8(quotes) as u32,
                odd: _mm_movemask_epi8(_mm_or_si128(backslash, control)) as u32,
                high: _mm_movemask_epi8(bytes) as u32,
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub(super) fn of(chunk: &[u8; 16]) -> Masks {
        let mut masks = Masks { quotes: 0, odd: 0, high: 0 };
        for (i, &byte) in chunk.iter().enumerate() {
            masks.quotes |= u32::from(byte == b'"') << i;
            masks.odd |= u32::from(byte < 0x20 || byte == b'\\') << i;
            masks.high |= u32::from(byte > 127) << i;
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
                // It may give up where there are very many.
                let found = run(find, &all, end, expected);
                prop_assert!(found == right || found.is_none() && text.contains(&"\"".repeat(25)));
            }
        }
    }
}
