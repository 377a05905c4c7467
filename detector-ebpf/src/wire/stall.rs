//! One task that was kept from running.

use super::COMM_BYTES;

/// [`StallRecord::flags`]: the task was runnable before the section began; the delay counts from its
/// beginning.
pub const WAS_RUNNABLE_BEFORE: u32 = 1;

/// A task that got a CPU late because one was inside a walk or a wait.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct StallRecord {
    /// [`crate::kind::STALL`].
    pub kind: u32,
    /// [`crate::section`]: the one with the largest share in the delay.
    pub behind: u32,
    /// Lock that was waited for; 0 behind a walk.
    pub lock_addr: u64,
    /// From when the delay counts: when the task was queued, or the section's start if that was
    /// later; CLOCK_MONOTONIC.
    pub queued_ns: u64,
    /// When the task got a CPU, CLOCK_MONOTONIC.
    pub running_ns: u64,
    /// How much of the time between was spent behind sections.
    pub behind_ns: u64,
    /// Start of the section named by `behind`, CLOCK_MONOTONIC.
    pub section_start_ns: u64,
    /// Its end.
    pub section_end_ns: u64,
    /// Process id of the delayed task.
    pub pid: u32,
    /// Thread id of the delayed task.
    pub tid: u32,
    /// CPU that was inside the section, and that the task was queued on and got.
    pub cpu: u32,
    /// Not used.
    pub padding: u32,
    /// Thread id of the task inside the section.
    pub behind_tid: u32,
    /// [`WAS_RUNNABLE_BEFORE`].
    pub flags: u32,
    /// The delayed task's name.
    pub comm: [u8; COMM_BYTES],
}

const _: () = assert!(size_of::<StallRecord>() == 96);
