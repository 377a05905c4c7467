//! For a terminal.

use std::fmt::Write as _;

use super::super::{Finding, GateResult, Standing};

/// The verdict on each candidate with all that is not as good as the baseline, one line each.
#[must_use]
pub fn text(result: &GateResult) -> String {
    let mut text = String::new();
    for candidate in &result.candidates {
        let (name, baseline) = (&candidate.kernel.kernel, &result.baseline.kernel);
        put(
            &mut text,
            &format!("{name} against {baseline}: {}", candidate.word()),
        );
        for why in &candidate.lacking {
            put(&mut text, &format!("  {why}"));
        }
        for finding in &candidate.findings {
            if finding.standing != Standing::Same {
                put(&mut text, &format!("  {}", line(finding)));
            }
        }
        put(&mut text, &format!("  {}", candidate.counts()));
    }
    text
}

fn put(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes all");
}

fn line(finding: &Finding) -> String {
    let mut line = format!(
        "{:<13} {:<14} {}",
        finding.standing.word(),
        finding.rule,
        sentence(finding)
    );
    if let Some(evidence) = finding.evidence.last() {
        line += &format!(" [{evidence}]");
    }
    line
}

/// What was found, in words: subject, both values, limit, detail.
pub(super) fn sentence(finding: &Finding) -> String {
    let mut said = format!("{}: ", finding.subject);
    said += finding.candidate.as_deref().unwrap_or("nothing");
    if finding.baseline != finding.candidate {
        said += &format!(
            ", baseline {}",
            finding.baseline.as_deref().unwrap_or("nothing")
        );
    }
    let is_worse = matches!(
        finding.standing,
        Standing::Fail | Standing::Warn | Standing::Ignored
    );
    if let Some(limit) = finding.limit_value.filter(|_| is_worse) {
        said += &format!(", at most {limit:.2}");
    }
    if !finding.detail.is_empty() {
        said += &format!(" ({})", finding.detail);
    }
    said
}
