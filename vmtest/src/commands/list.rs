//! `vmtest list`.

use std::fmt::Write;

use anyhow::Result;
use serde_json::json;

use crate::{
    cli::{Format, ListArgs, Listed},
    manifest::{kernels::Kernels, scenarios::Scenarios},
};

/// Prints the list.
///
/// # Errors
/// When a manifest can't be read.
pub fn run(arguments: &ListArgs, kernels: &Kernels) -> Result<i32> {
    let text = match arguments.what {
        Listed::Kernels => render_kernels(kernels, arguments.format),
        Listed::Scenarios => render_scenarios(
            &Scenarios::load(arguments.scenarios.as_deref())?,
            arguments.format,
        ),
    };
    print!("{text}");
    Ok(0)
}

fn version_of<'a>(kernels: &'a Kernels, name: &str) -> Option<&'a str> {
    kernels.pin(name).map(|pin| pin.package[0].version.as_str())
}

fn render_kernels(kernels: &Kernels, format: Format) -> String {
    let mut text = String::new();
    if format == Format::Markdown {
        text.push_str("| kernel | version | from | why it is tested |\n|---|---|---|---|\n");
    }
    for entry in &kernels.entries {
        let version = version_of(kernels, &entry.name);
        let pinned = version.unwrap_or("not pinned");
        // What a run means that names no kernel is what the project vouches for.
        let shown = if entry.is_optional {
            format!("{pinned}, optional")
        } else {
            pinned.to_owned()
        };
        let line = match format {
            Format::Text => format!("{:<14}{:<28}{}", entry.name, shown, entry.reason),
            Format::Markdown => format!(
                "| {} | {} | {} | {} |",
                entry.name, shown, entry.suite, entry.reason
            ),
            Format::Json => json!({
                "name": entry.name, "version": version, "suite": entry.suite, "tags": entry.tags,
                "reason": entry.reason, "is_optional": entry.is_optional,
            })
            .to_string(),
        };
        writeln!(text, "{line}").expect("a string takes all");
    }
    text
}

fn render_scenarios(scenarios: &Scenarios, format: Format) -> String {
    let mut text = String::new();
    if format == Format::Markdown {
        text.push_str("| scenario | mode | what it shows |\n|---|---|---|\n");
    }
    for entry in &scenarios.entries {
        let line = match format {
            Format::Text => format!("{:<20}{:<8}{}", entry.name, entry.mode.name(), entry.summary),
            Format::Markdown => format!("| {} | {} | {} |", entry.name, entry.mode.name(), entry.summary),
            Format::Json => json!({
                "name": entry.name, "summary": entry.summary, "mode": entry.mode, "cpus_count": entry.cpus,
                "memory_mib": entry.memory_mib, "is_shared": entry.is_shared, "order": entry.order, "is_optional": entry.is_optional, "time_limit_s": entry.time_limit_s,
                "kernels": entry.kernels, "tags": entry.tags, "because": entry.because,
            })
            .to_string(),
        };
        writeln!(text, "{line}").expect("a string takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_one_object_a_line_with_a_name() {
        let kernels = Kernels::load(None).expect("built in");
        let scenarios = Scenarios::load(None).expect("built in");
        let text =
            render_kernels(&kernels, Format::Json) + &render_scenarios(&scenarios, Format::Json);
        assert_eq!(
            text.lines().count(),
            kernels.entries.len() + scenarios.entries.len()
        );
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert!(value["name"].is_string(), "{line}");
        }
    }

    #[test]
    fn the_readmes_table_has_a_row_a_kernel() {
        let kernels = Kernels::load(None).expect("built in");
        let table = render_kernels(&kernels, Format::Markdown);
        assert_eq!(table.lines().count(), kernels.entries.len() + 2);
        assert!(
            table.lines().all(|line| line.matches('|').count() == 5),
            "{table}"
        );
    }
}
