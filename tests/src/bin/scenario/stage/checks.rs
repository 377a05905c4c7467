//! The claims of a scenario, each with what was seen.

use std::{collections::BTreeMap, fs, process::ExitCode};

use anyhow::Context as _;
use fslockup_tests::times::{Times, times_ms};
use serde::Serialize;
use serde_json::Value;

use super::kernel;

/// The harness knows it (`vmtest::protocol::NOT_APPLICABLE_CODE`).
const NOT_APPLICABLE_CODE: u8 = 77;

#[derive(Serialize)]
struct Check {
    claim: String,
    passed: bool,
    detail: String,
}

/// The harness's `result.json`.
#[derive(Serialize)]
struct ResultFile<'a> {
    #[serde(flatten)]
    found: &'a Checks,
    times_ms: Times,
}

/// What a scenario found.
#[derive(Default, Serialize)]
pub struct Checks {
    checks: Vec<Check>,
    figures: BTreeMap<String, f64>,
    data: Value,
    not_applicable: Option<String>,
}

impl Checks {
    /// Notes whether a claim holds, and what was seen.
    pub fn that(&mut self, claim: impl Into<String>, passed: bool, detail: impl Into<String>) {
        let (claim, detail) = (claim.into(), detail.into());
        println!(
            "{} {claim}: {detail}",
            if passed { "ok    " } else { "failed" }
        );
        self.checks.push(Check {
            claim,
            passed,
            detail,
        });
    }

    /// Notes that two things are equal.
    pub fn equal<T: PartialEq + std::fmt::Debug>(
        &mut self,
        claim: impl Into<String>,
        seen: T,
        expected: T,
    ) {
        let passed = seen == expected;
        self.that(
            claim,
            passed,
            format!("saw {seen:?}, expected {expected:?}"),
        );
    }

    /// Keeps a number for the report.
    pub fn figure(&mut self, name: impl Into<String>, value: f64) {
        self.figures.insert(name.into(), value);
    }

    /// Keeps what is more than a number, for comparisons between kernels.
    pub fn data(&mut self, data: Value) {
        self.data = data;
    }

    /// Says that this kernel lacks what the scenario is about.
    pub fn not_applicable(&mut self, lack: String) {
        println!("not applicable: {lack}");
        self.not_applicable = Some(lack);
    }

    /// Writes the result; passes if something was claimed and all of it holds.
    pub fn finish(self) -> anyhow::Result<ExitCode> {
        let path = kernel::out_dir().join("result.json");
        let result = ResultFile {
            found: &self,
            times_ms: times_ms(),
        };
        fs::write(&path, serde_json::to_vec_pretty(&result)?)
            .with_context(|| path.display().to_string())?;
        if self.not_applicable.is_some() {
            return Ok(ExitCode::from(NOT_APPLICABLE_CODE));
        }
        let passed = !self.checks.is_empty() && self.checks.iter().all(|check| check.passed);
        Ok(if passed {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// A count or a length as the figures and ratios of scenarios have it.
#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds and counts far below 2^53"
)]
pub fn precise(number: u64) -> f64 {
    number as f64
}
