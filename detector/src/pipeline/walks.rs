//! A walk's record and what its session adds: function, path on this host, time of day.

use super::{Pipeline, Walk};
use crate::model::WalkFinding;

impl Pipeline {
    pub(super) fn complete(&self, walk: Walk, walk_ns: u64) -> WalkFinding {
        let mut degraded = Vec::new();
        let path = self.path(&walk, &mut degraded);
        if walk.syscall_nr.is_none() {
            degraded.push("trigger: the system call's number could not be read".to_owned());
        }
        if walk.i_lock_addr.is_none() || walk.d_lock_addr.is_none() {
            degraded.push("locks: an address could not be read".to_owned());
        }
        WalkFinding {
            walk_ns,
            realtime_ns: self.session.realtime_ns(walk.start_ns),
            function: self
                .session
                .attached
                .function("walk", walk.slot)
                .map(str::to_owned),
            path,
            identity: self.identities.get(&walk.pid).cloned(),
            waiters: Vec::new(),
            degraded,
            walk,
        }
    }

    fn path(&self, walk: &Walk, degraded: &mut Vec<String>) -> Option<Vec<u8>> {
        let Some(names) = &walk.path else {
            degraded.push("path: it could not be read".to_owned());
            return None;
        };
        if walk.is_path_cut {
            degraded.push("path: too deep, its upper part is left out".to_owned());
            return Some(crate::mounts::join(b"...", names));
        }
        let resolved = self.mounts.resolve(walk.dev, names);
        if resolved.is_none() {
            degraded.push(
                "path: its file system is not mounted here, the path is the one inside it"
                    .to_owned(),
            );
        }
        Some(resolved.unwrap_or_else(|| crate::mounts::join(b"", names)))
    }
}
