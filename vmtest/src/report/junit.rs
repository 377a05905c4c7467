//! `junit.xml`: a suite a kernel, a case a scenario.

use std::time::Duration;

use quick_junit::{
    NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestRerun, TestSuite,
};

use super::Outcome;
use super::{RunResult, ScenarioResult};

/// Renders it.
pub fn render(run: &RunResult) -> String {
    let mut report = Report::new("vmtest");
    report.set_time(Duration::from_millis(run.duration_ms));
    for kernel in run.kernels() {
        let mut suite = TestSuite::new(kernel);
        let version = run.kernel_versions.iter().find(|one| one.kernel == kernel);
        if let Some(version) = version {
            suite.add_property(Property::new("kernel", version.to_string()));
        }
        for result in run
            .scenarios
            .iter()
            .filter(|result| result.kernel == kernel)
        {
            suite.add_test_case(case(result));
        }
        report.add_test_suite(suite);
    }
    report
        .to_string()
        .expect("a report of valid text serializes")
}

fn case(result: &ScenarioResult) -> TestCase {
    let mut case = TestCase::new(result.scenario.as_str(), status(result));
    case.set_classname(result.kernel.as_str());
    if let Some(duration_ms) = result.duration_ms {
        case.set_time(Duration::from_millis(duration_ms));
    }
    case.add_property(Property::new("mode", result.mode.name()));
    for (name, value) in &result.figures {
        case.add_property(Property::new(name.as_str(), value.to_string()));
    }
    let mut said: Vec<String> = result
        .checks
        .iter()
        .map(|check| {
            format!(
                "{}: {} {}",
                if check.passed { "ok" } else { "failed" },
                check.claim,
                check.detail
            )
        })
        .collect();
    said.extend(
        result
            .kernel_reports
            .iter()
            .map(|report| format!("kernel ({}): {}", report.kind, report.line)),
    );
    if !said.is_empty() {
        case.set_system_out(said.join("\n"));
    }
    case
}

/// A pass that was none at first is JUnit's `flakyFailure`.
fn success(result: &ScenarioResult) -> TestCaseStatus {
    let mut status = TestCaseStatus::success();
    if let Some(first) = result.flaky() {
        let mut rerun = TestRerun::new(NonSuccessKind::Failure);
        rerun
            .set_message(first.detail.as_str())
            .set_type(first.outcome.word());
        status.add_rerun(rerun);
    }
    status
}

fn status(result: &ScenarioResult) -> TestCaseStatus {
    let mut status = match result.outcome {
        Outcome::Passed => return success(result),
        Outcome::Unavailable | Outcome::NotApplicable if result.is_excused => {
            TestCaseStatus::skipped()
        }
        Outcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        // JUnit's "error": the scenario gave no verdict.
        _ => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    status
        .set_message(result.detail.as_str())
        .set_type(result.outcome.word());
    status
}

#[cfg(test)]
mod tests {
    use crate::report::sample;

    #[test]
    fn every_outcome_has_its_place() {
        insta::assert_snapshot!(super::render(&sample::run()));
    }
}
