//! How many guests came up, how long that took, and what the kernels reported meanwhile.

use serde::Serialize;

use super::{
    Finding, Measured, Rule, Rules, Standing,
    finding::{words, worse},
    line::precise,
    measured::{Source, Sourced, evidence},
};
use crate::{
    kernel_log::Report,
    report::{GuestResult, RunResult},
};

/// Guests of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Boots {
    /// Started.
    pub tried_count: usize,
    /// Their first word arrived.
    pub came_up_count: usize,
}

impl Boots {
    /// With the first guest that did not come up as evidence, or the first of all.
    pub(super) fn of(run: &RunResult, kernel: &str, source: &Source) -> Option<Sourced<Self>> {
        let guests = run.guests.iter().enumerate();
        let own: Vec<_> = guests.filter(|(_, guest)| guest.kernel == kernel).collect();
        let came_up = |guest: &GuestResult| guest.boot_ms.is_some();
        let silent = own.iter().find(|(_, guest)| !came_up(guest));
        let (at, _) = silent.or(own.first())?;
        Some(Sourced {
            value: Self {
                tried_count: own.len(),
                came_up_count: own.iter().filter(|(_, guest)| came_up(guest)).count(),
            },
            evidence: source.pointer("guests", *at),
        })
    }

    fn silent_count(self) -> usize {
        self.tried_count - self.came_up_count
    }

    fn text(self) -> String {
        format!("{} of {} came up", self.came_up_count, self.tried_count)
    }
}

/// The median, with its guest as evidence.
pub(super) fn boot_ms(run: &RunResult, kernel: &str, source: &Source) -> Option<Sourced<f64>> {
    let mut boots: Vec<(u64, usize)> = run
        .guests
        .iter()
        .enumerate()
        .filter(|(_, guest)| guest.kernel == kernel)
        .filter_map(|(at, guest)| Some((guest.boot_ms?, at)))
        .collect();
    boots.sort_unstable();
    let (value, at) = *boots.get(boots.len() / 2)?;
    Some(Sourced {
        value: precise(value),
        evidence: source.pointer("guests", at),
    })
}

/// Of all guests, each report once.
pub(super) fn boot_reports(run: &RunResult, kernel: &str, source: &Source) -> Vec<Sourced<Report>> {
    let mut all: Vec<Sourced<Report>> = Vec::new();
    let own = run.guests.iter().enumerate();
    for (at, guest) in own.filter(|(_, guest)| guest.kernel == kernel) {
        for report in &guest.boot_reports {
            if all.iter().all(|known| known.value != *report) {
                all.push(Sourced {
                    value: report.clone(),
                    evidence: source.pointer("guests", at),
                });
            }
        }
    }
    all
}

/// Guests that did not come up, and what the kernels reported while they booted.
pub(super) fn boots(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    let mut findings = Vec::new();
    let old = baseline.boots.as_ref();
    if let Some(new) = &candidate.boots {
        let silent = |boots: &Sourced<Boots>| boots.value.silent_count();
        findings.push(Finding {
            standing: match old.map(silent) {
                None => Standing::NotCompared,
                Some(old) if silent(new) > old => worse(rules.boots.level),
                Some(old) if silent(new) < old => Standing::Better,
                Some(_) => Standing::Same,
            },
            baseline: old.map(|old| old.value.text()),
            candidate: Some(new.value.text()),
            evidence: evidence(old, Some(new)),
            ..words(Rule::Boots, "guests")
        });
    }
    let known: Vec<String> = baseline.boot_reports.iter().map(kind).collect();
    let mut seen: Vec<String> = Vec::new();
    for new in &candidate.boot_reports {
        let this = kind(new);
        if seen.contains(&this) {
            continue;
        }
        let Report { kind: what, line } = &new.value;
        findings.push(Finding {
            standing: match old {
                None => Standing::NotCompared,
                Some(_) if known.contains(&this) => Standing::Same,
                Some(_) => worse(rules.boot_reports.level),
            },
            baseline: old.map(|_| {
                if known.contains(&this) {
                    line.as_str()
                } else {
                    "none"
                }
                .to_owned()
            }),
            candidate: Some(line.clone()),
            evidence: vec![new.evidence.clone()],
            ..words(Rule::BootReports, format!("{what} at boot"))
        });
        seen.push(this);
    }
    if candidate.boots.is_some() && candidate.boot_reports.is_empty() {
        let gone = baseline.boot_reports.first();
        findings.push(Finding {
            standing: match (old, gone) {
                (None, _) => Standing::NotCompared,
                (Some(_), Some(_)) => Standing::Better,
                (Some(_), None) => Standing::Same,
            },
            baseline: old.map(|_| gone.map_or("none".to_owned(), |gone| gone.value.line.clone())),
            candidate: Some("none".to_owned()),
            evidence: evidence(old, candidate.boots.as_ref()),
            ..words(Rule::BootReports, "reports of the kernel at boot")
        });
    }
    findings
}

/// What makes two reports the same one: the line without its numbers, which are CPUs, processes, addresses and
/// lines of a file.
fn kind(report: &Sourced<Report>) -> String {
    let line = report.value.line.as_str();
    let is_number = |word: &str| word.chars().any(|character| character.is_ascii_digit());
    line.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty() && !is_number(word))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{gate::sample, kernel_log::ReportKind};

    #[test]
    fn a_guest_that_did_not_come_up_is_warned_of_with_the_numbers() {
        let (baseline, mut candidate) = (sample::measured("6.1"), sample::measured("6.1"));
        candidate.boots.as_mut().expect("boots").value = Boots {
            tried_count: 4,
            came_up_count: 2,
        };
        let rules = Rules::load(None).expect("the defaults");
        let finding = &boots(&baseline, &candidate, &rules)[0];
        assert_eq!(finding.standing, Standing::Warn);
        assert_eq!(finding.candidate.as_deref(), Some("2 of 4 came up"));
        assert_eq!(
            boots(&candidate, &baseline, &rules)[0].standing,
            Standing::Better
        );
    }

    #[test]
    fn a_report_at_boot_that_the_baseline_has_not_fails() {
        let (mut baseline, mut candidate) = (sample::measured("6.1"), sample::measured("6.1"));
        let report = |line: &str| Sourced {
            value: Report {
                kind: ReportKind::Warning,
                line: line.into(),
            },
            evidence: "results.json#/guests/0".into(),
        };
        let rules = Rules::load(None).expect("the defaults");
        candidate.boot_reports = vec![
            report("WARNING: CPU: 0 PID: 1 at fs/dcache.c:123 d_walk+0x10/0x20"),
            report("WARNING: CPU: 1 PID: 7 at fs/dcache.c:125 d_walk+0x18/0x20"),
        ];
        let found = boots(&baseline, &candidate, &rules);
        let found: Vec<_> = found.iter().map(|one| (one.rule, one.standing)).collect();
        let both = [
            (Rule::Boots, Standing::Same),
            (Rule::BootReports, Standing::Fail),
        ];
        assert_eq!(found, both);
        baseline.boot_reports = vec![report(
            "WARNING: CPU: 3 PID: 9 at fs/dcache.c:99 d_walk+0x8/0x20",
        )];
        let found = boots(&baseline, &candidate, &rules);
        assert!(found.iter().all(|one| one.standing == Standing::Same));
        baseline.boot_reports = vec![report("WARNING: CPU: 3 PID: 9 at mm/slub.c:99 kfree+0x8")];
        let found = boots(&baseline, &candidate, &rules);
        assert!(found.iter().any(|one| one.standing == Standing::Fail));
        candidate.boot_reports.clear();
        let found = boots(&baseline, &candidate, &rules);
        assert_eq!(found[1].standing, Standing::Better);
    }
}
