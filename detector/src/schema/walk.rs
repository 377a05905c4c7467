//! The line `walk`: one that runs or has ended.

use serde::{Deserialize, Serialize};

use super::{
    origin::IdentityBody,
    values::{address, device, syscall_name, time},
};
use crate::{
    escape::escape,
    model::{Lock, Session, WalkFinding},
};

/// Body of `walk`: the same `walk` object that an incident will carry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WalkBody {
    pub(crate) state: WalkState,
    pub(crate) at: String,
    pub(crate) host: String,
    pub(crate) kernel: String,
    pub(crate) walk: Walk,
    /// Only while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) waiters: Option<Vec<WaiterNow>>,
    pub(crate) degraded: Vec<String>,
}

/// Whether a walk has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WalkState {
    Running,
    Finished,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WaiterNow {
    pub(crate) lock: Lock,
    pub(crate) cpu: Option<u32>,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) comm: Option<String>,
    pub(crate) wait_ns: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Walk {
    pub(crate) function: Option<String>,
    pub(crate) trigger: Option<String>,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) comm: String,
    pub(crate) cgroup_id: u64,
    #[serde(flatten)]
    pub(crate) identity: IdentityBody,
    pub(crate) path: Option<String>,
    pub(crate) path_is_cut: bool,
    pub(crate) dev: String,
    pub(crate) ino: u64,
    pub(crate) fstype: String,
    pub(crate) cpu: u32,
    pub(crate) end_cpu: Option<u32>,
    pub(crate) start_ns: u64,
    pub(crate) walk_ns: u64,
    /// How long the walker had no CPU inside the function; not part of `walk_ns`.
    #[serde(default)]
    pub(crate) scheduled_out_ns: u64,
    pub(crate) i_lock_addr: Option<String>,
    pub(crate) d_lock_addr: Option<String>,
}

pub(crate) fn walk(session: &Session, found: &WalkFinding) -> WalkBody {
    let waiters = found.waiters.iter().map(|waiter| WaiterNow {
        lock: waiter.lock,
        cpu: waiter.cpu,
        pid: waiter.pid,
        tid: waiter.tid,
        comm: waiter.comm.as_deref().map(escape),
        wait_ns: waiter.wait_ns,
    });
    let is_running = found.walk.end_ns.is_none();
    WalkBody {
        state: if is_running {
            WalkState::Running
        } else {
            WalkState::Finished
        },
        at: time(found.realtime_ns),
        host: session.facts.host.clone(),
        kernel: session.facts.kernel_release.clone(),
        walk: Walk::of(found),
        waiters: is_running.then(|| waiters.collect()),
        degraded: found.degraded.clone(),
    }
}

impl Walk {
    pub(crate) fn of(found: &WalkFinding) -> Self {
        let WalkFinding {
            walk,
            walk_ns,
            function,
            path,
            ..
        } = found;
        Self {
            function: function.clone(),
            trigger: walk.syscall_nr.map(syscall_name),
            pid: walk.pid,
            tid: walk.tid,
            comm: escape(&walk.comm),
            cgroup_id: walk.cgroup_id,
            identity: IdentityBody::of(found.identity.as_ref()),
            path: path.as_deref().map(escape),
            path_is_cut: walk.is_path_cut,
            dev: device(walk.dev),
            ino: walk.ino,
            fstype: escape(&walk.fstype),
            cpu: walk.start_cpu,
            end_cpu: walk.end_cpu,
            start_ns: walk.start_ns,
            walk_ns: *walk_ns,
            scheduled_out_ns: walk.scheduled_out_ns,
            i_lock_addr: walk.i_lock_addr.map(address),
            d_lock_addr: walk.d_lock_addr.map(address),
        }
    }
}
