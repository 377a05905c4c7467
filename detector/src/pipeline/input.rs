//! What reaches the pipeline: the session it runs in, and its inputs.

use serde::{Deserialize, Serialize};

use super::storm::Limits;
use crate::{
    budget::BudgetEvent,
    census::Census,
    facts::{Answer, Facts},
    producers::{Directory, Identity},
    report::AttachReport,
};

/// What is fixed for one run of the detector: enough to judge its records anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Version of the `fslockup` that recorded.
    pub fslockup_version: String,
    /// The kernel and the host.
    pub facts: Facts,
    /// What was attached.
    pub attached: AttachReport,
    /// Add this to CLOCK_MONOTONIC to get CLOCK_REALTIME, both in nanoseconds; as it was at the start.
    pub realtime_offset_ns: i64,
    /// CLOCK_MONOTONIC when all was attached.
    pub start_ns: u64,
    /// A walk shorter than this was only counted.
    pub walk_threshold_ns: u64,
    /// A walk this long is an incident, and so is a shorter one that did as much damage.
    #[serde(default)]
    pub incident_threshold_ns: u64,
    /// A wait for a spinlock shorter than this left no record.
    #[serde(default)]
    pub wait_threshold_ns: u64,
    /// A task kept from running for less than this left no record.
    #[serde(default)]
    pub stall_threshold_ns: u64,
    /// How much is told in a minute; none: all of it.
    #[serde(default)]
    pub limits: Option<Limits>,
}

impl Session {
    /// CLOCK_REALTIME of a time on CLOCK_MONOTONIC, in nanoseconds.
    #[must_use]
    pub fn realtime_ns(&self, monotonic_ns: u64) -> i64 {
        i64::try_from(monotonic_ns)
            .unwrap_or(i64::MAX)
            .saturating_add(self.realtime_offset_ns)
    }

    /// Judges with other thresholds from now on.
    pub(super) fn change(&mut self, to: &ThresholdsChange) {
        self.walk_threshold_ns = to.walk_threshold_ns;
        self.incident_threshold_ns = to.incident_threshold_ns;
        self.wait_threshold_ns = to.wait_threshold_ns;
        self.stall_threshold_ns = to.stall_threshold_ns;
    }

    /// Spinlocks sleep here (PREEMPT_RT): whoever holds or awaits one leaves its CPU to others.
    #[must_use]
    pub fn spinlocks_sleep(&self) -> bool {
        self.facts.spinlocks_sleep == Answer::Yes
    }
}

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
    /// What is in a walked directory and who put it there: one of [`Pipeline::wanted`](super::Pipeline::wanted).
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
