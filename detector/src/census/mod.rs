//! How many cached children a directory has, counted without a lock.

use serde::{Deserialize, Serialize};

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    /// Device of the directory, as the kernel packs it.
    pub dev: u32,
    /// Its inode number.
    pub ino: u64,
    /// Children counted; where the census is not complete, the reference count of the directory's
    /// dentry, of which each child holds one.
    pub children_count: u64,
    /// Those without an inode; where the census is not complete, by their share in what was counted.
    pub negative_count: u64,
    /// Names met on the way, escaped by nobody yet.
    pub samples: Vec<Vec<u8>>,
    /// Every child was passed: the deadline did not end it.
    pub is_complete: bool,
    /// Children came or went under it: the counts are near the truth, not equal to it.
    pub is_approximate: bool,
    /// How often the place in the list was lost and an earlier one taken up again.
    pub restarts_count: u64,
    /// How long it took.
    pub duration_ns: u64,
}
