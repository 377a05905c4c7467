//! Measures what the detector costs, and carries out what the budget decides.

use std::{collections::BTreeMap, io, os::fd::OwnedFd};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike as _,
};

use super::{maps::Maps, privileges};
use crate::{
    attach::runs::time_programs,
    budget::{Budget, BudgetEvent, Change, Group, Sample},
    clock,
    metrics::Runs,
};

/// How long the programs are measured in each period: it costs every program of the host two looks at the
/// clock, so not always.
const MEASURED_NS: u64 = 100_000_000;

/// The time between measurements, and what goes on.
pub struct Overseer {
    budget: Option<Budget>,
    limit_ppm: u64,
    period_ns: u64,
    next_ns: u64,
    own_ns: u64,
    own_read_ns: u64,
    measuring: Option<Measuring>,
}

/// The kernel measures as long as the descriptor is open.
struct Measuring {
    _stats: OwnedFd,
    since_ns: u64,
    before: BTreeMap<String, Runs>,
}

impl Overseer {
    /// Begins with a period of nothing. A budget of 0 is none.
    pub fn new(limit_ppm: u64, period_ns: u64, groups: &[Group]) -> Self {
        let now_ns = clock::monotonic_ns();
        Self {
            budget: (limit_ppm > 0).then(|| Budget::new(limit_ppm, period_ns, groups)),
            limit_ppm,
            period_ns,
            next_ns: now_ns.saturating_add(period_ns),
            own_ns: own_cpu_ns(),
            own_read_ns: now_ns,
            measuring: None,
        }
    }

    /// Time passed. Nothing is taken away or put back while a walk runs: who waits for it meanwhile would
    /// be lost.
    pub fn step(&mut self, maps: &mut Maps, is_walk_running: bool) -> Option<BudgetEvent> {
        self.budget.as_ref()?;
        let now_ns = clock::monotonic_ns();
        if now_ns < self.next_ns || is_walk_running {
            return None;
        }
        privileges::raised(|| self.watch(maps, now_ns))
    }

    fn watch(&mut self, maps: &mut Maps, now_ns: u64) -> Option<BudgetEvent> {
        match self.measure(maps, now_ns) {
            Ok(None) => None,
            Ok(Some(sample)) => {
                let event = self.budget.as_mut()?.judge(&sample)?;
                Some(self.carry_out(maps, event))
            }
            Err(error) => {
                self.budget = None;
                self.measuring = None;
                Some(self.unmeasured(now_ns, &error))
            }
        }
    }

    /// Begins a measurement, or ends one.
    fn measure(&mut self, maps: &Maps, now_ns: u64) -> io::Result<Option<Sample>> {
        let Some(measuring) = &self.measuring else {
            self.measuring = Some(Measuring {
                _stats: time_programs()?,
                since_ns: clock::monotonic_ns(),
                before: maps.runs()?,
            });
            self.next_ns = now_ns.saturating_add(MEASURED_NS.min(self.period_ns));
            return Ok(None);
        };
        let after = maps.runs()?;
        let own_ns = own_cpu_ns();
        let mut sample = Sample {
            at_ns: now_ns,
            measured_ns: clock::monotonic_ns().saturating_sub(measuring.since_ns),
            own_measured_ns: now_ns.saturating_sub(self.own_read_ns),
            own_ns: own_ns.saturating_sub(self.own_ns),
            ..Sample::default()
        };
        for (name, time) in after {
            let before = measuring.before.get(&name).copied().unwrap_or_default();
            let run_ns = time.run_ns.saturating_sub(before.run_ns);
            match Group::of_program(&name) {
                Some(group) => sample.run_ns[group as usize] += run_ns,
                None => sample.others_ns += run_ns,
            }
        }
        self.measuring = None;
        (self.own_ns, self.own_read_ns) = (own_ns, now_ns);
        self.next_ns = now_ns.saturating_add(self.period_ns);
        Ok(Some(sample))
    }

    fn carry_out(&mut self, maps: &mut Maps, event: BudgetEvent) -> BudgetEvent {
        match (event.change, event.group) {
            (Change::Detached, Some(group)) => maps.detach_group(group),
            (Change::Attached, Some(group)) => {
                if let Err(reason) = maps.attach_group(group)
                    && let Some(budget) = &mut self.budget
                {
                    return budget.refused(&event, reason);
                }
            }
            _ => {}
        }
        event
    }

    fn unmeasured(&self, at_ns: u64, error: &io::Error) -> BudgetEvent {
        BudgetEvent {
            at_ns,
            change: Change::Unmeasured,
            group: None,
            cpu_ppm: 0,
            group_ppm: 0,
            own_ppm: 0,
            budget_ppm: self.limit_ppm,
            pause_ns: 0,
            away_ns: 0,
            reason: Some(if error.raw_os_error() == Some(nix::libc::EPERM) {
                // bpf_enable_stats in kernel/bpf/syscall.c asks for it.
                "it takes CAP_SYS_ADMIN".to_owned()
            } else {
                error.to_string()
            }),
        }
    }
}

/// CPU time of this process so far, in the kernel and outside (getrusage(2)).
fn own_cpu_ns() -> u64 {
    // It can't fail for the process itself.
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
        us.unsigned_abs().saturating_mul(1_000)
    })
}
