//! What must not be reported; and, by the same detector, what must.

use std::path::Path;

use anyhow::Context as _;
use fslockup_tests::{TimedCall, workload};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{
    checks::Checks,
    detector::{Detector, Ended, nothing_lost},
    exposure::{self, Times},
    incident::was_long_for_its_caller,
    kernel,
};

/// A flood that nobody watches is no walk.
pub fn no_watch(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("flood-no-watch")?;
    let detector = Detector::start(&["--walk-threshold", "0s"])?;
    workload::flood(&dir, 20_000, 2)?;
    let control = watched(&dir)?;
    let ended = detector.end(Signal::SIGTERM)?;
    only(checks, &ended, &dir, &[control])?;
    walks_count(checks, &ended, 1);
    Ok(())
}

/// Names that make a walk of 5 ms under emulation.
const OVER_THRESHOLD_COUNT: u64 = 60_000;

/// The threshold that is given to the detector.
const WALK_THRESHOLD_NS: u64 = 2_000_000;

/// A directory of ten is walked, in no time.
pub fn small_directory(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("small")?;
    workload::flood(&dir, 10, 3)?;
    let detector = Detector::start(&["--walk-threshold", "2ms"])?;
    let small = [watched(&dir)?];
    workload::flood(&dir, OVER_THRESHOLD_COUNT, 4)?;
    let control = watched(&dir)?;
    let mut ended = detector.end(Signal::SIGTERM)?;
    walks_count(checks, &ended, 2);
    let is_host = |line: &Value| was_long_for_its_caller(line, &small, WALK_THRESHOLD_NS);
    ended.lines.retain(|line| !is_host(line));
    only(checks, &ended, &dir, &[control])
}

/// A watch for entries made or removed alone needs no flag on the children: only kernels that walk
/// for every watch walk for it.
pub fn entries_only(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("entries-only")?;
    workload::flood(&dir, 20_000, 4)?;
    let detector = Detector::start(&["--walk-threshold", "0s"])?;
    exposure::is_right(checks, &detector.facts)?;
    let mut times = Times::default();
    let mut walking = Vec::new();
    let walks_anyway = exposure::of_this_kernel()?.every_watch;
    for _ in 0..Times::CALLS_COUNT {
        let call = watched_with(&dir, &["--entries-only"])?;
        times.note(&[TimedCall {
            step: "entries-only".to_owned(),
            ..call.clone()
        }]);
        walking.extend(walks_anyway.then_some(call));
        let control = watched(&dir)?;
        times.note(std::slice::from_ref(&control));
        walking.push(control);
    }
    let ended = detector.end(Signal::SIGTERM)?;
    checks.equal(
        "a watch for entries alone takes as long as a walk",
        times.walks("entries-only")?,
        walks_anyway,
    );
    checks.figure("entries_only_to_watch", times.share("entries-only")?);
    only(checks, &ended, &dir, &walking)?;
    walks_count(checks, &ended, walking.len());
    Ok(())
}

fn watched(dir: &Path) -> anyhow::Result<TimedCall> {
    watched_with(dir, &[])
}

fn watched_with(dir: &Path, options: &[&str]) -> anyhow::Result<TimedCall> {
    let calls = workload::watch(dir, options)?;
    calls.into_iter().next().context("no call")
}

/// These calls are reported, once each and as they were, and nothing else.
fn only(checks: &mut Checks, ended: &Ended, dir: &Path, calls: &[TimedCall]) -> anyhow::Result<()> {
    nothing_lost(checks, ended);
    let walks = ended.walks();
    checks.equal("walks reported", walks.len(), calls.len());
    for call in calls {
        let is_of_it = |line: &&&Value| {
            let walk = &line["walk"];
            let start_ns = walk["start_ns"].as_u64().unwrap_or(0);
            (call.start_ns..call.end_ns).contains(&start_ns)
                && walk["tid"] == call.pid
                && walk["ino"] == call.ino
                && walk["path"].as_str() == dir.to_str()
        };
        checks.equal(
            "a watch that walks is reported once",
            walks.iter().filter(is_of_it).count(),
            1,
        );
    }
    // A walk that is reported at its end may have been seen running before.
    let of_nobody = |line: &&&Value| !calls.iter().any(|call| line["walk"]["tid"] == call.pid);
    let running = ended.running();
    checks.equal(
        "nothing else is reported as running",
        running.iter().filter(of_nobody).count(),
        0,
    );
    Ok(())
}

fn walks_count(checks: &mut Checks, ended: &Ended, expected: usize) {
    let seen = ended
        .summary()
        .and_then(|summary| summary["walks_count"].as_u64());
    checks.equal("walks that happened", seen, u64::try_from(expected).ok());
}
