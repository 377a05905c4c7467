//! How long a walk over a directory would take on this host.

use serde::{Deserialize, Serialize};

/// A walk of this host whose directory was counted right after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Its length.
    pub walk_ns: u64,
    /// Children passed.
    pub children_count: u64,
    /// Those of them without an inode, which the walker steps over without taking their lock.
    pub negative_count: u64,
}
