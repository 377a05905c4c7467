//! A walker that has to share its CPU: what it waits for before and behind the walk is no part of it.

use anyhow::Context as _;
use fslockup_tests::{TimedCall, background::Background, workload};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::stage::{
    checks::{Checks, precise},
    detector::{Detector, nothing_lost},
    kernel,
};

/// A walk of 2 ms, half a tick of the scheduler: in many a walk it decides that the walker has had its turn.
const CHILDREN_COUNT: u64 = 150_000;
/// With nobody else on the CPU.
const ALONE_COUNT: usize = 3;
const WATCHES_COUNT: usize = 24;
/// Of them, as many at least must have been switched out inside the function, or nothing was shown.
const AWAY_MIN: usize = 3;
/// Interrupts are part of a walk, and each tick is one.
const LONGER_MAX: f64 = 1.25;
/// A turn of each of the hogs, and more than a walk.
const HOGS: &str = "5";
/// An incident would be a walk with such a round in it.
const INCIDENT_THRESHOLD: &str = "12ms";
const INCIDENT_THRESHOLD_NS: u64 = 12_000_000;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::flooded_dir(CHILDREN_COUNT)?;
    let detector = Detector::start(&[
        "--walk-threshold",
        "0s",
        "--incident-threshold",
        INCIDENT_THRESHOLD,
    ])?;
    detector.settle()?;
    let mut calls = Vec::new();
    for _ in 0..ALONE_COUNT {
        calls.extend(workload::watch(&dir, &[])?);
    }
    let hogs = Background::start(&["hogs", "--per-cpu", HOGS, "--threshold", "1h"])?;
    for _ in 0..WATCHES_COUNT {
        calls.extend(workload::watch(&dir, &["--ordinary"])?);
    }
    hogs.stop::<Value>()?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let walks = ended.walks();
    checks.equal("walks", walks.len(), calls.len());
    let found = |call: &TimedCall| -> anyhow::Result<(u64, u64)> {
        let line = walks.iter().find(|line| line["walk"]["tid"] == call.pid);
        let walk = &line.with_context(|| format!("no walk of {call:?}"))?["walk"];
        let number = |key: &str| {
            walk[key]
                .as_u64()
                .with_context(|| format!("{key} in {walk}"))
        };
        Ok((number("walk_ns")?, number("scheduled_out_ns")?))
    };
    let mut alone_ns = u64::MAX;
    for call in &calls[..ALONE_COUNT] {
        alone_ns = alone_ns.min(found(call)?.0);
    }
    let (mut longest_ns, mut away_count, mut long_count) = (0, 0, 0);
    for call in &calls[ALONE_COUNT..] {
        let (walk_ns, away_ns) = found(call)?;
        longest_ns = longest_ns.max(walk_ns);
        away_count += usize::from(away_ns > 0);
        // What was said of a walk before: its call, with all that the walker waited for.
        long_count += usize::from(away_ns > 0 && walk_ns + away_ns >= INCIDENT_THRESHOLD_NS);
        checks.that(
            "walk and waiting fit into the system call",
            walk_ns + away_ns <= call.call_ns(),
            format!("{walk_ns} and {away_ns} ns in {} ns", call.call_ns()),
        );
    }
    checks.figure("walks_with_a_switch", precise(away_count as u64));
    checks.that(
        "walkers were switched out inside the function, some for long",
        away_count >= AWAY_MIN && long_count > 0,
        format!("{away_count} of {WATCHES_COUNT}, {long_count} for long"),
    );
    let ratio = precise(longest_ns) / precise(alone_ns);
    checks.figure("longest_to_alone", ratio);
    checks.that(
        "no walk is longer than one that has the CPU for itself",
        ratio <= LONGER_MAX,
        format!("{longest_ns} ns, alone {alone_ns} ns"),
    );
    checks.equal("incidents", ended.incidents()?.len(), 0);
    Ok(())
}
