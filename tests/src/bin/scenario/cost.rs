//! What the detector costs a host on which nothing happens.

use std::process::Command;

use anyhow::Context as _;
use fslockup_tests::Cost;
use nix::sys::signal::Signal;

use crate::{
    checks::Checks,
    detector::{Detector, nothing_lost},
};

/// Long enough for the timer's interrupts to weigh the same in every run.
const TIMES_COUNT: u64 = 5_000;

/// A guest that has just booted has other things to do: measured until this many runs agree with the
/// shortest, because those make a run longer, never shorter.
const AGREEING_COUNT: usize = 3;
const RUNS_MAX: usize = 30;

/// An instruction takes this long in instruction time.
const INSTRUCTION_NS: u64 = 2;

/// Added to a context switch with its wakeup, at most.
const SWITCH_BUDGET: u64 = 100;

/// Nothing is attached to a lock that nobody waits for; what is left is the timer's interrupts.
const LOCK_BUDGET: u64 = 5;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    for (what, workload, budget) in [
        (
            "a context switch with its wakeup",
            "ping-pong",
            SWITCH_BUDGET,
        ),
        ("a dup and close", "uncontended", LOCK_BUDGET),
    ] {
        let before = instructions(workload)?;
        // Its own rounds ten times a second are another budget's.
        let detector = Detector::start(&["--poll-period", "1h"])?;
        let with = instructions(workload)?;
        let ended = detector.end(Signal::SIGTERM)?;
        nothing_lost(checks, &ended);
        let without = before.min(instructions(workload)?);
        for (name, count) in [("without", without), ("with", with)] {
            checks.figure(
                format!("{workload}_{name}_instructions"),
                f64::from(u32::try_from(count)?),
            );
        }
        checks.that(
            format!("{what} costs at most {budget} instructions more"),
            with <= without + budget,
            format!("{with} instructions with, {without} without"),
        );
    }
    Ok(())
}

/// Of one repetition.
fn instructions(workload: &str) -> anyhow::Result<u64> {
    let mut runs = Vec::new();
    while runs.len() < RUNS_MAX {
        let cost = run(workload)?;
        runs.push(cost.total_ns / cost.times_count / INSTRUCTION_NS);
        let least = runs.iter().copied().min().unwrap_or(0);
        if runs.iter().filter(|run| **run <= least + 2).count() >= AGREEING_COUNT {
            return Ok(least);
        }
    }
    anyhow::bail!("workload {workload}: no {AGREEING_COUNT} runs agree: {runs:?}")
}

fn run(workload: &str) -> anyhow::Result<Cost> {
    let output = Command::new("workload")
        .args([workload, "--count", &TIMES_COUNT.to_string()])
        .output()
        .context("workload")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "workload {workload}: {said}");
    serde_json::from_slice(&output.stdout).context("its account")
}
