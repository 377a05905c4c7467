//! `vmtest gate` on results of real kernels that were saved: no guest is booted.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

fn saved(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/saved")
        .join(name)
}

fn of(kernel: &str) -> String {
    let name = if kernel.starts_with('6') {
        "6.json"
    } else {
        "5.10.json"
    };
    format!("{}:{kernel}", saved(name).display())
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

/// A run begins by emptying its output directory, and `run` and `gate` have the same by default.
#[test]
fn a_baseline_in_the_output_directory_is_refused_and_stays() {
    let out = tempfile::tempdir().expect("a directory");
    let baseline = out.path().join("results.json");
    fs::copy(saved("6.json"), &baseline).expect("a copy");
    let before = fs::read(&baseline).expect("there");
    let output = Command::new(env!("CARGO_BIN_EXE_vmtest"))
        .args(["gate", "--candidate", "6.12", "--baseline"])
        .arg(format!("{}:6.1", baseline.display()))
        .arg("--out")
        .arg(out.path())
        .output()
        .expect("vmtest runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(
        stderr,
        format!(
            "vmtest: {}: in the output directory, and the run would remove it (give another directory with --out)\n",
            baseline.display()
        )
    );
    assert_eq!(fs::read(&baseline).expect("still there"), before);
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

/// The scenario of this name on 6.12 in the results.
fn newer<'a>(results: &'a mut Value, name: &str) -> &'a mut Value {
    let all = results["scenarios"].as_array_mut().expect("scenarios");
    let found = all
        .iter_mut()
        .find(|one| one["kernel"] == "6.12" && one["scenario"] == name);
    found.unwrap_or_else(|| panic!("no {name} on 6.12"))
}

/// The gate on 6.12 with something changed, against 6.1; its exit code and its findings by standing.
fn worse(change: impl Fn(&mut Value)) -> (Output, Vec<(String, String, String)>) {
    let candidate = changed("6.json", change);
    let (output, out) = gate(&of("6.1"), &format!("{}:6.12", candidate.display()), &[]);
    let judged = judged(&out);
    let findings = judged["candidates"][0]["findings"].as_array();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = findings.expect("findings").iter().map(|one| {
        (
            word(&one["standing"]),
            word(&one["rule"]),
            word(&one["subject"]),
        )
    });
    (output, all.collect())
}

fn has(findings: &[(String, String, String)], expected: (&str, &str, &str)) -> bool {
    let (standing, rule, subject) = expected;
    findings
        .iter()
        .any(|one| (one.0.as_str(), one.1.as_str(), one.2.as_str()) == (standing, rule, subject))
}

#[test]
fn one_long_term_kernel_after_the_other_passes() {
    let (output, findings) = worse(|_| ());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(findings.iter().all(|one| one.0 != "fail"), "{findings:#?}");
    let negative = ("same", "walk-time", "watch, negative children");
    assert!(has(&findings, negative), "{findings:#?}");
}

#[test]
fn a_cache_line_more_and_a_lock_for_each_child_are_caught() {
    // A walk that looks at d_lockref of each child before its inode, and one that takes that lock.
    let touched = |results: &mut Value, written: &[u64]| {
        let access = &mut newer(results, "child-access")["data"]["accesses"][0];
        assert_eq!(access["children"], "negative");
        let words = access["touched_at_bytes"].as_array_mut().expect("words");
        let lines: Vec<u64> = words
            .iter()
            .filter_map(Value::as_u64)
            .map(|at| at / 64)
            .collect();
        let free = (0..3)
            .find(|line| !lines.contains(line))
            .expect("a line is left");
        words.push((free * 64).into());
        access["written_at_bytes"] = written.into();
    };
    let (output, findings) = worse(|results| touched(results, &[]));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let time = ("fail", "walk-time", "watch, negative children");
    assert!(has(&findings, time), "{findings:#?}");
    let memory = ("warn", "child-memory", "touched of each, negative children");
    assert!(has(&findings, memory), "{findings:#?}");
    let (_, findings) = worse(|results| touched(results, &[64]));
    let class = ("fail", "walk-class", "watch, negative children");
    assert!(has(&findings, class), "{findings:#?}");
}

#[test]
fn what_panicked_is_worse_though_it_passed_when_repeated() {
    let (output, findings) = worse(|results| {
        newer(results, "walk-cost")["first_failure"] =
            json!({"outcome": "panicked", "detail": "Oops", "directory": null});
    });
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(has(&findings, ("fail", "scenario", "scenario walk-cost")));
    let (output, findings) = worse(|results| {
        newer(results, "walk-cost")["first_failure"] =
            json!({"outcome": "failed", "detail": "a check", "directory": null});
    });
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(has(&findings, ("warn", "scenario", "scenario walk-cost")));
}

#[test]
fn a_scenario_about_the_command_line_is_no_property_of_a_kernel() {
    let (output, findings) = worse(|results| {
        let all = results["scenarios"].as_array_mut().expect("scenarios");
        for kernel in ["6.1", "6.12"] {
            let of = all.iter().find(|one| one["kernel"] == kernel);
            let mut other = of.expect("of that kernel").clone();
            other["scenario"] = "capabilities".into();
            if kernel == "6.12" {
                other["outcome"] = "failed".into();
            }
            all.push(other);
        }
    });
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(findings.iter().all(|one| !one.2.contains("capabilities")));
}

#[test]
fn too_little_is_no_verdict() {
    let (output, out) = gate(&of("6.1"), &of("6.12"), &["--scenario", "child-access"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(
        stderr.lines().collect::<Vec<_>>(),
        [
            "vmtest: 6.12: no verdict: lost-probe was not compared: attach-coverage did not run on 6.1, did not run on 6.12",
            "vmtest: 6.12: no verdict: walk-class was not compared: walk-cost did not run on 6.1, did not run on 6.12",
            "vmtest: 6.12: no verdict: exposure was not compared: attach-coverage did not run on 6.1, did not run on 6.12",
        ]
    );
    assert!(out.path().join("gate.html").exists());
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        stdout.starts_with("6.12 against 6.1: not judged\n"),
        "{stdout}"
    );
    // What is bad enough needs no minimum.
    let options = ["--scenario", "walk-cost"];
    let (output, _out) = gate(&of("5.10"), &of("5.10.223"), &options);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn rules_of_ones_own_decide() {
    let rules = tempfile::NamedTempFile::new().expect("a file");
    let text = "[exposure]\nlevel = \"warn\"\n[walk-class]\nlevel = \"ignore\"\n\
                [walk-time]\nlevel = \"ignore\"\n";
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
fn changed(name: &str, change: impl Fn(&mut Value)) -> tempfile::TempPath {
    let mut results: Value =
        serde_json::from_slice(&fs::read(saved(name)).expect("saved")).expect("JSON");
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
        let other = changed("5.10.json", |results| results[field] = value.clone());
        let word = format!("{}:5.10", other.display());
        let (output, out) = gate(&of("5.10"), &word, &[]);
        says(&output, "run both alike");
        assert!(!out.path().join("gate.json").exists());
    }
}

#[test]
fn what_can_not_be_judged_is_one_line() {
    let path = saved("5.10.json");
    let (output, _out) = gate(path.to_str().expect("text"), &of("5.10"), &[]);
    says(&output, "which kernel of it?");
    let (output, _out) = gate(&of("2.4"), &of("5.10"), &[]);
    says(&output, "no kernel 2.4 in it (it has: 5.10.223 5.10)");
    let (output, _out) = gate("/nowhere.json", &of("5.10"), &[]);
    says(&output, "/nowhere.json: No such file");
    let (output, _out) = gate("lts", &of("5.10"), &[]);
    says(&output, "--baseline lts: means 6 kernels, not one");
    let all_failed = changed("5.10.json", |results| {
        for scenario in results["scenarios"].as_array_mut().expect("scenarios") {
            scenario["outcome"] = "not-booted".into();
        }
    });
    let word = format!("{}:5.10", all_failed.display());
    let (output, _out) = gate(&word, &of("5.10"), &[]);
    says(&output, "nothing passed on it");
    let cut = changed("5.10.json", |results| results["scenarios"] = "x".into());
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
