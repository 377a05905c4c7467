//! One comparison, and how it stands.

use serde::Serialize;

use super::{Rule, rules::Level};

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

/// How something stands that is worse.
pub(super) fn worse(level: Level) -> Standing {
    match level {
        Level::Fail => Standing::Fail,
        Level::Warn => Standing::Warn,
        Level::Ignore => Standing::Ignored,
    }
}

/// Why a number or a fact is missing.
pub(super) const NOTHING_LEFT: &str =
    "the candidate has nothing to compare: see how its scenarios ended";

/// A finding that compares nothing yet.
pub(super) fn words(rule: Rule, subject: impl Into<String>) -> Finding {
    Finding {
        rule,
        subject: subject.into(),
        standing: Standing::NotCompared,
        baseline: None,
        candidate: None,
        baseline_value: None,
        candidate_value: None,
        limit_value: None,
        detail: String::new(),
        evidence: Vec::new(),
    }
}

/// A finding for what only the baseline has.
pub(super) fn nothing_left(rule: Rule, subject: &str, level: Level, evidence: &str) -> Finding {
    Finding {
        standing: worse(level),
        detail: NOTHING_LEFT.to_owned(),
        evidence: vec![evidence.to_owned()],
        ..words(rule, subject)
    }
}
