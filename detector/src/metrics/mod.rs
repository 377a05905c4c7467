//! What `fslockup run` exports to a monitoring system: findings and readings in, text out, and the page that serves it.
//! Only `http.rs` touches the system: nothing else here looks at it or at the clock.

mod directories;
mod encode;
pub mod http;
pub mod table;
#[cfg(test)]
mod tests;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{
    encoding::text::encode, metrics::histogram::Histogram, registry::Registry,
};

pub use directories::{CHILDREN_MIN, DIRECTORIES_MAX, DirectoryReading, choose};
pub use text::TextFormat;

use crate::{
    directories::{danger::Danger, predict::Measured},
    facts::DentryState,
    model::{
        AttachReport, Counts, Finding, Incident, Lock, Sampled, Session, Severity,
        SuppressedCounts,
        budget::{Change, Group},
    },
};

/// Walks and holds: from the walk threshold on, to the longest that hosts were seen with and beyond.
const LONG_S: [f64; 12] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];
/// Waits and stalls, from the wait threshold on.
const SHORT_S: [f64; 15] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// What is read every few seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// When, in nanoseconds since 1970.
    pub realtime_ns: i64,
    /// Counters of the programs.
    pub counts: Counts,
    /// The host's dentry cache; none where it could not be read.
    pub dentry_state: Option<DentryState>,
    /// The detector's own CPU time, user and system.
    pub cpu_ns: u64,
    /// The detector's own resident memory; none where it could not be read.
    pub resident_bytes: Option<u64>,
}

/// Everything that is exported. Clones share it.
#[derive(Clone, Debug)]
pub struct Metrics {
    state: Arc<Mutex<State>>,
    registry: Arc<Registry>,
}

#[derive(Debug)]
struct State {
    version: String,
    start_realtime_ns: i64,
    report: AttachReport,
    walks: Histogram,
    incidents: BTreeMap<Severity, u64>,
    waits: BTreeMap<Lock, Histogram>,
    holds: BTreeMap<Lock, Histogram>,
    stalls: Histogram,
    syscalls: Histogram,
    suppressed: SuppressedCounts,
    detached: BTreeSet<Group>,
    bad_records_count: u64,
    /// None before the first reading.
    readings: Option<Readings>,
    directories: Vec<DirectoryReading>,
    sampled: Sampled,
}

impl Metrics {
    /// Nothing has happened yet. Every severity and lock is there from the start: a counter that
    /// appears with its first event has no increase.
    #[must_use]
    pub fn new(session: &Session) -> Self {
        let by_lock = |buckets: &[f64]| {
            [Lock::ILock, Lock::DLock]
                .map(|lock| (lock, Histogram::new(buckets.iter().copied())))
                .into()
        };
        let state = Arc::new(Mutex::new(State {
            version: session.fslockup_version.clone(),
            start_realtime_ns: session.realtime_ns(session.start_ns),
            report: session.attached.clone(),
            walks: Histogram::new(LONG_S),
            incidents: [Severity::Info, Severity::Warning, Severity::Critical]
                .map(|severity| (severity, 0))
                .into(),
            waits: by_lock(&SHORT_S),
            holds: by_lock(&LONG_S),
            stalls: Histogram::new(SHORT_S),
            syscalls: Histogram::new(LONG_S),
            suppressed: SuppressedCounts::default(),
            detached: BTreeSet::new(),
            bad_records_count: 0,
            readings: None,
            directories: Vec::new(),
            sampled: Sampled::default(),
        }));
        let mut registry = Registry::with_prefix(table::PREFIX);
        registry.register_collector(Box::new(encode::Exported(Arc::clone(&state))));
        Self {
            state,
            registry: Arc::new(registry),
        }
    }

    /// Takes what the pipeline concluded.
    pub fn take(&self, finding: &Finding) {
        self.with(|state| match finding {
            // One that runs is told again when it has ended.
            Finding::Walk(found) if found.walk.end_ns.is_some() => {
                state.walks.observe(seconds(found.walk_ns));
            }
            Finding::Walk(_) | Finding::Thresholds(_) | Finding::Summary(_) => {}
            Finding::Incident(incident) => state.incident(incident),
            Finding::Syscall(found) => state.syscalls.observe(seconds(found.syscall.syscall_ns())),
            Finding::Suppressed(found) => {
                state.suppressed.incidents_count += found.incidents.count;
                state.suppressed.walks_count += found.walks.count;
                state.suppressed.syscalls_count += found.syscalls.count;
            }
            Finding::Budget(found) => match (found.event.change, found.event.group) {
                (Change::Detached, Some(group)) => {
                    state.detached.insert(group);
                }
                (Change::Attached, Some(group)) => {
                    state.detached.remove(&group);
                }
                _ => {}
            },
            Finding::BadRecord(_) => state.bad_records_count += 1,
        });
    }

    /// Takes a reading.
    pub fn read(&self, readings: Readings) {
        self.with(|state| state.readings = Some(readings));
    }

    /// Takes the directories that could freeze the host now, and exports the worst.
    pub fn dangers(&self, dangers: &[Danger]) {
        self.with(|state| state.directories = choose(&state.directories, dangers));
    }

    /// Takes how often and how long the programs ran.
    pub fn sampled(&self, sampled: Sampled) {
        self.with(|state| state.sampled = sampled);
    }

    /// All of it as text.
    #[must_use]
    pub fn render(&self, format: TextFormat) -> String {
        let mut text = String::new();
        // Writing to a string never fails.
        let _ = encode(&mut text, &self.registry);
        match format {
            TextFormat::OpenMetrics => text,
            TextFormat::Prometheus => text::to_prometheus(&text),
        }
    }

    fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        what(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn incident(&mut self, incident: &Incident) {
        *self.incidents.entry(incident.severity).or_default() += 1;
        for waiter in &incident.waiters {
            observe(&self.waits, waiter.lock, waiter.wait.wait_ns());
        }
        for hold in &incident.holds {
            observe(&self.holds, hold.lock, hold.span.length_ns());
        }
        for stalled in &incident.stalls {
            self.stalls.observe(seconds(stalled.stall.behind_ns));
        }
    }
}

fn observe(histograms: &BTreeMap<Lock, Histogram>, lock: Lock, ns: u64) {
    if let Some(histogram) = histograms.get(&lock) {
        histogram.observe(seconds(ns));
    }
}

/// What an incident tells of the cost of a child: its walk without its own waits, and the count made right
/// after it.
#[must_use]
pub fn measured(incident: &Incident) -> Option<Measured> {
    let census = incident.census.as_ref()?;
    Some(Measured {
        walk_ns: incident.walk.walk_ns.saturating_sub(incident.own_wait_ns),
        children_count: census.children_count,
        negative_count: census.negative_count,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact to a nanosecond up to 104 days"
)]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
