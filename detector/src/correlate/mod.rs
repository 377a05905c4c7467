//! Joins walks, waits, stalls, system calls and the kernel's own reports to incidents.
//!
//! Records come in about the order of their ends: a waiter's may come a moment before or after the
//! walk's, a system call's right after it. So a walk stays open for a grace period, and comes out
//! once, at the first [`Input::Tick`](crate::model::Input::Tick) behind that, or at the end of
//! the run. Ticks that lead to nothing are not in a recording, so they change nothing here; walks
//! that are no incidents go when a record shows that their time is over.

mod buffer;
mod build;
mod calls;
mod join;
mod kernel_log;
mod records;
mod reports;
mod symbols;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use buffer::{Fate, Timed as _};
use join::{Joined, lock_at, span};
use kernel_log::KernelLog;
pub use kernel_log::KernelReport;
use records::Records;
use symbols::Symbols;

use crate::{
    event::{Release, Stall, Wait, Walk},
    model::{
        Children, Finding, RecordCounts, Session, Span, WaiterNow, WaitingNow, WalkFinding, Wanted,
    },
};

/// How long after its walk's end an incident waits for the rest of its records.
pub const GRACE_NS: u64 = 50_000_000;
/// How long it waits while somebody known still waits for its locks. With a tick every 20 ms it
/// is out within 100 ms.
pub const GRACE_WITH_WAITERS_NS: u64 = 80_000_000;
/// Most walks open at once. More come only out of a ring buffer that was left alone for long.
const OPEN_MAX: usize = 1024;
/// Most walks remembered for system calls that end long after them.
const CLOSED_MAX: usize = 1024;

/// A walk that ended and has not come out.
struct Open {
    found: WalkFinding,
    /// What is in its directory, once it has been told.
    children: Option<Children>,
    /// A record came behind its time and found it to be an incident: it waits for a tick.
    is_incident: bool,
}

/// A walk that came out or went below the threshold.
struct Closed {
    tid: u32,
    span: Span,
    is_incident: bool,
}

/// The state between records.
#[derive(Default)]
pub struct Correlator {
    /// Names for stacks.
    pub symbols: Symbols,
    open: Vec<Open>,
    closed: VecDeque<Closed>,
    records: Records,
    log: KernelLog,
    waiting: Vec<WaitingNow>,
    waiting_read_ns: u64,
    lost_count: u64,
}

impl Correlator {
    /// A walk ended. An incident comes back only where too many are open.
    pub fn walk(&mut self, session: &Session, found: WalkFinding) -> Option<Finding> {
        let end_ns = span(&found.walk).end_ns;
        self.open.push(Open {
            found,
            children: None,
            is_incident: false,
        });
        // Out of order by no more than a moment, so nearly sorted already.
        self.open.sort_by_key(|Open { found, .. }| {
            let span = span(&found.walk);
            (span.end_ns, span.start_ns, found.walk.tid)
        });
        self.retire(session, end_ns);
        if self.open.len() <= OPEN_MAX {
            return None;
        }
        if self.is_incident(session, &self.open[0]) {
            // What was lost until now is not known; the next incident tells.
            Some(self.come_out(session, 0, 0))
        } else {
            self.close(session, 0);
            None
        }
    }

    /// Somebody waited for a spinlock, any on the host.
    pub fn wait(&mut self, session: &Session, wait: Wait) {
        let now_ns = wait.made_ns();
        self.records.waits.push(wait);
        self.retire(session, now_ns);
    }

    /// A task got a CPU late.
    pub fn stall(&mut self, session: &Session, stall: Stall) {
        let now_ns = stall.made_ns();
        self.records.stalls.push(stall);
        self.retire(session, now_ns);
    }

    /// A walker gave a contended lock back.
    pub fn release(&mut self, session: &Session, release: Release) {
        let now_ns = release.made_ns();
        self.records.releases.push(release);
        self.retire(session, now_ns);
    }

    /// A record of the kernel's log was read.
    pub fn kernel_log(&mut self, read_ns: u64, record: &[u8]) {
        self.log.add(read_ns, record);
    }

    /// The waits that go on were read.
    pub fn waiting(&mut self, now_ns: u64, waiters: &[WaitingNow]) {
        self.waiting_read_ns = now_ns;
        self.waiting = waiters.to_vec();
    }

    /// Who waits for the locks of a walk that still runs.
    pub fn waiters_now(&self, walk: &Walk) -> Vec<WaiterNow> {
        let mut waiters: Vec<_> = self
            .waiting
            .iter()
            .filter(|waiter| waiter.tid != walk.tid)
            .filter_map(|waiter| {
                Some(WaiterNow {
                    lock: lock_at(walk, waiter.lock_addr)?,
                    cpu: waiter.cpu,
                    pid: waiter.pid,
                    tid: waiter.tid,
                    comm: waiter.comm.clone(),
                    wait_ns: self.waiting_read_ns.saturating_sub(waiter.start_ns),
                })
            })
            .collect();
        waiters.sort_by_key(|waiter| (u64::MAX - waiter.wait_ns, waiter.cpu, waiter.tid));
        waiters
    }

    /// Something comes out when enough time has passed.
    pub fn is_pending(&self, session: &Session) -> bool {
        self.open.iter().any(|open| self.is_incident(session, open))
            || !self.syscalls_without_open_walk(None).is_empty()
    }

    /// The directories of open incidents whose children have not been told, each once,
    /// of those incidents that will be told themselves.
    pub fn wanted(&self, session: &Session, is_told: impl Fn(&WalkFinding) -> bool) -> Vec<Wanted> {
        let mut wanted: Vec<Wanted> = Vec::new();
        for open in &self.open {
            let walk = &open.found.walk;
            let is_known = |one: &Wanted| (one.dev, one.ino) == (walk.dev, walk.ino);
            if open.children.is_none()
                && !wanted.iter().any(is_known)
                && self.is_incident(session, open)
                && is_told(&open.found)
            {
                wanted.push(Wanted {
                    dev: walk.dev,
                    ino: walk.ino,
                    d_lock_addr: walk.d_lock_addr,
                });
            }
        }
        wanted
    }

    /// What is in a directory: of every open walk over it that has not been told.
    pub fn children(&mut self, children: &Children) {
        for open in &mut self.open {
            let walk = &open.found.walk;
            if (walk.dev, walk.ino) == (children.dev, children.ino) && open.children.is_none() {
                open.children = Some(children.clone());
            }
        }
    }

    /// Time passed: what is complete by now comes out.
    pub fn tick(&mut self, session: &Session, now_ns: u64, lost_count: u64) -> Vec<Finding> {
        self.come_out_until(session, Some(now_ns), lost_count)
    }

    /// The run is over: everything comes out.
    pub fn end(&mut self, session: &Session, lost_count: u64) -> Vec<Finding> {
        let findings = self.come_out_until(session, None, lost_count);
        while !self.open.is_empty() {
            self.close(session, 0);
        }
        findings
    }

    /// The account of all records.
    pub fn counts(&self) -> RecordCounts {
        self.records.counts()
    }

    fn come_out_until(
        &mut self,
        session: &Session,
        now_ns: Option<u64>,
        lost_count: u64,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut place = 0;
        // Records lost may belong to each of the incidents that come out together.
        let lost_since = lost_count.saturating_sub(self.lost_count);
        while let Some(open) = self.open.get(place) {
            let is_due = now_ns.is_none_or(|now_ns| self.is_due(&open.found.walk, now_ns));
            if is_due && self.is_incident(session, open) {
                findings.push(self.come_out(session, place, lost_since));
            } else {
                place += 1;
            }
        }
        if !findings.is_empty() {
            self.lost_count = lost_count;
        }
        findings.extend(self.syscalls_until(session, now_ns));
        findings
    }

    /// The incident of the walk at a place, which is no longer open then.
    fn come_out(&mut self, session: &Session, place: usize, lost_count: u64) -> Finding {
        let Open {
            found, children, ..
        } = &self.open[place];
        let joined = Joined::of(session, &found.walk, &self.records);
        let reports = self.reports_of(session, place, &joined);
        let incident = build::Builder {
            session,
            records: &self.records,
            symbols: &self.symbols,
            joined: &joined,
        }
        .incident(
            found.clone(),
            children.as_ref(),
            reports
                .iter()
                .map(|(at, _)| self.log.reports[*at].text.clone())
                .collect(),
            self.still_waiting_count(&found.walk),
            lost_count,
        );
        for (at, is_named) in reports {
            self.log.reports[at].is_claimed |= is_named;
        }
        self.close_as(place, &joined, Fate::Used);
        Finding::Incident(Box::new(incident))
    }

    /// A walk goes without having been an incident.
    fn close(&mut self, session: &Session, place: usize) {
        let joined = Joined::of(session, &self.open[place].found.walk, &self.records);
        self.close_as(place, &joined, Fate::BelowThreshold);
    }

    fn close_as(&mut self, place: usize, joined: &Joined, fate: Fate) {
        let found = self.open.remove(place).found;
        self.records.mark(joined, fate);
        if self.closed.len() == CLOSED_MAX {
            self.closed.pop_front();
        }
        self.closed.push_back(Closed {
            tid: found.walk.tid,
            span: span(&found.walk),
            is_incident: fate == Fate::Used,
        });
    }

    /// Walks that are no incidents go, once a record shows that nothing of theirs is to come.
    fn retire(&mut self, session: &Session, now_ns: u64) {
        let mut place = 0;
        while let Some(open) = self.open.get(place) {
            if open.is_incident || !self.is_due(&open.found.walk, now_ns) {
                place += 1;
                continue;
            }
            if self.is_incident(session, open) {
                self.open[place].is_incident = true;
                place += 1;
            } else {
                self.close(session, place);
            }
        }
    }

    /// The walk was long, or did as much damage.
    fn is_incident(&self, session: &Session, open: &Open) -> bool {
        let threshold_ns = session.incident_threshold_ns;
        open.is_incident || open.found.walk_ns >= threshold_ns || {
            let joined = Joined::of(session, &open.found.walk, &self.records);
            joined.damage_ns(&self.records) >= threshold_ns
        }
    }

    fn is_due(&self, walk: &Walk, now_ns: u64) -> bool {
        let since_end_ns = now_ns.saturating_sub(span(walk).end_ns);
        since_end_ns >= GRACE_WITH_WAITERS_NS
            || since_end_ns >= GRACE_NS && self.still_waiting_count(walk) == 0
    }

    /// How many waited for the walk's locks at the last reading and have left no record since.
    fn still_waiting_count(&self, walk: &Walk) -> usize {
        if self.waiting_read_ns < walk.start_ns {
            return 0;
        }
        self.waiting
            .iter()
            .filter(|waiter| waiter.tid != walk.tid && waiter.start_ns < span(walk).end_ns)
            .filter(|waiter| lock_at(walk, waiter.lock_addr).is_some())
            .filter(|waiter| {
                !self.records.waits.iter().any(|(_, wait)| {
                    (wait.tid, wait.lock_addr, wait.start_ns)
                        == (waiter.tid, waiter.lock_addr, waiter.start_ns)
                })
            })
            .count()
    }
}
