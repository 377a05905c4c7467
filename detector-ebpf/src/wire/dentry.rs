//! One change of a dentry, for `fslockup trace`.

use super::{COMM_BYTES, NAME_ROOM, PATH_BYTES};

/// One change of a cached dentry, reported by itself: written only while `fslockup trace` runs.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct DentryRecord {
    /// [`crate::kind::DENTRY`].
    pub kind: u32,
    /// [`crate::change`].
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
    /// [`crate::PATH_IS_CUT`], [`crate::PATH_IS_BROKEN`].
    pub path_flags: u16,
    /// The task's name.
    pub comm: [u8; COMM_BYTES],
    /// The dentry's name.
    pub name: [u8; NAME_ROOM],
    /// The directory's path inside its file system: see [`crate::PATH_BYTES`].
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
