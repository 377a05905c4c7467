//! Repeats what did not pass: first among the same scenarios, since what failed there may come from what ran
//! before it, then alone, to know more.

use std::sync::atomic::Ordering;

use super::{guest, runner::Runner};
use crate::{
    manifest::scenarios::Scenario,
    matrix::plan::PlannedGuest,
    report::{Composition, FirstFailure, Outcome, Repetition, ScenarioResult},
};

impl Runner<'_> {
    /// Repeats what did not pass, one guest after another, where no more than `limit` did not: more than that
    /// is no accident.
    pub fn repeat_failed(&self, limit: usize, plan: &[PlannedGuest]) {
        let may_be_repeated = |result: &&ScenarioResult| {
            // A kernel that is not to be had will not be there a moment later, nor will what it lacks.
            !matches!(
                result.outcome,
                Outcome::Passed | Outcome::Unavailable | Outcome::NotApplicable
            )
        };
        let firsts = self.results().scenarios.clone();
        let failed: Vec<&ScenarioResult> = firsts.iter().filter(may_be_repeated).collect();
        if failed.len() > limit {
            return;
        }
        for (index, first) in failed.iter().enumerate() {
            let is_same_guest = |other: &&&ScenarioResult| {
                first.guest.is_some()
                    && (&other.kernel, &other.guest) == (&first.kernel, &first.guest)
            };
            // One guest for all that failed in one guest, with the first of them.
            if failed[..index].iter().any(|other| is_same_guest(&other)) {
                continue;
            }
            let mut together: Vec<&ScenarioResult> =
                failed.iter().filter(is_same_guest).copied().collect();
            if together.is_empty() {
                together.push(first);
            }
            self.repeat_together(&together, &firsts, plan);
        }
    }

    /// What failed in one guest, and failed there again alone.
    fn repeat_together(
        &self,
        failed: &[&ScenarioResult],
        firsts: &[ScenarioResult],
        plan: &[PlannedGuest],
    ) {
        let Some(planned) = plan.iter().find(|planned| is_of(self, planned, failed[0])) else {
            return;
        };
        let composition = composition(planned, failed, firsts);
        let guest = failed[0].guest.as_deref().unwrap_or(&planned.name);
        let again = self.run_again(
            planned.kernel,
            &format!("{guest}-again"),
            composition.clone(),
        );
        for first in failed {
            let before: Vec<String> = composition
                .iter()
                .map(|one| one.name.clone())
                .take_while(|name| *name != first.scenario)
                .collect();
            let mut repeated = Vec::new();
            if let Some(result) = again.iter().find(|one| one.scenario == first.scenario) {
                let after = before_in_guest(&again, result);
                let composition = if after == before {
                    Composition::Same
                } else {
                    Composition::Other
                };
                repeated.push((composition, after, result.clone()));
            }
            let did_pass_again = repeated
                .iter()
                .any(|(_, _, result)| result.outcome == Outcome::Passed);
            if !did_pass_again
                && !before.is_empty()
                && let Some(scenario) = composition.iter().find(|one| one.name == first.scenario)
            {
                let name = format!("{}-alone", first.scenario);
                let alone = self.run_again(planned.kernel, &name, vec![scenario.clone()]);
                let alone = alone.into_iter().next();
                repeated.extend(alone.map(|result| (Composition::Alone, Vec::new(), result)));
            }
            replace(&mut self.results().scenarios, verdict(first, repeated));
        }
        // What passed at first and may not be excused now is no accident of the repetition.
        for result in again {
            let has_failed = failed.iter().any(|first| first.scenario == result.scenario);
            if result.is_final && !has_failed {
                let mut result = result;
                result.detail = format!(
                    "when {} was repeated: {}",
                    failed[0].scenario, result.detail
                );
                replace(&mut self.results().scenarios, result);
            }
        }
    }

    /// Runs a guest; its results are returned and not among the run's.
    fn run_again(
        &self,
        kernel: usize,
        name: &str,
        scenarios: Vec<Scenario>,
    ) -> Vec<ScenarioResult> {
        if self.is_interrupted.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let label = self.kernels[kernel].label();
        let names: Vec<&str> = scenarios.iter().map(|one| one.name.as_str()).collect();
        self.progress
            .say(&format!("{label} {name}: once more: {}", names.join(", ")));
        let had_count = self.results().scenarios.len();
        guest::run(
            self,
            &PlannedGuest {
                kernel,
                name: name.to_owned(),
                scenarios,
            },
        );
        self.results().scenarios.split_off(had_count)
    }
}

fn is_of(runner: &Runner, planned: &PlannedGuest, result: &ScenarioResult) -> bool {
    runner.kernels[planned.kernel].label() == result.kernel
        && planned
            .scenarios
            .iter()
            .any(|scenario| scenario.name == result.scenario)
}

/// The scenarios that ran in the guest of these, in their order, up to the last of them. A guest that died
/// has had a part of the planned ones.
fn composition(
    planned: &PlannedGuest,
    failed: &[&ScenarioResult],
    firsts: &[ScenarioResult],
) -> Vec<Scenario> {
    let ran_there = |scenario: &&Scenario| {
        failed.iter().any(|one| one.scenario == scenario.name)
            || failed[0].guest.is_some()
                && firsts.iter().any(|one| {
                    one.scenario == scenario.name
                        && (&one.kernel, &one.guest) == (&failed[0].kernel, &failed[0].guest)
                })
    };
    let mut ran: Vec<Scenario> = planned
        .scenarios
        .iter()
        .filter(ran_there)
        .cloned()
        .collect();
    let last = ran
        .iter()
        .rposition(|scenario| failed.iter().any(|one| one.scenario == scenario.name));
    ran.truncate(last.map_or(0, |last| last + 1));
    ran
}

/// Names of what ended before this one in its guest.
fn before_in_guest(results: &[ScenarioResult], this: &ScenarioResult) -> Vec<String> {
    results
        .iter()
        .take_while(|one| one.scenario != this.scenario)
        .filter(|one| one.guest == this.guest)
        .map(|one| one.scenario.clone())
        .collect()
}

/// The result after all: a failure is excused by a pass among the same scenarios, and what is worse than a
/// failure counts whenever it came.
fn verdict(
    first: &ScenarioResult,
    repeated: Vec<(Composition, Vec<String>, ScenarioResult)>,
) -> ScenarioResult {
    let repetitions = repeated
        .iter()
        .map(|(composition, after, result)| Repetition {
            composition: *composition,
            after: after.clone(),
            outcome: result.outcome,
            detail: result.detail.clone(),
            guest: result.guest.clone(),
            directory: result.directory.clone(),
        });
    let first_failure = FirstFailure {
        outcome: first.outcome,
        detail: first.detail.clone(),
        directory: first.directory.clone(),
        is_final: first.is_final,
        repetitions: repetitions.collect(),
    };
    let is_excuse = |(composition, _, result): &&(Composition, Vec<String>, ScenarioResult)| {
        *composition == Composition::Same && result.outcome == Outcome::Passed
    };
    let counts = if first.is_final {
        None
    } else {
        repeated
            .iter()
            .find(|(_, _, result)| result.is_final)
            .or_else(|| repeated.iter().find(is_excuse))
    };
    let mut result = counts.map_or_else(|| first.clone(), |(_, _, result)| result.clone());
    if !repeated.is_empty() {
        result.first_failure = Some(first_failure);
    }
    result
}

/// Puts the result in the place of the one of the same scenario and kernel.
fn replace(results: &mut [ScenarioResult], result: ScenarioResult) {
    let is_same = |one: &&mut ScenarioResult| {
        (&one.kernel, &one.scenario) == (&result.kernel, &result.scenario)
    };
    if let Some(place) = results.iter_mut().find(is_same) {
        *place = result;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{manifest::scenarios::Scenarios, report::sample};

    fn ended(scenario: &str, guest: &str, outcome: Outcome, is_final: bool) -> ScenarioResult {
        let mut result = sample::run().scenarios.swap_remove(0);
        (result.scenario, result.guest) = (scenario.into(), Some(guest.into()));
        (result.outcome, result.is_final) = (outcome, is_final);
        result.detail = if outcome == Outcome::Passed {
            String::new()
        } else {
            format!("{scenario} in {guest}")
        };
        result
    }

    fn again(
        composition: Composition,
        outcome: Outcome,
        is_final: bool,
    ) -> (Composition, Vec<String>, ScenarioResult) {
        let result = ended("s", "again", outcome, is_final);
        (composition, Vec::new(), result)
    }

    #[test]
    fn a_pass_excuses_a_failure_only_among_the_same_scenarios() {
        let first = ended("s", "shared", Outcome::Failed, false);
        let passed = |composition| vec![again(composition, Outcome::Passed, false)];
        let excused = verdict(&first, passed(Composition::Same));
        let failure = excused.flaky().expect("it passed, but not at first");
        assert_eq!(failure.detail, "s in shared");
        assert_eq!(failure.repetitions[0].guest.as_deref(), Some("again"));
        for composition in [Composition::Other, Composition::Alone] {
            let result = verdict(&first, passed(composition));
            assert_eq!(result.outcome, Outcome::Failed);
            assert!(result.flaky().is_none());
        }
        assert_eq!(verdict(&first, Vec::new()).first_failure, None);
    }

    #[test]
    fn a_failure_that_came_twice_keeps_what_came_alone() {
        let first = ended("s", "shared", Outcome::Failed, false);
        let result = verdict(
            &first,
            vec![
                again(Composition::Same, Outcome::TimedOut, false),
                again(Composition::Alone, Outcome::Passed, false),
            ],
        );
        assert_eq!(result.outcome, Outcome::Failed);
        let repetitions = result.first_failure.expect("repeated").repetitions;
        let outcomes: Vec<_> = repetitions.iter().map(|one| one.outcome).collect();
        assert_eq!(outcomes, [Outcome::TimedOut, Outcome::Passed]);
    }

    #[test]
    fn nothing_excuses_a_panic_whenever_it_came() {
        let panicked = ended("s", "shared", Outcome::Panicked, true);
        let result = verdict(
            &panicked,
            vec![again(Composition::Same, Outcome::Passed, false)],
        );
        assert_eq!((result.outcome, result.is_final), (Outcome::Panicked, true));
        let failed = ended("s", "shared", Outcome::Failed, false);
        let result = verdict(
            &failed,
            vec![
                again(Composition::Same, Outcome::Failed, false),
                again(Composition::Alone, Outcome::Panicked, true),
            ],
        );
        assert_eq!((result.outcome, result.is_final), (Outcome::Panicked, true));
        assert_eq!(
            result.first_failure.expect("repeated").outcome,
            Outcome::Failed
        );
    }

    #[test]
    fn a_composition_is_what_ran_before_in_the_same_boot() {
        let manifest =
            "[[scenario]]\nname = \"NAME\"\nsummary = \"s\"\nis_shared = true\ntime_limit_s = 9\n";
        let text: String = ["a", "b", "c", "d", "e"]
            .map(|name| manifest.replace("NAME", name))
            .concat();
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let scenarios = Scenarios::load(Some(file.path()))
            .expect("a manifest")
            .entries;
        let planned = PlannedGuest {
            kernel: 0,
            name: "shared".into(),
            scenarios,
        };
        // b ended the first boot.
        let results = [
            ended("a", "shared", Outcome::Passed, false),
            ended("b", "shared", Outcome::Panicked, true),
            ended("c", "shared.2", Outcome::Passed, false),
            ended("d", "shared.2", Outcome::Failed, false),
            ended("e", "shared.2", Outcome::Passed, false),
        ];
        let names = |failed: &[&ScenarioResult]| -> Vec<String> {
            let scenarios = composition(&planned, failed, &results);
            scenarios.into_iter().map(|one| one.name).collect()
        };
        assert_eq!(names(&[&results[1]]), ["a", "b"]);
        assert_eq!(names(&[&results[3]]), ["c", "d"]);
        assert_eq!(names(&[&results[2], &results[4]]), ["c", "d", "e"]);
        assert_eq!(before_in_guest(&results, &results[3]), ["c"]);
    }
}
