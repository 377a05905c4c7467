//! Walks on one CPU while threads on three others look up new names in the directory, in instruction time.

use std::path::Path;

use anyhow::Context as _;
use fslockup_tests::{Account, TimedCall, background::Background, task, workload};
use nix::sys::signal::Signal;

use super::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    incident::Incident,
};

/// Children that exist: a walk of more than 3 ms in instruction time, and few seconds to make them.
pub const FILES_COUNT: u64 = 60_000;

/// Thresholds that fit such a walk.
pub const OPTIONS: &[&str] = &[
    "--walk-threshold",
    "200us",
    "--incident-threshold",
    "400us",
    "--wait-threshold",
    "100us",
    "--stall-threshold",
    "300us",
];

/// The CPU that takes no part in it.
pub const TIMEKEEPER_CPU: usize = 4;

/// Watches, one after another.
const WATCHES_COUNT: usize = 3;

/// What came out of some walks under contention.
pub struct Seen {
    pub calls: Vec<TimedCall>,
    pub incidents: Vec<Incident>,
    pub lookers: Vec<Account>,
}

/// Walks with lookers on the other CPUs, all of it seen by the detector.
pub fn observe(checks: &mut Checks, dir: &Path, options: &[&str]) -> anyhow::Result<Seen> {
    let path = dir.to_str().context("a path of ours")?;
    let metronome = Background::metronome(TIMEKEEPER_CPU)?;
    let mut detector = Detector::start(&[OPTIONS, options].concat())?;
    detector.settle()?;
    let lookers = Background::start(&[
        "lookup",
        "--dir",
        path,
        "--priority",
        "5",
        "--cpus",
        "1,2,3",
        "--threshold",
        "100us",
    ])?;
    let mut calls = Vec::new();
    for _ in 0..WATCHES_COUNT {
        calls.extend(workload::watch(dir, &["--cpu", "0"])?);
        let line = detector.wait_for("incident", |line| line["type"] == "incident")?;
        is_prompt(checks, &serde_json::from_value(line)?)?;
    }
    let lookers: Vec<Account> = lookers.stop()?;
    metronome.stop::<Account>()?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let incidents = ended.incidents()?;
    checks.equal("incidents", incidents.len(), WATCHES_COUNT);
    Ok(Seen {
        calls,
        incidents,
        lookers,
    })
}

/// The promise is 100 ms from the walk's end to the line.
const LINE_AFTER_NS_MAX: u64 = 100_000_000;

fn is_prompt(checks: &mut Checks, incident: &Incident) -> anyhow::Result<()> {
    let after_ns = task::monotonic_ns()?.saturating_sub(incident.walk.span().end_ns);
    checks.that(
        "the line is there within 100 ms after its walk",
        after_ns <= LINE_AFTER_NS_MAX,
        format!("{after_ns} ns"),
    );
    Ok(())
}
