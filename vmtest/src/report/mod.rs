//! The results of a run, and the files made of them: `results.json`, `junit.xml`, `summary.md`.

mod junit;
mod merge;
mod summary;

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    kernel_log::{Report, printable},
    outcome::{Check, Outcome},
    qemu::argv::{Accelerator, EMULATED_CPU, ICOUNT_SHIFT, Mode},
    shard::Shard,
};

pub use merge::merge;
pub(crate) use summary::cell;

/// The schema of `results.json`.
pub const SCHEMA: &str = "vmtest/1";

/// The file with a run's results, in its output directory.
pub const RESULTS: &str = "results.json";

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
    /// Whether its not passing doesn't fail the run: an unavailable kernel that may be, a scenario that does not
    /// apply to a kernel that is not of the list.
    pub is_excused: bool,
    /// The guest it ran in; null when there was none.
    pub guest: Option<String>,
    /// How the guest's time passed.
    pub mode: Mode,
    /// Who executed the guest.
    pub accelerator: Option<Accelerator>,
    /// Guest time from start to end, where it ended.
    pub duration_ms: Option<u64>,
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
    /// How it ended at first, where this is its repetition.
    pub first_failure: Option<FirstFailure>,
}

/// How a scenario ended before it was repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstFailure {
    /// Anything but passed.
    pub outcome: Outcome,
    /// Why, one line.
    pub detail: String,
    /// Its directory, below the output directory.
    pub directory: Option<PathBuf>,
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
    /// How it ended.
    pub end: String,
    /// Host time from QEMU's start to the first message.
    pub boot_ms: Option<u64>,
    /// Host time from start to end.
    pub duration_ms: u64,
    /// What the kernel reported before the first scenario.
    pub boot_reports: Vec<Report>,
}

/// What costs in instructions depend on, beside the kernel: between unlike ones nothing is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// QEMU's version.
    pub qemu_version: String,
    /// The CPU model of emulated guests.
    pub cpu_model: String,
    /// An instruction takes 2 to the power of this, in nanoseconds of instruction time.
    pub icount_shift: u32,
}

impl Conditions {
    /// Those of a run with this QEMU.
    #[must_use]
    pub fn of(qemu_version: String) -> Self {
        Self {
            qemu_version,
            cpu_model: EMULATED_CPU.to_owned(),
            icount_shift: ICOUNT_SHIFT,
        }
    }
}

impl fmt::Display for Conditions {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            qemu_version,
            cpu_model,
            icount_shift,
        } = self;
        write!(
            to,
            "QEMU {qemu_version}, CPU {cpu_model}, icount shift {icount_shift}"
        )
    }
}

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunResult {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// Host time that it took.
    pub duration_ms: u64,
    /// What it was measured under.
    #[serde(flatten)]
    pub conditions: Conditions,
    /// Guests at once.
    pub jobs_count: usize,
    /// Which part of the plan this is; null for the whole.
    pub shard: Option<Shard>,
    /// What tells one plan from another: shards of different ones are no whole.
    pub plan_digest: String,
    /// Whether the user stopped it; what was not run is not listed.
    pub is_interrupted: bool,
    /// How many passed.
    pub passed_count: usize,
    /// How many did not, without the excused ones.
    pub failed_count: usize,
    /// Kernels that are not to be had and may be so.
    pub excused_kernels: Vec<String>,
    /// The scenarios.
    pub scenarios: Vec<ScenarioResult>,
    /// The boots.
    pub guests: Vec<GuestResult>,
}

impl RunResult {
    /// Sorts, and counts what is to be counted.
    pub fn conclude(&mut self) {
        self.passed_count = self
            .scenarios
            .iter()
            .filter(|result| result.outcome == Outcome::Passed)
            .count();
        let is_failure =
            |result: &&ScenarioResult| result.outcome != Outcome::Passed && !result.is_excused;
        self.failed_count = self.scenarios.iter().filter(is_failure).count();
        self.excused_kernels = Vec::new();
        let is_gone =
            |result: &&ScenarioResult| result.is_excused && result.outcome == Outcome::Unavailable;
        for result in self.scenarios.iter().filter(is_gone) {
            if !self.excused_kernels.contains(&result.kernel) {
                self.excused_kernels.push(result.kernel.clone());
            }
        }
    }

    /// The kernels of its scenarios, each once, in their order.
    #[must_use]
    pub fn kernels(&self) -> Vec<&str> {
        let mut kernels: Vec<&str> = Vec::new();
        for result in &self.scenarios {
            if !kernels.contains(&result.kernel.as_str()) {
                kernels.push(&result.kernel);
            }
        }
        kernels
    }

    /// A line for each scenario that passed only when it was repeated.
    #[must_use]
    pub fn flaky_lines(&self) -> Vec<String> {
        let flaky = self.scenarios.iter().filter_map(|result| {
            let first = result.flaky()?;
            Some(format!(
                "flaky: {} on {}: at first {}: {}",
                result.scenario, result.kernel, first.outcome, first.detail
            ))
        });
        flaky.collect()
    }

    /// A line for each scenario that does not apply to its kernel.
    #[must_use]
    pub fn not_applicable_lines(&self) -> Vec<String> {
        let found = self.scenarios.iter();
        let found = found.filter(|result| result.outcome == Outcome::NotApplicable);
        found
            .map(|result| {
                format!(
                    "not applicable: {} on {}: {}",
                    result.scenario, result.kernel, result.detail
                )
            })
            .collect()
    }

    /// The last line of a run's output.
    #[must_use]
    pub fn verdict_line(&self) -> String {
        format!("{} passed, {} failed", self.passed_count, self.failed_count)
    }

    /// The results in a file that [`Self::write`] wrote.
    ///
    /// # Errors
    /// When it can't be read or is something else.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read(path).with_context(|| path.display().to_string())?;
        let read = || -> serde_json::Result<Self> {
            let mut value = serde_json::from_slice(&text)?;
            make_printable(&mut value);
            serde_json::from_value(value)
        };
        read().with_context(|| format!("{}: no results of vmtest", path.display()))
    }

    /// Writes all three files into `directory`.
    ///
    /// # Errors
    /// When one can't be written.
    pub fn write(&self, directory: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(self)
            .expect("plain structs with string keys always serialize");
        for (name, text) in [
            (RESULTS, json),
            ("junit.xml", junit::render(self)),
            ("summary.md", summary::render(self)),
        ] {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }
}

/// A file may come from anywhere, and what is in it goes to terminals.
fn make_printable(value: &mut Value) {
    match value {
        Value::String(text) => *text = printable(text.as_bytes()),
        Value::Array(values) => values.iter_mut().for_each(make_printable),
        Value::Object(fields) => {
            let old = std::mem::take(fields);
            for (name, mut value) in old {
                make_printable(&mut value);
                fields.insert(printable(name.as_bytes()), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
pub(crate) mod sample {
    use super::*;
    use crate::kernel_log::ReportKind;

    fn scenario(kernel: &str, name: &str, outcome: Outcome, detail: &str) -> ScenarioResult {
        ScenarioResult {
            kernel: kernel.into(),
            scenario: name.into(),
            outcome,
            detail: detail.into(),
            is_excused: false,
            guest: Some("shared".into()),
            mode: Mode::Multi,
            accelerator: Some(Accelerator::Tcg),
            duration_ms: Some(1234),
            checks: Vec::new(),
            figures: BTreeMap::new(),
            data: Value::Null,
            kernel_reports: Vec::new(),
            files: Vec::new(),
            directory: Some(format!("{kernel}/shared/{name}").into()),
            troubles: Vec::new(),
            first_failure: None,
        }
    }

    /// A run with one of everything.
    pub fn run() -> RunResult {
        let mut passed = scenario("6.1", "flood", Outcome::Passed, "");
        passed.figures.insert("walk_ns".into(), 75_000.0);
        passed.files.push("walk.rec".into());
        passed.checks.push(Check {
            claim: "one walk".into(),
            passed: true,
            detail: String::new(),
        });
        let mut failed = scenario(
            "7.3",
            "flood",
            Outcome::Failed,
            "one walk: there were 2 | <&> \\u{1b}",
        );
        failed.kernel_reports.push(Report {
            kind: ReportKind::SoftLockup,
            line: "watchdog: BUG: soft lockup".into(),
        });
        let mut flaky = scenario("7.3", "stall", Outcome::Passed, "");
        flaky.first_failure = Some(FirstFailure {
            outcome: Outcome::Failed,
            detail: "a wait of 3 ms was not told".into(),
            directory: Some("7.3/stall/stall".into()),
        });
        let mut not_applicable = scenario("vmlinuz", "flood", Outcome::NotApplicable, "no kprobes");
        not_applicable.is_excused = true;
        let mut gone = scenario(
            "5.10.223",
            "flood",
            Outcome::Unavailable,
            "has left the archive",
        );
        (
            gone.is_excused,
            gone.guest,
            gone.duration_ms,
            gone.directory,
            gone.accelerator,
        ) = (true, None, None, None, None);
        let mut run = RunResult {
            schema: SCHEMA.to_owned(),
            started_at: "2026-11-23T04:00:00Z".into(),
            duration_ms: 61_500,
            conditions: Conditions {
                qemu_version: "10.0.2".into(),
                ..Conditions::of(String::new())
            },
            jobs_count: 2,
            shard: None,
            plan_digest: "6b86b273ff34".into(),
            is_interrupted: false,
            passed_count: 0,
            failed_count: 0,
            excused_kernels: Vec::new(),
            scenarios: vec![
                passed,
                scenario("6.1", "kill-9", Outcome::Hung, "no sign of life"),
                failed,
                flaky,
                gone,
                not_applicable,
            ],
            guests: Vec::new(),
        };
        run.conclude();
        run
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excused_kernel_is_neither_passed_nor_failed_but_named() {
        let run = sample::run();
        assert_eq!(run.verdict_line(), "2 passed, 2 failed");
        assert_eq!(run.excused_kernels, ["5.10.223"]);
        assert_eq!(
            run.not_applicable_lines(),
            ["not applicable: flood on vmlinuz: no kprobes"]
        );
    }

    #[test]
    fn what_does_not_apply_to_a_kernel_of_the_list_is_a_failure() {
        let mut run = sample::run();
        let result = run.scenarios.last_mut().expect("the sample ends with it");
        assert_eq!(result.outcome, Outcome::NotApplicable);
        result.is_excused = false;
        run.conclude();
        assert_eq!(run.verdict_line(), "2 passed, 3 failed");
    }

    #[test]
    fn what_is_read_is_what_was_written_but_for_what_a_terminal_obeys() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut run = sample::run();
        run.write(directory.path()).expect("written");
        let path = directory.path().join("results.json");
        let read = RunResult::read(&path).expect("results");
        let json = |run: &RunResult| serde_json::to_value(run).expect("JSON");
        assert_eq!(json(&read), json(&run));
        run.scenarios[0].detail = "\u{1b}]0;x\u{7}".into();
        run.scenarios[0].figures.insert("\u{1b}c".into(), 1.0);
        run.write(directory.path()).expect("written");
        let read = RunResult::read(&path).expect("results");
        assert_eq!(read.scenarios[0].detail, "\\u{1b}]0;x\\u{7}");
        assert!(!format!("{read:?}").contains('\u{1b}'));
    }

    #[test]
    fn results_json_has_the_published_fields() {
        insta::assert_json_snapshot!(sample::run());
    }
}
