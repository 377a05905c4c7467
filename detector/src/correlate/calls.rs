//! Slow system calls: part of an incident, or told by themselves.

use super::{
    Closed, Correlator, GRACE_NS, Open,
    buffer::{Fate, Timed as _},
    join,
};
use crate::{
    event::Syscall,
    model::{Finding, Session, Span, SyscallFinding},
};

impl Correlator {
    /// A system call that puts a watch was slow.
    pub fn syscall(&mut self, session: &Session, syscall: Syscall) {
        let now_ns = syscall.made_ns();
        let around: Vec<_> = self.closed_inside(&syscall).collect();
        let is_below = !around.is_empty() && around.iter().all(|closed| !closed.is_incident);
        self.records.syscalls.push(syscall);
        if is_below {
            self.records.syscalls.mark_last(Fate::BelowThreshold);
        }
        self.retire(session, now_ns);
    }

    /// Tells of the calls that no incident will have.
    pub(super) fn syscalls_until(
        &mut self,
        session: &Session,
        now_ns: Option<u64>,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        for place in self.syscalls_without_open_walk(now_ns) {
            let syscall = self.records.syscalls.get(place).clone();
            let walk_ns = self
                .closed_inside(&syscall)
                .filter(|closed| closed.is_incident)
                .map(|closed| closed.span.length_ns())
                .sum();
            self.records.syscalls.mark(place, Fate::Used);
            findings.push(Finding::Syscall(Box::new(SyscallFinding {
                realtime_ns: session.realtime_ns(syscall.start_ns),
                walk_ns,
                syscall,
            })));
        }
        findings
    }

    /// Slow system calls that nothing has told of and no open walk is inside of, until a time.
    pub(super) fn syscalls_without_open_walk(&self, now_ns: Option<u64>) -> Vec<usize> {
        self.records
            .syscalls
            .unrelated()
            .filter(|(_, syscall)| {
                now_ns.is_none_or(|now_ns| now_ns >= syscall.end_ns.saturating_add(GRACE_NS))
            })
            .filter(|(_, syscall)| {
                let is_inside = |open: &Open| join::is_inside(&open.found.walk, syscall);
                !self.open.iter().any(is_inside)
            })
            .map(|(place, _)| place)
            .collect()
    }

    fn closed_inside<'a>(&'a self, syscall: &'a Syscall) -> impl Iterator<Item = &'a Closed> {
        let call = Span::new(syscall.start_ns, syscall.end_ns);
        self.closed
            .iter()
            .filter(move |closed| closed.tid == syscall.tid && call.contains(&closed.span))
    }
}
