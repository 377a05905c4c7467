//! What the programs counted.

use serde::{Deserialize, Serialize};

/// The counters of the programs, summed over CPUs, at the end of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// CLOCK_MONOTONIC when they were read.
    pub end_ns: u64,
    /// Walks that ended.
    pub walks_count: u64,
    /// Those of them below the threshold.
    pub below_threshold_count: u64,
    /// Records lost because the ring buffer was full.
    pub ring_full_count: u64,
    /// Walks lost because too many ran at once.
    pub walks_full_count: u64,
    /// Exits of walks that had begun before the programs were attached.
    pub unmatched_exits_count: u64,
    /// Walks whose exit was not seen.
    pub missed_exits_count: u64,
    /// Runs of the programs that the kernel left out, entries or exits, those for waits not counted.
    #[serde(default)]
    pub skipped_count: u64,
    /// Runs of the programs for waits that the kernel left out: nearly all are waits for the ring
    /// buffer itself, seen from inside such a program, and none of them is a loss then.
    #[serde(default)]
    pub waits_skipped_count: u64,
    /// Waits over the threshold that left no record, because their CPU was just writing one.
    #[serde(default)]
    pub waits_untold_count: u64,
    /// Waits lost because the map of sleeping waiters was full.
    #[serde(default)]
    pub waiters_full_count: u64,
    /// Tasks that came to run before the scheduler's clock was compared: a stall may be missing.
    #[serde(default)]
    pub stalls_untimed_count: u64,
    /// System calls lost because too many ran at once.
    #[serde(default)]
    pub calls_full_count: u64,
}

impl Counts {
    /// What happened and left no record: walks, waits, wakeups, system calls, records of any kind.
    #[must_use]
    pub fn lost_count(&self) -> u64 {
        self.ring_full_count
            + self.walks_full_count
            + self.missed_exits_count
            + self.skipped_count
            + self.waits_untold_count
            + self.waiters_full_count
            + self.stalls_untimed_count
            + self.calls_full_count
    }
}
