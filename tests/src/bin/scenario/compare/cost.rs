//! What the detector costs a host on which nothing happens.

use std::{fmt, process::Command};

use anyhow::Context as _;
use fslockup_tests::Cost;
use nix::sys::signal::Signal;

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    kernel::INSTRUCTION_NS,
    truth::Truth,
};

/// Long enough for the timer's interrupts to weigh the same in every run.
const TIMES_COUNT: u64 = 20_000;

/// A guest that has just booted has other things to do: measured until this many runs in a row agree.
const AGREEING_COUNT: usize = 3;
const RUNS_MAX: usize = 30;
/// They agree if they are 0.2 % apart: 12 to 16 instructions of a context switch. Where none do, the median of all counts:
/// with PREEMPT_RT runs of 2,000 instructions scatter by 40, around one and the same.
const TOLERANCE_DIVISOR: u64 = 500;

/// Added to a context switch with its wakeup, at most, beyond what an empty program on the same
/// tracepoint adds: on 6.1 that is 47 instructions, on 7.3 already 130.
const SWITCH_BUDGET: u64 = 40;

/// Nothing is attached to a lock that nobody waits for; what is left is the timer's interrupts.
const LOCK_BUDGET: u64 = 10;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    // Its own rounds ten times a second are another budget's.
    let detector = || -> anyhow::Result<Detector> {
        let detector = Detector::start(&["--poll-period", "1h"])?;
        // The symbol table is read once, behind the first line, and takes half of this one CPU for that long.
        detector.settle()?;
        Ok(detector)
    };
    let before = instructions("ping-pong")?;
    let running = detector()?;
    let has_probe = running.facts["attached"]["probes"]
        .as_array()
        .is_some_and(|probes| probes.iter().any(|probe| probe["probe"] == "stall"));
    let with = instructions("ping-pong")?;
    nothing_lost(checks, &running.end(Signal::SIGTERM)?);
    let empty = Truth::of_nothing()?;
    let with_empty = instructions("ping-pong")?;
    drop(empty);
    let without = before.min(instructions("ping-pong")?);
    figures(checks, "ping-pong", without, with)?;
    checks.figure(
        "ping-pong_with_empty_program_instructions",
        f64::from(u32::try_from(with_empty.instructions)?),
    );
    checks.that(
        "an empty program costs something",
        with_empty.instructions > without.instructions + 20,
        format!("{with_empty} instructions with it, {without} without"),
    );
    // Where spinlocks sleep nothing is attached there, and the budget is for the scatter.
    let limit = if has_probe {
        with_empty.instructions + with_empty.scatter + SWITCH_BUDGET + with.scatter
    } else {
        without.instructions + without.scatter + LOCK_BUDGET + with.scatter
    };
    checks.that(
        format!("a context switch with its wakeup takes at most {limit} instructions"),
        with.instructions <= limit,
        format!("{with} instructions with the detector, {with_empty} with an empty program, {without} without"),
    );

    let before = instructions("uncontended")?;
    let running = detector()?;
    let with = instructions("uncontended")?;
    nothing_lost(checks, &running.end(Signal::SIGTERM)?);
    let without = before.min(instructions("uncontended")?);
    figures(checks, "uncontended", without, with)?;
    let budget = LOCK_BUDGET + without.scatter + with.scatter;
    checks.that(
        format!("a dup and close cost at most {budget} instructions more"),
        with.instructions <= without.instructions + budget,
        format!("{with} instructions with, {without} without"),
    );
    Ok(())
}

fn figures(
    checks: &mut Checks,
    workload: &str,
    without: Measured,
    with: Measured,
) -> anyhow::Result<()> {
    for (name, measured) in [("without", without), ("with", with)] {
        checks.figure(
            format!("{workload}_{name}_instructions"),
            f64::from(u32::try_from(measured.instructions)?),
        );
    }
    Ok(())
}

/// What one repetition takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Measured {
    instructions: u64,
    /// How far the runs that it comes from lie apart: in half of them it is at most that.
    scatter: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            to,
            "{} (runs lie {} apart)",
            self.instructions, self.scatter
        )
    }
}

fn instructions(workload: &str) -> anyhow::Result<Measured> {
    let mut runs = Vec::new();
    while runs.len() < RUNS_MAX {
        let cost = run(workload)?;
        runs.push(cost.total_ns / cost.times_count / INSTRUCTION_NS);
        let mut latest = runs[runs.len().saturating_sub(AGREEING_COUNT)..].to_vec();
        latest.sort_unstable();
        if let [least, median, most] = latest[..]
            && most - least <= least / TOLERANCE_DIVISOR
        {
            return Ok(Measured {
                instructions: median,
                scatter: most - least,
            });
        }
    }
    runs.sort_unstable();
    Ok(Measured {
        instructions: runs[RUNS_MAX / 2],
        scatter: runs[RUNS_MAX * 3 / 4] - runs[RUNS_MAX / 4],
    })
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
