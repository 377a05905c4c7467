//! One wait for a spinlock.

use super::COMM_BYTES;

/// How a wait was seen, and with it what it does to its CPU.
pub mod wait_how {
    /// The queued spinlock's slowpath: the CPU spins, with preemption off.
    pub const SPIN: u32 = 1;
    /// A spinlock that sleeps (PREEMPT_RT): the CPU is free.
    pub const SLEEP: u32 = 2;
}

/// Return addresses kept of a waiter's stack.
pub const STACK_DEPTH: usize = 24;

/// One wait for a spinlock that was longer than the threshold.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct WaitRecord {
    /// [`crate::kind::WAIT`].
    pub kind: u32,
    /// [`wait_how`].
    pub how: u32,
    /// Address of the lock.
    pub lock_addr: u64,
    /// When the waiter found the lock taken, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// When it got the lock, CLOCK_MONOTONIC.
    pub end_ns: u64,
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Thread id in the initial namespace; 0 is a CPU's idle task (an interrupt waited there).
    pub tid: u32,
    /// CPU at the start.
    pub cpu: u32,
    /// Bytes used in `stack`; negative: an errno.
    pub stack_bytes: i32,
    /// The task's name.
    pub comm: [u8; COMM_BYTES],
    /// Return addresses, innermost first.
    pub stack: [u64; STACK_DEPTH],
}

const _: () = assert!(size_of::<WaitRecord>() == 64 + STACK_DEPTH * 8);
