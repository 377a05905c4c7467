//! How scenarios and boots ended, and which ending is worse.

use serde::Serialize;

use super::{
    Finding, Measured, Rule, Rules, Standing,
    compare::words,
    judge::worse,
    measured::{Source, Sourced, evidence},
    rules::Level,
};
use crate::{
    kernel_log::Report,
    report::{Outcome, RunResult, ScenarioResult, UNEXPECTED_REPORT},
};

/// How bad an ending is, from none to worst. What says nothing of the kernel has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Passed at first.
    None,
    /// Passed when it was repeated.
    Flaky,
    /// Something was found wrong.
    Failed,
    /// It did not end in time.
    TimedOut,
    /// QEMU went away.
    Lost,
    /// The guest fell silent.
    Hung,
    /// The kernel reported what it should not.
    Reported,
    /// The guest did not come up.
    NotBooted,
    /// The kernel gave up.
    Panicked,
}

impl Severity {
    fn of(outcome: Outcome, detail: &str) -> Option<Self> {
        Some(match outcome {
            Outcome::Passed => Self::None,
            Outcome::Failed if detail.starts_with(UNEXPECTED_REPORT) => Self::Reported,
            Outcome::Failed => Self::Failed,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Lost => Self::Lost,
            Outcome::Hung => Self::Hung,
            // A module or a mount that only one side lacks is a difference between the two.
            Outcome::NotBooted | Outcome::NotReady => Self::NotBooted,
            Outcome::Panicked => Self::Panicked,
            Outcome::Unavailable | Outcome::NotApplicable => return None,
        })
    }

    /// Of one that passed when it was repeated: what a kernel must never do counts all the same.
    fn when_flaky(self) -> Self {
        if matches!(self, Self::Reported | Self::Panicked) {
            self
        } else {
            Self::Flaky
        }
    }
}

/// How a scenario ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ending {
    /// Its name.
    pub scenario: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How bad that is, with its first try; none where it says nothing of the kernel.
    pub severity: Option<Severity>,
    /// Why it isn't passed; of one that passed only when it was repeated, how it ended at first.
    pub detail: String,
    /// Where that can be read.
    pub evidence: String,
}

impl Ending {
    pub(super) fn of(at: usize, result: &ScenarioResult, source: &Source) -> Self {
        let last = Severity::of(result.outcome, &result.detail);
        let (severity, detail) = match result.flaky() {
            Some(first) => (
                Severity::of(first.outcome, &first.detail)
                    .map(Severity::when_flaky)
                    .max(last),
                format!("at first {}: {}", first.outcome, first.detail),
            ),
            None => (last, result.detail.clone()),
        };
        let directory = match result.flaky() {
            Some(first) => first.directory.as_ref(),
            None if result.outcome == Outcome::Passed => None,
            None => result.directory.as_ref(),
        };
        Self {
            scenario: result.scenario.clone(),
            outcome: result.outcome,
            severity,
            detail,
            evidence: match directory.filter(|_| source.has_files) {
                Some(directory) => directory.display().to_string(),
                None => source.pointer("scenarios", at),
            },
        }
    }
}

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
        let came_up = |guest: &crate::report::GuestResult| guest.boot_ms.is_some();
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

/// How each scenario ended on both.
pub(super) fn scenarios(baseline: &Measured, candidate: &Measured, rules: &Rules) -> Vec<Finding> {
    let of = |kernel: &'_ Measured, name: &str| -> Option<Ending> {
        let found = kernel.endings.iter().find(|one| one.scenario == name);
        found.cloned()
    };
    let mut findings: Vec<Finding> = candidate
        .endings
        .iter()
        .map(|new| of_scenario(of(baseline, &new.scenario).as_ref(), new, rules))
        .collect();
    for old in &baseline.endings {
        if of(candidate, &old.scenario).is_none() {
            findings.push(Finding {
                baseline: Some(old.outcome.word().to_owned()),
                detail: "it does not run on the candidate, or was not asked for".to_owned(),
                evidence: vec![old.evidence.clone()],
                ..words(Rule::Scenario, format!("scenario {}", old.scenario))
            });
        }
    }
    findings
}

fn of_scenario(old: Option<&Ending>, new: &Ending, rules: &Rules) -> Finding {
    let level = rules.scenario.level;
    let standing = match (old.and_then(|old| old.severity), new.severity) {
        (None, _) | (_, None) => Standing::NotCompared,
        (Some(old), Some(Severity::Flaky)) if old < Severity::Flaky => worse(at_most_warn(level)),
        (Some(old), Some(new)) if new > old => worse(level),
        (Some(old), Some(new)) if new < old => Standing::Better,
        _ => Standing::Same,
    };
    let of_old = old.filter(|old| old.outcome == Outcome::NotApplicable);
    let said = [Some(new), of_old].into_iter().flatten();
    let details: Vec<&str> = said.map(|one| one.detail.as_str()).collect();
    Finding {
        standing,
        baseline: old.map(|old| old.outcome.word().to_owned()),
        candidate: Some(new.outcome.word().to_owned()),
        detail: details.join("; baseline: ").trim().to_owned(),
        evidence: old
            .into_iter()
            .chain([new])
            .map(|one| one.evidence.clone())
            .collect(),
        ..words(Rule::Scenario, format!("scenario {}", new.scenario))
    }
}

fn at_most_warn(level: Level) -> Level {
    match level {
        Level::Fail | Level::Warn => Level::Warn,
        Level::Ignore => Level::Ignore,
    }
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

    fn ending(outcome: Outcome, detail: &str, first: Option<(Outcome, &str)>) -> Ending {
        let mut result = sample::run().scenarios.swap_remove(0);
        result.outcome = outcome;
        result.detail = detail.into();
        result.first_failure =
            first.map(|(outcome, detail)| sample::first_failure(outcome, detail, "6.1/first"));
        Ending::of(0, &result, &sample::source())
    }

    fn standing(old: &Ending, new: &Ending) -> Standing {
        of_scenario(Some(old), new, &Rules::load(None).expect("the defaults")).standing
    }

    #[test]
    fn what_ended_worse_is_worse_though_neither_passed() {
        let report = format!("{UNEXPECTED_REPORT} (warning): WARNING");
        let ladder = [
            ending(Outcome::Passed, "", None),
            ending(Outcome::Failed, "a check", None),
            ending(Outcome::TimedOut, "", None),
            ending(Outcome::Lost, "", None),
            ending(Outcome::Hung, "", None),
            ending(Outcome::Failed, &report, None),
            ending(Outcome::NotBooted, "", None),
            ending(Outcome::Panicked, "", None),
        ];
        for (at, old) in ladder.iter().enumerate() {
            for (other, new) in ladder.iter().enumerate() {
                let expected = match other.cmp(&at) {
                    std::cmp::Ordering::Less => Standing::Better,
                    std::cmp::Ordering::Equal => Standing::Same,
                    std::cmp::Ordering::Greater => Standing::Fail,
                };
                assert_eq!(standing(old, new), expected, "{old:?} {new:?}");
            }
        }
    }

    #[test]
    fn a_repetition_mends_no_panic_and_no_report() {
        let passed = ending(Outcome::Passed, "", None);
        let first = |outcome, detail: &str| ending(Outcome::Passed, "", Some((outcome, detail)));
        let report = format!("{UNEXPECTED_REPORT} (warning): WARNING");
        for (new, expected) in [
            (first(Outcome::Panicked, "Oops"), Standing::Fail),
            (first(Outcome::Failed, &report), Standing::Fail),
            (first(Outcome::Failed, "a check"), Standing::Warn),
            (first(Outcome::Hung, "silent"), Standing::Warn),
        ] {
            assert_eq!(standing(&passed, &new), expected, "{new:?}");
            assert!(new.detail.starts_with("at first "), "{new:?}");
            assert_eq!(new.evidence, "6.1/first");
            assert_eq!(standing(&new, &new), Standing::Same);
        }
    }

    #[test]
    fn what_does_not_apply_is_not_compared_and_says_why() {
        let passed = ending(Outcome::Passed, "", None);
        let not_applicable = ending(Outcome::NotApplicable, "no kprobes", None);
        let rules = Rules::load(None).expect("the defaults");
        for (old, new) in [(&passed, &not_applicable), (&not_applicable, &passed)] {
            let finding = of_scenario(Some(old), new, &rules);
            assert_eq!(finding.standing, Standing::NotCompared);
            assert!(finding.detail.ends_with("no kprobes"), "{finding:?}");
        }
    }

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
