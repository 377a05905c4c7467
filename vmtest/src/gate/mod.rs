//! The gate: what separates a candidate kernel from a baseline, and whether that is good enough. Pure: it
//! takes results of runs ([`crate::report::RunResult`]) and gives a verdict.

mod compare;
mod costs;
mod endings;
mod exposure;
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
    endings::{Boots, Ending, Severity},
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

/// How one thing compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Worse, and its rule says that the gate fails.
    Fail,
    /// Worse, and its rule says to warn.
    Warn,
    /// It can't be told: one of the two has nothing to compare.
    NotCompared,
    /// Worse, and its rule says that it doesn't matter.
    Ignored,
    /// Better than the baseline.
    Better,
    /// As good as the baseline.
    Same,
}

impl Standing {
    /// The word for people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
            Self::NotCompared => "not compared",
            Self::Ignored => "ignored",
            Self::Better => "better",
            Self::Same => "same",
        }
    }
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The rule that it falls under.
    pub rule: Rule,
    /// What is compared.
    pub subject: String,
    /// How it compares.
    pub standing: Standing,
    /// The baseline's, in words with units; null when it has none.
    pub baseline: Option<String>,
    /// The candidate's.
    pub candidate: Option<String>,
    /// The baseline's as a number, where it is one.
    pub baseline_value: Option<f64>,
    /// The candidate's.
    pub candidate_value: Option<f64>,
    /// What the candidate's may be at most.
    pub limit_value: Option<f64>,
    /// What is lost by it, or why it did not pass; may be empty.
    pub detail: String,
    /// Files below the gate's output directory where the numbers come from, the baseline's first. A JSON
    /// pointer may follow a `#` (RFC 6901).
    pub evidence: Vec<String>,
}

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
