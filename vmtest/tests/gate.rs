//! `vmtest gate` in guests: a kernel is as good as itself, and one made worse on purpose is caught.
//!
//! Compiled always, run with the feature `vmtest`; needs the guest's programs beside `vmtest` (`just build`).

#![cfg_attr(not(feature = "vmtest"), allow(dead_code, unused_imports))]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::LazyLock,
};

use serde_json::Value;
use tempfile::TempDir;

const KERNEL: &str = "6.1";

/// The kernel against itself: what it was measured to be is the baseline of the others.
static ITSELF: LazyLock<(Output, TempDir)> = LazyLock::new(|| {
    let options = [
        "--candidate",
        KERNEL,
        "--scenario",
        "walk-cost",
        "--scenario",
        "attach-coverage",
        "--scenario",
        "child-access",
    ];
    gate(KERNEL, &options)
});

fn gate(baseline: &str, options: &[&str]) -> (Output, TempDir) {
    let out = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_vmtest"))
        .args([
            "gate",
            "--accel",
            "tcg",
            "--repeat-failed",
            "0",
            "--baseline",
            baseline,
            "--out",
        ])
        .arg(out.path())
        .args(options)
        .output();
    (output.expect("vmtest runs"), out)
}

/// The candidate with a word on its command line, against what was saved of the kernel.
fn worse(word: &str, scenario: &str) -> (Output, TempDir) {
    let baseline = format!(
        "{}:{KERNEL}",
        ITSELF.1.path().join("results.json").display()
    );
    gate(
        &baseline,
        &[
            "--candidate",
            KERNEL,
            "--candidate-arg",
            word,
            "--scenario",
            scenario,
        ],
    )
}

fn findings(out: &Path) -> Vec<Value> {
    let text = fs::read(out.join("gate.json")).expect("written");
    let result: Value = serde_json::from_slice(&text).expect("JSON");
    result["candidates"][0]["findings"]
        .as_array()
        .expect("findings")
        .clone()
}

/// Rules and subjects of those that stand so.
fn of_standing(findings: &[Value], standing: &str) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    findings
        .iter()
        .filter(|one| one["standing"] == standing)
        .map(|one| (word(&one["rule"]), word(&one["subject"])))
        .collect()
}

#[cfg_attr(feature = "vmtest", test)]
fn a_kernel_is_as_good_as_itself_and_every_number_leads_to_its_file() {
    let (output, out) = &*ITSELF;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let findings = findings(out.path());
    assert!(findings.len() > 20, "{findings:#?}");
    for finding in &findings {
        assert_ne!(finding["standing"], "not-compared", "{finding}");
        for evidence in finding["evidence"].as_array().expect("evidence") {
            let (file, pointer) = evidence
                .as_str()
                .expect("text")
                .split_once('#')
                .unwrap_or((evidence.as_str().expect("text"), ""));
            let text = fs::read(out.path().join(file))
                .unwrap_or_else(|error| panic!("{evidence}: {error}"));
            let value: Value = serde_json::from_slice(&text).expect("JSON");
            assert!(value.pointer(pointer).is_some(), "{evidence}");
        }
    }
    let page = fs::read_to_string(out.path().join("gate.html")).expect("written");
    assert_eq!(page.matches("<svg").count(), 4);
}

#[cfg_attr(feature = "vmtest", test)]
fn a_walk_made_slower_is_caught() {
    // A probe on the lock of each child that exists delays the walk by 100 ns a child, 50 instructions.
    let (output, out) = worse("scenario.slow_walk_ns=100", "walk-cost");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let failed = of_standing(&findings(out.path()), "fail");
    assert_eq!(
        failed,
        [("walk-time".into(), "watch, positive children".into())]
    );
}

#[cfg_attr(feature = "vmtest", test)]
fn types_that_went_missing_are_caught() {
    let (output, out) = worse("scenario.hide=/sys/kernel/btf/vmlinux", "attach-coverage");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let failed = of_standing(&findings(out.path()), "fail");
    let rules: Vec<&str> = failed.iter().map(|(rule, _)| rule.as_str()).collect();
    assert_eq!(rules, ["lost-probe", "exposure", "scenario"], "{failed:?}");
}

#[cfg_attr(feature = "vmtest", test)]
fn targets_that_may_not_be_probed_are_caught() {
    let (output, out) = worse("lockdown=confidentiality", "attach-coverage");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let failed = of_standing(&findings(out.path()), "fail");
    assert!(
        failed.iter().any(|(rule, _)| rule == "lost-probe"),
        "{failed:?}"
    );
}
