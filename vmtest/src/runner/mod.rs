//! Runs a plan: as many guests at once as asked for, each planned guest to its end.

mod collect;
mod guest;
mod slots;

use std::{
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

pub use self::slots::KernelSlot;
use crate::{
    image::Content,
    outcome::Outcome,
    plan::PlannedGuest,
    progress::Progress,
    qemu::accel::Choice,
    report::{FirstFailure, GuestResult, ScenarioResult},
    scenarios::Scenario,
};

/// What all guests of a run have in common.
pub struct Runner<'a> {
    /// The kernels, in the plan's order.
    pub kernels: Vec<KernelSlot<'a>>,
    /// What is in every image.
    pub content: Content,
    /// What the user wants to execute them.
    pub accel: Choice,
    /// Guests at once.
    pub jobs_count: usize,
    /// Where results go.
    pub out: PathBuf,
    /// The display.
    pub progress: Progress,
    /// Becomes true when the user stops the run.
    pub is_interrupted: &'a AtomicBool,
    /// Held while an accelerator is chosen.
    pub accel_turn: Mutex<()>,
    /// What has come out so far.
    pub results: Mutex<Results>,
}

/// What came out of the guests.
#[derive(Debug, Default)]
pub struct Results {
    /// Scenarios, in the order in which they ended.
    pub scenarios: Vec<ScenarioResult>,
    /// Boots.
    pub guests: Vec<GuestResult>,
    /// What was said of accelerators: each reason is said once.
    said: Vec<String>,
}

impl Runner<'_> {
    /// Runs all guests of the plan.
    pub fn run(&self, plan: &[PlannedGuest]) {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..self.jobs_count.min(plan.len()) {
                scope.spawn(|| {
                    // Each guest runs in the thread that started it, to its end (see `Qemu::start`).
                    while let Some(guest) = plan.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if self.is_interrupted.load(Ordering::Relaxed) {
                            return;
                        }
                        guest::run(self, guest);
                    }
                });
            }
        });
    }

    /// Runs what did not pass once more, each alone in a fresh guest and one after another, where no
    /// more than `limit` did not: more than that is no accident.
    pub fn repeat_failed(&self, limit: usize, scenarios: &[Scenario]) {
        let failed: Vec<ScenarioResult> = self
            .results()
            .scenarios
            .iter()
            .filter(|result| may_be_repeated(result.outcome))
            .cloned()
            .collect();
        if failed.len() > limit {
            return;
        }
        for first in failed {
            let kernel = self
                .kernels
                .iter()
                .position(|slot| slot.label() == first.kernel);
            let scenario = scenarios.iter().find(|one| one.name == first.scenario);
            let (Some(kernel), Some(scenario)) = (kernel, scenario) else {
                continue;
            };
            if self.is_interrupted.load(Ordering::Relaxed) {
                return;
            }
            self.progress
                .say(&format!("{} {}: once more", first.kernel, first.scenario));
            guest::run(
                self,
                &PlannedGuest {
                    kernel,
                    name: format!("{}-again", first.scenario),
                    scenarios: vec![scenario.clone()],
                },
            );
            take_the_place(&mut self.results().scenarios, first);
        }
    }

    fn results(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, result: ScenarioResult) {
        let time = result.duration_ms.map(|ms| {
            format!(
                "{:.1} s",
                f64::from(u32::try_from(ms).unwrap_or(u32::MAX)) / 1000.0
            )
        });
        let mut line = format!(
            "{:<11} {:<13} {:<23} {}",
            result.outcome,
            result.kernel,
            result.scenario,
            time.unwrap_or_default()
        );
        if result.outcome != Outcome::Passed {
            line = format!("{}  {}", line.trim_end(), shortened(&result.detail));
        }
        self.progress.say(line.trim_end());
        self.results().scenarios.push(result);
    }

    /// Says something once a run.
    fn say_once(&self, text: &str) {
        let mut results = self.results();
        if !results.said.iter().any(|said| said == text) {
            results.said.push(text.to_owned());
            self.progress.say(text);
        }
    }
}

/// What a line of the display has room for; the results have all of it.
fn shortened(detail: &str) -> String {
    const CHARACTERS_MAX: usize = 400;
    match detail.char_indices().nth(CHARACTERS_MAX) {
        Some((at, _)) => format!("{} ... (all of it is in results.json)", &detail[..at]),
        None => detail.to_owned(),
    }
}

/// A kernel that is not to be had will not be there a moment later, nor will what it lacks.
fn may_be_repeated(outcome: Outcome) -> bool {
    !matches!(
        outcome,
        Outcome::Passed | Outcome::Unavailable | Outcome::NotApplicable
    )
}

/// The last result takes the place of the first one of the same scenario and kernel, if it is another.
fn take_the_place(results: &mut Vec<ScenarioResult>, first: ScenarioResult) {
    let is_same = |result: &ScenarioResult| {
        (&result.kernel, &result.scenario) == (&first.kernel, &first.scenario)
    };
    if results.iter().filter(|result| is_same(result)).count() < 2 {
        return;
    }
    if let Some(place) = results.iter().position(is_same) {
        results.remove(place);
    }
    if let Some(repeated) = results.iter_mut().rev().find(|result| is_same(result)) {
        repeated.first_failure = Some(FirstFailure {
            outcome: first.outcome,
            detail: first.detail,
            directory: first.directory,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn a_long_detail_is_cut_between_characters_for_the_display() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"ü".repeat(1_000));
        let (kept, rest) = cut.split_once(" ... ").expect("cut");
        assert_eq!(kept, "ü".repeat(400));
        assert!(rest.contains("results.json"));
    }

    #[test]
    fn a_repetition_takes_the_place_of_its_failure_and_keeps_it() {
        let failed = sample::run()
            .scenarios
            .into_iter()
            .find(|result| result.outcome == Outcome::Failed)
            .expect("the sample has one");
        let mut results = vec![failed.clone()];
        take_the_place(&mut results, failed.clone());
        assert_eq!(results[0].first_failure, None, "nothing was repeated");
        let mut passed = failed.clone();
        passed.outcome = Outcome::Passed;
        passed.detail.clear();
        results.push(passed);
        take_the_place(&mut results, failed.clone());
        assert_eq!(results.len(), 1);
        let first = results[0].flaky().expect("it passed, but not at first");
        assert_eq!(
            (first.outcome, &first.detail),
            (failed.outcome, &failed.detail)
        );
    }

    #[test]
    fn what_failed_twice_is_a_failure() {
        let failed = sample::run().scenarios.swap_remove(2);
        let mut results = vec![failed.clone(), failed.clone()];
        take_the_place(&mut results, failed);
        assert_eq!(results.len(), 1);
        assert!(results[0].flaky().is_none() && results[0].first_failure.is_some());
    }
}
