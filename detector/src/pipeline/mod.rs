//! Inputs to findings, the same for a live host and for a recording. Time comes from the records.

mod finding;
mod input;
#[cfg(test)]
mod tests;
mod walks;

use std::collections::{HashMap, HashSet};

use fslockup_ebpf::kind;

pub use finding::{Fates, Finding, RecordCounts, Summary, SyscallFinding, WaiterNow, WalkFinding};
pub use input::{Children, Counts, Input, Session, Symbol, WaitingNow, Wanted};

use crate::{
    correlate::{Correlator, KernelReport},
    event::{self, Event, Walk},
    mounts::Mounts,
    producers::Identity,
};

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
        Self {
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

    /// Something waits for time to pass: [`Input::Tick`] will lead to a finding.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.correlator.is_pending(&self.session)
    }

    /// Directories of walks that will come out as incidents: their children are to be told by
    /// [`Input::Children`], once, or the incidents come out without.
    #[must_use]
    pub fn wanted(&self) -> Vec<Wanted> {
        self.correlator.wanted(&self.session)
    }

    /// What one input leads to.
    ///
    /// An [`Input::Running`] or [`Input::Tick`] that leads to nothing changes nothing, so that a
    /// recording may leave it out. Everything else has to be in it.
    pub fn feed(&mut self, input: &Input) -> Vec<Finding> {
        let mut findings = Vec::new();
        match input {
            Input::Record(bytes) => match event::decode(bytes) {
                Ok(event) => self.event(event, &mut findings),
                Err(error) => findings.push(self.bad_record(error)),
            },
            Input::Symbols(symbols) => self.correlator.symbols.add(symbols),
            Input::Waiting { now_ns, waiters } => self.correlator.waiting(*now_ns, waiters),
            Input::KernelLog { line, .. } => self.correlator.kernel_log(line),
            Input::Tick { now_ns, lost_count } => {
                findings = self.correlator.tick(&self.session, *now_ns, *lost_count);
            }
            Input::Identity { pid, identity } => self.identity(*pid, identity),
            Input::Children(children) => self.correlator.children(children),
            Input::Running { now_ns, record } => findings.extend(self.running(*now_ns, record)),
            Input::Mounts(mountinfo) => self.mounts = Mounts::parse(mountinfo),
            Input::End(counts) => {
                findings = self.correlator.end(&self.session, counts.lost_count());
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
                self.announced.remove(&(walk.tid, walk.start_ns));
                self.reported_count += 1;
                let walk_ns = walk.walk_ns().unwrap_or_default();
                let found = self.complete(*walk, walk_ns);
                findings.push(Finding::Walk(Box::new(found.clone())));
                findings.extend(self.correlator.walk(&self.session, found));
            }
            Event::Wait(wait) => self.correlator.wait(&self.session, *wait),
            Event::Stall(stall) => self.correlator.stall(&self.session, *stall),
            Event::Syscall(syscall) => self.correlator.syscall(&self.session, *syscall),
            Event::Release(release) => self.correlator.release(&self.session, release),
            // They belong to no incident by themselves.
            Event::Producer(_) | Event::Name(_) | Event::Dentry(_) => {}
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
            records: self.correlator.counts(),
            bad_records_count: self.bad_records_count,
        }))
    }

    /// A running walk is announced once, when it is over the threshold.
    fn running(&mut self, now_ns: u64, record: &[u8]) -> Option<Finding> {
        let walk = match event::decode(record) {
            Ok(Event::Walk(walk)) => walk,
            // The element is new, and its task has not come to the first field.
            Err(event::DecodeError::Kind(kind::NONE)) | Ok(_) => return None,
            Err(error) => return Some(self.bad_record(error)),
        };
        let walk_ns = now_ns.saturating_sub(walk.start_ns);
        let is_filled_in = walk.start_ns != 0;
        // Its exit is between writing the record and removing it from the map: seen on 7.3-rt, where
        // the walker can be preempted there.
        let has_ended = walk.end_ns.is_some();
        if !is_filled_in || has_ended || walk_ns < self.session.walk_threshold_ns {
            return None;
        }
        if !self.announced.insert((walk.tid, walk.start_ns)) {
            return None;
        }
        if self.announced.len() > ANNOUNCED_MAX {
            self.announced = HashSet::from([(walk.tid, walk.start_ns)]);
        }
        let mut found = self.complete(*walk, walk_ns);
        found.waiters = self.correlator.waiters_now(&found.walk);
        Some(Finding::Walk(Box::new(found)))
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
