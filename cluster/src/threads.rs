//! Threads that answer while others compute.

use tokio::runtime::{Builder, Runtime};

/// What answers requests: its threads [answer soon](answer_soon).
///
/// # Errors
/// The system gives no threads.
pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).on_thread_start(answer_soon).enable_all().build()
}

/// When the calling thread has something to do, it does not wait any more until a busy one has used up its slice of some
/// milliseconds: it asks for slices of a tenth of one, which come sooner and are no more time together (Linux from 6.12
/// on; elsewhere nothing changes). Where workers take all processors, a point query's answer is on its way as soon.
pub fn answer_soon() {
    #[cfg(target_os = "linux")]
    if let Err(error) = linux::ask_for_slices(std::time::Duration::from_micros(100)) {
        tracing::debug!(%error, "slices stay as they are");
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io::{Error, Result};
    use std::time::Duration;

    /// The kernel's `struct sched_attr`, see sched_setattr(2).
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        /// Of a thread without a real-time policy: its slice in ns.
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    /// The kernel's `SCHED_FLAG_RESET_ON_FORK`.
    const RESET_ON_FORK: u64 = 1;

    #[allow(unsafe_code, reason = "no crate that is here knows these calls")]
    pub(super) fn ask_for_slices(slice: Duration) -> Result<()> {
        let mut attributes = Attributes::default();
        let size = size_of::<Attributes>();
        let done = |result: libc::c_long| if result == 0 { Ok(()) } else { Err(Error::last_os_error()) };
        // SAFETY: the kernel writes `size` bytes at most to the structure, and reads as many as it says to have.
        unsafe {
            done(libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0))?;
            attributes.size = size as u32;
            // Threads that it starts, of which workers may be, have slices like all others.
            attributes.flags |= RESET_ON_FORK;
            attributes.runtime = slice.as_nanos() as u64;
            done(libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0))
        }
    }
}
