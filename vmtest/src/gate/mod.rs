//! The gate: what separates a candidate kernel from a baseline, and whether that is good enough. Pure: it
//! takes results of runs ([`crate::report::RunResult`]) and gives a verdict.

mod boots;
mod compare;
mod costs;
mod endings;
mod exposure;
mod finding;
mod judge;
mod layout;
mod line;
mod measured;
pub mod report;
mod rules;
#[cfg(test)]
mod sample;
mod walk;
mod word;

use serde::Serialize;

pub use self::{
    boots::Boots,
    endings::{Ending, Severity},
    finding::{Finding, Standing},
    judge::judge,
    layout::{Access, Layout},
    line::Line,
    measured::{Coverage, Curve, Measured, MeasuredCurve, Point, Source, Sourced, State},
    rules::{Level, Plain, Ratio, Rule, Rules, WalkTime},
    word::SideWord,
};
use crate::report::Conditions;

/// The schema of `gate.json`.
pub const SCHEMA: &str = "vmtest-gate/1";

/// A candidate against the baseline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judged {
    /// What was measured of the candidate.
    pub kernel: Measured,
    /// The worst of its findings.
    pub standing: Standing,
    /// All comparisons, the worst first.
    pub findings: Vec<Finding>,
    /// What a verdict can't do without and was not compared, with the reason; empty where there is one.
    pub lacking: Vec<String>,
}

impl Judged {
    /// How many findings stand so.
    #[must_use]
    pub fn count(&self, standing: Standing) -> usize {
        let is_so = |finding: &&Finding| finding.standing == standing;
        self.findings.iter().filter(is_so).count()
    }

    /// Whether the candidate may not pass.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.count(Standing::Fail) > 0
    }

    /// Whether there is a verdict: what was compared is enough, or bad enough.
    #[must_use]
    pub fn is_judged(&self) -> bool {
        self.lacking.is_empty() || self.is_failed()
    }

    /// `passed`, `failed` or `not judged`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (self.is_failed(), self.is_judged()) {
            (true, _) => "failed",
            (false, true) => "passed",
            (false, false) => "not judged",
        }
    }

    /// What there was of each kind, in words.
    #[must_use]
    pub fn counts(&self) -> String {
        let kinds = [
            (Standing::Fail, "failed"),
            (Standing::Warn, "warned of"),
            (Standing::NotCompared, "not compared"),
            (Standing::Ignored, "ignored"),
            (Standing::Better, "better"),
            (Standing::Same, "as good"),
        ];
        let said = kinds.iter().filter_map(|(standing, words)| {
            let count = self.count(*standing);
            (count > 0).then(|| format!("{count} {words}"))
        });
        said.collect::<Vec<_>>().join(", ")
    }
}

/// What the gate found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GateResult {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// Host time that it took.
    pub duration_ms: u64,
    /// What all of it was measured under.
    pub conditions: Conditions,
    /// The rules that applied.
    pub rules: Rules,
    /// What was measured of the baseline.
    pub baseline: Measured,
    /// The candidates, in the order given.
    pub candidates: Vec<Judged>,
}

impl GateResult {
    /// Baseline and candidates.
    #[must_use]
    pub fn kernels(&self) -> Vec<&Measured> {
        let candidates = self.candidates.iter().map(|candidate| &candidate.kernel);
        [&self.baseline].into_iter().chain(candidates).collect()
    }

    /// How many candidates failed.
    #[must_use]
    pub fn failed_count(&self) -> usize {
        self.candidates.iter().filter(|one| one.is_failed()).count()
    }

    /// The verdict on all of them: `passed`, or what there is of the rest.
    #[must_use]
    pub fn verdict(&self) -> String {
        let all = self.candidates.len();
        let count = |word: &str| {
            let count = self.candidates.iter().filter(|one| one.word() == word);
            match count.count() {
                0 => None,
                count if count == all => Some(word.to_owned()),
                count => Some(format!("{count} of {all} {word}")),
            }
        };
        let bad: Vec<String> = ["failed", "not judged"]
            .iter()
            .filter_map(|word| count(word))
            .collect();
        if bad.is_empty() {
            "passed".to_owned()
        } else {
            bad.join(", ")
        }
    }
}
