//! One walk.

use super::{COMM_BYTES, FSTYPE_BYTES, PATH_BYTES};

/// [`WalkRecord::syscall_nr`] where the system call could not be read.
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
    /// [`crate::kind::WALK`].
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
    /// Number of the system call the task is in, [`SYSCALL_UNKNOWN`] if it can't be read.
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
    /// [`crate::PATH_IS_CUT`], [`crate::PATH_IS_BROKEN`].
    pub path_flags: u16,
    /// The task's name.
    pub comm: [u8; COMM_BYTES],
    /// The file system type's name, ended by 0.
    pub fstype: [u8; FSTYPE_BYTES],
    /// The path inside its file system: see [`crate::PATH_BYTES`].
    pub path: [u8; PATH_BYTES],
    /// Start of the longest stretch that the walker spent on a CPU, CLOCK_MONOTONIC; while it runs, of those that have
    /// ended. 0: it was never switched out, where that would show.
    pub run_start_ns: u64,
    /// Its end.
    pub run_end_ns: u64,
    /// When it was last given a CPU again, CLOCK_MONOTONIC; 0: never.
    pub back_ns: u64,
    /// Since when it is without a CPU, CLOCK_MONOTONIC; 0: it has one.
    pub left_ns: u64,
    /// How long it was without one.
    pub scheduled_out_ns: u64,
}

const _: () = assert!(size_of::<WalkRecord>() == 160 + PATH_BYTES);
