//! One system call that puts a watch.

use super::COMM_BYTES;

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
    /// [`crate::kind::SYSCALL`].
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
