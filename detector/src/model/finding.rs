//! What the pipeline concludes.

use super::{
    Counts, Incident, SuppressedCounts, SuppressedFinding, ThresholdsChange, budget::BudgetEvent,
};
use crate::{
    event::{DecodeError, Syscall, Walk},
    producers::Identity,
};

/// A conclusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A walk, ended or running.
    Walk(Box<WalkFinding>),
    /// A walk that is over, with everything it caused.
    Incident(Box<Incident>),
    /// A slow system call that no incident tells of.
    Syscall(Box<SyscallFinding>),
    /// Other thresholds from now on.
    Thresholds(ThresholdsFinding),
    /// A minute is over in which there was too much to tell all of it.
    Suppressed(Box<SuppressedFinding>),
    /// A probe was detached to keep the CPU budget, or attached again.
    Budget(Box<BudgetFinding>),
    /// Bytes that were not a record.
    BadRecord(DecodeError),
    /// The end, with the totals.
    Summary(Box<Summary>),
}

/// A walk with what the rest of the session adds to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkFinding {
    /// The walk.
    pub walk: Walk,
    /// Its length, or how long it has been running.
    pub walk_ns: u64,
    /// CLOCK_REALTIME of its entry, in nanoseconds.
    pub realtime_ns: i64,
    /// The function it was seen through.
    pub function: Option<String>,
    /// Path as the host sees it, escaped by nobody yet.
    pub path: Option<Vec<u8>>,
    /// What the process is that was told to walk.
    pub identity: Option<Identity>,
    /// Who waits for one of its locks while it runs; empty when it has ended.
    pub waiters: Vec<WaiterNow>,
    /// What is not known, and why.
    pub degraded: Vec<String>,
}

/// Somebody who waits for a lock of a walk that still runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaiterNow {
    /// The lock.
    pub lock: crate::model::Lock,
    /// The CPU that spins; none where the waiter sleeps (PREEMPT_RT).
    pub cpu: Option<u32>,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// The task's name; none where it could not be read any more.
    pub comm: Option<Vec<u8>>,
    /// How long it has waited so far.
    pub wait_ns: u64,
}

/// A slow system call that no incident tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyscallFinding {
    /// The call.
    pub syscall: Syscall,
    /// CLOCK_REALTIME of its entry, in nanoseconds.
    pub realtime_ns: i64,
    /// How much of it was spent in walks that came out as incidents before the call ended; 0 where
    /// no walk over the threshold was inside.
    pub walk_ns: u64,
}

/// Other thresholds from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThresholdsFinding {
    /// CLOCK_REALTIME of the change, in nanoseconds.
    pub realtime_ns: i64,
    /// What they are now.
    pub change: ThresholdsChange,
}

/// What the budget made of the probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetFinding {
    /// What happened.
    pub event: BudgetEvent,
    /// CLOCK_REALTIME of it, in nanoseconds.
    pub realtime_ns: i64,
}

/// Totals of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// From attaching to the end.
    pub duration_ns: u64,
    /// Counters of the programs.
    pub counts: Counts,
    /// Walks over the threshold, running ones not counted again.
    pub reported_count: u64,
    /// Incidents reported.
    pub incidents_count: u64,
    /// What there was too much of to tell it.
    pub suppressed: SuppressedCounts,
    /// What became of the records that are joined to walks.
    pub records: RecordCounts,
    /// Records that could not be decoded.
    pub bad_records_count: u64,
}

/// What became of the records that are joined to walks, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Waits for spinlocks.
    pub waits: Fates,
    /// Tasks that got a CPU late.
    pub stalls: Fates,
    /// Slow system calls.
    pub syscalls: Fates,
    /// Contended locks given back.
    pub releases: Fates,
}

/// What became of the records of one kind. Each is in one of the first three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// In an incident, or a finding of its own.
    pub used_count: u64,
    /// Joined only to walks that were no incidents.
    pub below_threshold_count: u64,
    /// Joined to no walk.
    pub unrelated_count: u64,
    /// Those of the unrelated that left early because too many came at once: a walk that ended
    /// later may miss them.
    pub evicted_count: u64,
}

impl Fates {
    /// All records of the kind.
    #[must_use]
    pub fn total_count(&self) -> u64 {
        self.used_count + self.below_threshold_count + self.unrelated_count
    }
}
