//! What many rows ask for is asked of memory for all of them at once: a processor waits for one after the other only where
//! it does not know the next one yet.

/// Something will be looked at: it begins to come from memory, and nobody waits for it yet. Where Rust has no instruction for
/// that it is read, for which a processor need not wait either while it can go on.
#[inline]
#[allow(unsafe_code, reason = "the processor's instruction, which only takes a hint")]
pub fn prefetch<T: Copy>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor knows it, and it reads nothing that the program could see.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::black_box(*value);
}
