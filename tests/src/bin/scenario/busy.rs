//! Long run queues without a walk: tasks run late, and nobody is to blame.

use std::time::Duration;

use anyhow::Context as _;
use fslockup_tests::{Account, background::Background, workload};
use nix::sys::signal::Signal;

use crate::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    kernel,
};

/// The default threshold for stalls.
const STALL_NS: u64 = 10_000_000;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("busy")?;
    workload::flood(&dir, 10, 8)?;
    // The host may take the walker's CPU away for longer than the default threshold.
    let detector = Detector::start(&["--walk-threshold", "1s"])?;
    let hogs = Background::start(&[
        "hogs",
        "--cpus",
        "0,1",
        "--per-cpu",
        "6",
        "--threshold",
        "10ms",
    ])?;
    let sleepers = Background::start(&["sleepers", "--cpus", "0,1", "--threshold", "10ms"])?;
    // A walk that is none to speak of does not make the run queues its own.
    workload::watch(&dir, &["--cpu", "0"])?;
    let busy = Duration::from_secs(1);
    std::thread::sleep(busy);
    workload::watch(&dir, &["--cpu", "1"])?;
    let mut late: Vec<Account> = sleepers.stop()?;
    late.extend(hogs.stop::<Account>()?);
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let late_count = late
        .iter()
        .flat_map(|account| &account.slow)
        .filter(|span| span.length_ns() >= STALL_NS)
        .count();
    checks.that(
        "tasks ran late, by more than the threshold",
        late_count >= 10,
        format!("{late_count} times"),
    );
    let said: Vec<_> = ended
        .lines
        .iter()
        // The system call itself can be slow: its task waits for its turn like all others.
        .filter(|line| line["type"] != "summary" && line["type"] != "syscall")
        .collect();
    checks.that("nothing is reported", said.is_empty(), format!("{said:?}"));
    let summary = ended.summary().context("no summary")?;
    checks.equal("incidents", summary["incidents_count"].as_u64(), Some(0));
    checks.equal("walks", summary["walks_count"].as_u64(), Some(2));
    Ok(())
}
