//! Runs a plan: as many guests at once as asked for, each planned guest to its end.

use std::{
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use super::{guest, slots::KernelSlot};
use crate::{
    image::Content,
    matrix::plan::PlannedGuest,
    report::{GuestResult, Outcome, ScenarioResult, Spent},
    ui::progress::Progress,
    vm::accel::Choice,
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
    /// Files and logs of what passed are kept too.
    pub keeps_files: bool,
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
    /// What the scenarios spent, those of repetitions too.
    pub spent: Spent,
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

    pub(super) fn results(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self, result: ScenarioResult) {
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
        let mut results = self.results();
        results.spent.add(&result);
        results.scenarios.push(result);
    }

    /// Says something once a run.
    pub(super) fn say_once(&self, text: &str) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_detail_is_cut_between_characters_for_the_display() {
        assert_eq!(shortened("short"), "short");
        let cut = shortened(&"ü".repeat(1_000));
        let (kept, rest) = cut.split_once(" ... ").expect("cut");
        assert_eq!(kept, "ü".repeat(400));
        assert!(rest.contains("results.json"));
    }
}
