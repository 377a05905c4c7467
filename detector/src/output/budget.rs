//! What the budget made of the probes, as text.

use std::io::{self, Write};

use super::duration;
use crate::{
    escape::escape,
    model::{BudgetFinding, budget::Change},
    schema::values::time,
};

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
