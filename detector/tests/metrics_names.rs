//! The rules, the dashboard and the documents name metrics: each is one that the detector exports.

mod support;

use std::{collections::BTreeSet, fs};

use fslockup::metrics::{TextFormat, table::METRICS};
use serde_json::Value;
use support::{repository, sample};

fn read(path: &str) -> String {
    let path = repository(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every name that looks like one of ours.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .filter(|word| word.starts_with("fslockup_"))
        .map(str::to_owned)
        .collect()
}

/// Names of samples in a real output.
fn exported() -> BTreeSet<String> {
    sample()
        .render(TextFormat::Prometheus)
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split(['{', ' ']).next()?.to_owned()))
        .collect()
}

fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "expr" || name == "query" => {
                        found.push(text.clone());
                    }
                    _ => queries(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

fn all_exported(what: &str, used: &BTreeSet<String>) {
    let unknown: Vec<_> = used.difference(&exported()).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new(), "{what}");
}

#[test]
fn the_rules_ask_for_what_is_exported() {
    let used = names(&read("packaging/prometheus.rules.yml"));
    assert!(used.len() >= 5, "{used:?}");
    all_exported("rules", &used);
    all_exported(
        "their tests",
        &names(&read("packaging/prometheus.rules.test.yml")),
    );
}

#[test]
fn the_dashboard_asks_for_what_is_exported() {
    let dashboard: Value =
        serde_json::from_str(&read("packaging/grafana-dashboard.json")).expect("JSON");
    let mut found = Vec::new();
    queries(&dashboard, &mut found);
    assert!(found.len() >= 20, "{found:?}");
    let used = names(&found.join(" "));
    all_exported("dashboard", &used);
    // And it shows every metric.
    let shown = |name: &str| used.iter().any(|used| used.starts_with(name));
    let missing: Vec<_> = METRICS
        .iter()
        .map(fslockup::metrics::table::Metric::full_name)
        .filter(|name| !shown(name) && name != "fslockup_probe_attached")
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_table_in_the_documents_is_the_one_in_the_program() {
    let mut table = "| metric | kind | labels | what it says |\n|---|---|---|---|\n".to_owned();
    for metric in METRICS {
        let labels: Vec<_> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        table += &format!(
            "| `{}` | {} | {} | {} |\n",
            metric.full_name(),
            metric.kind.as_str(),
            labels.join(", "),
            metric.help
        );
    }
    let text = read("docs/metrics.md");
    let written = text
        .split_once("<!-- metrics -->\n")
        .and_then(|(_, rest)| rest.split_once("<!-- /metrics -->"))
        .expect("a marked table")
        .0;
    assert_eq!(
        written, table,
        "copy the table below into docs/metrics.md:\n{table}"
    );
}
