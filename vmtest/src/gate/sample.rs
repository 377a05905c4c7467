//! A baseline and a candidate with one of everything, for tests.

use serde_json::{Value, json};

use super::{GateResult, Measured, Rules, SCHEMA, Source, judge};
use crate::{
    kernel_log::{Report, ReportKind},
    report::{FirstFailure, GuestResult, Outcome, RunResult, ScenarioResult, sample},
};

fn scenario(kernel: &str, name: &str, data: Value, figures: &[(&str, f64)]) -> ScenarioResult {
    let figures = figures
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value));
    ScenarioResult {
        kernel: kernel.into(),
        scenario: name.into(),
        outcome: Outcome::Passed,
        detail: String::new(),
        data,
        figures: figures.collect(),
        files: vec!["result.json".into()],
        directory: Some(format!("{kernel}/shared/{name}").into()),
        ..sample::run().scenarios.swap_remove(0)
    }
}

fn probe(name: &str, is_required: bool, state: &str, lost: &[&str]) -> Value {
    let targets = if state == "missing" {
        json!([])
    } else {
        json!([format!("fentry {name}_function")])
    };
    json!({"probe": name, "is_required": is_required, "state": state, "targets": targets, "lost": lost})
}

/// Curves with this many instructions for each child: watch and removal, of negative and positive ones.
pub fn curves(per_child: [u64; 4]) -> Value {
    let kinds = [
        ("watch", "negative"),
        ("watch", "positive"),
        ("removal", "negative"),
        ("removal", "positive"),
    ];
    let curves = kinds
        .iter()
        .zip(per_child)
        .map(|((action, children), per_child)| {
            let points = [5_000_u64, 10_000, 20_000].map(|count| {
                let cost = 4_000 + per_child * count;
                json!({"children_count": count, "instructions": [cost + 300, cost, cost]})
            });
            json!({"action": action, "children": children, "points": points})
        });
    json!({"curves": curves.collect::<Vec<_>>()})
}

fn guest(kernel: &str, boot_ms: u64) -> GuestResult {
    GuestResult {
        kernel: kernel.into(),
        release: Some(format!("{kernel}.0-amd64")),
        name: "shared".into(),
        boots_tried_count: 1,
        end: "finished".into(),
        boot_ms: Some(boot_ms),
        duration_ms: 30_000,
        boot_reports: Vec::new(),
    }
}

/// How a scenario ended at first.
pub fn first_failure(outcome: Outcome, detail: &str, directory: &str) -> FirstFailure {
    let first = json!({"outcome": outcome, "detail": detail, "directory": directory});
    serde_json::from_value(first).expect("as it is in results")
}

/// A guest that did not come up, after a report.
fn silent() -> GuestResult {
    GuestResult {
        release: None,
        boot_ms: None,
        boot_reports: vec![Report {
            kind: ReportKind::Warning,
            line: "WARNING: CPU: 0 PID: 1 at fs/dcache.c:123 d_walk+0x10/0x20".into(),
        }],
        ..guest("7.3", 0)
    }
}

/// What a walk touches, of negative children these words.
fn accesses(negative: &[u32]) -> Value {
    json!({
        "dentry_bytes": 192,
        "accesses": [
            {"children": "negative", "touched_at_bytes": negative, "written_at_bytes": []},
            {"children": "positive", "touched_at_bytes": [0, 48, 88, 144], "written_at_bytes": [0, 88]},
        ]
    })
}

/// 6.1 with other curves.
pub fn with_curves(per_child: [u64; 4]) -> Measured {
    let mut run = run();
    let cost = run
        .scenarios
        .iter_mut()
        .find(|one| one.scenario == "walk-cost");
    cost.expect("the sample has it").data = curves(per_child);
    Measured::of(&run, "6.1", &source(), &|_| true).expect("measured")
}

/// Both in one run.
pub fn run() -> RunResult {
    let exposure = |removal: &str, herd: &str| json!({"walk_on_first_watch": "yes", "walk_on_removal": removal, "herd": herd});
    let coverage = |probes: Value, exposure: Value| {
        json!({
            "probes": probes,
            "exposure": exposure,
            "dentry_fields": {"d_inode": 48, "d_lockref.lock": 88, "d_child": 144},
            "verified_instructions": {"walk_begin": 900, "wait_end": 20_000},
        })
    };
    let old = coverage(
        json!([
            probe("walk", true, "full", &[]),
            probe("wait", false, "full", &[]),
            probe("stall", false, "full", &[]),
            probe(
                "fcntl",
                false,
                "missing",
                &["length and mask of fcntl(F_NOTIFY)"]
            ),
        ]),
        exposure("yes", "no"),
    );
    let new = coverage(
        json!([
            probe("walk", true, "missing", &["every walk"]),
            probe(
                "wait",
                false,
                "fallback",
                &["the first waiter of each lock"]
            ),
            probe("fcntl", false, "full", &[]),
        ]),
        exposure("no", "yes"),
    );
    let mut failed = scenario("7.3", "origin", Value::Null, &[]);
    failed.outcome = Outcome::Failed;
    failed.detail = "comm: saw \"<b>hostile</b> | [x](y) #\"".into();
    let mut flaky = scenario("7.3", "stall", Value::Null, &[]);
    let panic = "Kernel panic - not syncing: Oops";
    flaky.first_failure = Some(first_failure(Outcome::Panicked, panic, "7.3/stall/stall"));
    let mut no_kprobes = scenario("7.3", "kprobe-fallback", Value::Null, &[]);
    no_kprobes.outcome = Outcome::NotApplicable;
    no_kprobes.detail = "the kernel has no kprobes".into();
    let contended = [
        ("worst_wait_to_walk_ratio", 1.0),
        ("waiters_count_max", 3.0),
    ];
    let contended_more = [
        ("worst_wait_to_walk_ratio", 2.5),
        ("waiters_count_max", 3.0),
    ];
    let mut run = RunResult {
        scenarios: vec![
            scenario(
                "6.1",
                "attach-coverage",
                old,
                &[("attach_ms", 3_400.0), ("stop_ms", 900.0)],
            ),
            scenario("6.1", "walk-cost", curves([6, 25, 6, 25]), &[]),
            scenario("6.1", "contention", Value::Null, &contended),
            scenario("6.1", "origin", Value::Null, &[]),
            scenario("6.1", "stall", Value::Null, &[]),
            scenario("6.1", "kprobe-fallback", Value::Null, &[]),
            scenario("6.1", "child-access", accesses(&[48, 144]), &[]),
            scenario(
                "7.3",
                "attach-coverage",
                new,
                &[("attach_ms", 6_000.0), ("stop_ms", 500.0)],
            ),
            scenario("7.3", "walk-cost", curves([7, 25, 0, 0]), &[]),
            scenario("7.3", "contention", Value::Null, &contended_more),
            failed,
            flaky,
            no_kprobes,
            scenario("7.3", "child-access", accesses(&[48, 88, 144]), &[]),
        ],
        guests: vec![guest("6.1", 2_000), guest("7.3", 2_100), silent()],
        ..sample::run()
    };
    run.conclude();
    run
}

/// Where its own files are.
pub fn source() -> Source {
    Source {
        results: "results.json".into(),
        has_files: true,
    }
}

/// What is measured of one of them.
pub fn measured(kernel: &str) -> Measured {
    Measured::of(&run(), kernel, &source(), &|_| true).expect("measured")
}

/// The verdict.
pub fn result() -> GateResult {
    let rules = Rules::load(None).expect("the defaults");
    let baseline = measured("6.1");
    GateResult {
        schema: SCHEMA.to_owned(),
        started_at: "2026-11-23T04:00:00Z".into(),
        duration_ms: 61_500,
        conditions: run().conditions,
        rules,
        candidates: vec![judge(&baseline, measured("7.3"), &rules)],
        baseline,
    }
}
