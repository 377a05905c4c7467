//! What a run's results say of one kernel.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Layout, Line,
    boots::{Boots, boot_ms, boot_reports},
    endings::Ending,
};
use crate::{
    kernel_log::Report,
    report::{RunResult, ScenarioResult},
};

/// Scenarios that leave more than an outcome.
pub(super) const COVERAGE: &str = "attach-coverage";
pub(super) const COST: &str = "walk-cost";
const ACCESS: &str = "child-access";
const CONTENTION: &str = "contention";

/// How a probe is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not at all.
    Missing,
    /// By another way than the first, or something is lost by it.
    Fallback,
    /// As it should be.
    Full,
}

impl State {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Fallback => "fallback",
            Self::Full => "full",
        }
    }
}

/// One probe of the detector on this kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Its name.
    pub probe: String,
    /// Whether the detector can't run without it.
    pub is_required: bool,
    /// How it is attached.
    pub state: State,
    /// To what, and how.
    pub targets: Vec<String>,
    /// What is not seen.
    pub lost: Vec<String>,
}

/// The data of scenario `attach-coverage`.
#[derive(Deserialize)]
struct CoverageData {
    probes: Vec<Coverage>,
    exposure: BTreeMap<String, String>,
    /// Byte offsets of the fields of a dentry.
    #[serde(default)]
    dentry_fields: BTreeMap<String, u32>,
    /// Instructions that the verifier went through, by the program's name.
    #[serde(default)]
    verified_instructions: BTreeMap<String, u64>,
}

/// What a system call cost at one size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Children of the directory.
    pub children_count: u64,
    /// Of each repetition.
    pub instructions: Vec<u64>,
}

/// What a system call cost at several sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Curve {
    /// `watch` or `removal`.
    pub action: String,
    /// `negative` or `positive`.
    pub children: String,
    /// From the smallest size to the largest.
    pub points: Vec<Point>,
}

/// The data of scenario `walk-cost`.
#[derive(Deserialize)]
struct CostData {
    curves: Vec<Curve>,
}

/// A curve with its line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasuredCurve {
    /// What was measured.
    #[serde(flatten)]
    pub curve: Curve,
    /// The line through it.
    pub line: Line,
}

impl MeasuredCurve {
    /// What it is a curve of.
    #[must_use]
    pub fn subject(&self) -> String {
        format!("{}, {} children", self.curve.action, self.curve.children)
    }
}

/// Figures of one kernel with the place that they come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sourced<T> {
    /// What was measured.
    pub value: T,
    /// Where it can be read.
    pub evidence: String,
}

/// All that is compared of one kernel.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Its name.
    pub kernel: String,
    /// `uname -r`, where a guest booted.
    pub release: Option<String>,
    /// How its scenarios ended.
    pub endings: Vec<Ending>,
    /// How the detector's probes are attached.
    pub coverage: Option<Sourced<Vec<Coverage>>>,
    /// Where the kernel walks: as `fslockup check` says (`yes`, `no` or why it can't tell).
    pub exposure: Option<Sourced<BTreeMap<String, String>>>,
    /// What watches and removals cost.
    pub curves: Option<Sourced<Vec<MeasuredCurve>>>,
    /// What a walk touches of each child.
    pub layout: Option<Sourced<Layout>>,
    /// Byte offsets of the fields of a dentry, for the names of what is touched.
    pub dentry_fields: BTreeMap<String, u32>,
    /// Instructions that the verifier went through, by the program's name; empty before 5.16.
    pub verified_instructions: Option<Sourced<BTreeMap<String, u64>>>,
    /// The longest wait for a walk's locks, in walks, and the largest number of waiters.
    pub contention: Option<Sourced<(f64, f64)>>,
    /// Median host time of a boot.
    pub boot_ms: Option<Sourced<f64>>,
    /// From the detector's start until it is attached, in instruction time.
    pub attach_ms: Option<Sourced<f64>>,
    /// From the signal to its end, in instruction time.
    pub stop_ms: Option<Sourced<f64>>,
    /// How many guests were started, and how many came up.
    pub boots: Option<Sourced<Boots>>,
    /// What the kernel reported before the first scenario, each once.
    pub boot_reports: Vec<Sourced<Report>>,
}

/// Where results are, for what is said of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file with the results, below the gate's output directory.
    pub results: String,
    /// Whether the files that the scenarios left lie there too.
    pub has_files: bool,
}

impl Measured {
    /// What these results say of this kernel, as far as the scenarios are meant.
    ///
    /// # Errors
    /// When there is nothing of it, or a scenario's data makes no sense.
    pub fn of(
        run: &RunResult,
        kernel: &str,
        source: &Source,
        is_meant: &dyn Fn(&str) -> bool,
    ) -> Result<Self, String> {
        let own: Vec<(usize, &ScenarioResult)> = run
            .scenarios
            .iter()
            .enumerate()
            .filter(|(_, result)| result.kernel == kernel && is_meant(&result.scenario))
            .collect();
        if own.is_empty() {
            return Err(format!("{}: nothing of kernel {kernel}", source.results));
        }
        let named = |name: &str| {
            let found = own.iter().find(|(_, result)| result.scenario == name)?;
            Some((found.1, source.evidence(found.0, found.1)))
        };
        let coverage = named(COVERAGE).filter(|(result, _)| !result.data.is_null());
        let coverage = coverage
            .map(|(result, evidence)| {
                let data: CoverageData = data(result)?;
                Ok::<_, String>((data, evidence))
            })
            .transpose()?;
        let layout = named(ACCESS).filter(|(result, _)| !result.data.is_null());
        let layout = layout.map(|(result, evidence)| {
            let value = data(result)?;
            Ok::<_, String>(Sourced { value, evidence })
        });
        let curves = named(COST).filter(|(result, _)| !result.data.is_null());
        let curves = curves.map(|(result, evidence)| {
            let data: CostData = data(result)?;
            let value = data.curves.into_iter().map(measured_curve);
            let value = value.collect::<Result<_, _>>()?;
            Ok::<_, String>(Sourced { value, evidence })
        });
        let figure = |scenario: &str, name: &str| {
            let (result, evidence) = named(scenario)?;
            let value = *result.figures.get(name)?;
            value.is_finite().then_some(Sourced { value, evidence })
        };
        let contention = figure(CONTENTION, "worst_wait_to_walk_ratio")
            .zip(figure(CONTENTION, "waiters_count_max"))
            .map(|(wait, waiters)| Sourced {
                value: (wait.value, waiters.value),
                evidence: wait.evidence,
            });
        let release = run.guests.iter().filter(|guest| guest.kernel == kernel);
        Ok(Self {
            kernel: kernel.to_owned(),
            release: release.filter_map(|guest| guest.release.clone()).next(),
            endings: own
                .iter()
                .map(|(at, result)| Ending::of(*at, result, source))
                .collect(),
            layout: layout.transpose()?,
            dentry_fields: coverage
                .as_ref()
                .map(|(data, _)| data.dentry_fields.clone())
                .unwrap_or_default(),
            verified_instructions: coverage
                .as_ref()
                .filter(|(data, _)| !data.verified_instructions.is_empty())
                .map(|(data, evidence)| Sourced {
                    value: data.verified_instructions.clone(),
                    evidence: evidence.clone(),
                }),
            exposure: coverage.as_ref().map(|(data, evidence)| Sourced {
                value: data.exposure.clone(),
                evidence: evidence.clone(),
            }),
            coverage: coverage.map(|(data, evidence)| Sourced {
                value: data.probes,
                evidence,
            }),
            curves: curves.transpose()?,
            contention,
            boot_ms: boot_ms(run, kernel, source),
            attach_ms: figure(COVERAGE, "attach_ms"),
            stop_ms: figure(COVERAGE, "stop_ms"),
            boots: Boots::of(run, kernel, source),
            boot_reports: boot_reports(run, kernel, source),
        })
    }
}

impl Measured {
    /// The curve of this subject, where it was measured.
    #[must_use]
    pub fn curve(&self, subject: &str) -> Option<&MeasuredCurve> {
        let curves = &self.curves.as_ref()?.value;
        curves.iter().find(|curve| curve.subject() == subject)
    }
}

/// The curves of all kernels, each kind once, as the first kernel that has it.
pub(super) fn kinds<'a>(kernels: &[&'a Measured]) -> Vec<&'a MeasuredCurve> {
    let mut kinds: Vec<&MeasuredCurve> = Vec::new();
    for kernel in kernels {
        for curve in kernel.curves.iter().flat_map(|all| &all.value) {
            if kinds.iter().all(|kind| kind.subject() != curve.subject()) {
                kinds.push(curve);
            }
        }
    }
    kinds
}

/// Where the numbers of both kernels can be read.
pub(super) fn evidence<T>(old: Option<&Sourced<T>>, new: Option<&Sourced<T>>) -> Vec<String> {
    let both = old.into_iter().chain(new);
    both.map(|one| one.evidence.clone()).collect()
}

impl Source {
    /// The file that a scenario left with its checks and figures, or its place in the results.
    fn evidence(&self, at: usize, result: &ScenarioResult) -> String {
        match &result.directory {
            Some(directory)
                if self.has_files && result.files.iter().any(|name| name == "result.json") =>
            {
                directory.join("result.json").display().to_string()
            }
            _ => self.pointer("scenarios", at),
        }
    }

    pub(super) fn pointer(&self, list: &str, at: usize) -> String {
        format!("{}#/{list}/{at}", self.results)
    }
}

fn data<T: serde::de::DeserializeOwned>(result: &ScenarioResult) -> Result<T, String> {
    serde_json::from_value(result.data.clone()).map_err(|error| {
        format!(
            "{} on {}: its data: {error}",
            result.scenario, result.kernel
        )
    })
}

fn measured_curve(curve: Curve) -> Result<MeasuredCurve, String> {
    let line = Line::through(&curve.points).map_err(|why| {
        format!(
            "{COST}: {}, {} children: {why}",
            curve.action, curve.children
        )
    })?;
    Ok(MeasuredCurve { curve, line })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gate::sample;

    #[test]
    fn evidence_is_the_scenarios_file_or_its_place_in_the_results() {
        let measured = sample::measured("7.3");
        let curves = measured.curves.expect("curves");
        assert_eq!(curves.evidence, "7.3/shared/walk-cost/result.json");
        let origin = measured.endings.iter().find(|one| one.scenario == "origin");
        assert_eq!(origin.expect("ended").evidence, "7.3/shared/origin");
        assert_eq!(
            measured.boot_ms.expect("booted").evidence,
            "results.json#/guests/1"
        );
        let saved = Source {
            results: "saved.json".into(),
            has_files: false,
        };
        let measured = Measured::of(&sample::run(), "7.3", &saved, &|_| true).expect("measured");
        assert_eq!(
            measured.curves.expect("curves").evidence,
            "saved.json#/scenarios/8"
        );
        let run = serde_json::to_value(sample::run()).expect("JSON");
        assert_eq!(
            run.pointer("/scenarios/8/scenario"),
            Some(&json!("walk-cost"))
        );
    }

    #[test]
    fn data_that_makes_no_sense_is_named() {
        let mut run = sample::run();
        for (data, expected) in [
            (
                json!({}),
                "walk-cost on 6.1: its data: missing field `curves`",
            ),
            (
                json!({"curves": [{"action": "watch", "children": "negative", "points": []}]}),
                "walk-cost: watch, negative children: fewer than two sizes",
            ),
        ] {
            run.scenarios[1].data = data;
            let error =
                Measured::of(&run, "6.1", &sample::source(), &|_| true).expect_err("no sense");
            assert_eq!(error, expected);
        }
        let only_origin = |name: &str| name == "origin";
        let measured = Measured::of(&run, "6.1", &sample::source(), &only_origin);
        assert_eq!(measured.expect("not looked at").curves, None);
        let error = Measured::of(&run, "2.4", &sample::source(), &|_| true).expect_err("not there");
        assert_eq!(error, "results.json: nothing of kernel 2.4");
    }
}
