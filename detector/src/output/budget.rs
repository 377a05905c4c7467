//! What the budget made of the probes, as text and as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::{duration, json::time};
use crate::{
    escape::escape,
    model::{
        BudgetFinding,
        budget::{BudgetEvent, Change},
    },
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

pub fn write_budget(to: &mut impl Write, found: &BudgetFinding) -> io::Result<()> {
    let event = &found.event;
    let name = event.group.map_or("probes", |group| group.name());
    let lost = event.group.map_or("", |group| group.lost());
    let reason = event.reason.as_deref().unwrap_or("no reason given");
    let reason = escape(reason.as_bytes());
    let pause = duration::text(event.pause_ns);
    write!(to, "{}  CPU budget: ", time(found.realtime_ns))?;
    match event.change {
        Change::Detached => {
            writeln!(
                to,
                "{name} detached, {lost} is not seen for {pause} or longer"
            )?;
        }
        Change::Attached => {
            let away = duration::text(event.away_ns);
            writeln!(to, "{name} attached again after {away}")?;
        }
        Change::Exceeded => writeln!(to, "exceeded, and no probe that could go would help")?,
        Change::Refused => {
            writeln!(
                to,
                "{name} can't come back ({reason}), tried again in {pause}"
            )?;
        }
        Change::Unmeasured => {
            return writeln!(
                to,
                "what the programs take can't be measured ({reason}), nothing will be detached"
            );
        }
    }
    writeln!(
        to,
        "    {} of a CPU, {} of it {name}, {} the detector itself; {} allowed (--cpu-budget)",
        percent(event.cpu_ppm),
        percent(event.group_ppm),
        percent(event.own_ppm),
        percent(event.budget_ppm),
    )
}

/// Millionths as percent.
fn percent(ppm: u64) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn millionths_as_percent() {
        for (ppm, expected) in [
            (0, "0.00 %"),
            (99, "0.00 %"),
            (100, "0.01 %"),
            (10_000, "1.00 %"),
            (123_456, "12.34 %"),
            (2_500_000, "250.00 %"),
        ] {
            assert_eq!(percent(ppm), expected);
        }
    }
}
