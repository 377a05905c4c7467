//! The JSON lines `incident` and `syscall`.

use serde::Serialize;

use super::{
    json::{self, address, time},
    origin::ProducerBody,
};
use crate::{
    escape::escape,
    incident::{self, Incident, Severity, Stalled, Waiter, argument_degraded, mask_names},
    pipeline::{Session, SyscallFinding},
};

/// Most entries of one list in an incident; the figures in `impact` cover all.
const LISTED_MAX: usize = 64;
/// Most producers of one directory: the rest made less than any of these.
const ORIGIN_MAX: usize = 10;

/// Body of `incident`.
#[derive(Serialize)]
pub struct IncidentBody {
    id: String,
    at: String,
    host: String,
    kernel: String,
    severity: Severity,
    walk: Walk,
    holds: Vec<Hold>,
    holds_omitted_count: usize,
    waiters: Vec<WaiterBody>,
    waiters_omitted_count: usize,
    stalls: Vec<StallBody>,
    stalls_omitted_count: usize,
    impact: incident::Impact,
    origin: Vec<ProducerBody>,
    kernel_reports: Vec<String>,
    advice: Vec<String>,
    degraded: Vec<String>,
    lost_count: u64,
}

#[derive(Serialize)]
struct Walk {
    #[serde(flatten)]
    walk: json::Walk,
    /// How long the walker itself waited for the locks, inside `walk_ns`.
    wait_ns: u64,
    syscall_ns: Option<u64>,
    mask: Option<String>,
    argument: Option<String>,
    /// Cached children right after the walk.
    children_count: Option<u64>,
    /// Those without an inode.
    negative_count: Option<u64>,
}

#[derive(Serialize)]
struct Hold {
    lock: &'static str,
    lock_addr: String,
    start_ns: u64,
    hold_ns: u64,
    pid: u32,
    tid: u32,
    comm: String,
    end: &'static str,
}

#[derive(Serialize)]
struct WaiterBody {
    lock: &'static str,
    pid: u32,
    tid: u32,
    comm: String,
    cpu: u32,
    start_ns: u64,
    wait_ns: u64,
    overlap_ns: u64,
    is_sleeping: bool,
    stack: Vec<String>,
}

#[derive(Serialize)]
struct StallBody {
    cpu: u32,
    pid: u32,
    tid: u32,
    comm: String,
    start_ns: u64,
    runq_delay_ns: u64,
    behind_ns: u64,
    behind: &'static str,
    behind_tid: u32,
    /// Only behind a wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<&'static str>,
    was_runnable_before: bool,
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
    IncidentBody {
        id: found.id(),
        at: time(found.walk.realtime_ns),
        host: session.facts.host.clone(),
        kernel: session.facts.kernel_release.clone(),
        severity: found.severity,
        walk: Walk {
            walk: json::Walk::of(&found.walk),
            wait_ns: found.own_wait_ns,
            syscall_ns: syscall.map(crate::event::Syscall::syscall_ns),
            mask: syscall.map(|syscall| mask_names(syscall.call, syscall.mask)),
            argument: syscall.and_then(|syscall| syscall.path.as_deref().map(escape)),
            children_count: found.census.as_ref().map(|census| census.children_count),
            negative_count: found.census.as_ref().map(|census| census.negative_count),
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

fn hold(hold: &incident::Hold) -> Hold {
    Hold {
        lock: hold.lock.name(),
        lock_addr: address(hold.lock_addr),
        start_ns: hold.span.start_ns,
        hold_ns: hold.span.length_ns(),
        pid: hold.pid,
        tid: hold.tid,
        comm: escape(&hold.comm),
        end: hold.end.name(),
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
        lock: lock.name(),
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
        behind: stalled.behind(),
        behind_tid: stall.behind_tid,
        lock: stalled.lock.map(incident::Lock::name),
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
