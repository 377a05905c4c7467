//! How scenarios ended, and which ending is worse.

use serde::Serialize;

use super::{
    Finding, Measured, Rule, Rules, Standing,
    finding::{words, worse},
    measured::Source,
    rules::Level,
};
use crate::report::{Outcome, ScenarioResult, UNEXPECTED_REPORT};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::sample;

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
}
