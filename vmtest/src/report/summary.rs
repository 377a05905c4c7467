//! `summary.md`: the matrix as a table, then what did not pass.

use std::{fmt::Write, path::Path};

use super::Outcome;
use super::{FirstFailure, RunResult, ScenarioResult};

/// Renders it.
pub fn render(run: &RunResult) -> String {
    let mut text = format!("# vmtest: {}\n\n", run.verdict_line());
    let seconds = run.duration_ms / 1000;
    let plural = if run.jobs_count == 1 {
        "guest"
    } else {
        "guests"
    };
    line(
        &mut text,
        &format!(
            "{} s, up to {} {plural} at once, QEMU {}.",
            seconds, run.jobs_count, run.conditions.qemu_version
        ),
    );
    if run.is_interrupted {
        line(
            &mut text,
            "\nThe run was interrupted: what is not listed did not run.",
        );
    }
    for unavailable in run.unavailable_lines() {
        line(
            &mut text,
            &format!("\n{} (no failure without --locked).", cell(&unavailable)),
        );
    }
    if !run.scenarios.is_empty() {
        table(&mut text, run);
    }
    let failures: Vec<&ScenarioResult> = run
        .scenarios
        .iter()
        .filter(|result| result.outcome != Outcome::Passed && !result.is_excused)
        .collect();
    if !failures.is_empty() {
        line(&mut text, "\n## What did not pass\n");
        for result in failures {
            let place = place(result.directory.as_deref());
            line(
                &mut text,
                &format!(
                    "- **{} on {}: {}.** {}{}{place}",
                    result.scenario,
                    result.kernel,
                    result.outcome,
                    cell(&result.detail),
                    repetitions(result.first_failure.as_ref())
                ),
            );
        }
    }
    let not_applicable: Vec<&ScenarioResult> = run
        .scenarios
        .iter()
        .filter(|result| result.outcome == Outcome::NotApplicable && result.is_excused)
        .collect();
    if !not_applicable.is_empty() {
        line(&mut text, "\n## What does not apply\n");
        for result in not_applicable {
            line(
                &mut text,
                &format!(
                    "- {} on {}: {}",
                    result.scenario,
                    result.kernel,
                    cell(&result.detail)
                ),
            );
        }
    }
    let flaky: Vec<&ScenarioResult> = run
        .scenarios
        .iter()
        .filter(|result| result.flaky().is_some())
        .collect();
    if !flaky.is_empty() {
        line(&mut text, "\n## What passed only when it was repeated\n");
        for result in flaky {
            let first = result.flaky().expect("filtered");
            let place = place(first.directory.as_deref());
            line(
                &mut text,
                &format!(
                    "- **{} on {}: at first {}.** {}{}{place}",
                    result.scenario,
                    result.kernel,
                    first.outcome,
                    cell(&first.detail),
                    repetitions(Some(first))
                ),
            );
        }
    }
    let boots = run.boot_lines();
    if !boots.is_empty() {
        line(&mut text, "\n## Guests that were booted again\n");
        for boot in boots {
            line(&mut text, &format!("- {}", cell(&boot)));
        }
    }
    if !run.kernel_versions.is_empty() {
        line(&mut text, "\n## What the kernels' names meant\n");
        for version in &run.kernel_versions {
            line(&mut text, &format!("- {}", cell(&version.to_string())));
        }
    }
    text
}

fn repetitions(first: Option<&FirstFailure>) -> String {
    first
        .map(FirstFailure::repetitions_text)
        .filter(|ends| !ends.is_empty())
        .map(|ends| format!(" ({ends})"))
        .unwrap_or_default()
}

fn place(directory: Option<&Path>) -> String {
    directory
        .map(|path| format!(" (`{}`)", path.display()))
        .unwrap_or_default()
}

fn line(text: &mut String, content: &str) {
    writeln!(text, "{content}").expect("a string takes all");
}

fn table(text: &mut String, run: &RunResult) {
    let kernels = run.kernels();
    let mut scenarios: Vec<&str> = Vec::new();
    for result in &run.scenarios {
        if !scenarios.contains(&result.scenario.as_str()) {
            scenarios.push(&result.scenario);
        }
    }
    line(text, &format!("\n| scenario | {} |", kernels.join(" | ")));
    line(text, &format!("|---|{}", "---|".repeat(kernels.len())));
    for scenario in scenarios {
        let cells: Vec<&str> = kernels
            .iter()
            .map(|kernel| {
                let found = run
                    .scenarios
                    .iter()
                    .find(|result| result.scenario == scenario && result.kernel == *kernel);
                found.map_or("", |result| result.outcome.word())
            })
            .collect();
        line(text, &format!("| {scenario} | {} |", cells.join(" | ")));
    }
}

/// Text from a guest must not end a table's cell or start markup.
pub fn cell(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('[', "\\[")
        .replace('<', "&lt;")
        .replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use crate::report::sample;

    #[test]
    fn the_matrix_is_a_table_and_every_failure_is_explained() {
        insta::assert_snapshot!(super::render(&sample::run()));
    }
}
