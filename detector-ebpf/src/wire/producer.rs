//! Who changes the children of which directory: key, counts and slot in the maps, and the record of a new pair.

use super::{COMM_BYTES, FSTYPE_BYTES, PATH_BYTES, change};

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

/// How often each [`crate::change`] happened: the value of the map `PRODUCERS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ProducerCounts {
    /// By [`crate::change`].
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
    /// Address of the directory's dentry, 0 while the slot is free. Written last.
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
    /// [`crate::kind::PRODUCER`].
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
    /// [`crate::PATH_IS_CUT`], [`crate::PATH_IS_BROKEN`].
    pub path_flags: u16,
    /// Bytes used in `exe`.
    pub exe_len: u16,
    /// [`crate::PATH_IS_CUT`], [`crate::PATH_IS_BROKEN`].
    pub exe_flags: u16,
    /// Not used.
    pub padding: u32,
    /// The task's name.
    pub comm: [u8; COMM_BYTES],
    /// The directory's file system type, ended by 0.
    pub fstype: [u8; FSTYPE_BYTES],
    /// The directory's path inside its file system: see [`crate::PATH_BYTES`].
    pub path: [u8; PATH_BYTES],
    /// The program's path inside its file system (`mm->exe_file`).
    pub exe: [u8; PATH_BYTES],
}

const _: () = assert!(size_of::<ProducerRecord>() == 96 + 2 * PATH_BYTES);
