//! What the detector costs a host on which nothing happens.

use std::process::Command;

use anyhow::Context as _;
use fslockup_tests::Cost;
use nix::sys::signal::Signal;

use crate::{
    checks::Checks,
    detector::{Detector, nothing_lost},
};

const TIMES_COUNT: &str = "3000";

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
        let without = instructions(workload)?;
        let detector = Detector::start(&[])?;
        let with = instructions(workload)?;
        let ended = detector.end(Signal::SIGTERM)?;
        nothing_lost(checks, &ended);
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
    // The first run loads the program from the initramfs.
    let _ = run(workload)?;
    let cost = run(workload)?;
    Ok(cost.total_ns / cost.times_count / INSTRUCTION_NS)
}

fn run(workload: &str) -> anyhow::Result<Cost> {
    let output = Command::new("workload")
        .args([workload, "--count", TIMES_COUNT])
        .output()
        .context("workload")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "workload {workload}: {said}");
    serde_json::from_slice(&output.stdout).context("its account")
}
