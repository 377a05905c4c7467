//! The functions that change a directory's cached children, each once: `run` counts producers at them,
//! `trace` reports each call.

use super::{Point, point};

/// One of them.
#[derive(Clone, Copy)]
pub(super) struct Changer {
    name: &'static str,
    origin: &'static str,
}

impl Changer {
    /// The point at its entry.
    pub(super) const fn at(self, program: &'static str) -> Point {
        point(self.name, program, self.origin)
    }
}

const fn changer(name: &'static str, origin: &'static str) -> Changer {
    Changer { name, origin }
}

const SINCE_GIT: &str = "1da177e4c3f4 (Linux 2.6.12-rc2)";

/// The end of a lookup on most file systems. Where it is there, `d_splice_alias` jumps to it, and proc calls it.
pub(super) const SPLICE_OPS: Changer = changer(
    "d_splice_alias_ops",
    "\"new helper: d_splice_alias_ops()\" (2025), 6.16",
);
/// The same before it.
pub(super) const SPLICE: Changer = changer("d_splice_alias", SINCE_GIT);
/// The end of a lookup on tmpfs before 7.x, and on some network file systems.
pub(super) const ADD: Changer = changer("d_add", SINCE_GIT);
/// A name gets its inode.
pub(super) const INSTANTIATE: Changer = changer("d_instantiate", SINCE_GIT);
/// As above, of an inode that is new.
pub(super) const INSTANTIATE_NEW: Changer = changer(
    "d_instantiate_new",
    "1e2e547a93a0 (\"do d_instantiate/unlock_new_inode combinations safely\"), 4.17",
);
/// As above, on tmpfs and its like.
pub(super) const MAKE_PERSISTENT: Changer = changer(
    "d_make_persistent",
    "bacdf1d70bbe (\"primitives for maintaining persisitency\"), 7.x: tmpfs and its like",
);
/// A name loses its inode.
pub(super) const DELETE: Changer = changer("d_delete", SINCE_GIT);
/// A dentry leaves the cache; nothing stops that once it is entered.
pub(super) const KILL: Changer = changer(
    "__dentry_kill",
    "e55fd011549e (\"split dentry_kill()\"), 3.16",
);
/// In its place in 7.x; it takes the locks itself, and gives up where the dentry is in use again.
pub(super) const TRY_KILL: Changer = changer("dentry_kill", "7.x, in place of __dentry_kill");
