//! Where lines end, found in one pass: most are so short that a search for each takes longer to begin than to find.

/// Bytes that are looked at together.
const BLOCK: usize = 64;

/// The places of the line feeds of `bytes[from..]`, which is there.
#[allow(unsafe_code, reason = "the pass takes half as long")]
pub(super) fn find(bytes: &[u8], from: usize) -> Vec<usize> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") {
        // SAFETY: the processor was asked for the instructions.
        return unsafe { find_avx2(bytes, from) };
    }
    memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at).collect()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1")]
#[allow(unsafe_code, reason = "32 bytes are compared at once")]
fn find_avx2(bytes: &[u8], from: usize) -> Vec<usize> {
    use std::arch::x86_64::{_mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8};
    let feed = _mm256_set1_epi8(b'\n' as i8);
    let feeds = |bytes: &[u8; BLOCK / 2]| {
        // SAFETY: it reads 32 bytes, which are there.
        let bytes = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, feed)) as u32
    };
    let mut ends = Vec::with_capacity((bytes.len() - from) / 128);
    let (blocks, rest) = bytes[from..].as_chunks::<BLOCK>();
    for (block, at) in blocks.iter().zip((from..).step_by(BLOCK)) {
        let [low, high] = [0, 1].map(|half| u64::from(feeds(&block.as_chunks().0[half])));
        let mut feeds = low | high << (BLOCK / 2);
        while feeds != 0 {
            ends.push(at + feeds.trailing_zeros() as usize);
            feeds &= feeds - 1;
        }
    }
    let behind = bytes.len() - rest.len();
    ends.extend(memchr::memchr_iter(b'\n', rest).map(|at| behind + at));
    ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_line_feeds_are_found(text in "[\na-c]{0,20}([a-c]{0,70}\n{0,2}){0,5}", from in 0..99_usize) {
            let from = from.min(text.len());
            let all = (from..text.len()).filter(|at| text.as_bytes()[*at] == b'\n');
            prop_assert_eq!(find(text.as_bytes(), from), all.collect::<Vec<_>>());
        }
    }
}
