//! What there was too much of to report each one.

use serde::{Deserialize, Serialize};

use super::WalkFinding;

/// How many incidents are told in a minute; of walks and slow system calls, twice as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Of one directory.
    pub per_directory: u32,
    /// Of the host.
    pub per_host: u32,
}

/// What was suppressed in one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppressedFinding {
    /// CLOCK_REALTIME of the minute's start, in nanoseconds.
    pub realtime_ns: i64,
    /// Start of the minute, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// Its end, or that of the run.
    pub end_ns: u64,
    /// Incidents.
    pub incidents: Suppressed,
    /// Walks that had ended.
    pub walks: Suppressed,
    /// Slow system calls.
    pub syscalls: Suppressed,
}

/// What was suppressed of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suppressed {
    /// How many.
    pub count: u64,
    /// The lengths of their walks, or of the system calls, in sum.
    pub ns_total: u64,
    /// The longest of these. One that was told in the same minute is at least half as long.
    pub ns_max: u64,
    /// That one's walk; none of a system call.
    pub worst: Option<Box<WalkFinding>>,
}

/// Totals of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SuppressedCounts {
    /// Incidents.
    pub incidents_count: u64,
    /// Walks that had ended.
    pub walks_count: u64,
    /// Slow system calls.
    pub syscalls_count: u64,
}

impl SuppressedCounts {
    /// All of them.
    #[must_use]
    pub fn suppressed_count(&self) -> u64 {
        self.incidents_count + self.walks_count + self.syscalls_count
    }
}
