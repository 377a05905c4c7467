//! `vmtest gate` in guests: a kernel is as good as itself, and one made worse on purpose is caught.
//!
//! A plain `cargo test` leaves these out and says so; `./justw test-harness` runs them. Needs the guest's
//! programs beside `vmtest` (`just build`).

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use serde_json::Value;

const KERNEL: &str = "6.1";

/// The kernel against itself: what it was measured to be is the baseline of the others.
static ITSELF: LazyLock<(Output, PathBuf)> = LazyLock::new(|| {
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
    gate("itself", KERNEL, &options)
});

/// Into a directory below `target`: a static is never dropped, and would leave a temporary one for good.
fn gate(name: &str, baseline: &str, options: &[&str]) -> (Output, PathBuf) {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gate-{name}"));
    if out.exists() {
        fs::remove_dir_all(&out).expect("what an earlier run left goes");
    }
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
        .arg(&out)
        .args(options)
        .output();
    (output.expect("vmtest runs"), out)
}

/// The candidate with a word on its command line, against what was saved of the kernel.
fn worse(name: &str, word: &str, scenario: &str) -> (Output, PathBuf) {
    let baseline = format!("{}:{KERNEL}", ITSELF.1.join("results.json").display());
    gate(
        name,
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

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_kernel_is_as_good_as_itself_and_every_number_leads_to_its_file() {
    let (output, out) = &*ITSELF;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let findings = findings(out);
    assert!(findings.len() > 20, "{findings:#?}");
    for finding in &findings {
        assert_ne!(finding["standing"], "not-compared", "{finding}");
        for evidence in finding["evidence"].as_array().expect("evidence") {
            let (file, pointer) = evidence
                .as_str()
                .expect("text")
                .split_once('#')
                .unwrap_or((evidence.as_str().expect("text"), ""));
            let text =
                fs::read(out.join(file)).unwrap_or_else(|error| panic!("{evidence}: {error}"));
            let value: Value = serde_json::from_slice(&text).expect("JSON");
            assert!(value.pointer(pointer).is_some(), "{evidence}");
        }
    }
    let page = fs::read_to_string(out.join("gate.html")).expect("written");
    assert_eq!(page.matches("<svg").count(), 4);
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn a_walk_made_slower_is_caught() {
    // A probe on the lock of each child that exists delays the walk by 100 ns a child, 50 instructions.
    let (output, out) = worse("slower", "scenario.slow_walk_ns=100", "walk-cost");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let failed = of_standing(&findings(&out), "fail");
    assert_eq!(
        failed,
        [("walk-time".into(), "watch, positive children".into())]
    );
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn types_that_went_missing_are_caught() {
    let (output, out) = worse(
        "hidden",
        "scenario.hide=/sys/kernel/btf/vmlinux",
        "attach-coverage",
    );
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let failed = of_standing(&findings(&out), "fail");
    let rules: Vec<&str> = failed.iter().map(|(rule, _)| rule.as_str()).collect();
    assert_eq!(rules, ["lost-probe", "exposure", "scenario"], "{failed:?}");
}

#[test]
#[ignore = "boots guests: ./justw test-harness"]
fn targets_that_may_not_be_probed_are_caught() {
    let (output, out) = worse("locked", "lockdown=confidentiality", "attach-coverage");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let failed = of_standing(&findings(&out), "fail");
    assert!(
        failed.iter().any(|(rule, _)| rule == "lost-probe"),
        "{failed:?}"
    );
}
