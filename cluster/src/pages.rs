//! The pages that memory comes in.

/// Makes the memory of an epoch's buffers, which come and go all the time, come cheap. To be called first of all in a process.
///
/// Linux is asked for small pages, in this process and those that it starts: a huge one is cleared as a whole before its first
/// byte is written, and a worker waits a millisecond for each. And freed memory is given back only when nobody wanted it for
/// ten seconds: what is given back after one, as the allocator does of itself, is soon asked for again, and every page of it
/// cleared. `MIMALLOC_PURGE_DELAY` in the environment, in ms, says otherwise.
pub fn prepare() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay on");
    }
    keep_freed();
}

/// mimalloc's `mi_option_purge_delay`, which its crate gives no name, and what it is when nobody has set it.
const PURGE_DELAY: (libmimalloc_sys::mi_option_t, std::ffi::c_long) = (15, 1000);

#[allow(unsafe_code, reason = "an option of the allocator")]
fn keep_freed() {
    let (option, default) = PURGE_DELAY;
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
        return;
    }
    // SAFETY: no other thread sets options.
    unsafe {
        if libmimalloc_sys::mi_option_get(option) == default {
            libmimalloc_sys::mi_option_set(option, 10 * default);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[allow(unsafe_code, reason = "an option of the allocator")]
    fn the_option_is_the_one_that_is_meant() {
        let (option, default) = super::PURGE_DELAY;
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            // SAFETY: no other thread sets options.
            assert_eq!(unsafe { libmimalloc_sys::mi_option_get(option) }, default);
        }
    }
}
