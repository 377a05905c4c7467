//! The kernel notices too: its own report of a soft lockup belongs to the incident.

use std::fs;

use anyhow::Context as _;
use fslockup_tests::workload;
use nix::sys::signal::Signal;

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    incident, kernel,
    truth::Truth,
};

/// The watchdog reports a CPU that did not schedule for twice this long.
const THRESHOLD: &str = "/proc/sys/kernel/watchdog_thresh";

/// Children that exist: the slowed walk stops at each.
const FILES_COUNT: u64 = 20_000;

/// Stops of this length make a walk of 3 s, as hundreds of millions of children would.
const BURN_NS: u64 = 160_000;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let before = fs::read_to_string(THRESHOLD).context(THRESHOLD)?;
    fs::write(THRESHOLD, "1").context(THRESHOLD)?;
    let dir = kernel::ramfs_dir(FILES_COUNT)?;
    let mut detector = Detector::start(&[])?;
    let slow = Truth::of_slow_walk(&detector.facts, BURN_NS)?;
    let calls = workload::watch(&dir, &[])?;
    detector.wait_for("incident", |line| line["type"] == "incident")?;
    drop(slow);
    fs::write(THRESHOLD, before).context(THRESHOLD)?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let incidents = ended.incidents()?;
    let call = calls.first().context("no call")?;
    let incident = incident::of_call(checks, &incidents, call)?;
    checks.that(
        "the walk was long enough for the watchdog",
        incident.walk.walk_ns >= 2_800_000_000,
        format!("{} ns", incident.walk.walk_ns),
    );
    let is_of_the_kernel =
        |line: &String| line.contains("soft lockup") && line.contains("[workload:");
    checks.that(
        "the incident carries the kernel's line",
        incident.kernel_reports.iter().any(is_of_the_kernel),
        format!("{:?}", incident.kernel_reports),
    );
    checks.equal("severity", incident.severity.as_str(), "critical");
    Ok(())
}
