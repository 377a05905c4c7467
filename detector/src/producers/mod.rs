//! Who made the children of a directory: what the kernel counted, joined to what a process is.

pub mod identity;
pub mod table;
pub mod template;
mod who;

use fslockup_ebpf::change;
use serde::{Deserialize, Serialize};

pub use who::who;

/// What a process is, as far as it could be told when it was first seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// The task's name, escaped by nobody yet.
    pub comm: Vec<u8>,
    /// Path of its program, escaped by nobody yet.
    pub exe: Option<Vec<u8>>,
    /// Path of its cgroup in the version 2 hierarchy, escaped by nobody yet.
    pub cgroup: Option<Vec<u8>>,
    /// The systemd unit of that cgroup.
    pub unit: Option<String>,
    /// The container of that cgroup.
    pub container: Option<String>,
}

/// How often each [`change`] happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// By [`change`].
    pub counts: [u64; change::LEN],
}

impl Changes {
    /// How often one of [`change`] happened.
    #[must_use]
    pub fn of(&self, which: u32) -> u64 {
        usize::try_from(which)
            .ok()
            .and_then(|which| self.counts.get(which).copied())
            .unwrap_or_default()
    }

    /// Dentries made, negative or positive.
    #[must_use]
    pub fn created_count(&self) -> u64 {
        self.of(change::MADE_NEGATIVE)
            .saturating_add(self.of(change::MADE_POSITIVE))
    }

    /// Of those made negative, the ones that did not get an inode right after; and those that lost
    /// theirs. A file that is created is a miss first: it counts as positive.
    #[must_use]
    pub fn negative_count(&self) -> u64 {
        self.of(change::MADE_NEGATIVE)
            .saturating_sub(self.of(change::FILLED))
            .saturating_add(self.of(change::EMPTIED))
    }

    /// Dentries that left the cache.
    #[must_use]
    pub fn removed_count(&self) -> u64 {
        self.of(change::REMOVED_NEGATIVE)
            .saturating_add(self.of(change::REMOVED_POSITIVE))
    }

    /// All changes of all kinds.
    #[must_use]
    pub fn total_count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
    }
}

/// A process, or several that have exited and are alike, with what it did in one directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producer {
    /// Process id in the initial namespace; none for several.
    pub pid: Option<u32>,
    /// How many processes this stands for.
    pub processes_count: u64,
    /// What it is.
    pub identity: Identity,
    /// It is known to have exited.
    pub has_exited: bool,
    /// What it did.
    pub changes: Changes,
    /// When it was first seen, CLOCK_MONOTONIC.
    pub first_ns: u64,
    /// When its counts were last seen to grow, CLOCK_MONOTONIC.
    pub last_ns: u64,
    /// What its names have in common.
    pub template: Option<String>,
    /// A few of its names, escaped by nobody yet.
    pub samples: Vec<Vec<u8>>,
}

/// A directory with those who changed its children, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Device, as the kernel packs it.
    pub dev: u32,
    /// Inode number.
    pub ino: u64,
    /// File system type.
    pub fstype: Vec<u8>,
    /// Names from the root of the file system to the directory; none where it could not be read.
    pub path: Option<Vec<Vec<u8>>>,
    /// Address of its dentry.
    pub dentry_addr: u64,
    /// By what they created.
    pub producers: Vec<Producer>,
    /// Sums of those that had to make room.
    pub dropped: Changes,
}
