//! What the workload and the scenarios share: the workload's own account of what it did.

pub mod workload;

use serde::{Deserialize, Serialize};

/// What `workload watch` prints, one line of JSON for each system call it timed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedCall {
    /// What was done: `watch`, `unwatch`, `open-child`.
    pub step: String,
    /// The system call's name.
    pub syscall: String,
    /// CLOCK_MONOTONIC before the call.
    pub start_ns: u64,
    /// CLOCK_MONOTONIC after it.
    pub end_ns: u64,
    /// Process id.
    pub pid: u32,
    /// Inode number of the directory, by stat(2).
    pub ino: u64,
    /// Device of the directory, by stat(2), as `major:minor`.
    pub dev: String,
}

impl TimedCall {
    /// Length of the call.
    #[must_use]
    pub fn call_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}
