//! The JSON lines of a run, which text, journal and evidence are made from too: a file for each type of line that has
//! more than a few fields. Field order is the order of the structs here; absent knowledge is null.

pub mod budget;
pub mod incident;
pub mod origin;
pub mod summary;
pub mod suppressed;
pub mod values;
pub mod walk;

use std::io::Write;

use serde::Serialize;

use crate::{
    facts::Facts,
    model::{AttachReport, Finding, Session},
    plan::{Exposure, exposure},
};
use budget::{BudgetBody, budget};
use incident::{IncidentBody, SyscallBody, incident, syscall};
use summary::{SummaryBody, summary};
use suppressed::{SuppressedBody, suppressed};
use values::time;
use walk::{WalkBody, walk};

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
