//! The records and settings that the eBPF programs and `fslockup` share, byte for byte.
//!
//! Everything here is `#[repr(C)]` without implicit padding: the same source is compiled for the
//! BPF target and for the host, and the size assertions hold on both.

#![no_std]

mod fields;

pub use fields::{FIELDS, Field, OFFSET_UNKNOWN, Offsets};

/// First field of every record in the ring buffer: what the bytes behind it are.
pub mod kind {
    /// Nothing yet: a new element of the map of running walks.
    pub const NONE: u32 = 0;
    /// A [`WalkRecord`](crate::WalkRecord).
    pub const WALK: u32 = 1;
    /// A [`WaitRecord`](crate::WaitRecord).
    pub const WAIT: u32 = 2;
    /// A [`StallRecord`](crate::StallRecord).
    pub const STALL: u32 = 3;
    /// A [`SyscallRecord`](crate::SyscallRecord).
    pub const SYSCALL: u32 = 4;
    /// A [`ReleaseRecord`](crate::ReleaseRecord).
    pub const RELEASE: u32 = 5;
    /// A [`ProducerRecord`](crate::ProducerRecord).
    pub const PRODUCER: u32 = 6;
    /// A [`NameRecord`](crate::NameRecord).
    pub const NAME: u32 = 7;
    /// A [`DentryRecord`](crate::DentryRecord).
    pub const DENTRY: u32 = 8;
}

/// Longest name of one path component (`NAME_MAX` in limits.h).
pub const NAME_BYTES_MAX: usize = 255;
/// A component of a path starts below this place, a power of two.
pub const PATH_START_LIMIT: usize = 1024;
/// Bytes for the components of a path, each `len: u8` then its name, from the leaf upwards.
pub const PATH_BYTES: usize = PATH_START_LIMIT + 1 + NAME_BYTES_MAX;
/// Most components read of one path. What is above them is cut, and [`PATH_IS_CUT`] says so.
pub const PATH_COMPONENTS_MAX: u32 = 24;
/// The same of a program's path, which is shorter: `/usr/lib/jvm/java-17-openjdk-amd64/bin/java` has six. The verifier looks
/// at each of them in each program that counts producers.
pub const EXE_COMPONENTS_MAX: u32 = 16;
/// `TASK_COMM_LEN` (linux/sched.h).
pub const COMM_BYTES: usize = 16;
/// Bytes kept of a file system type's name.
pub const FSTYPE_BYTES: usize = 16;

/// [`WalkRecord::path_flags`]: components above the ones given were left out.
pub const PATH_IS_CUT: u16 = 1;
/// [`WalkRecord::path_flags`]: reading the path failed on the way up.
pub const PATH_IS_BROKEN: u16 = 2;

/// [`WalkRecord::syscall_nr`] where the system call could not be told.
pub const SYSCALL_UNKNOWN: i64 = i64::MIN;

/// Which function a walk was seen through: the two can be nested in one walk.
pub mod slot {
    /// The whole function.
    pub const WHOLE: u32 = 0;
    /// A part that the compiler split off it and that some callers enter directly
    /// (`__fsnotify_parent` on Debian's 5.10.223).
    pub const PART: u32 = 1;
}

/// One walk: written at its entry, completed at its exit.
///
/// It is also the value of the map of running walks, so that a walk which never ends can be read
/// while it runs; there `end_ns` is 0, and `start_ns` is 0 until the record is filled in.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct WalkRecord {
    /// [`kind::WALK`].
    pub kind: u32,
    /// [`slot`].
    pub slot: u32,
    /// Entry, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// Exit, CLOCK_MONOTONIC.
    pub end_ns: u64,
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Thread id in the initial namespace.
    pub tid: u32,
    /// Id of the task's cgroup in the version 2 hierarchy.
    pub cgroup_id: u64,
    /// Number of the system call the task is in, [`SYSCALL_UNKNOWN`] if it can't be told.
    pub syscall_nr: i64,
    /// Inode number of the directory.
    pub ino: u64,
    /// Address of the directory's `inode->i_lock`, 0 if unknown.
    pub i_lock_addr: u64,
    /// Address of the `d_lock` of the directory's dentry, 0 if unknown.
    pub d_lock_addr: u64,
    /// Device of the superblock, as the kernel packs it: major << 20 | minor.
    pub dev: u32,
    /// CPU at the entry.
    pub start_cpu: u32,
    /// CPU at the exit: another one where the task may move while it holds a spinlock (PREEMPT_RT).
    pub end_cpu: u32,
    /// Bytes used in `path`.
    pub path_len: u16,
    /// [`PATH_IS_CUT`], [`PATH_IS_BROKEN`].
    pub path_flags: u16,
    /// The task's name.
    pub comm: [u8; COMM_BYTES],
    /// The file system type's name, ended by 0.
    pub fstype: [u8; FSTYPE_BYTES],
    /// The path inside its file system: see [`PATH_BYTES`].
    pub path: [u8; PATH_BYTES],
}

const _: () = assert!(size_of::<WalkRecord>() == 120 + PATH_BYTES);

/// How a wait was seen, and with it what it does to its CPU.
pub mod wait_how {
    /// The queued spinlock's slowpath: the CPU spins, with preemption off.
    pub const SPIN: u32 = 1;
    /// A spinlock that sleeps (PREEMPT_RT): the CPU is free.
    pub const SLEEP: u32 = 2;
}

/// Return addresses kept of a waiter's stack.
pub const STACK_DEPTH: usize = 24;

/// One wait for a spinlock that was longer than the threshold.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct WaitRecord {
    /// [`kind::WAIT`].
    pub kind: u32,
    /// [`wait_how`].
    pub how: u32,
    /// Address of the lock.
    pub lock_addr: u64,
    /// When the waiter found the lock taken, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// When it got the lock, CLOCK_MONOTONIC.
    pub end_ns: u64,
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Thread id in the initial namespace; 0 is a CPU's idle task (an interrupt waited there).
    pub tid: u32,
    /// CPU at the start.
    pub cpu: u32,
    /// Bytes used in `stack`; negative: an errno.
    pub stack_bytes: i32,
    /// The task's name.
    pub comm: [u8; COMM_BYTES],
    /// Return addresses, innermost first.
    pub stack: [u64; STACK_DEPTH],
}

const _: () = assert!(size_of::<WaitRecord>() == 64 + STACK_DEPTH * 8);

/// What a CPU was inside of, with preemption off, while tasks waited for it.
pub mod section {
    /// A walk.
    pub const WALK: u32 = 1;
    /// A wait for a spinlock.
    pub const WAIT: u32 = 2;
}

/// [`StallRecord::flags`]: the task was runnable before the section began; the delay counts from its
/// beginning.
pub const WAS_RUNNABLE_BEFORE: u32 = 1;

/// A task that got a CPU late because one was inside a walk or a wait.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct StallRecord {
    /// [`kind::STALL`].
    pub kind: u32,
    /// [`section`]: the one with the largest share in the delay.
    pub behind: u32,
    /// Lock that was waited for; 0 behind a walk.
    pub lock_addr: u64,
    /// From when the delay counts: when the task was queued, or the section's start if that was
    /// later; CLOCK_MONOTONIC.
    pub queued_ns: u64,
    /// When the task got a CPU, CLOCK_MONOTONIC.
    pub running_ns: u64,
    /// How much of the time between was spent behind sections.
    pub behind_ns: u64,
    /// Start of the section named by `behind`, CLOCK_MONOTONIC.
    pub section_start_ns: u64,
    /// Its end.
    pub section_end_ns: u64,
    /// Process id of the delayed task.
    pub pid: u32,
    /// Thread id of the delayed task.
    pub tid: u32,
    /// CPU that was inside the section, and that the task was queued on and got.
    pub cpu: u32,
    /// Not used.
    pub padding: u32,
    /// Thread id of the task inside the section.
    pub behind_tid: u32,
    /// [`WAS_RUNNABLE_BEFORE`].
    pub flags: u32,
    /// The delayed task's name.
    pub comm: [u8; COMM_BYTES],
}

const _: () = assert!(size_of::<StallRecord>() == 96);

/// The system calls that are timed.
pub mod call {
    /// inotify_add_watch(2).
    pub const INOTIFY_ADD_WATCH: u32 = 1;
    /// fanotify_mark(2).
    pub const FANOTIFY_MARK: u32 = 2;
    /// fcntl(2) with F_NOTIFY.
    pub const FCNTL_NOTIFY: u32 = 3;
}

/// Bytes kept of a path argument, its ending 0 included.
pub const ARGUMENT_BYTES: usize = 256;

/// A system call that puts a watch, and was slower than the walk threshold.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct SyscallRecord {
    /// [`kind::SYSCALL`].
    pub kind: u32,
    /// [`call`].
    pub call: u32,
    /// Entry of the function behind the system call, CLOCK_MONOTONIC.
    pub start_ns: u64,
    /// Its exit, CLOCK_MONOTONIC.
    pub end_ns: u64,
    /// The mask argument.
    pub mask: u64,
    /// Id of the task's cgroup in the version 2 hierarchy.
    pub cgroup_id: u64,
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Bytes of the path argument, its ending 0 included; 0: there is none; negative: an errno.
    pub path_bytes: i32,
    /// CPU at the exit.
    pub cpu: u32,
    /// The task's name.
    pub comm: [u8; COMM_BYTES],
    /// The path argument as the caller gave it.
    pub path: [u8; ARGUMENT_BYTES],
}

const _: () = assert!(size_of::<SyscallRecord>() == 72 + ARGUMENT_BYTES);

/// A walker gave a lock back that others waited for (tracepoint `contended_release`, 7.3).
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ReleaseRecord {
    /// [`kind::RELEASE`].
    pub kind: u32,
    /// The walker.
    pub tid: u32,
    /// Address of the lock.
    pub lock_addr: u64,
    /// When, CLOCK_MONOTONIC.
    pub at_ns: u64,
}

const _: () = assert!(size_of::<ReleaseRecord>() == 24);

/// What happens to a cached dentry.
pub mod change {
    /// A lookup found nothing: a negative dentry was made.
    pub const MADE_NEGATIVE: u32 = 0;
    /// A lookup found an inode: a positive dentry was made.
    pub const MADE_POSITIVE: u32 = 1;
    /// A negative dentry got an inode: something was created under its name.
    pub const FILLED: u32 = 2;
    /// A positive dentry lost its inode and stays as a negative one: unlink(2), rmdir(2).
    pub const EMPTIED: u32 = 3;
    /// A negative dentry left the cache.
    pub const REMOVED_NEGATIVE: u32 = 4;
    /// A positive dentry left the cache.
    pub const REMOVED_POSITIVE: u32 = 5;
    /// How many there are.
    pub const LEN: usize = 6;
}

/// Who did something to the children of which directory: the key of the map `PRODUCERS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct ProducerKey {
    /// Inode number of the directory.
    pub ino: u64,
    /// Device of its superblock, as the kernel packs it: major << 20 | minor.
    pub dev: u32,
    /// Process id in the initial namespace.
    pub pid: u32,
}

const _: () = assert!(size_of::<ProducerKey>() == 16);

/// How often each [`change`] happened: the value of the map `PRODUCERS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ProducerCounts {
    /// By [`change`].
    pub counts: [u64; change::LEN],
}

/// Slots in the array `SLOTS`, a power of two.
pub const PRODUCER_SLOTS: usize = 8192;

/// The place in the array `SLOTS` of a process and a directory's inode number.
#[inline(always)]
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lowest bits are what is wanted"
)]
pub const fn producer_slot(pid: u32, ino: u64) -> usize {
    // 2^32 divided by the golden ratio spreads neighbouring process ids.
    let spread = (pid as u64).wrapping_mul(0x9e37_79b1) ^ ino;
    spread as usize % PRODUCER_SLOTS
}

/// An element of the array `SLOTS`: a place where one pair of process and directory is counted without a
/// look into the map `PRODUCERS`. What a pair did is the sum of what is in both.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ProducerSlot {
    /// Address of the directory's dentry, 0 while the slot is nobody's. Written last.
    pub dentry_addr: u64,
    /// Whose slot it is.
    pub key: ProducerKey,
    /// How many wanted it: the first one has it.
    pub claims_count: u64,
    /// What was counted here.
    pub counts: ProducerCounts,
}

const _: () = assert!(size_of::<ProducerSlot>() == 80);

/// A process was seen for the first time to change the children of a directory. Written once for each
/// element of the map `PRODUCERS`, so that a process that has exited by then is known all the same.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ProducerRecord {
    /// [`kind::PRODUCER`].
    pub kind: u32,
    /// Thread id in the initial namespace.
    pub tid: u32,
    /// CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Process and directory.
    pub key: ProducerKey,
    /// Id of the task's cgroup in the version 2 hierarchy.
    pub cgroup_id: u64,
    /// Address of the directory's dentry.
    pub dentry_addr: u64,
    /// Device of the file system that the process's program is on, as in the key; 0: unknown.
    pub exe_dev: u32,
    /// Bytes used in `path`.
    pub path_len: u16,
    /// [`PATH_IS_CUT`], [`PATH_IS_BROKEN`].
    pub path_flags: u16,
    /// Bytes used in `exe`.
    pub exe_len: u16,
    /// [`PATH_IS_CUT`], [`PATH_IS_BROKEN`].
    pub exe_flags: u16,
    /// Not used.
    pub padding: u32,
    /// The task's name.
    pub comm: [u8; COMM_BYTES],
    /// The directory's file system type, ended by 0.
    pub fstype: [u8; FSTYPE_BYTES],
    /// The directory's path inside its file system: see [`PATH_BYTES`].
    pub path: [u8; PATH_BYTES],
    /// The program's path inside its file system (`mm->exe_file`).
    pub exe: [u8; PATH_BYTES],
}

const _: () = assert!(size_of::<ProducerRecord>() == 96 + 2 * PATH_BYTES);

/// Bytes for one name: [`NAME_BYTES_MAX`] and one more, up to a power of two.
pub const NAME_ROOM: usize = NAME_BYTES_MAX + 1;

/// One name out of many: written when a count of a [`ProducerKey`] reaches a power of two.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct NameRecord {
    /// [`kind::NAME`].
    pub kind: u32,
    /// [`change`].
    pub change: u32,
    /// Process and directory.
    pub key: ProducerKey,
    /// Bytes used in `name`.
    pub name_len: u32,
    /// Not used.
    pub padding: u32,
    /// The name.
    pub name: [u8; NAME_ROOM],
}

const _: () = assert!(size_of::<NameRecord>() == 32 + NAME_ROOM);

/// What a run of the census program is to do.
pub mod census_do {
    /// Find the directory behind an open file of the calling process.
    pub const FIND: u32 = 1;
    /// Look whether the directory is still there, and at its reference count.
    pub const PEEK: u32 = 2;
    /// The same, then step along its children.
    pub const STEP: u32 = 3;
}

/// How a run of the census program ended.
pub mod census_end {
    /// It did not run.
    pub const NONE: u32 = 0;
    /// It did what it was asked for; more children may be behind the cursor.
    pub const MORE: u32 = 1;
    /// The end of the list was reached.
    pub const LAST: u32 = 2;
    /// There is no such directory at this address (any more).
    pub const GONE: u32 = 3;
    /// The list changed under the cursor: what this run counted is worth nothing.
    pub const LOST: u32 = 4;
}

/// Most children that one run of the census program passes. The verifier looks at each round of the loop, and compares it
/// with those before it: 256 rounds were 0.75 s of a start in instruction time (7.3), and 2,048 were refused.
pub const CENSUS_STEPS_MAX: u32 = 64;

/// A place in a directory's list of children: the last child that was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CensusCursor {
    /// Address of its link in the list; 0: before the first child.
    pub link_addr: u64,
    /// Address of the next link: where it is another one, the place is lost. A dentry that was freed and
    /// made again at the same address lies at the head of the list, before another one.
    pub next_addr: u64,
    /// Hash and length of its name.
    pub name_hash_len: u64,
}

/// The only element of the map `CENSUS`: what one run of the program is given, and what it found.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CensusState {
    /// In: [`census_do`].
    pub what: u32,
    /// In, for [`census_do::FIND`]: the file descriptor.
    pub fd: u32,
    /// Address of the directory's dentry: out of [`census_do::FIND`], into the others.
    pub dentry_addr: u64,
    /// Inode number, likewise.
    pub ino: u64,
    /// Device of its superblock, likewise, as the kernel packs it: major << 20 | minor.
    pub dev: u32,
    /// In: how many children to pass, at most [`CENSUS_STEPS_MAX`].
    pub steps_max: u32,
    /// In and out.
    pub cursor: CensusCursor,
    /// Out: [`census_end`].
    pub end: u32,
    /// Out: the reference count of the directory's dentry, of which each child holds one.
    pub references_count: u32,
    /// Out: the first link of the list at the start of this run.
    pub first_addr: u64,
    /// Out: children without an inode that this run passed.
    pub negative_count: u32,
    /// Out: children with one.
    pub positive_count: u32,
    /// Out: what else it passed: [`Offsets::dentry_flags_no_child`].
    pub no_child_count: u32,
    /// Out: bytes used in `sample`.
    pub sample_len: u32,
    /// The program's own: the dentry that `sample` is of.
    pub sample_addr: u64,
    /// Out: the directory's file system type, ended by 0.
    pub fstype: [u8; FSTYPE_BYTES],
    /// Out: the name of one of the children, of a negative one if there was one.
    pub sample: [u8; NAME_ROOM],
}

const _: () = assert!(size_of::<CensusState>() == 112 + NAME_ROOM);
/// One change of a cached dentry, told by itself: written only while `fslockup trace` runs.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct DentryRecord {
    /// [`kind::DENTRY`].
    pub kind: u32,
    /// [`change`].
    pub change: u32,
    /// CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// Process id in the initial namespace.
    pub pid: u32,
    /// Thread id in the initial namespace.
    pub tid: u32,
    /// Id of the task's cgroup in the version 2 hierarchy.
    pub cgroup_id: u64,
    /// Number of the inode that the dentry has, gets or loses; 0: none.
    pub ino: u64,
    /// Inode number of its directory.
    pub directory_ino: u64,
    /// Device of the directory's superblock, as the kernel packs it: major << 20 | minor.
    pub dev: u32,
    /// CPU.
    pub cpu: u32,
    /// Bytes used in `name`.
    pub name_len: u32,
    /// Bytes used in `path`.
    pub path_len: u16,
    /// [`PATH_IS_CUT`], [`PATH_IS_BROKEN`].
    pub path_flags: u16,
    /// The task's name.
    pub comm: [u8; COMM_BYTES],
    /// The dentry's name.
    pub name: [u8; NAME_ROOM],
    /// The directory's path inside its file system: see [`PATH_BYTES`].
    pub path: [u8; PATH_BYTES],
}

const _: () = assert!(size_of::<DentryRecord>() == 80 + NAME_ROOM + PATH_BYTES);

/// Indices of the counters that every CPU keeps while `fslockup trace` runs.
pub mod trace_count {
    /// Changes that the filters let through.
    pub const MATCHED: u32 = 0;
    /// Those of them that were left out to keep the rate.
    pub const LEFT_OUT: u32 = 1;
    /// How many there are.
    pub const LEN: u32 = 2;
}

/// Which changes `fslockup trace` wants: a frozen setting of its programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TraceFilter {
    /// Inode number of the directory; 0: every directory.
    pub directory_ino: u64,
    /// Its device, as in [`DentryRecord::dev`].
    pub dev: u64,
    /// The task's name as two words, zeros behind its end; both 0: every task.
    pub comm: [u64; 2],
    /// Not 0: only what is or becomes negative.
    pub only_negative: u64,
    /// Most records in one second.
    pub rate: u64,
}

const _: () = assert!(size_of::<TraceFilter>() == 48);

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
    /// Programs on this CPU that are writing to the ring buffer: see `emit.rs`.
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

/// Indices of the counters that every CPU keeps.
pub mod count {
    /// Walks that ended, whatever their length.
    pub const WALKS: u32 = 0;
    /// Walks that ended below the threshold: no record was made.
    pub const WALKS_BELOW_THRESHOLD: u32 = 1;
    /// Records lost because the ring buffer was full.
    pub const RING_FULL: u32 = 2;
    /// Walks lost because the map of running walks was full.
    pub const WALKS_FULL: u32 = 3;
    /// Exits without an entry: the walk began before the programs were attached.
    pub const UNMATCHED_EXITS: u32 = 4;
    /// Entries that found their task already inside a walk: the earlier exit was not seen.
    pub const MISSED_EXITS: u32 = 5;
    /// Waits over the threshold that left no record, because their CPU was just writing one.
    pub const WAITS_UNTOLD: u32 = 6;
    /// Waits lost because the map of sleeping waiters was full.
    pub const WAITERS_FULL: u32 = 7;
    /// Tasks that came to run during or after a walk before the scheduler's clock was compared.
    pub const STALLS_UNTIMED: u32 = 8;
    /// System calls lost because the map of running ones was full.
    pub const CALLS_FULL: u32 = 9;
    /// Records about producers that were left out to keep half of the ring buffer for the others.
    pub const PRODUCERS_UNTOLD: u32 = 10;
    /// How many there are.
    pub const LEN: u32 = 11;
}
