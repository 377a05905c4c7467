//! What one CPU is inside of.

/// What a CPU was inside of, with preemption off, while tasks waited for it.
pub mod section {
    /// A walk.
    pub const WALK: u32 = 1;
    /// A wait for a spinlock.
    pub const WAIT: u32 = 2;
}

/// A wait that goes on, as the map `CPUS` shows it to user space; free where `lock_addr` is 0.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Waiting {
    /// Address of the lock.
    pub lock_addr: u64,
    /// When the waiter found it taken, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
}

/// A stretch of time in which a CPU was inside a walk or a wait; free where `start_ns` is 0.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Section {
    /// CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// CLOCK_MONOTONIC; 0 while it lasts.
    pub end_ns: u64,
    /// The lock waited for; 0 for a walk.
    pub lock_addr: u64,
    /// The task inside.
    pub tid: u32,
    /// [`section`].
    pub kind: u32,
}

/// Waits that one CPU can be inside of at once: task, soft interrupt, interrupt, NMI.
pub const WAITS_NESTED_MAX: usize = 4;
/// Ended sections remembered for the tasks that they kept from running.
pub const SECTIONS_KEPT: usize = 4;

/// What one CPU is inside of, in the map `CPUS`. Only that CPU writes it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CpuState {
    /// Waits that go on.
    pub waiting: [Waiting; WAITS_NESTED_MAX],
    /// The walk that goes on.
    pub walk: Section,
    /// The latest sections, in a ring.
    pub ended: [Section; SECTIONS_KEPT],
    /// Where the next ended section goes.
    pub next_ended: u64,
    /// Programs on this CPU that are writing to the ring buffer: see `state/emit.rs`.
    pub writers_count: u64,
    /// Task that got this CPU at a switch that was looked at.
    pub arrived_task: u64,
    /// When it did, CLOCK_MONOTONIC; 0: no such switch.
    pub arrived_ns: u64,
    /// How often it had been given a CPU before (`sched_info.pcount`).
    pub arrivals: u64,
    /// Up to whole cache lines, so that CPUs don't disturb each other.
    pub padding: [u64; 3],
}

const _: () = assert!(size_of::<CpuState>() == 320);
