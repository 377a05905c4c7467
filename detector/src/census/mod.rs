//! How many cached children a directory has, counted without a lock.
//!
//! `steps` is the pure half: which stretch of the list comes next, and what becomes of it when the list
//! changes meanwhile. The program is `detector-ebpf/src/programs/census/`, run by `attach/census.rs`.

mod samples;
pub mod steps;

use serde::{Deserialize, Serialize};

use crate::facts::Facts;

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
    /// The longest single run of the program, as its caller saw it: nothing else runs on that CPU
    /// meanwhile.
    #[serde(default)]
    pub longest_run_ns: u64,
}

/// A directory by the address of its dentry: no path is looked up, and mount namespaces don't matter.
/// Number and device are compared at every step, so an address that is out of date is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Directory {
    /// Address of its dentry.
    pub dentry_addr: u64,
    /// Device of its superblock, as the kernel packs it: not always that of stat(2) (btrfs).
    pub dev: u32,
    /// Inode number.
    pub ino: u64,
    /// References to the dentry that this process itself holds through an open file.
    pub own_references_count: u32,
}

impl Directory {
    /// One out of a record.
    #[must_use]
    pub fn at(dentry_addr: u64, dev: u32, ino: u64) -> Self {
        Self {
            dentry_addr,
            dev,
            ino,
            own_references_count: 0,
        }
    }

    /// The directory of a walk, by the address of the `d_lock` that it held; none where the kernel's
    /// type information doesn't tell where in a dentry that is.
    #[must_use]
    pub fn behind_lock(facts: &Facts, d_lock_addr: u64, dev: u32, ino: u64) -> Option<Self> {
        let offset = facts.offsets.get("dentry.d_lockref.lock")?;
        let dentry_addr = d_lock_addr.checked_sub(u64::from(*offset))?;
        Some(Self::at(dentry_addr, dev, ino))
    }

    /// How many children it has at most, by its reference count: each holds one, and so does each
    /// open file, working directory and mount. A dentry that dies has a negative count.
    #[must_use]
    pub fn children_at_most(&self, references_count: u32) -> u64 {
        u64::try_from(references_count.cast_signed())
            .unwrap_or(0)
            .saturating_sub(self.own_references_count.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::tests::facts_with;

    #[test]
    fn the_lock_of_a_directory_leads_to_its_dentry() {
        let mut facts = facts_with(&[]);
        assert_eq!(Directory::behind_lock(&facts, 5_128, 7, 2), None);
        facts
            .offsets
            .insert("dentry.d_lockref.lock".to_owned(), 128);
        let found = Directory::behind_lock(&facts, 5_128, 7, 2);
        assert_eq!(found, Some(Directory::at(5_000, 7, 2)));
        assert_eq!(Directory::behind_lock(&facts, 3, 7, 2), None);
    }
}
