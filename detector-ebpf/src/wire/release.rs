//! One release of a lock that others waited for.

/// A walker gave a lock back that others waited for (tracepoint `contended_release`, 7.3).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ReleaseRecord {
    /// [`crate::kind::RELEASE`].
    pub kind: u32,
    /// The walker.
    pub tid: u32,
    /// Address of the lock.
    pub lock_addr: u64,
    /// When, CLOCK_MONOTONIC.
    pub at_ns: u64,
}

const _: () = assert!(size_of::<ReleaseRecord>() == 24);
