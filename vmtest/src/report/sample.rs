//! A run with one of everything, for tests.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::{
    kernel_log::{Report, ReportKind},
    packages::Meaning,
    protocol::{Check, TimesMs},
    qemu::argv::{Accelerator, Mode},
};

fn scenario(kernel: &str, name: &str, outcome: Outcome, detail: &str) -> ScenarioResult {
    ScenarioResult {
        kernel: kernel.into(),
        scenario: name.into(),
        outcome,
        detail: detail.into(),
        is_excused: false,
        is_final: false,
        guest: Some("shared".into()),
        mode: Mode::Multi,
        accelerator: Some(Accelerator::Tcg),
        duration_ms: Some(1234),
        host_ms: Some(1300),
        times_ms: TimesMs::default(),
        checks: Vec::new(),
        figures: BTreeMap::new(),
        data: Value::Null,
        kernel_reports: Vec::new(),
        files: Vec::new(),
        directory: Some(format!("{kernel}/shared/{name}").into()),
        troubles: Vec::new(),
        first_failure: None,
    }
}

fn versions() -> Vec<KernelVersion> {
    let version = |kernel: &str, version: &str, pin_gone: Option<&str>| KernelVersion {
        kernel: kernel.into(),
        release: Some(format!("{version}+deb13-cloud-amd64")),
        meaning: Some(Meaning {
            package: format!("linux-binary-{version}+deb13-cloud-amd64"),
            version: format!("{version}-1~bpo13+1"),
            is_pinned: pin_gone.is_none(),
            pin_gone: pin_gone.map(str::to_owned),
        }),
    };
    let gone = "linux-binary-7.3.4+deb13-cloud-amd64 7.3.4-1~bpo13+1";
    vec![
        version("6.1", "6.1.192", None),
        version("7.3", "7.3.9", Some(gone)),
        KernelVersion {
            kernel: "vmlinuz".into(),
            release: None,
            meaning: None,
        },
    ]
}

/// A run with one of everything.
pub fn run() -> RunResult {
    let mut passed = scenario("6.1", "flood", Outcome::Passed, "");
    passed.figures.insert("walk_ns".into(), 75_000.0);
    passed.files.push("walk.rec".into());
    passed.checks.push(Check {
        claim: "one walk".into(),
        passed: true,
        detail: String::new(),
    });
    let mut failed = scenario(
        "7.3",
        "flood",
        Outcome::Failed,
        "one walk: there were 2 | <&> \\u{1b}",
    );
    failed.kernel_reports.push(Report {
        kind: ReportKind::SoftLockup,
        line: "watchdog: BUG: soft lockup".into(),
    });
    let mut flaky = scenario("7.3", "stall", Outcome::Passed, "");
    flaky.first_failure = Some(FirstFailure {
        outcome: Outcome::Failed,
        detail: "a wait of 3 ms was not told".into(),
        directory: Some("7.3/stall/stall".into()),
        is_final: false,
        repetitions: vec![Repetition {
            composition: Composition::Same,
            after: vec!["flood".into()],
            outcome: Outcome::Passed,
            detail: String::new(),
            guest: Some("shared-again".into()),
            directory: None,
        }],
    });
    let mut not_applicable = scenario("vmlinuz", "flood", Outcome::NotApplicable, "no kprobes");
    not_applicable.is_excused = true;
    let mut gone = scenario(
        "5.10.223",
        "flood",
        Outcome::Unavailable,
        "kernel 5.10.223: linux-x 1 has left the archive",
    );
    (
        gone.is_excused,
        gone.guest,
        gone.duration_ms,
        gone.directory,
        gone.accelerator,
    ) = (true, None, None, None, None);
    let mut run = RunResult {
        schema: SCHEMA.to_owned(),
        started_at: "2026-11-23T04:00:00Z".into(),
        duration_ms: 61_500,
        conditions: Conditions {
            qemu_version: "10.0.2".into(),
            ..Conditions::of(String::new())
        },
        jobs_count: 2,
        account: Some(Account {
            boots_ms: 12_000,
            starts_ms: 50_000,
            stops_ms: 20_000,
            floods_ms: 10_000,
            scenarios_ms: 25_000,
            between_ms: 3_000,
            idle_ms: 3_000,
        }),
        shard: None,
        plan_digest: "6b86b273ff34".into(),
        is_interrupted: false,
        passed_count: 0,
        failed_count: 0,
        unavailable_count: 0,
        excused_kernels: Vec::new(),
        kernel_versions: versions(),
        scenarios: vec![
            passed,
            scenario("6.1", "kill-9", Outcome::Hung, "no sign of life"),
            failed,
            flaky,
            gone,
            not_applicable,
        ],
        guests: vec![GuestResult {
            kernel: "7.3".into(),
            release: Some("7.3.4-amd64".into()),
            name: "shared".into(),
            boots_tried_count: 2,
            end: "finished".into(),
            boot_ms: Some(5_000),
            duration_ms: 30_000,
            boot_reports: Vec::new(),
        }],
    };
    run.conclude();
    run
}
