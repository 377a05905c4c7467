//! TAP, version 14 (testanything.org): a test point a comparison.

use std::fmt::Write as _;

use super::{
    super::{GateResult, Standing},
    text::sentence,
};

/// Renders it.
#[must_use]
pub fn render(result: &GateResult) -> String {
    let mut text = String::from("TAP version 14\n");
    let points = result.candidates.iter();
    let count: usize = points
        .map(|one| one.findings.len() + one.lacking.len())
        .sum();
    let mut put = |line: String| writeln!(text, "{line}").expect("a string takes all");
    put(format!("1..{count}"));
    let mut number = 0;
    for candidate in &result.candidates {
        for finding in &candidate.findings {
            number += 1;
            let said = escaped(&sentence(finding));
            let head = format!(
                "{number} - {} {}: {said}",
                candidate.kernel.kernel, finding.rule
            );
            put(match finding.standing {
                Standing::Fail => format!("not ok {head}"),
                Standing::NotCompared => format!("ok {head} # SKIP not compared"),
                // Worse, but the rules let it pass.
                Standing::Warn | Standing::Ignored => {
                    format!("not ok {head} # TODO {}", finding.standing.word())
                }
                Standing::Better | Standing::Same => format!("ok {head}"),
            });
            for evidence in &finding.evidence {
                put(format!("# evidence: {}", evidence.replace('\n', " ")));
            }
        }
        for why in &candidate.lacking {
            number += 1;
            let kernel = &candidate.kernel.kernel;
            put(format!(
                "not ok {number} - {kernel} a minimum of comparisons: {}",
                escaped(why)
            ));
        }
    }
    text
}

/// A `#` begins a directive.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('#', "\\#")
        .replace('\n', " ")
}
