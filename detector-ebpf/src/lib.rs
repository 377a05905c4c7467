//! The records and settings that the eBPF programs and `fslockup` share, byte for byte.
//!
//! Everything here is `#[repr(C)]` without implicit padding: the same source is compiled for the
//! BPF target and for the host, and the size assertions hold on both.

#![no_std]

/// First field of every record in the ring buffer: what the bytes behind it are.
pub mod kind {
    /// Nothing yet: a new element of the map of running walks.
    pub const NONE: u32 = 0;
    /// A [`WalkRecord`](crate::WalkRecord).
    pub const WALK: u32 = 1;
}

/// Longest name of one path component (`NAME_MAX` in limits.h).
pub const NAME_BYTES_MAX: usize = 255;
/// A component of a path starts below this place, a power of two.
pub const PATH_START_LIMIT: usize = 1024;
/// Bytes for the components of a path, each `len: u8` then its name, from the leaf upwards.
pub const PATH_BYTES: usize = PATH_START_LIMIT + 1 + NAME_BYTES_MAX;
/// Most components read of one path. What is above them is cut, and [`PATH_IS_CUT`] says so.
pub const PATH_COMPONENTS_MAX: u32 = 24;
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
    /// How many there are.
    pub const LEN: u32 = 6;
}

/// Marks an offset that this kernel's type information doesn't give: the field is left out, the
/// probe works on.
pub const OFFSET_UNKNOWN: u32 = u32::MAX;

/// Byte offsets of the struct fields that the programs read, found in the kernel's BTF.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Offsets {
    /// `inode.i_ino`: 64 bits wide on every 64-bit kernel, as `unsigned long` or as `u64` (7.x).
    pub inode_i_ino: u32,
    /// `inode.i_lock`.
    pub inode_i_lock: u32,
    /// `inode.i_sb`.
    pub inode_i_sb: u32,
    /// `inode.i_dentry`, whose `first` points into the alias of a directory.
    pub inode_i_dentry: u32,
    /// `super_block.s_dev`.
    pub super_block_s_dev: u32,
    /// `super_block.s_type`.
    pub super_block_s_type: u32,
    /// `file_system_type.name`.
    pub file_system_type_name: u32,
    /// `dentry.d_parent`.
    pub dentry_d_parent: u32,
    /// `dentry.d_name.name`.
    pub dentry_d_name_name: u32,
    /// `dentry.d_name.len`.
    pub dentry_d_name_len: u32,
    /// `dentry.d_lockref.lock`.
    pub dentry_d_lock: u32,
    /// The link that `inode.i_dentry` points to: `dentry.d_alias`, in a union `d_u` before 7.x.
    pub dentry_d_alias: u32,
    /// `task_struct.stack`.
    pub task_struct_stack: u32,
    /// Offset of `pt_regs.orig_ax`.
    pub pt_regs_orig_ax: u32,
    /// `sizeof(struct pt_regs)`.
    pub pt_regs_bytes: u32,
    /// 1 where the kernel has the helper `bpf_task_pt_regs` (dd6e10fbd9fb, 5.15).
    pub has_task_pt_regs: u32,
}

impl Offsets {
    /// All unknown.
    pub const UNKNOWN: Self = Self {
        inode_i_ino: OFFSET_UNKNOWN,
        inode_i_lock: OFFSET_UNKNOWN,
        inode_i_sb: OFFSET_UNKNOWN,
        inode_i_dentry: OFFSET_UNKNOWN,
        super_block_s_dev: OFFSET_UNKNOWN,
        super_block_s_type: OFFSET_UNKNOWN,
        file_system_type_name: OFFSET_UNKNOWN,
        dentry_d_parent: OFFSET_UNKNOWN,
        dentry_d_name_name: OFFSET_UNKNOWN,
        dentry_d_name_len: OFFSET_UNKNOWN,
        dentry_d_lock: OFFSET_UNKNOWN,
        dentry_d_alias: OFFSET_UNKNOWN,
        task_struct_stack: OFFSET_UNKNOWN,
        pt_regs_orig_ax: OFFSET_UNKNOWN,
        pt_regs_bytes: OFFSET_UNKNOWN,
        has_task_pt_regs: 0,
    };
}
