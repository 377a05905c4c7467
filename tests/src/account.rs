//! What each workload says about itself, one line of JSON a thread or call: the truth that
//! `fslockup` is held against. All times are CLOCK_MONOTONIC.

use serde::{Deserialize, Serialize};

/// What `workload watch` prints, one line of JSON for each system call it timed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedCall {
    /// What was done: `watch`, `unwatch`, `open-child`.
    pub step: String,
    /// The system call's name.
    pub syscall: String,
    /// Before the call.
    pub start_ns: u64,
    /// After it.
    pub end_ns: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id; the same as the process id but where it was asked for another thread.
    pub tid: u32,
    /// Inode number of the directory, by stat(2).
    pub ino: u64,
    /// Device of the directory, by stat(2), as `major:minor`.
    pub dev: String,
    /// The mask it was called with, in the words of its header; none for a call without one.
    pub mask: Option<String>,
}

impl TimedCall {
    /// Length of the call.
    #[must_use]
    pub fn call_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// From when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The start: of a call, or when a sleep should have ended.
    pub start_ns: u64,
    /// The end: of a call, or when the sleeper ran.
    pub end_ns: u64,
}

impl Span {
    /// Its length.
    #[must_use]
    pub fn length_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// Whether both have a moment in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.start_ns < other.end_ns && other.start_ns < self.end_ns
    }

    /// Whether the other lies in it.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.start_ns <= other.start_ns && other.end_ns <= self.end_ns
    }
}

/// What a thread of `workload lookup`, `sleepers`, `seek` or `hogs` did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Thread id.
    pub tid: u32,
    /// The CPU that the thread is bound to.
    pub cpu: Option<usize>,
    /// Lookups, sleeps, seeks or rounds.
    pub times_count: u64,
    /// Those that took longer than the threshold; of `sleepers` and `hogs`, how late they ran.
    pub slow: Vec<Span>,
    /// Slow ones left out of `slow`, because there were too many.
    pub slow_left_out_count: u64,
}

/// What `workload ping-pong` and `workload stat` measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Repetitions.
    pub times_count: u64,
    /// All of them together.
    pub total_ns: u64,
}
