//! Processes that have exited and were alike, in one directory.

use super::{DirectoryKey, Row, Samples};
use crate::producers::{Changes, Identity, Producer, template::template};

/// What makes them alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GroupKey {
    pub(super) directory: DirectoryKey,
    pub(super) identity: Identity,
}

/// Several processes; at first one.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// Of the only one.
    pid: Option<u32>,
    processes_count: u64,
    pub(super) changes: Changes,
    first_ns: u64,
    last_ns: u64,
    samples: Samples,
}

impl Group {
    pub(super) fn fold(&mut self, pid: u32, row: Row) {
        let is_first = self.processes_count == 0;
        self.pid = is_first.then_some(pid);
        self.processes_count += 1;
        self.changes.add(&row.changes);
        self.first_ns = if is_first {
            row.first_ns
        } else {
            self.first_ns.min(row.first_ns)
        };
        self.last_ns = self.last_ns.max(row.last_ns);
        self.samples.take_over(row.samples);
    }

    pub(super) fn producer(&self, identity: &Identity) -> Producer {
        let samples = self.samples.names();
        Producer {
            pid: self.pid,
            processes_count: self.processes_count,
            identity: identity.clone(),
            has_exited: true,
            changes: self.changes,
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            template: template(&samples),
            samples,
        }
    }
}
