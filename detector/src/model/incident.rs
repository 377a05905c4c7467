//! A walk with everything it caused.

use serde::{Deserialize, Serialize};

use super::{Span, WalkFinding};
use crate::{
    census::Census,
    event::{Behind, Stall, Syscall, Wait},
    producers::Producer,
};

/// Which lock of a walked directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lock {
    /// The inode's.
    ILock,
    /// That of the directory's dentry.
    DLock,
}

impl Lock {
    /// The kernel's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ILock => "i_lock",
            Self::DLock => "d_lock",
        }
    }
}

/// How the end of a hold is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldEnd {
    /// From what must have happened: the walker's exit, or the next waiter's acquisition.
    Derived,
    /// The kernel's own word at the release (tracepoint `contended_release`).
    Released,
}

impl HoldEnd {
    /// The word in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Derived => "derived",
            Self::Released => "released",
        }
    }
}

/// A lock from its acquisition to its release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The lock.
    pub lock: Lock,
    /// Its address.
    pub lock_addr: u64,
    /// From acquisition to release.
    pub span: Span,
    /// How the end is known.
    pub end: HoldEnd,
    /// The holder's process id.
    pub pid: u32,
    /// The holder's thread id.
    pub tid: u32,
    /// The holder's name.
    pub comm: Vec<u8>,
}

/// A task that waited for a lock while the walk held it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The wait.
    pub wait: Wait,
    /// The lock.
    pub lock: Lock,
    /// The part of the wait in which the walk held the lock.
    pub overlap: Span,
    /// The stack, innermost first, without the frames of the probe itself; hexadecimal where an
    /// address has no name.
    pub stack: Vec<String>,
}

/// A task that got a CPU late because of the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// The delay.
    pub stall: Stall,
    /// The lock of the wait that it was behind; none behind the walk itself.
    pub lock: Option<Lock>,
}

impl Stalled {
    /// `walk` or `wait`.
    #[must_use]
    pub fn behind(&self) -> &'static str {
        match self.stall.behind {
            Behind::Walk => "walk",
            Behind::Wait(_) => "wait",
        }
    }
}

/// One walk with its cause, mechanism and damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// The walk.
    pub walk: WalkFinding,
    /// How bad it was.
    pub severity: Severity,
    /// The system call that led to it.
    pub syscall: Option<Syscall>,
    /// How long the walker itself waited for the locks, inside its walk.
    pub own_wait_ns: u64,
    /// The walker's holds, then those of waiters that others queued behind, longest first.
    pub holds: Vec<Hold>,
    /// Longest first.
    pub waiters: Vec<Waiter>,
    /// Longest first.
    pub stalls: Vec<Stalled>,
    /// Sums over all of these.
    pub impact: Impact,
    /// The directory's children, counted right after the walk.
    pub census: Option<Census>,
    /// Who made them, as far as it was seen; the largest first.
    pub origin: Vec<Producer>,
    /// Headlines of the kernel's own reports, escaped by nobody yet.
    pub kernel_reports: Vec<Vec<u8>>,
    /// What to do.
    pub advice: Vec<String>,
    /// What is not known, and why.
    pub degraded: Vec<String>,
    /// Records lost since the incident before.
    pub lost_count: u64,
}

impl Incident {
    /// The same wherever the recording is judged.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:016x}-{:x}", self.walk.walk.start_ns, self.walk.walk.tid)
    }
}

/// How bad an incident was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A walk that hurt nobody that could be seen.
    Info,
    /// Somebody waited or was kept from running, or the walk took 200 ms or more.
    Warning,
    /// The walk, a wait for its locks or a stall behind it took 1 s or more, or the kernel itself
    /// reported a lockup or stall.
    Critical,
}

impl Severity {
    /// The word in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// The damage in figures, over everything joined, also what a list in the output leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    /// Most CPUs that were inside the walk or a wait for its locks at one time.
    pub cpus_blocked_max: usize,
    /// Waits joined.
    pub waits_count: usize,
    /// Tasks that waited; interrupts that waited in an idle CPU count as one task for each CPU.
    pub waiters_count: usize,
    /// Sum of the waits, whole.
    pub wait_ns_total: u64,
    /// The longest wait, whole.
    pub wait_ns_max: u64,
    /// Sum of the parts of the waits in which the walk held the lock.
    pub overlap_ns_total: u64,
    /// The longest of these parts.
    pub overlap_ns_max: u64,
    /// Times that a task got a CPU late.
    pub stalls_count: usize,
    /// Tasks that got a CPU late.
    pub tasks_stalled_count: usize,
    /// Sum of their run-queue delays.
    pub stall_ns_total: u64,
    /// The longest run-queue delay.
    pub stall_ns_max: u64,
    /// The most time that one of them lost behind the walk or a wait for its locks.
    pub behind_ns_max: u64,
}
