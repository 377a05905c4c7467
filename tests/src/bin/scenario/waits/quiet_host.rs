//! A host with contention of its own and no walk: waits leave no record, and the next walk finds room.

use std::time::Duration;

use anyhow::Context as _;
use fslockup_tests::{Account, background::Background, workload};
use nix::sys::signal::Signal;

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    incident, kernel,
};

const CHILDREN_COUNT: u64 = 60_000;
/// Seeking past them takes milliseconds under emulation.
const FILES_COUNT: u64 = 40_000;
/// Each of them would leave a record, were there a walk.
const WAIT_THRESHOLD: &str = "200us";
const WAIT_THRESHOLD_NS: u64 = 200_000;
/// Longer than waits are looked at behind a walk, and behind the last comparison of the clocks.
const QUIET: Duration = Duration::from_secs(2);

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dir = kernel::new_dir("quiet-host")?;
    workload::flood(&dir, CHILDREN_COUNT, 9)?;
    let other_dir = kernel::ramfs_dir(FILES_COUNT)?;
    let other = other_dir.to_str().context("a path of ours")?;
    let files = FILES_COUNT.to_string();
    // One line, the number of waits without a walk; then the same with a walk.
    let contention = || -> anyhow::Result<[Background; 2]> {
        Ok([
            Background::start(&["seek", "--dir", other, "--to", &files, "--cpus", "1"])?,
            Background::start(&[
                "lookup",
                "--dir",
                other,
                "--cpus",
                "2,3",
                "--threshold",
                "200us",
            ])?,
        ])
    };
    let mut detector = Detector::start(&[
        "--wait-threshold",
        WAIT_THRESHOLD,
        "--walk-threshold",
        "1ms",
        "--incident-threshold",
        "1ms",
    ])?;
    let [seekers, lookers] = contention()?;
    std::thread::sleep(QUIET);
    let accounts: Vec<Account> = lookers.stop()?;
    seekers.stop::<Account>()?;
    let waits_count = accounts
        .iter()
        .flat_map(|account| &account.slow)
        .filter(|lookup| lookup.length_ns() >= 2 * WAIT_THRESHOLD_NS)
        .count();
    checks.that(
        "tasks waited for a lock, without a walk",
        waits_count >= 20,
        format!("{waits_count} times"),
    );
    let calls = workload::watch(&dir, &["--cpu", "0"])?;
    let call = calls.first().context("no call")?;
    detector.wait_for("incident", |line| line["type"] == "incident")?;
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let incidents = ended.incidents()?;
    incident::of_call(checks, &incidents, call)?;
    let summary = ended.summary().context("no summary")?;
    let fates = &summary["records"]["waits"];
    let told = ["used_count", "below_threshold_count", "unrelated_count"]
        .map(|fate| fates[fate].as_u64().unwrap_or(u64::MAX));
    let told_count = told
        .iter()
        .fold(0_u64, |sum, count| sum.saturating_add(*count));
    // Comparing the clocks and the one walk open a window for what the kernel's own threads wait for.
    checks.that(
        "they left no records",
        told_count * 4 <= waits_count as u64,
        format!("{told_count} records of {waits_count} waits: {fates}"),
    );
    Ok(())
}
