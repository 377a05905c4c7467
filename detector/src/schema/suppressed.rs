//! The line `suppressed`: what there was too much of to report each one.

use serde::Serialize;

use super::values::{device, time};
use crate::{
    escape::escape,
    model::{Suppressed, SuppressedCounts, SuppressedFinding, WalkFinding},
};

/// Body of `suppressed`.
#[derive(Serialize)]
pub struct SuppressedBody {
    at: String,
    start_ns: u64,
    end_ns: u64,
    suppressed_count: u64,
    incidents: Walks,
    walks: Walks,
    syscalls: Syscalls,
}

#[derive(Serialize)]
struct Walks {
    count: u64,
    walk_ns_total: u64,
    walk_ns_max: u64,
    worst: Option<Worst>,
}

#[derive(Serialize)]
struct Worst {
    at: String,
    path: Option<String>,
    dev: String,
    ino: u64,
    pid: u32,
    tid: u32,
    comm: String,
    start_ns: u64,
    walk_ns: u64,
}

#[derive(Serialize)]
struct Syscalls {
    count: u64,
    syscall_ns_total: u64,
    syscall_ns_max: u64,
}

/// In `summary`.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "units are in names")]
pub struct CountsBody {
    incidents_count: u64,
    walks_count: u64,
    syscalls_count: u64,
}

impl From<SuppressedCounts> for CountsBody {
    fn from(counts: SuppressedCounts) -> Self {
        let SuppressedCounts {
            incidents_count,
            walks_count,
            syscalls_count,
        } = counts;
        Self {
            incidents_count,
            walks_count,
            syscalls_count,
        }
    }
}

/// The line.
pub fn suppressed(found: &SuppressedFinding) -> SuppressedBody {
    let SuppressedFinding {
        realtime_ns,
        start_ns,
        end_ns,
        incidents,
        walks,
        syscalls,
    } = found;
    SuppressedBody {
        at: time(*realtime_ns),
        start_ns: *start_ns,
        end_ns: *end_ns,
        suppressed_count: incidents.count + walks.count + syscalls.count,
        incidents: incidents.into(),
        walks: walks.into(),
        syscalls: Syscalls {
            count: syscalls.count,
            syscall_ns_total: syscalls.ns_total,
            syscall_ns_max: syscalls.ns_max,
        },
    }
}

impl From<&Suppressed> for Walks {
    fn from(found: &Suppressed) -> Self {
        Self {
            count: found.count,
            walk_ns_total: found.ns_total,
            walk_ns_max: found.ns_max,
            worst: found.worst.as_deref().map(Worst::of),
        }
    }
}

impl Worst {
    fn of(found: &WalkFinding) -> Self {
        let walk = &found.walk;
        Self {
            at: time(found.realtime_ns),
            path: found.path.as_deref().map(escape),
            dev: device(walk.dev),
            ino: walk.ino,
            pid: walk.pid,
            tid: walk.tid,
            comm: escape(&walk.comm),
            start_ns: walk.start_ns,
            walk_ns: found.walk_ns,
        }
    }
}
