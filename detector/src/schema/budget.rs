//! The line `budget`: what the CPU budget made of the probes.

use serde::Serialize;

use super::values::time;
use crate::{
    escape::escape,
    model::{BudgetFinding, budget::BudgetEvent},
};

/// Body of `budget`. Shares are in millionths of one CPU.
#[derive(Serialize)]
pub struct BudgetBody {
    at: String,
    at_ns: u64,
    change: &'static str,
    probes: Option<&'static str>,
    lost: Option<&'static str>,
    cpu_ppm: u64,
    probes_ppm: u64,
    own_ppm: u64,
    budget_ppm: u64,
    pause_ns: u64,
    away_ns: u64,
    reason: Option<String>,
}

/// The line.
pub fn budget(found: &BudgetFinding) -> BudgetBody {
    let BudgetEvent {
        at_ns,
        change,
        group,
        cpu_ppm,
        group_ppm,
        own_ppm,
        budget_ppm,
        pause_ns,
        away_ns,
        reason,
    } = &found.event;
    BudgetBody {
        at: time(found.realtime_ns),
        at_ns: *at_ns,
        change: change.name(),
        probes: group.map(|group| group.name()),
        lost: group.map(|group| group.lost()),
        cpu_ppm: *cpu_ppm,
        probes_ppm: *group_ppm,
        own_ppm: *own_ppm,
        budget_ppm: *budget_ppm,
        pause_ns: *pause_ns,
        away_ns: *away_ns,
        reason: reason.as_ref().map(|reason| escape(reason.as_bytes())),
    }
}
