//! JUnit: a suite a candidate, a case a comparison.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::{
    super::{Finding, GateResult, Standing},
    text::sentence,
};

/// Renders it.
#[must_use]
pub fn render(result: &GateResult) -> String {
    let mut report = Report::new("vmtest gate");
    report.set_time(Duration::from_millis(result.duration_ms));
    for candidate in &result.candidates {
        let mut suite = TestSuite::new(candidate.kernel.kernel.as_str());
        suite.add_property(Property::new("baseline", result.baseline.kernel.as_str()));
        suite.add_property(Property::new("conditions", result.conditions.to_string()));
        for finding in &candidate.findings {
            let mut case = TestCase::new(finding.subject.as_str(), status(finding));
            case.set_classname(finding.rule.name());
            for (name, value) in [
                ("baseline", finding.baseline_value),
                ("candidate", finding.candidate_value),
                ("limit", finding.limit_value),
            ] {
                if let Some(value) = value {
                    case.add_property(Property::new(name, value.to_string()));
                }
            }
            let said = [&[sentence(finding)], finding.evidence.as_slice()].concat();
            case.set_system_out(said.join("\n"));
            suite.add_test_case(case);
        }
        for why in &candidate.lacking {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(why.as_str()).set_type("not judged");
            suite.add_test_case(TestCase::new("a minimum of comparisons", status));
        }
        report.add_test_suite(suite);
    }
    report
        .to_string()
        .expect("a report of valid text serializes")
}

fn status(finding: &Finding) -> TestCaseStatus {
    let mut status = match finding.standing {
        Standing::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Standing::NotCompared => TestCaseStatus::skipped(),
        _ => return TestCaseStatus::success(),
    };
    status
        .set_message(sentence(finding))
        .set_type(finding.rule.name());
    status
}
