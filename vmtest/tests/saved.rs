//! `vmtest gate` on results of real kernels that were saved: no guest is booted.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

fn saved() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/saved/5.10.json")
}

fn of(kernel: &str) -> String {
    format!("{}:{kernel}", saved().display())
}

/// The gate with this baseline, candidate and options, and its output directory.
fn gate(baseline: &str, candidate: &str, options: &[&str]) -> (Output, TempDir) {
    let out = tempfile::tempdir().expect("a directory");
    let output = Command::new(env!("CARGO_BIN_EXE_vmtest"))
        .args([
            "gate",
            "--baseline",
            baseline,
            "--candidate",
            candidate,
            "--out",
        ])
        .arg(out.path())
        .args(options)
        .output();
    (output.expect("vmtest runs"), out)
}

fn judged(out: &TempDir) -> Value {
    let text = fs::read(out.path().join("gate.json")).expect("written");
    serde_json::from_slice(&text).expect("JSON")
}

fn standing(judged: &Value, subject: &str) -> String {
    let findings = judged["candidates"][0]["findings"]
        .as_array()
        .expect("findings");
    let found = findings.iter().find(|one| one["subject"] == subject);
    found.unwrap_or_else(|| panic!("no {subject}: {findings:#?}"))["standing"]
        .as_str()
        .expect("a word")
        .to_owned()
}

const REMOVALS: [&str; 2] = ["removal, negative children", "removal, positive children"];
const EXPOSURES: [&str; 4] = [
    "walk on removal",
    "walk on removal, by its cost",
    "walk on every watch",
    "herd",
];

#[test]
fn the_fix_of_5_10_shows_the_removal_walk_gone() {
    let (output, out) = gate(&of("5.10.223"), &of("5.10"), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let judged = judged(&out);
    for subject in REMOVALS.into_iter().chain(EXPOSURES) {
        assert_eq!(standing(&judged, subject), "better", "{subject}");
    }
    assert_eq!(standing(&judged, "watch, negative children"), "same");
    let cost = |kernel: &Value, action: &str| {
        let curves = kernel["curves"]["value"].as_array().expect("curves");
        let found = curves
            .iter()
            .find(|one| one["action"] == action && one["children"] == "negative");
        found.expect(action)["line"]["instructions_per_child"]
            .as_f64()
            .expect("a number")
    };
    let (old, new) = (&judged["baseline"], &judged["candidates"][0]["kernel"]);
    assert!(cost(old, "removal") > 0.9 * cost(old, "watch"));
    assert!(cost(new, "removal") < 0.01 * cost(new, "watch"));
}

#[test]
fn and_without_the_fix_the_gate_fails() {
    let (output, out) = gate(&of("5.10"), &of("5.10.223"), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let judged = judged(&out);
    for subject in REMOVALS.into_iter().chain(EXPOSURES) {
        assert_eq!(standing(&judged, subject), "fail", "{subject}");
    }
}

#[test]
fn a_saved_kernel_is_as_good_as_itself_and_every_number_leads_to_its_file() {
    let (output, out) = gate(&of("5.10"), &of("5.10"), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let findings = judged(&out)["candidates"][0]["findings"]
        .as_array()
        .expect("findings")
        .clone();
    assert!(findings.len() > 20);
    for finding in &findings {
        assert_eq!(finding["standing"], "same", "{finding}");
        let evidence = finding["evidence"].as_array().expect("evidence");
        assert!(!evidence.is_empty(), "{finding}");
        for one in evidence {
            let (file, pointer) = one
                .as_str()
                .and_then(|one| one.split_once('#'))
                .expect("a pointer");
            let text = fs::read(out.path().join(file)).expect("there");
            let results: Value = serde_json::from_slice(&text).expect("JSON");
            assert!(results.pointer(pointer).is_some(), "{one}");
        }
    }
}

#[test]
fn rules_of_ones_own_decide() {
    let rules = tempfile::NamedTempFile::new().expect("a file");
    let text = "[exposure]\nlevel = \"warn\"\n[walk-cost]\nlevel = \"ignore\"\n";
    fs::write(rules.path(), text).expect("written");
    let path = rules.path().to_str().expect("text");
    let (output, _out) = gate(&of("5.10"), &of("5.10.223"), &["--rules", path]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    fs::write(rules.path(), "[exposures]\n").expect("written");
    let (output, _out) = gate(&of("5.10"), &of("5.10.223"), &["--rules", path]);
    says(&output, "exposures: no such rule");
}

/// One line, exit code 2.
fn says(output: &Output, what: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(what), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

/// The results with something changed, as a file.
fn changed(change: impl Fn(&mut Value)) -> tempfile::TempPath {
    let mut results: Value =
        serde_json::from_slice(&fs::read(saved()).expect("saved")).expect("JSON");
    change(&mut results);
    let file = tempfile::Builder::new()
        .suffix(".json")
        .tempfile()
        .expect("a file");
    fs::write(file.path(), results.to_string()).expect("written");
    file.into_temp_path()
}

#[test]
fn unlike_conditions_are_refused() {
    for (field, value) in [
        ("qemu_version", Value::from("11.0.0")),
        ("cpu_model", Value::from("qemu64")),
        ("icount_shift", Value::from(3)),
    ] {
        let other = changed(|results| results[field] = value.clone());
        let word = format!("{}:5.10", other.display());
        let (output, out) = gate(&of("5.10"), &word, &[]);
        says(&output, "run both alike");
        assert!(!out.path().join("gate.json").exists());
    }
}

#[test]
fn what_can_not_be_judged_is_one_line() {
    let path = saved();
    let (output, _out) = gate(path.to_str().expect("text"), &of("5.10"), &[]);
    says(&output, "which kernel of it?");
    let (output, _out) = gate(&of("2.4"), &of("5.10"), &[]);
    says(&output, "no kernel 2.4 in it (it has: 5.10.223 5.10)");
    let (output, _out) = gate("/nowhere.json", &of("5.10"), &[]);
    says(&output, "/nowhere.json: No such file");
    let (output, _out) = gate("lts", &of("5.10"), &[]);
    says(&output, "--baseline lts: means 6 kernels, not one");
    let all_failed = changed(|results| {
        for scenario in results["scenarios"].as_array_mut().expect("scenarios") {
            scenario["outcome"] = "not-booted".into();
        }
    });
    let word = format!("{}:5.10", all_failed.display());
    let (output, _out) = gate(&word, &of("5.10"), &[]);
    says(&output, "nothing passed on it");
    let cut = changed(|results| results["scenarios"] = "x".into());
    let (output, _out) = gate(cut.to_str().expect("text"), &of("5.10"), &[]);
    says(&output, "no results of vmtest");
}

#[test]
fn each_format_is_printed() {
    for (format, start) in [
        ("text", "5.10 against 5.10.223: passed\n"),
        ("json", "{\n  \"schema\": \"vmtest-gate/1\""),
        ("junit", "<?xml"),
        ("tap", "TAP version 14\n1.."),
        ("markdown", "# vmtest gate: passed\n"),
    ] {
        let (output, _out) = gate(&of("5.10.223"), &of("5.10"), &["--format", format]);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.starts_with(start), "{format}: {stdout}");
    }
}
