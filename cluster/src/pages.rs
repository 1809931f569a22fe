//! The pages that memory comes in.

/// Asks Linux for small pages from now on, in this process and those that it starts. A huge one is cleared as a whole before
/// its first byte is written: a worker waits a millisecond for each, and an epoch's buffers are new all the time. Elsewhere
/// it does nothing.
pub fn small() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay on");
    }
}
