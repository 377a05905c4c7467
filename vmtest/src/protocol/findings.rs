//! What a scenario says of itself: the file `result.json` in its output directory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The exit code of a scenario that can't say anything of this kernel; its `result.json` says why.
pub const NOT_APPLICABLE_CODE: i32 = 77;

/// One claim that a scenario checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What should be true.
    pub claim: String,
    /// Whether it was.
    pub passed: bool,
    /// What was seen.
    #[serde(default)]
    pub detail: String,
}

/// What a scenario may leave as `$VMTEST_OUT/result.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Its checks.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Its figures, units in their names.
    #[serde(default)]
    pub figures: BTreeMap<String, f64>,
    /// What it measured that is more than a number; its form is the scenario's.
    #[serde(default)]
    pub data: Value,
    /// What this kernel lacks that the scenario is about; it then exits with [`NOT_APPLICABLE_CODE`].
    #[serde(default)]
    pub not_applicable: Option<String>,
    /// What of its time went where.
    #[serde(default)]
    pub times_ms: TimesMs,
}

/// What of a scenario's guest time went where; the rest is its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TimesMs {
    /// Starting detectors, until they are ready.
    pub starts: f64,
    /// Stopping them.
    pub stops: f64,
    /// Flooding directories.
    pub floods: f64,
}
