//! What came of one scenario, and of one boot.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    kernel_log::Report,
    protocol::{Check, TimesMs},
    qemu::argv::{Accelerator, Mode},
    report::Outcome,
};

/// One scenario on one kernel.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScenarioResult {
    /// The kernel's name.
    pub kernel: String,
    /// The scenario's name.
    pub scenario: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it isn't passed, one line; empty when it is.
    pub detail: String,
    /// Whether its not passing doesn't fail the run: an unavailable kernel that may be.
    pub is_excused: bool,
    /// Whether it fails the run whatever comes of a repetition: a panic, a hang that is not the host's, an
    /// unexpected report of the kernel.
    #[serde(default)]
    pub is_final: bool,
    /// The guest it ran in; null when there was none.
    pub guest: Option<String>,
    /// How the guest's time passed.
    pub mode: Mode,
    /// Who executed the guest.
    pub accelerator: Option<Accelerator>,
    /// Guest time from start to end, where it ended.
    pub duration_ms: Option<u64>,
    /// The host's time from start to end, where it ended: in instruction time another one.
    #[serde(default)]
    pub host_ms: Option<u64>,
    /// What of its guest time went where, as it says itself.
    #[serde(default)]
    pub times_ms: TimesMs,
    /// What it checked.
    pub checks: Vec<Check>,
    /// What it measured.
    pub figures: BTreeMap<String, f64>,
    /// What it measured that is more than a number; null when nothing is.
    #[serde(default)]
    pub data: Value,
    /// What the kernel reported meanwhile, expected reports too.
    pub kernel_reports: Vec<Report>,
    /// Files it left, below its directory.
    pub files: Vec<String>,
    /// Its directory, below the output directory.
    pub directory: Option<PathBuf>,
    /// What did not work around it, without being its fault.
    pub troubles: Vec<String>,
    /// How it ended at first, where it was repeated.
    pub first_failure: Option<FirstFailure>,
}

/// How a scenario ended before it was repeated, and how its repetitions did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstFailure {
    /// Anything but passed.
    pub outcome: Outcome,
    /// Why, one line.
    pub detail: String,
    /// Its directory, below the output directory.
    pub directory: Option<PathBuf>,
    /// Whether no repetition excuses it. The scenario's outcome is this one then.
    #[serde(default)]
    pub is_final: bool,
    /// In their order. Only the first one can excuse the failure, and only in the same composition.
    #[serde(default)]
    pub repetitions: Vec<Repetition>,
}

/// One repetition of a scenario that did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repetition {
    /// What ran before it.
    pub composition: Composition,
    /// The scenarios that ran before it in the same guest.
    pub after: Vec<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, one line; empty when it passed.
    pub detail: String,
    /// Its guest; null when there was none.
    pub guest: Option<String>,
    /// Its directory, below the output directory.
    pub directory: Option<PathBuf>,
}

/// What runs before a repetition in its guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Composition {
    /// The same scenarios as at first.
    Same,
    /// Others than at first: one of them ended the guest.
    Other,
    /// Nothing, where something did at first.
    Alone,
}

impl Composition {
    /// The words for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Same => "after the same scenarios",
            Self::Other => "after other scenarios",
            Self::Alone => "alone",
        }
    }
}

impl FirstFailure {
    /// How the repetitions ended, in words.
    #[must_use]
    pub fn repetitions_text(&self) -> String {
        let ends = self.repetitions.iter().map(|one| {
            format!(
                "{} when repeated {}",
                one.outcome.word(),
                one.composition.words()
            )
        });
        ends.collect::<Vec<_>>().join(", ")
    }
}

impl ScenarioResult {
    /// It passed, but not at first.
    #[must_use]
    pub fn flaky(&self) -> Option<&FirstFailure> {
        self.first_failure
            .as_ref()
            .filter(|_| self.outcome == Outcome::Passed)
    }
}

/// One boot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GuestResult {
    /// The kernel's name.
    pub kernel: String,
    /// `uname -r` as the guest said it.
    pub release: Option<String>,
    /// The guest's name.
    pub name: String,
    /// How many boots of it were tried, with this one: the results have one of these for each.
    #[serde(default = "one")]
    pub boots_tried_count: u32,
    /// How it ended.
    pub end: String,
    /// Host time from QEMU's start to the first message.
    pub boot_ms: Option<u64>,
    /// Host time from start to end.
    pub duration_ms: u64,
    /// What the kernel reported before the first scenario.
    pub boot_reports: Vec<Report>,
}

fn one() -> u32 {
    1
}

impl GuestResult {
    /// It sent its first message.
    #[must_use]
    pub fn is_booted(&self) -> bool {
        self.release.is_some()
    }
}
