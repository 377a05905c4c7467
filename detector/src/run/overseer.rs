//! Carries out what the budget decides.

use std::io;

use super::maps::Maps;
use crate::{
    clock,
    model::budget::{BudgetEvent, Change, Group},
    pipeline::budget::{Budget, Sample},
};

/// The budget, as long as the kernel tells what the programs take.
pub struct Overseer {
    budget: Option<Budget>,
    limit_ppm: u64,
}

impl Overseer {
    /// A budget of 0 is none.
    pub fn new(limit_ppm: u64, period_ns: u64, groups: &[Group]) -> Self {
        Self {
            budget: (limit_ppm > 0).then(|| Budget::new(limit_ppm, period_ns, groups)),
            limit_ppm,
        }
    }

    /// Judges a measurement. Not while a walk runs: who waits for it when probes go or come would be lost.
    pub fn judge(&mut self, maps: &mut Maps, measured: io::Result<Sample>) -> Option<BudgetEvent> {
        let budget = self.budget.as_mut()?;
        match measured {
            Ok(sample) => {
                let event = budget.judge(&sample)?;
                Some(carry_out(budget, maps, event))
            }
            Err(error) => {
                self.budget = None;
                Some(unmeasured(self.limit_ppm, &error))
            }
        }
    }
}

fn carry_out(budget: &mut Budget, maps: &mut Maps, event: BudgetEvent) -> BudgetEvent {
    match (event.change, event.group) {
        (Change::Detached, Some(group)) => maps.detach_group(group),
        (Change::Attached, Some(group)) => {
            if let Err(reason) = maps.attach_group(group) {
                return budget.refused(&event, reason);
            }
        }
        _ => {}
    }
    event
}

fn unmeasured(budget_ppm: u64, error: &io::Error) -> BudgetEvent {
    BudgetEvent {
        at_ns: clock::monotonic_ns(),
        change: Change::Unmeasured,
        group: None,
        cpu_ppm: 0,
        group_ppm: 0,
        own_ppm: 0,
        budget_ppm,
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
