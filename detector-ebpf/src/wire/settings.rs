//! What user space sets: thresholds, filters, comparisons of clocks.

/// Which changes `fslockup trace` wants: a frozen setting of its programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TraceFilter {
    /// Inode number of the directory; 0: every directory.
    pub directory_ino: u64,
    /// Its device, as in [`crate::DentryRecord::dev`].
    pub dev: u64,
    /// The task's name as two words, zeros behind its end; both 0: every task.
    pub comm: [u64; 2],
    /// Not 0: only what is or becomes negative.
    pub only_negative: u64,
    /// Most records in one second.
    pub rate: u64,
}

const _: () = assert!(size_of::<TraceFilter>() == 48);

/// Which of the thresholds, in the section `.data.thresholds`.
pub mod threshold {
    /// Walks and system calls.
    pub const WALK: usize = 0;
    /// Waits.
    pub const WAIT: usize = 1;
    /// Stalls.
    pub const STALL: usize = 2;
}

/// Thresholds, each a `u64` of nanoseconds.
pub const THRESHOLDS_COUNT: usize = 3;

/// Comparisons of the scheduler's clock with CLOCK_MONOTONIC that are made at a time.
pub const COMPARISONS: u64 = 16;
