//! An incident as `fslockup` prints it, as far as scenarios look at it.

use std::collections::BTreeSet;

use anyhow::Context as _;
use fslockup_tests::{Span, TimedCall};
use serde::Deserialize;
use serde_json::Value;

use super::{checks::Checks, detector::Ended};

/// A line of type `incident`.
#[derive(Clone, Debug, Deserialize)]
pub struct Incident {
    pub severity: String,
    pub walk: Walk,
    pub holds: Vec<Hold>,
    pub waiters: Vec<Waiter>,
    pub stalls: Vec<Stall>,
    pub impact: Impact,
    pub kernel_reports: Vec<String>,
    pub degraded: Vec<String>,
    pub lost_count: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Walk {
    pub trigger: Option<String>,
    pub tid: u32,
    pub path: Option<String>,
    pub cpu: u32,
    pub start_ns: u64,
    pub walk_ns: u64,
    /// What the walker itself waited.
    pub wait_ns: u64,
    pub syscall_ns: Option<u64>,
    pub mask: Option<String>,
    pub dev: String,
    pub ino: u64,
    pub fstype: String,
    pub children_count: Option<u64>,
    pub negative_count: Option<u64>,
    pub d_lock_addr: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Hold {
    pub lock: String,
    pub lock_addr: Option<String>,
    /// `derived` or `released`.
    pub end: String,
    pub hold_ns: u64,
    pub tid: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Waiter {
    pub lock: String,
    pub tid: u32,
    pub comm: String,
    pub cpu: u32,
    pub start_ns: u64,
    pub wait_ns: u64,
    pub overlap_ns: u64,
    pub is_sleeping: bool,
    pub stack: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Stall {
    pub cpu: u32,
    pub tid: u32,
    pub comm: String,
    pub runq_delay_ns: u64,
    pub behind_ns: u64,
    pub behind: String,
    pub behind_tid: u32,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Impact {
    pub cpus_blocked_max: u64,
    pub wait_ns_total: u64,
    pub stall_ns_max: u64,
    pub tasks_stalled_count: u64,
}

impl Walk {
    pub fn span(&self) -> Span {
        Span {
            start_ns: self.start_ns,
            end_ns: self.start_ns + self.walk_ns,
        }
    }
}

impl Waiter {
    pub fn span(&self) -> Span {
        Span {
            start_ns: self.start_ns,
            end_ns: self.start_ns + self.wait_ns,
        }
    }
}

impl Incident {
    /// The incident in a line, if it is one.
    pub fn of_line(line: &Value) -> Option<Self> {
        (line["type"] == "incident").then(|| Self::deserialize(line).ok())?
    }

    /// The holds that the walker itself is charged with, of one of the walk's locks.
    pub fn hold_of_walker(&self, lock: &str) -> Option<&Hold> {
        self.holds
            .iter()
            .filter(|hold| hold.lock == lock && hold.tid.is_none_or(|tid| tid == self.walk.tid))
            .max_by_key(|hold| hold.hold_ns)
    }

    /// Claims that hold of every incident, whatever happened.
    pub fn is_sound(&self, checks: &mut Checks) {
        checks.equal(
            "its severity is one of three",
            ["info", "warning", "critical"].contains(&self.severity.as_str()),
            true,
        );
        let walk = self.walk.span();
        for waiter in &self.waiters {
            // The walk held the lock from the end of its own wait.
            let most_ns = overlap_ns(&waiter.span(), &walk);
            checks.that(
                "each wait overlaps the walk, by as much as it says",
                waiter.overlap_ns > 0 && waiter.overlap_ns <= most_ns,
                format!("{waiter:?} during {walk:?}"),
            );
        }
        let stalled: BTreeSet<_> = self.stalls.iter().map(|stall| stall.tid).collect();
        let counted = u64::try_from(stalled.len()).unwrap_or(u64::MAX);
        checks.equal("tasks stalled", self.impact.tasks_stalled_count, counted);
        let longest = self.stalls.iter().map(|stall| stall.runq_delay_ns).max();
        checks.equal(
            "longest stall",
            self.impact.stall_ns_max,
            longest.unwrap_or(0),
        );
    }
}

fn overlap_ns(one: &Span, other: &Span) -> u64 {
    let end_ns = one.end_ns.min(other.end_ns);
    end_ns.saturating_sub(one.start_ns.max(other.start_ns))
}

impl Ended {
    /// All incidents, in their order. What must hold in each of them, whatever the scenario, is looked at here.
    pub fn incidents(&self) -> anyhow::Result<Vec<Incident>> {
        let incidents: Vec<_> = self
            .lines
            .iter()
            .filter(|line| line["type"] == "incident")
            .map(|line| Incident::deserialize(line).with_context(|| line.to_string()))
            .collect::<anyhow::Result<_>>()?;
        for stall in incidents.iter().flat_map(|incident| &incident.stalls) {
            anyhow::ensure!(
                stall.behind_ns <= stall.runq_delay_ns,
                "more behind sections than it was kept from running: {stall:?}"
            );
        }
        Ok(incidents)
    }
}

/// The one incident whose walk lies within a system call.
pub fn of_call<'a>(
    checks: &mut Checks,
    incidents: &'a [Incident],
    call: &TimedCall,
) -> anyhow::Result<&'a Incident> {
    let incident = first_of_call(checks, incidents, call)?;
    let inside = within(incidents, call).count();
    checks.equal("incidents within the system call", inside, 1);
    Ok(incident)
}

/// The first of them: 5.10.223 walks twice for some watches.
pub fn first_of_call<'a>(
    checks: &mut Checks,
    incidents: &'a [Incident],
    call: &TimedCall,
) -> anyhow::Result<&'a Incident> {
    let incident = within(incidents, call)
        .min_by_key(|incident| incident.walk.start_ns)
        .with_context(|| format!("none of {incidents:?} is within {call:?}"))?;
    checks.equal(
        "its trigger",
        incident.walk.trigger.as_deref(),
        Some(call.syscall.as_str()),
    );
    incident.is_sound(checks);
    Ok(incident)
}

fn within<'a>(incidents: &'a [Incident], call: &TimedCall) -> impl Iterator<Item = &'a Incident> {
    let whole = Span {
        start_ns: call.start_ns,
        end_ns: call.end_ns,
    };
    incidents
        .iter()
        .filter(move |incident| incident.walk.tid == call.pid)
        .filter(move |incident| whole.contains(&incident.walk.span()))
}

/// A host can take the CPU away in the middle of the shortest walk (seen once in two runs over 1 ms, four vCPUs on
/// two busy cores): then it is long by its caller's own clock, and rightly reported.
pub fn was_long_for_its_caller(line: &Value, calls: &[TimedCall], threshold_ns: u64) -> bool {
    let mut calls = calls.iter();
    calls.any(|call| line["walk"]["tid"] == call.pid && call.call_ns() >= threshold_ns)
}
