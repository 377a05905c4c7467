//! Inputs to findings, the same for a live host and for a recording. Time comes from the records.

pub mod budget;
mod storm;
#[cfg(test)]
mod tests;
mod walks;

use std::collections::{HashMap, HashSet};

use fslockup_ebpf::kind;

use crate::{
    correlate::{Correlator, KernelReport},
    event::{self, Event, Walk},
    model::{BudgetFinding, Counts, Finding, Input, Session, Summary, ThresholdsFinding, Wanted},
    mounts::Mounts,
    producers::Identity,
};
use budget::Absences;

/// Walks announced whose end was not seen. Past this, one that still runs may be announced again.
const ANNOUNCED_MAX: usize = 4096;
/// Processes known. They are those that walk: few.
const IDENTITIES_MAX: usize = 1024;

/// The state between inputs.
pub struct Pipeline {
    session: Session,
    mounts: Mounts,
    announced: HashSet<(u32, u64)>,
    identities: HashMap<u32, Identity>,
    correlator: Correlator,
    reported_count: u64,
    incidents_count: u64,
    bad_records_count: u64,
    storm: storm::Storm,
    has_changed: bool,
    absences: Absences,
}

/// Whether a record of the kernel's log is the headline of a report on a freeze: all others mean
/// nothing here.
#[must_use]
pub fn is_kernel_report(record: &[u8]) -> bool {
    KernelReport::parse(record).is_some()
}

impl Pipeline {
    /// Starts with nothing seen.
    #[must_use]
    pub fn new(session: Session) -> Self {
        let storm = storm::Storm::new(session.limits, session.start_ns);
        Self {
            storm,
            has_changed: false,
            absences: Absences::default(),
            session,
            mounts: Mounts::default(),
            announced: HashSet::new(),
            identities: HashMap::new(),
            correlator: Correlator::default(),
            reported_count: 0,
            incidents_count: 0,
            bad_records_count: 0,
        }
    }

    /// What is fixed for the run.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Something waits for time to pass: [`Input::Tick`] will lead to a finding.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.correlator.is_pending(&self.session)
    }

    /// Directories of walks that will come out as incidents: their children are to be told by
    /// [`Input::Children`], once, or the incidents come out without.
    #[must_use]
    pub fn wanted(&self) -> Vec<Wanted> {
        self.correlator
            .wanted(&self.session, |found| self.storm.would_tell_incident(found))
    }

    /// A minute in which something was suppressed is over: the next [`Input::Tick`] will tell of it.
    #[must_use]
    pub fn is_report_due(&self, now_ns: u64) -> bool {
        self.storm.is_due(now_ns)
    }

    /// Whether the input before this changed anything: only then a recording needs it.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }

    /// What one input leads to.
    ///
    /// Some [`Input::Running`] and [`Input::Tick`] change nothing, so that a recording may leave them
    /// out ([`Pipeline::has_changed`]). Everything else has to be in it.
    pub fn feed(&mut self, input: &Input) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.has_changed = !matches!(input, Input::Running { .. } | Input::Tick { .. });
        match input {
            Input::Record(bytes) => match event::decode(bytes) {
                Ok(event) => self.event(event, &mut findings),
                Err(error) => findings.push(self.bad_record(error)),
            },
            Input::Symbols(symbols) => self.correlator.symbols.add(symbols),
            Input::Waiting { now_ns, waiters } => self.correlator.waiting(*now_ns, waiters),
            Input::KernelLog { read_ns, line } => self.correlator.kernel_log(*read_ns, line),
            Input::Tick { now_ns, lost_count } => {
                let found = self.correlator.tick(&self.session, *now_ns, *lost_count);
                if self.storm.is_due(*now_ns) {
                    findings.extend(self.roll(*now_ns));
                }
                self.has_changed = !(found.is_empty() && findings.is_empty());
                self.limit(found, &mut findings);
            }
            Input::Identity { pid, identity } => self.identity(*pid, identity),
            Input::Children(children) => self.correlator.children(children),
            Input::Running { now_ns, record } => {
                self.running(*now_ns, record, &mut findings);
                self.has_changed = !findings.is_empty();
            }
            Input::Clock { realtime_offset_ns } => {
                self.session.realtime_offset_ns = *realtime_offset_ns;
            }
            Input::Budget(event) => {
                self.absences.note(event);
                findings.push(Finding::Budget(Box::new(BudgetFinding {
                    event: (**event).clone(),
                    realtime_ns: self.session.realtime_ns(event.at_ns),
                })));
            }
            Input::Mounts(mountinfo) => self.mounts = Mounts::parse(mountinfo),
            Input::Thresholds(change) => {
                self.session.change(change);
                findings.push(Finding::Thresholds(ThresholdsFinding {
                    realtime_ns: self.session.realtime_ns(change.at_ns),
                    change: *change,
                }));
            }
            Input::End(counts) => {
                let found = self.correlator.end(&self.session, counts.lost_count());
                self.limit(found, &mut findings);
                let offset_ns = self.session.realtime_offset_ns;
                findings.extend(self.storm.end(counts.end_ns, offset_ns));
                self.count_incidents(&findings);
                findings.push(self.summary(counts));
                return findings;
            }
        }
        self.count_incidents(&findings);
        findings
    }

    fn event(&mut self, event: Event, findings: &mut Vec<Finding>) {
        match event {
            Event::Walk(walk) => {
                let was_told = self.announced.remove(&(walk.tid, walk.entered_ns));
                self.reported_count += 1;
                findings.extend(self.roll(walk.end_ns.unwrap_or(0)));
                let walk_ns = walk.walk_ns().unwrap_or_default();
                let found = self.complete(*walk, walk_ns);
                if was_told || self.storm.tells_walk(&found) {
                    findings.push(Finding::Walk(Box::new(found.clone())));
                }
                let incident = self.correlator.walk(&self.session, found);
                self.limit(incident, findings);
            }
            Event::Wait(wait) => self.correlator.wait(&self.session, *wait),
            Event::Stall(stall) => self.correlator.stall(&self.session, *stall),
            Event::Syscall(syscall) => self.correlator.syscall(&self.session, *syscall),
            Event::Release(release) => self.correlator.release(&self.session, release),
            // They belong to no incident by themselves.
            Event::Producer(_) | Event::Name(_) | Event::Dentry(_) => {}
        }
    }

    fn roll(&mut self, at_ns: u64) -> Option<Finding> {
        self.storm.roll(at_ns, self.session.realtime_offset_ns)
    }

    /// Adds what is told of these.
    fn limit(&mut self, found: impl IntoIterator<Item = Finding>, findings: &mut Vec<Finding>) {
        for mut finding in found {
            let is_told = match &mut finding {
                Finding::Incident(incident) => {
                    let walk = &incident.walk.walk;
                    let end_ns = walk.end_ns.unwrap_or(walk.start_ns);
                    let absent = self.absences.degraded(walk.start_ns, end_ns);
                    incident.degraded.extend(absent);
                    findings.extend(self.roll(end_ns));
                    self.storm.tells_incident(incident)
                }
                Finding::Syscall(syscall) => self.storm.tells_syscall(syscall),
                _ => true,
            };
            if is_told {
                findings.push(finding);
            }
        }
    }

    fn count_incidents(&mut self, findings: &[Finding]) {
        for finding in findings {
            self.incidents_count += u64::from(matches!(finding, Finding::Incident(_)));
        }
    }

    fn summary(&self, counts: &Counts) -> Finding {
        Finding::Summary(Box::new(Summary {
            duration_ns: counts.end_ns.saturating_sub(self.session.start_ns),
            counts: *counts,
            reported_count: self.reported_count,
            incidents_count: self.incidents_count,
            suppressed: self.storm.counts(),
            records: self.correlator.counts(),
            bad_records_count: self.bad_records_count,
        }))
    }

    /// A running walk is announced once, when it is over the threshold.
    fn running(&mut self, now_ns: u64, record: &[u8], findings: &mut Vec<Finding>) {
        let walk = match event::decode(record) {
            Ok(Event::Walk(walk)) => walk,
            // The element is new, and its task has not come to the first field.
            Err(event::DecodeError::Kind(kind::NONE)) | Ok(_) => return,
            Err(error) => return findings.push(self.bad_record(error)),
        };
        let walk_ns = now_ns.saturating_sub(walk.start_ns);
        let is_filled_in = walk.start_ns != 0;
        // Its exit is between writing the record and removing it from the map: seen on 7.3-rt, where
        // the walker can be preempted there.
        let has_ended = walk.end_ns.is_some();
        let is_over = walk_ns >= self.session.walk_threshold_ns;
        if !is_filled_in || has_ended || walk.is_away || !is_over {
            return;
        }
        let id = (walk.tid, walk.entered_ns);
        if self.announced.contains(&id) {
            return;
        }
        let mut found = self.complete(*walk, walk_ns);
        // Not now: it is looked at again while it runs, and told when it has become the worst.
        if !self.storm.would_tell_running(now_ns, &found) {
            return;
        }
        findings.extend(self.roll(now_ns));
        self.storm.tell_running(&found);
        self.announced.insert(id);
        if self.announced.len() > ANNOUNCED_MAX {
            self.announced = HashSet::from([id]);
        }
        found.waiters = self.correlator.waiters_now(&found.walk);
        findings.push(Finding::Walk(Box::new(found)));
    }

    fn identity(&mut self, pid: u32, identity: &Identity) {
        if self.identities.len() >= IDENTITIES_MAX {
            self.identities.clear();
        }
        self.identities.insert(pid, identity.clone());
    }

    fn bad_record(&mut self, error: event::DecodeError) -> Finding {
        self.bad_records_count += 1;
        Finding::BadRecord(error)
    }
}
