//! What reaches the pipeline.

use serde::{Deserialize, Serialize};

use super::{Counts, budget::BudgetEvent};
use crate::{
    census::Census,
    producers::{Directory, Identity},
};

/// What reaches the pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A record out of the ring buffer.
    Record(Vec<u8>),
    /// A record out of the map of running walks.
    Running {
        /// CLOCK_MONOTONIC when it was read.
        now_ns: u64,
        /// The bytes.
        record: Vec<u8>,
    },
    /// The text of the mount table (proc_pid_mountinfo(5)), at the start and after each change.
    Mounts(Vec<u8>),
    /// Names of addresses, always before the first record that has them in a stack.
    Symbols(Vec<Symbol>),
    /// The waits that go on, read right before the running walks.
    Waiting {
        /// CLOCK_MONOTONIC when they were read.
        now_ns: u64,
        /// One for each wait.
        waiters: Vec<WaitingNow>,
    },
    /// A record of the kernel's log as `/dev/kmsg` gives it: `priority,sequence,µs,flags;text`.
    KernelLog {
        /// CLOCK_MONOTONIC when it was read. Its own stamp is on the scheduler's clock, which NTP does not slew:
        /// tens of milliseconds apart at the boot, seconds after days.
        read_ns: u64,
        /// The record.
        line: Vec<u8>,
    },
    /// Time passes: what waits for the end of a grace period may come out.
    Tick {
        /// CLOCK_MONOTONIC.
        now_ns: u64,
        /// [`Counts::lost_count`] so far.
        lost_count: u64,
    },
    /// CLOCK_REALTIME was set, or has drifted: times of day are told by this from now on.
    Clock {
        /// As [`Session::realtime_offset_ns`].
        realtime_offset_ns: i64,
    },
    /// A probe was detached to keep the CPU budget, or attached again.
    Budget(Box<BudgetEvent>),
    /// What a process is, always before the first record of a walk of its.
    Identity {
        /// Process id.
        pid: u32,
        /// What could be told.
        identity: Identity,
    },
    /// What is in a walked directory and who put it there: one of [`Pipeline::wanted`](crate::pipeline::Pipeline::wanted).
    Children(Box<Children>),
    /// Other thresholds from now on.
    Thresholds(ThresholdsChange),
    /// The end of the run.
    End(Counts),
}

/// Thresholds that take the place of the session's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThresholdsChange {
    /// CLOCK_MONOTONIC when the programs had them.
    pub at_ns: u64,
    /// As [`Session::walk_threshold_ns`].
    pub walk_threshold_ns: u64,
    /// As [`Session::incident_threshold_ns`].
    pub incident_threshold_ns: u64,
    /// As [`Session::wait_threshold_ns`].
    pub wait_threshold_ns: u64,
    /// As [`Session::stall_threshold_ns`].
    pub stall_threshold_ns: u64,
}

/// A directory that a walk went over, of which the children are to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Device, as the kernel packs it.
    pub dev: u32,
    /// Inode number.
    pub ino: u64,
    /// Address of the `d_lock` of its dentry, where it is known.
    pub d_lock_addr: Option<u64>,
}

/// What is in a directory and who put it there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Children {
    /// Device, as the kernel packs it.
    pub dev: u32,
    /// Inode number.
    pub ino: u64,
    /// The count, made after the walk.
    pub census: Option<Census>,
    /// Who made them; none where nobody was seen.
    pub origin: Option<Directory>,
    /// What is not known, and why.
    pub degraded: Vec<String>,
}

/// The name of an address in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// The address, as in a stack.
    pub address: u64,
    /// `function+0x1f`; none where the symbol table is hidden or has nothing there.
    pub name: Option<String>,
}

/// A wait that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingNow {
    /// The CPU that spins; none where the waiter sleeps (PREEMPT_RT).
    pub cpu: Option<u32>,
    /// Address of the lock.
    pub lock_addr: u64,
    /// When the waiter found it taken, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// The task's name; none where it could not be read any more.
    pub comm: Option<Vec<u8>>,
}
