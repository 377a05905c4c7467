//! A kernel whose release has two numbers, as Debian's release candidates have.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::Context as _;
use nix::sys::signal::Signal;

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_left, nothing_lost},
};

/// As 7.3~rc7-1~exp1 in Debian's experimental calls itself.
const RELEASE: &str = "7.3-cloud-amd64";
const VERSION: &str = "#1 SMP PREEMPT_DYNAMIC Debian 7.3~rc7-1~exp1 (2026-10-12)";

/// Maps that every run has.
const MAPS: [&str; 4] = ["WALKS", "CPUS", "RECORDS", "COUNTERS"];

/// It is a name and nothing else: no word on stderr, maps have theirs, and kprobes are descriptors, which
/// nothing outlives.
pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let mut command = Command::new("workload");
    command
        .args(["renamed", "--release", RELEASE, "--version", VERSION, "--"])
        .args(["fslockup", "run", "--format", "json", "--cpu-budget", "0"])
        .args(["--force-target", "kprobe"])
        .stderr(Stdio::piped());
    let detector = Detector::start_as(command, PathBuf::new())?;
    checks.equal(
        "the release that it was given",
        detector.facts["kernel_release"].as_str(),
        Some(RELEASE),
    );
    let names = map_names()?;
    for map in MAPS {
        checks.that(
            format!("a map is called {map}"),
            names.iter().any(|name| name == map),
            names.join(" "),
        );
    }
    let events = "/sys/kernel/tracing/kprobe_events";
    checks.equal(
        "kprobes that would outlive it",
        fs::read_to_string(events).context(events)?.as_str(),
        "",
    );
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    nothing_left(checks, "after the end")?;
    Ok(())
}

fn map_names() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for map in aya::maps::loaded_maps() {
        // One that goes away between the listing and the look at it is gone.
        let Ok(map) = map else { continue };
        names.push(map.name_as_str().unwrap_or_default().to_owned());
    }
    Ok(names)
}
