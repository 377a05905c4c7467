//! One run of the census program: what it is given, what it found.

use super::{FSTYPE_BYTES, NAME_ROOM};

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
    /// Out: what else it passed: [`crate::Offsets::dentry_flags_no_child`].
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
