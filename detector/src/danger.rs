//! Which directories would freeze this host if somebody watched them now.

use serde::{Deserialize, Serialize};

use crate::producers::Producer;

/// Somebody who already watches a directory: a first watch on it does not walk again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watcher {
    /// Process id.
    pub pid: u32,
    /// The process's name, escaped by nobody yet.
    pub comm: Vec<u8>,
    /// Through which of the two.
    pub through: WatchKind,
    /// The mask of the mark, with the names of the same interface.
    pub mask: u64,
}

/// The interfaces whose marks `/proc/PID/fdinfo` shows (proc_pid_fdinfo(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WatchKind {
    /// inotify(7).
    Inotify,
    /// fanotify(7).
    Fanotify,
}

/// A directory in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Danger {
    /// Device, as the kernel packs it.
    pub dev: u32,
    /// Inode number.
    pub ino: u64,
    /// File system type.
    pub fstype: Vec<u8>,
    /// Path as the host sees it, escaped by nobody yet; none where no mount shows it.
    pub path: Option<Vec<u8>>,
    /// Cached children now.
    pub children_count: u64,
    /// Those without an inode; none where nobody has counted them.
    pub negative_count: Option<u64>,
    /// How long a walk over them would take.
    pub predicted_ns: u64,
    /// Who watches it already.
    pub watchers: Vec<Watcher>,
    /// Who made them, the largest first.
    pub producers: Vec<Producer>,
}
