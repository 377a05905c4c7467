//! The JSON lines `incident` and `syscall`. Text is made of the same values, so that an incident read
//! back from its line is shown as it was when it happened.

use serde::{Deserialize, Serialize};

use super::{
    origin::ProducerBody,
    values::{address, time},
    walk,
};
use crate::{
    escape::escape,
    event::Behind,
    incident::{argument_degraded, mask_names},
    model::{self, HoldEnd, Incident, Lock, Session, Severity, Stalled, SyscallFinding, Waiter},
};

/// Most entries of one list in an incident; the figures in `impact` cover all.
const LISTED_MAX: usize = 64;
/// Most producers of one directory: the rest made less than any of these.
const ORIGIN_MAX: usize = 10;

/// Body of `incident`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IncidentBody {
    pub(crate) id: String,
    pub(crate) at: String,
    pub(crate) host: String,
    pub(crate) kernel: String,
    pub(crate) severity: Severity,
    pub(crate) walk: Walk,
    pub(crate) holds: Vec<Hold>,
    pub(crate) holds_omitted_count: usize,
    pub(crate) waiters: Vec<WaiterBody>,
    pub(crate) waiters_omitted_count: usize,
    pub(crate) stalls: Vec<StallBody>,
    pub(crate) stalls_omitted_count: usize,
    pub(crate) impact: model::Impact,
    pub(crate) origin: Vec<ProducerBody>,
    /// Only where there are any.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) origin_omitted_count: usize,
    pub(crate) kernel_reports: Vec<String>,
    pub(crate) advice: Vec<String>,
    pub(crate) degraded: Vec<String>,
    pub(crate) lost_count: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Walk {
    #[serde(flatten)]
    pub(crate) walk: walk::Walk,
    /// How long the walker itself waited for the locks, inside `walk_ns`.
    pub(crate) wait_ns: u64,
    pub(crate) syscall_ns: Option<u64>,
    pub(crate) mask: Option<String>,
    pub(crate) argument: Option<String>,
    /// Cached children right after the walk.
    pub(crate) children_count: Option<u64>,
    /// Those without an inode.
    pub(crate) negative_count: Option<u64>,
    /// Only where these two are no exact counts.
    #[serde(default, skip_serializing_if = "is_no")]
    pub(crate) is_estimated: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) lock: Lock,
    pub(crate) lock_addr: String,
    pub(crate) start_ns: u64,
    pub(crate) hold_ns: u64,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) comm: String,
    pub(crate) end: HoldEnd,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WaiterBody {
    pub(crate) lock: Lock,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) comm: String,
    pub(crate) cpu: u32,
    pub(crate) start_ns: u64,
    pub(crate) wait_ns: u64,
    pub(crate) overlap_ns: u64,
    pub(crate) is_sleeping: bool,
    pub(crate) stack: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StallBody {
    pub(crate) cpu: u32,
    pub(crate) pid: u32,
    pub(crate) tid: u32,
    pub(crate) comm: String,
    pub(crate) start_ns: u64,
    pub(crate) runq_delay_ns: u64,
    pub(crate) behind_ns: u64,
    pub(crate) behind: Section,
    pub(crate) behind_tid: u32,
    /// Only behind a wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lock: Option<Lock>,
    pub(crate) was_runnable_before: bool,
}

/// What a stalled task was behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Section {
    Walk,
    Wait,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_no(is_so: &bool) -> bool {
    !is_so
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_none(count: &usize) -> bool {
    *count == 0
}

/// Body of `syscall`.
#[derive(Serialize)]
pub struct SyscallBody {
    at: String,
    host: String,
    kernel: String,
    syscall: Syscall,
    degraded: Vec<String>,
}

#[derive(Serialize)]
struct Syscall {
    name: &'static str,
    pid: u32,
    tid: u32,
    comm: String,
    cgroup_id: u64,
    cpu: u32,
    start_ns: u64,
    syscall_ns: u64,
    /// Spent in walks that came out as incidents before; 0 where there was none.
    walk_ns: u64,
    mask: String,
    argument: Option<String>,
}

/// An incident as a line.
#[must_use]
pub fn incident(session: &Session, found: &Incident) -> IncidentBody {
    let omitted = |count: usize| count.saturating_sub(LISTED_MAX);
    let syscall = found.syscall.as_ref();
    let mut walk = walk::Walk::of(&found.walk);
    if walk.trigger.is_none() {
        walk.trigger = syscall.map(|syscall| syscall.call.name().to_owned());
    }
    IncidentBody {
        id: found.id(),
        at: time(found.walk.realtime_ns),
        host: session.facts.host.clone(),
        kernel: session.facts.kernel_release.clone(),
        severity: found.severity,
        walk: Walk {
            walk,
            wait_ns: found.own_wait_ns,
            syscall_ns: syscall.map(crate::event::Syscall::syscall_ns),
            mask: syscall.map(|syscall| mask_names(syscall.call, syscall.mask)),
            argument: syscall.and_then(|syscall| syscall.path.as_deref().map(escape)),
            children_count: found.census.as_ref().map(|census| census.children_count),
            negative_count: found.census.as_ref().map(|census| census.negative_count),
            is_estimated: found
                .census
                .as_ref()
                .is_some_and(|census| census.is_approximate || !census.is_complete),
        },
        holds: found.holds.iter().take(LISTED_MAX).map(hold).collect(),
        holds_omitted_count: omitted(found.holds.len()),
        waiters: found.waiters.iter().take(LISTED_MAX).map(waiter).collect(),
        waiters_omitted_count: omitted(found.waiters.len()),
        stalls: found.stalls.iter().take(LISTED_MAX).map(stalled).collect(),
        stalls_omitted_count: omitted(found.stalls.len()),
        impact: found.impact,
        origin: found
            .origin
            .iter()
            .take(ORIGIN_MAX)
            .map(ProducerBody::of)
            .collect(),
        origin_omitted_count: found.origin.len().saturating_sub(ORIGIN_MAX),
        kernel_reports: found
            .kernel_reports
            .iter()
            .map(|text| escape(text))
            .collect(),
        advice: found.advice.clone(),
        degraded: found.degraded.clone(),
        lost_count: found.lost_count,
    }
}

fn hold(hold: &model::Hold) -> Hold {
    Hold {
        lock: hold.lock,
        lock_addr: address(hold.lock_addr),
        start_ns: hold.span.start_ns,
        hold_ns: hold.span.length_ns(),
        pid: hold.pid,
        tid: hold.tid,
        comm: escape(&hold.comm),
        end: hold.end,
    }
}

fn waiter(waiter: &Waiter) -> WaiterBody {
    let Waiter {
        wait,
        lock,
        overlap,
        stack,
    } = waiter;
    WaiterBody {
        lock: *lock,
        pid: wait.pid,
        tid: wait.tid,
        comm: escape(&wait.comm),
        cpu: wait.cpu,
        start_ns: wait.start_ns,
        wait_ns: wait.wait_ns(),
        overlap_ns: overlap.length_ns(),
        is_sleeping: wait.is_sleeping,
        stack: stack.iter().map(|frame| escape(frame.as_bytes())).collect(),
    }
}

fn stalled(stalled: &Stalled) -> StallBody {
    let stall = &stalled.stall;
    StallBody {
        cpu: stall.cpu,
        pid: stall.pid,
        tid: stall.tid,
        comm: escape(&stall.comm),
        start_ns: stall.queued_ns,
        runq_delay_ns: stall.runq_delay_ns(),
        behind_ns: stall.behind_ns,
        behind: match stall.behind {
            Behind::Walk => Section::Walk,
            Behind::Wait(_) => Section::Wait,
        },
        behind_tid: stall.behind_tid,
        lock: stalled.lock,
        was_runnable_before: stall.was_runnable_before,
    }
}

/// A slow system call as a line.
#[must_use]
pub fn syscall(session: &Session, found: &SyscallFinding) -> SyscallBody {
    let syscall = &found.syscall;
    SyscallBody {
        at: time(found.realtime_ns),
        host: session.facts.host.clone(),
        kernel: session.facts.kernel_release.clone(),
        syscall: Syscall {
            name: syscall.call.name(),
            pid: syscall.pid,
            tid: syscall.tid,
            comm: escape(&syscall.comm),
            cgroup_id: syscall.cgroup_id,
            cpu: syscall.cpu,
            start_ns: syscall.start_ns,
            syscall_ns: syscall.syscall_ns(),
            walk_ns: found.walk_ns,
            mask: mask_names(syscall.call, syscall.mask),
            argument: syscall.path.as_deref().map(escape),
        },
        degraded: argument_degraded(syscall).into_iter().collect(),
    }
}
