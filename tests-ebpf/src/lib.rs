//! What the test programs and the scenarios share.

#![no_std]

/// One hold of a spinlock by a task that was inside a walk.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Hold {
    /// Address of the lock.
    pub lock_addr: u64,
    /// When the locking function returned, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// When the unlocking function was called, CLOCK_MONOTONIC.
    pub end_ns: u64,
    /// Thread id of the task.
    pub tid: u64,
}

const _: () = assert!(size_of::<Hold>() == 32);

/// Holds kept; later ones are only counted. A power of two.
pub const HOLDS_KEPT: u32 = 64;
