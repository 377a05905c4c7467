//! The JSON lines. Field order is the order of the structs here; absent knowledge is null.

use std::io::Write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    budget::{BudgetBody, budget},
    device,
    incident_json::{IncidentBody, SyscallBody, incident, syscall},
    origin::IdentityBody,
    storm::{CountsBody, SuppressedBody, suppressed},
    syscall_name,
};
use crate::{
    escape::escape,
    facts::Facts,
    model::{self, AttachReport, Finding, Lock, Session, Summary, WalkFinding},
    plan::{Exposure, exposure},
};

/// Named in every line.
pub const SCHEMA: &str = "fslockup/1";

#[derive(Serialize)]
struct Line<T> {
    schema: &'static str,
    #[serde(flatten)]
    body: T,
}

/// One line of output.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Body {
    /// The kernel, and what was attached.
    Facts(Box<FactsBody>),
    /// A walk.
    Walk(Box<WalkBody>),
    /// A walk with everything it caused.
    Incident(Box<IncidentBody>),
    /// A slow system call that no incident tells of.
    Syscall(Box<SyscallBody>),
    /// Other thresholds from now on.
    Thresholds(ThresholdsBody),
    /// A minute in which there was too much to tell all of it.
    Suppressed(Box<SuppressedBody>),
    /// A probe was detached to keep the CPU budget, or attached again.
    Budget(Box<BudgetBody>),
    /// Totals at the end.
    Summary(Box<SummaryBody>),
    /// Bytes that were not a record.
    BadRecord {
        /// What was wrong.
        error: String,
    },
}

/// Writes one line.
pub fn line(to: &mut impl Write, body: &impl Serialize) -> std::io::Result<()> {
    let mut bytes = serde_json::to_vec(&Line {
        schema: SCHEMA,
        body,
    })?;
    bytes.push(b'\n');
    to.write_all(&bytes)
}

/// Body of `facts`.
#[derive(Serialize)]
pub struct FactsBody {
    at: String,
    fslockup_version: String,
    #[serde(flatten)]
    facts: Facts,
    exposure: Exposure,
    attached: AttachReport,
    walk_threshold_ns: u64,
    incident_threshold_ns: u64,
    wait_threshold_ns: u64,
    stall_threshold_ns: u64,
}

/// Body of `thresholds`.
#[derive(Serialize)]
pub struct ThresholdsBody {
    at: String,
    walk_threshold_ns: u64,
    incident_threshold_ns: u64,
    wait_threshold_ns: u64,
    stall_threshold_ns: u64,
}

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
    pub(crate) i_lock_addr: Option<String>,
    pub(crate) d_lock_addr: Option<String>,
}

/// Body of `summary`.
#[derive(Serialize)]
pub struct SummaryBody {
    duration_ns: u64,
    walks_count: u64,
    walks_below_threshold_count: u64,
    walks_reported_count: u64,
    incidents_count: u64,
    suppressed_count: u64,
    suppressed: CountsBody,
    records: Records,
    lost_count: u64,
    lost: Lost,
    bad_records_count: u64,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "units are in names")]
struct Lost {
    ring_full_count: u64,
    walks_full_count: u64,
    missed_exits_count: u64,
    skipped_count: u64,
    waits_skipped_count: u64,
    waits_untold_count: u64,
    waiters_full_count: u64,
    stalls_untimed_count: u64,
    calls_full_count: u64,
}

#[derive(Serialize)]
struct Records {
    waits: Fates,
    stalls: Fates,
    syscalls: Fates,
    releases: Fates,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "units are in names")]
struct Fates {
    used_count: u64,
    below_threshold_count: u64,
    unrelated_count: u64,
    evicted_count: u64,
}

/// The session as a line.
#[must_use]
pub fn facts(session: &Session) -> Body {
    let start_ns = i64::try_from(session.start_ns).unwrap_or(i64::MAX);
    Body::Facts(Box::new(FactsBody {
        at: time(start_ns.saturating_add(session.realtime_offset_ns)),
        fslockup_version: session.fslockup_version.clone(),
        facts: session.facts.clone(),
        exposure: exposure(&session.facts),
        attached: session.attached.clone(),
        walk_threshold_ns: session.walk_threshold_ns,
        incident_threshold_ns: session.incident_threshold_ns,
        wait_threshold_ns: session.wait_threshold_ns,
        stall_threshold_ns: session.stall_threshold_ns,
    }))
}

/// A finding as a line.
#[must_use]
pub fn finding(session: &Session, finding: &Finding) -> Body {
    match finding {
        Finding::Walk(found) => Body::Walk(Box::new(walk(session, found))),
        Finding::Incident(found) => Body::Incident(Box::new(incident(session, found))),
        Finding::Syscall(found) => Body::Syscall(Box::new(syscall(session, found))),
        Finding::Thresholds(found) => Body::Thresholds(ThresholdsBody {
            at: time(found.realtime_ns),
            walk_threshold_ns: found.change.walk_threshold_ns,
            incident_threshold_ns: found.change.incident_threshold_ns,
            wait_threshold_ns: found.change.wait_threshold_ns,
            stall_threshold_ns: found.change.stall_threshold_ns,
        }),
        Finding::Suppressed(found) => Body::Suppressed(Box::new(suppressed(found))),
        Finding::Budget(found) => Body::Budget(Box::new(budget(found))),
        Finding::Summary(found) => Body::Summary(Box::new(summary(found))),
        Finding::BadRecord(error) => Body::BadRecord {
            error: error.to_string(),
        },
    }
}

pub(super) fn walk(session: &Session, found: &WalkFinding) -> WalkBody {
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
    pub(super) fn of(found: &WalkFinding) -> Self {
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
            i_lock_addr: walk.i_lock_addr.map(address),
            d_lock_addr: walk.d_lock_addr.map(address),
        }
    }
}

pub(super) fn address(address: u64) -> String {
    format!("{address:#x}")
}

fn summary(found: &Summary) -> SummaryBody {
    let Summary {
        duration_ns,
        counts,
        reported_count,
        incidents_count,
        suppressed,
        records,
        bad_records_count,
    } = found;
    SummaryBody {
        duration_ns: *duration_ns,
        walks_count: counts.walks_count,
        walks_below_threshold_count: counts.below_threshold_count,
        walks_reported_count: *reported_count,
        incidents_count: *incidents_count,
        suppressed_count: suppressed.suppressed_count(),
        suppressed: (*suppressed).into(),
        records: Records {
            waits: records.waits.into(),
            stalls: records.stalls.into(),
            syscalls: records.syscalls.into(),
            releases: records.releases.into(),
        },
        lost_count: counts.lost_count(),
        lost: Lost {
            ring_full_count: counts.ring_full_count,
            walks_full_count: counts.walks_full_count,
            missed_exits_count: counts.missed_exits_count,
            skipped_count: counts.skipped_count,
            waits_skipped_count: counts.waits_skipped_count,
            waits_untold_count: counts.waits_untold_count,
            waiters_full_count: counts.waiters_full_count,
            stalls_untimed_count: counts.stalls_untimed_count,
            calls_full_count: counts.calls_full_count,
        },
        bad_records_count: *bad_records_count,
    }
}

impl From<model::Fates> for Fates {
    fn from(fates: model::Fates) -> Self {
        Self {
            used_count: fates.used_count,
            below_threshold_count: fates.below_threshold_count,
            unrelated_count: fates.unrelated_count,
            evicted_count: fates.evicted_count,
        }
    }
}

/// RFC 3339 in UTC with milliseconds; a time that no calendar has stays a number.
pub(crate) fn time(realtime_ns: i64) -> String {
    Timestamp::from_nanosecond(realtime_ns.into())
        .map_or_else(|_| realtime_ns.to_string(), |time| format!("{time:.3}"))
}

/// The time in such a text, CLOCK_REALTIME.
pub(crate) fn realtime_ns(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}
