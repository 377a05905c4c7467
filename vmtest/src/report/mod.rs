//! The results of a run, and the files made of them: `results.json`, `junit.xml`, `summary.md`.

mod account;
mod junit;
mod merge;
mod outcome;
mod result;
#[cfg(test)]
pub(crate) mod sample;
mod shard;
mod summary;

use std::{fmt, fs, path::Path};

use anyhow::Context as _;
use fslockup::escape::escape_rest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    packages::Meaning,
    qemu::argv::{EMULATED_CPU, ICOUNT_SHIFT},
};

pub use account::{Account, Spent};
pub use merge::merge;
pub use outcome::{Outcome, UNEXPECTED_REPORT};
pub use result::{Composition, FirstFailure, GuestResult, Repetition, ScenarioResult};
pub use shard::Shard;
pub(crate) use summary::cell;

/// The schema of `results.json`.
pub const SCHEMA: &str = "vmtest/1";

/// The file with a run's results, in its output directory.
pub const RESULTS: &str = "results.json";

/// The same for CI systems, and for people.
pub const JUNIT: &str = "junit.xml";
/// See there.
pub const SUMMARY: &str = "summary.md";

/// What a kernel's name meant in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelVersion {
    /// The name.
    pub kernel: String,
    /// `uname -r`, where the files say it.
    pub release: Option<String>,
    /// The package, of a kernel of the manifest.
    #[serde(flatten)]
    pub meaning: Option<Meaning>,
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let release = self.release.as_deref().unwrap_or("unknown release");
        write!(to, "{}: {release}", self.kernel)?;
        if let Some(meaning) = &self.meaning {
            write!(to, ", {} {}", meaning.package, meaning.version)?;
            if let Some(gone) = &meaning.pin_gone {
                write!(to, " instead of {gone}, which has left the archive")?;
            }
        }
        Ok(())
    }
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
    /// Where the time went; null in results of an earlier version.
    #[serde(default)]
    pub account: Option<Account>,
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
    /// How many could not run because their kernel has left the archive, which excuses them (but with `--locked`).
    #[serde(default)]
    pub unavailable_count: usize,
    /// Those kernels.
    pub excused_kernels: Vec<String>,
    /// What the names of the other kernels meant.
    #[serde(default)]
    pub kernel_versions: Vec<KernelVersion>,
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
        self.failed_count = self.failures().count();
        // A kernel's own word, where its file had none.
        for version in &mut self.kernel_versions {
            let mut own = self
                .guests
                .iter()
                .filter(|guest| guest.kernel == version.kernel);
            let said = own.find_map(|guest| guest.release.clone());
            version.release = version.release.take().or(said);
        }
        self.excused_kernels = Vec::new();
        let is_gone =
            |result: &&ScenarioResult| result.is_excused && result.outcome == Outcome::Unavailable;
        self.unavailable_count = self.scenarios.iter().filter(is_gone).count();
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

    /// What failed, and is not excused.
    fn failures(&self) -> impl Iterator<Item = &ScenarioResult> {
        self.scenarios
            .iter()
            .filter(|result| result.outcome != Outcome::Passed && !result.is_excused)
    }

    /// A line for each of them.
    #[must_use]
    pub fn failed_lines(&self) -> Vec<String> {
        let line = |result: &ScenarioResult| {
            format!(
                "failed: {} on {}: {}: {}",
                result.scenario, result.kernel, result.outcome, result.detail
            )
        };
        self.failures().map(line).collect()
    }

    /// A line for each scenario that was repeated: what passed then is flaky, what failed is said more about.
    #[must_use]
    pub fn repetition_lines(&self) -> Vec<String> {
        let repeated = self.scenarios.iter().filter_map(|result| {
            let first = result.first_failure.as_ref()?;
            let word = if result.flaky().is_some() {
                "flaky"
            } else {
                "repeated"
            };
            Some(format!(
                "{word}: {} on {}: at first {}: {} ({})",
                result.scenario,
                result.kernel,
                first.outcome,
                first.detail,
                first.repetitions_text()
            ))
        });
        repeated.collect()
    }

    /// Guests that sent nothing and were booted once more.
    pub fn booted_again(&self) -> impl Iterator<Item = &GuestResult> {
        self.guests
            .iter()
            .filter(|guest| guest.boots_tried_count > 1)
    }

    /// A line for each of them.
    #[must_use]
    pub fn boot_lines(&self) -> Vec<String> {
        let again = self.booted_again().map(|guest| {
            let end = if guest.is_booted() {
                "came up"
            } else {
                "did not come up either"
            };
            format!(
                "booted again: {} {}: boot {} {end}",
                guest.kernel, guest.name, guest.boots_tried_count
            )
        });
        again.collect()
    }

    /// A line for each kernel that was unavailable, which is excused.
    #[must_use]
    pub fn unavailable_lines(&self) -> Vec<String> {
        let line = |kernel: &String| {
            let mut own = self.scenarios.iter().filter(|one| one.kernel == *kernel);
            let count = own.clone().count();
            let reason = own.next().map_or("", |one| one.detail.as_str());
            let plural = if count == 1 { "scenario" } else { "scenarios" };
            // The reason begins with the kernel's name, as every error does.
            format!("unavailable, {count} {plural} not run: {reason}")
        };
        self.excused_kernels.iter().map(line).collect()
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
            (JUNIT, junit::render(self)),
            (SUMMARY, summary::render(self)),
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
        Value::String(text) => *text = escape_rest(text.as_bytes()),
        Value::Array(values) => values.iter_mut().for_each(make_printable),
        Value::Object(fields) => {
            let old = std::mem::take(fields);
            for (name, mut value) in old {
                make_printable(&mut value);
                fields.insert(escape_rest(name.as_bytes()), value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excused_kernel_is_neither_passed_nor_failed_but_named() {
        let run = sample::run();
        assert_eq!(run.verdict_line(), "2 passed, 2 failed");
        assert_eq!(
            run.failed_lines(),
            [
                "failed: kill-9 on 6.1: hung: no sign of life",
                "failed: flood on 7.3: failed: one walk: there were 2 | <&> \\u{1b}",
            ]
        );
        assert_eq!(run.excused_kernels, ["5.10.223"]);
        assert_eq!(run.unavailable_count, 1);
        assert_eq!(
            run.unavailable_lines(),
            ["unavailable, 1 scenario not run: kernel 5.10.223: linux-x 1 has left the archive"]
        );
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
        assert_eq!(read.scenarios[0].detail, "\\x1b]0;x\\x07");
        assert!(!format!("{read:?}").contains('\u{1b}'));
    }

    #[test]
    fn results_json_has_the_published_fields() {
        insta::assert_json_snapshot!(sample::run());
    }
}
