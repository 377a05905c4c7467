//! The detector's memory over a long time in which much happens. Not for every day.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fslockup_tests::{background::Background, workload};
use nix::sys::signal::Signal;

use crate::stage::{
    checks::Checks,
    detector::{Detector, nothing_lost},
    kernel,
};

/// Until the tables are as full as they get.
const WARM_UP: Duration = Duration::from_secs(120);
const SOAK: Duration = Duration::from_secs(600);
const DIRS_COUNT: usize = 8;
const CHILDREN_COUNT: u64 = 10_000;
const GROWTH_KIB_MAX: u64 = 1024;

pub fn scenario(checks: &mut Checks) -> anyhow::Result<()> {
    let dirs: Vec<PathBuf> = (0..DIRS_COUNT)
        .map(|number| kernel::new_dir(&format!("soak-{number}")))
        .collect::<anyhow::Result<_>>()?;
    let mut detector = Detector::start(&[
        "--walk-threshold",
        "200us",
        "--incident-threshold",
        "1ms",
        "--wait-threshold",
        "100us",
        "--stall-threshold",
        "1ms",
        "--cpu-budget",
        "10%",
    ])?;
    let first = dirs[0].to_str().context("a path of ours")?;
    let lookers =
        Background::start(&["lookup", "--dir", first, "--cpus", "2,3", "--pause", "5ms"])?;
    let start = Instant::now();
    let (mut rounds_count, mut sizes) = (0_u64, Vec::new());
    while start.elapsed() < WARM_UP + SOAK {
        let dir = &dirs[usize::try_from(rounds_count)? % DIRS_COUNT];
        one_round(dir, rounds_count)?;
        rounds_count += 1;
        // Lines that nobody takes would fill the pipe between the two.
        detector.take_lines();
        if start.elapsed() >= WARM_UP {
            sizes.push(resident_kib(detector.pid())?);
        }
    }
    drop(lookers);
    let ended = detector.end(Signal::SIGTERM)?;
    nothing_lost(checks, &ended);
    let (least, most) = (
        sizes.iter().min().copied().context("no reading")?,
        sizes.iter().max().copied().context("no reading")?,
    );
    let summary = ended.summary().context("no summary")?;
    for (name, value) in [
        ("rounds", rounds_count),
        ("resident_kib_min", least),
        ("resident_kib_max", most),
        ("walks", summary["walks_count"].as_u64().unwrap_or(0)),
        (
            "incidents",
            summary["incidents_count"].as_u64().unwrap_or(0),
        ),
        (
            "suppressed",
            summary["suppressed_count"].as_u64().unwrap_or(0),
        ),
    ] {
        checks.figure(name, f64::from(u32::try_from(value)?));
    }
    checks.that(
        "there were incidents all the time",
        summary["incidents_count"].as_u64() > Some(100),
        format!("{summary}"),
    );
    checks.that(
        format!("memory stays within {GROWTH_KIB_MAX} KiB"),
        most - least <= GROWTH_KIB_MAX,
        format!(
            "{least} to {most} KiB in {} readings, first {:?}, last {:?}",
            sizes.len(),
            sizes.first(),
            sizes.last()
        ),
    );
    Ok(())
}

/// A flood by a new process, a watch by another one; and what the guest's memory needs.
fn one_round(dir: &Path, number: u64) -> anyhow::Result<()> {
    workload::flood(dir, CHILDREN_COUNT, 1_000 + number)?;
    workload::watch(dir, &[])?;
    if number.is_multiple_of(64) {
        // Documentation/admin-guide/sysctl/vm.rst: dentries and inodes.
        fs::write("/proc/sys/vm/drop_caches", "2").context("drop_caches")?;
    }
    Ok(())
}

/// VmRSS of proc_pid_status(5).
fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let number = line.trim().trim_end_matches(" kB");
    number.parse().with_context(|| line.to_owned())
}
