//! `fslockup trace`: every change that was made is shown or counted, under its right name, and nothing
//! else is; its programs are in the kernel for as long as it runs.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context as _;
use fslockup_tests::workload;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    detector::{self, Detector, Ended, one_line},
    kernel,
};

/// More than anything here makes in a second.
const NO_LIMIT: &str = "100000/s";
/// Changes that may be lost where a program is preempted by itself.
const LOST_MAX: u64 = 5;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    one_directory(checks, "fentry")?;
    one_directory(checks, "kprobe")?;
    one_name(checks)?;
    capped(checks)?;
    apart_from_run(checks)?;
    ends(checks)
}

/// Names that were chosen to harm the one who reads them, and what they are shown as.
fn names() -> Vec<(Vec<u8>, String)> {
    let long = [b'x'; 255];
    vec![
        (b"plain".to_vec(), "plain".to_owned()),
        (
            b"\x1b[2Jred\nline".to_vec(),
            "\\x1b[2Jred\\x0aline".to_owned(),
        ),
        (b"\xff\xfe\\".to_vec(), "\\xff\\xfe\\\\".to_owned()),
        (long.to_vec(), "x".repeat(long.len())),
    ]
}

fn look_up(dir: &Path, name: &[u8]) -> anyhow::Result<()> {
    let found = fs::symlink_metadata(dir.join(OsStr::from_bytes(name)));
    anyhow::ensure!(found.is_err(), "{name:?} exists");
    Ok(())
}

/// The children of one directory, through their whole life.
fn one_directory(checks: &mut Checks, kind: &str) -> anyhow::Result<()> {
    let dir = kernel::new_dir(&format!("traced-{kind}"))?;
    let other = kernel::new_dir(&format!("not-traced-{kind}"))?;
    let path = dir.to_str().context("a path of ours")?;
    let options = ["--dir", path, "--rate", NO_LIMIT, "--force-target", kind];
    let tracer = Detector::trace(&options)?;
    let vias: Vec<_> = tracer.facts["attached"]["probes"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|probe| probe["targets"].as_array().into_iter().flatten())
        .map(|target| target["via"].clone())
        .collect();
    checks.that(
        format!("{kind}: everything is attached that way"),
        vias.len() >= 5 && vias.iter().all(|via| via == kind),
        format!("{}", tracer.facts["attached"]),
    );
    checks.equal(
        format!("{kind}: nothing is missing"),
        tracer.facts["attached"]["missing"].clone(),
        Value::Array(Vec::new()),
    );
    for (name, _) in names() {
        look_up(&dir, &name)?;
        look_up(&other, &name)?;
    }
    fs::write(dir.join("file"), "")?;
    let ino = fs::metadata(dir.join("file"))?.ino();
    fs::remove_file(dir.join("file"))?;
    fs::write(dir.join("kept"), "")?;
    let kept = fs::metadata(dir.join("kept"))?.ino();
    fs::create_dir(dir.join("below"))?;
    look_up(&dir.join("below"), b"grandchild")?;
    kernel::drop_caches()?;
    fs::metadata(dir.join("kept"))?;
    let ended = tracer.end(Signal::SIGINT)?;

    let of = |name: &str| -> Vec<Value> {
        ended
            .lines
            .iter()
            .filter(|line| line["type"] == "dentry" && line["name"] == name)
            .cloned()
            .collect()
    };
    let life = |lines: &[Value]| -> Vec<(String, Value)> {
        let step = |line: &Value| {
            let change = line["change"].as_str().unwrap_or_default().to_owned();
            (change, line["ino"].clone())
        };
        lines.iter().map(step).collect()
    };
    let step = |change: &str, ino: Option<u64>| (change.to_owned(), Value::from(ino));
    let mut expected_count = 0;
    for (_, shown) in names() {
        let lines = of(&shown);
        expected_count += lines.len();
        checks.equal(
            format!("{kind}: the life of {shown}"),
            life(&lines),
            vec![step("made_negative", None), step("removed_negative", None)],
        );
        let made = lines.first().cloned().unwrap_or_default();
        checks.equal(
            format!("{kind}: who looked {shown} up"),
            (made["pid"].clone(), made["comm"].clone()),
            (std::process::id().into(), "scenario".into()),
        );
        checks.equal(
            format!("{kind}: its path"),
            made["path"].clone(),
            format!("{path}/{shown}").into(),
        );
    }
    let lives = [
        (
            "file",
            vec![
                step("made_negative", None),
                step("filled", Some(ino)),
                step("emptied", Some(ino)),
                step("removed_negative", None),
            ],
        ),
        (
            "kept",
            vec![
                step("made_negative", None),
                step("filled", Some(kept)),
                step("removed_positive", Some(kept)),
                step("made_positive", Some(kept)),
            ],
        ),
    ];
    for (name, expected) in lives {
        let lines = of(name);
        expected_count += lines.len();
        checks.equal(
            format!("{kind}: the life of {name}"),
            life(&lines),
            expected,
        );
    }
    expected_count += of("below").len();
    checks.equal(
        format!("{kind}: lines of anything else"),
        dentries(&ended).len() - expected_count,
        0,
    );
    whole(checks, kind, &ended)?;
    nothing_left(checks, kind)
}

fn dentries(ended: &Ended) -> Vec<&Value> {
    let of_dentries = |line: &&Value| line["type"] == "dentry";
    ended.lines.iter().filter(of_dentries).collect()
}

/// It ended well, and the lines are as many as it says.
fn whole(checks: &mut Checks, what: &str, ended: &Ended) -> anyhow::Result<u64> {
    checks.equal(format!("{what}: exit code"), ended.code, Some(0));
    checks.equal(format!("{what}: stderr"), ended.stderr.as_str(), "");
    let summary = ended.summary().context("no summary")?;
    checks.equal(
        format!("{what}: lines shown"),
        summary["shown_count"].as_u64(),
        Some(u64::try_from(dentries(ended).len())?),
    );
    let lost_count = summary["lost_count"].as_u64().context("no lost_count")?;
    checks.that(
        format!("{what}: next to nothing is lost"),
        lost_count <= LOST_MAX && summary["lost"]["bad_records_count"] == 0,
        format!("{}", summary["lost"]),
    );
    Ok(lost_count)
}

/// Everywhere, but of one task name, and only what is negative.
fn one_name(checks: &mut Checks) -> anyhow::Result<()> {
    const COUNT: u64 = 300;
    let dir = kernel::new_dir("traced-name")?;
    let ino = fs::metadata(&dir)?.ino();
    let options = ["--comm", "workload", "--negative", "--rate", NO_LIMIT];
    let tracer = Detector::trace(&options)?;
    let programs = kernel::programs()?;
    checks.that(
        "trace attaches its own programs and no others",
        programs.len() >= 5 && programs.iter().all(|name| is_of_trace(name)),
        programs.join(" "),
    );
    workload::flood(&dir, COUNT, 7)?;
    workload::files(&dir, 20)?;
    look_up(&dir, b"by somebody else")?;
    let ended = tracer.end(Signal::SIGTERM)?;
    let lines = dentries(&ended);
    let is_asked_for = |line: &&Value| line["comm"] == "workload" && line["is_negative"] == true;
    checks.equal(
        "name: lines that were not asked for",
        lines.iter().filter(|line| !is_asked_for(line)).count(),
        0,
    );
    let prefix = format!("{}/null", dir.display());
    let made_count = lines
        .iter()
        .filter(|line| line["directory_ino"] == ino && line["change"] == "made_negative")
        .filter(|line| {
            let path = line["path"].as_str().unwrap_or_default();
            path.len() == prefix.len() + 16 && path.starts_with(&prefix)
        })
        .count();
    let lost_count = whole(checks, "name", &ended)?;
    checks.that(
        "name: each miss of the flood is shown under its whole path",
        (COUNT - lost_count..=COUNT).contains(&u64::try_from(made_count)?),
        format!("{made_count} of {COUNT}"),
    );
    nothing_left(checks, "name")
}

/// A flood above the rate: what was shown and what was left out are what was made.
fn capped(checks: &mut Checks) -> anyhow::Result<()> {
    const COUNT: u64 = 5_000;
    const RATE: u64 = 50;
    let dir = kernel::new_dir("traced-rate")?;
    let path = dir.to_str().context("a path of ours")?;
    let tracer = Detector::trace(&["--dir", path, "--rate", &format!("{RATE}/s")])?;
    workload::flood(&dir, COUNT, 9)?;
    let ended = tracer.end(Signal::SIGINT)?;
    let lost_count = whole(checks, "rate", &ended)?;
    let summary = ended.summary().context("no summary")?;
    let count = |name: &str| summary[name].as_u64().unwrap_or_default();
    let (shown, left_out) = (count("shown_count"), count("left_out_count"));
    checks.that(
        "rate: shown and left out are what was made",
        (COUNT - lost_count..=COUNT).contains(&(shown + left_out)),
        format!("{shown} + {left_out} of {COUNT}, {lost_count} lost"),
    );
    let seconds = count("duration_ns") / 1_000_000_000 + 2;
    checks.that(
        "rate: no more than that in a second",
        (RATE..=RATE * seconds).contains(&shown),
        format!("{shown} in less than {seconds} s"),
    );
    nothing_left(checks, "rate")
}

fn is_of_trace(program: &str) -> bool {
    program.starts_with("trace_")
}

/// That it attaches no program of `run` is in [`one_name`].
fn apart_from_run(checks: &mut Checks) -> anyhow::Result<()> {
    let detector = Detector::start(&[])?;
    let programs = kernel::programs()?;
    checks.that(
        "run attaches no program of trace",
        !programs.is_empty() && !programs.iter().any(|name| is_of_trace(name)),
        programs.join(" "),
    );
    detector.end(Signal::SIGINT)?;
    nothing_left(checks, "run")
}

fn ends(checks: &mut Checks) -> anyhow::Result<()> {
    let output = detector::call(&["trace", "--format", "json", "--duration", "100ms"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    checks.equal("--duration: exit code", output.status.code(), Some(0));
    checks.that(
        "--duration: the last line is a summary",
        last.contains(r#""type":"summary""#),
        last,
    );
    let mut command = Command::new("fslockup");
    command.args(["trace", "--duration", "1s"]);
    let output = detector::output(command.uid(65_534).gid(65_534))?;
    one_line(
        checks,
        "trace as nobody",
        &output,
        &["fslockup: missing CAP_BPF and CAP_PERFMON"],
    );
    // `fslockup trace | head -1`
    let dir = kernel::new_dir("traced-head")?;
    let mut child = Command::new("fslockup")
        .arg("trace")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("its output")?).read_line(&mut line)?;
    let mut number = 0;
    kernel::wait_until("the end without a reader", || {
        number += 1;
        look_up(&dir, format!("{number}").as_bytes())?;
        Ok(child.try_wait()?.is_some())
    })?;
    let output = child.wait_with_output()?;
    checks.equal("| head: exit code", output.status.code(), Some(0));
    checks.equal("| head: stderr", output.stderr, Vec::new());
    nothing_left(checks, "| head")
}

fn nothing_left(checks: &mut Checks, what: &str) -> anyhow::Result<()> {
    let left = || -> anyhow::Result<Vec<String>> {
        let kprobes = fs::read_to_string("/sys/kernel/debug/kprobes/list")?;
        let kprobes = kprobes.lines().map(str::to_owned);
        Ok(kernel::leftovers()?.into_iter().chain(kprobes).collect())
    };
    let gone = kernel::wait_until("nothing left", || Ok(left()?.is_empty()));
    checks.that(
        format!("{what}: nothing is left in the kernel"),
        gone.is_ok(),
        format!("{:?}", left()?),
    );
    Ok(())
}
